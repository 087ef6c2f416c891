"""Pages of docs/ whose console blocks are run as shown, and written anew with what they print.

In a page, a fenced block of the kind ``console`` holds commands after ``$ `` and what each prints; a line
after ``> `` continues the command. An HTML comment ``<!-- happens: NAME -->`` between blocks is something
that happens meanwhile, such as an index that is pushed again; the reader sees it told in the text.
"""

import os
import re
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_EVENT = re.compile(r"<!-- happens: (?P<name>[a-z0-9-]+) -->\s*")
_FENCE = "```"
_START = f"{_FENCE}console"
_PROMPT = "$ "
_CONTINUED = ">"
_PROGRESS = re.compile(
    r"^(?:locking|checking|verifying|rehashing|promoting|auditing|comparing|aligning|looking for gaps"
    r"|reading metadata)"
    r" (?:what is pinned|[a-z0-9-]+|\d+ of \d+(?:: \S+)?)\n"
    r"|^prefetch \S+ \S+ of \S+ \S+: \S+\n",
    re.MULTILINE,
)
# A page keeps the age that its data had when it was written.
_AGE = re.compile(r"\((?:today|\d+ days? ago)\)")
_AGE_SHOWN = "(2 days ago)"
# Commits and blobs of git, and digests over a file that names a port of this run.
_DIGEST = re.compile(
    r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}\b"
    # git's short ones beside one another, which may have no figure.
    r"|(?<=index )[0-9a-f]{7,64}(?=\.\.)|(?<=\.\.)[0-9a-f]{7,64}(?= 100)"
)


@dataclass
class Shell:
    """A shell for all commands of a page. ``shown`` maps what is really there to what the page says."""

    folder: Path
    environment: Mapping[str, str]
    shown: Mapping[str, str]
    timeout: float = 120
    elided: re.Pattern[str] | None = None  # runs of such lines are shown as one that holds "…"
    ran: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = None

    def run(self, command: str) -> str:
        """Return what a command prints, errors and results in the order they came."""
        self.ran.append(command)
        for real, said in self.shown.items():
            command = command.replace(said, real)
        output, status = self._answer(command)
        self.statuses.append(status)
        # A terminal shows progress as a bar, which is gone when the work is done.
        output = _AGE.sub(_AGE_SHOWN, _PROGRESS.sub("", output))
        for real, said in self.shown.items():
            output = _replaced(output, real, said)
        return self.elided.sub("…\n", output) if self.elided else output

    def close(self) -> None:
        """End the shell, and what it started and did not stop."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.communicate()
            self._process = None

    def _answer(self, command: str) -> tuple[str, int]:
        if self._process is None:
            self._process = subprocess.Popen(
                ["bash"],
                cwd=self.folder,
                env={**os.environ, **self.environment, "COLUMNS": "100"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        end = f"end-{secrets.token_hex(8)}:"
        before = self.statuses[-1] if self.statuses else 0
        lines = f"(exit {before})\n{{\n{command}\n}} </dev/null\nprintf '%s%s\\n' {end} $?\n"
        process.stdin.write(lines.encode())
        process.stdin.flush()
        deadline = time.monotonic() + self.timeout
        output = b""
        while not (match := re.search(rf"{end}(\d+)\n".encode(), output)):
            ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            more = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not more:
                self.close()
                raise AssertionError(f"{command!r} did not end: {output.decode(errors='replace')}")
            output += more
        return output[: match.start()].decode(errors="replace"), int(match[1])


def _replaced(text: str, real: str, said: str) -> str:
    """The text with the words of the page; the columns of a table stay where they are."""
    longer = len(said) - len(real)

    def column(match: re.Match[str]) -> str:
        return said + " " * max(2, len(match[1]) - longer)

    return re.sub(rf"{re.escape(real)}( {{2,}})", column, text).replace(real, said)


def run_page(page: str, shell: Shell, events: Mapping[str, Callable[[], None]]) -> str:
    """Run a page from its first line to its last, and return it with what the commands printed now."""
    try:
        return "".join(_lines(_Lines(page), shell, events))
    finally:
        shell.close()


def comparable(page: str) -> str:
    """A page without what no two runs have in common."""
    return _DIGEST.sub("<digest>", page)


class _Lines(Iterator[str]):
    """The lines of a page, of which the next one can be looked at."""

    def __init__(self, page: str) -> None:
        self._left = page.splitlines(keepends=True)[::-1]

    def __next__(self) -> str:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    def ahead(self) -> str:
        return self._left[-1] if self._left else ""


def _lines(lines: _Lines, shell: Shell, events: Mapping[str, Callable[[], None]]) -> Iterator[str]:
    for line in lines:
        yield line
        if match := _EVENT.fullmatch(line):
            events[match["name"]]()
        elif line.strip() == _START:
            yield from _block(lines, shell)


def _block(lines: _Lines, shell: Shell) -> Iterator[str]:
    for line in lines:
        if line.startswith(_PROMPT):
            typed, command = line, line.removeprefix(_PROMPT)
            while command.endswith("\\\n") or lines.ahead().startswith(_CONTINUED):
                more = next(lines)
                typed += more
                command += more.removeprefix(_CONTINUED).removeprefix(" ")
            yield typed + shell.run(command)
        elif line.strip() == _FENCE:
            yield line
            return
        # Any other line is what the command printed when the page was written.
