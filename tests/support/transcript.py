"""Pages of docs/ whose console blocks are run as shown, and written anew with what they print.

In a page, a fenced block of the kind ``console`` holds commands after ``$ `` and what each prints. An
HTML comment ``<!-- happens: NAME -->`` between blocks is something that happens meanwhile, such as an
index that is pushed again; the reader sees it told in the text.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_EVENT = re.compile(r"<!-- happens: (?P<name>[a-z0-9-]+) -->\s*")
_FENCE = "```"
_START = f"{_FENCE}console"
_PROMPT = "$ "
_PROGRESS = re.compile(
    r"^(?:locking|checking|verifying|rehashing|promoting|auditing|comparing|aligning|looking for gaps"
    r"|reading metadata)"
    r" (?:what is pinned|th\d\S*|my-cpu|\d+ of \d+(?:: \S+)?)\n|^prefetch \S+ \S+ of \S+ \S+: \S+\n",
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
    """A shell in a folder. ``shown`` maps what is really there to what the page says instead."""

    folder: Path
    environment: Mapping[str, str]
    shown: Mapping[str, str]
    status: int = 0
    ran: list[str] = field(default_factory=list)

    def run(self, command: str) -> str:
        """What a command prints, errors and results in the order they came."""
        self.ran.append(command)
        for real, said in self.shown.items():
            command = command.replace(said, real)
        finished = subprocess.run(
            ["bash", "-c", f"(exit {self.status})\n{command}"],
            cwd=self.folder,
            env={**os.environ, **self.environment, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.status = finished.returncode
        # A terminal shows progress as a bar, which is gone when the work is done.
        output = _AGE.sub(_AGE_SHOWN, _PROGRESS.sub("", finished.stdout))
        for real, said in self.shown.items():
            output = _replaced(output, real, said)
        return output


def _replaced(text: str, real: str, said: str) -> str:
    """The text with the words of the page; the columns of a table stay where they are."""
    longer = len(said) - len(real)

    def column(match: re.Match[str]) -> str:
        return said + " " * max(2, len(match[1]) - longer)

    return re.sub(rf"{re.escape(real)}( {{2,}})", column, text).replace(real, said)


def run_page(page: str, shell: Shell, events: Mapping[str, Callable[[], None]]) -> str:
    """Run a page from its first line to its last, and give it with what the commands printed now."""
    return "".join(_lines(iter(page.splitlines(keepends=True)), shell, events))


def comparable(page: str) -> str:
    """A page without what no two runs have in common."""
    return _DIGEST.sub("<digest>", page)


def _lines(lines: Iterator[str], shell: Shell, events: Mapping[str, Callable[[], None]]) -> Iterator[str]:
    for line in lines:
        yield line
        if match := _EVENT.fullmatch(line):
            events[match["name"]]()
        elif line.strip() == _START:
            yield from _block(lines, shell)


def _block(lines: Iterator[str], shell: Shell) -> Iterator[str]:
    for line in lines:
        if line.startswith(_PROMPT):
            yield line
            command = line.removeprefix(_PROMPT)
            while command.endswith("\\\n"):
                more = next(lines)
                yield more
                command += more
            yield shell.run(command)
        elif line.strip() == _FENCE:
            yield line
            return
        # Any other line is what the command printed when the page was written.
