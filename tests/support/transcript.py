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

_EVENT = re.compile(r"<!-- happens: (?P<name>[a-z-]+) -->\s*")
_FENCE = "```"
_START = f"{_FENCE}console"
_PROMPT = "$ "


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
        output = finished.stdout
        for real, said in self.shown.items():
            output = output.replace(real, said)
        return output


def run_page(page: str, shell: Shell, events: Mapping[str, Callable[[], None]]) -> str:
    """Run a page from its first line to its last, and give it with what the commands printed now."""
    return "".join(_lines(iter(page.splitlines(keepends=True)), shell, events))


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
