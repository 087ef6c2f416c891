"""The only place that prints: results to standard output, everything else to standard error.

Results are plain data (dataclasses, dicts, lists). With ``--json`` the data itself is printed,
exactly one document; without, a text for people. rich is imported when something is drawn,
not when the program starts.
"""

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

from factory.errors import FactoryError
from factory.masking import masked

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PLAIN_PROGRESS_SECONDS = 5.0
_GAP = 2


class Progress(Protocol):
    """Something that long work reports to. Safe to call from several threads."""

    def begin(self, message: str) -> None:
        """A part that may take long begins; the message names it."""

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        """So much more is done; the message says what."""

    def extend(self, amount: int) -> None:
        """So much more is to do than was said at first."""


class Silent:
    """Progress that nobody looks at."""

    def begin(self, message: str) -> None:
        """Say nothing."""

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        """Say nothing."""

    def extend(self, amount: int) -> None:
        """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows for people: the headings, and as many cells in each row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right_aligned: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no result, as data. ``kind`` is the name of an error, `UsageError` or `Interrupted`."""

    kind: str
    reason: str
    solution: str
    exit_code: int


class Console:
    """Prints for one run of the command."""

    def __init__(self, *, json_output: bool = False) -> None:
        self.json_output = json_output
        # What a result in a form of its own, such as SARIF, has in its place where there is none.
        self.error_form: Callable[[Failure], str] | None = None

    def result(self, data: object, *parts: str | Table) -> None:
        """Print a result: the data as JSON with ``--json``, else the parts, one below the other."""
        if self.json_output:
            print(json.dumps(to_plain(data), indent=2, ensure_ascii=False))
            return
        for part in parts:
            if isinstance(part, Table):
                _draw(part)
            else:
                print(part)

    def raw(self, content: bytes) -> None:
        """Write bytes to standard output as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def note(self, message: str) -> None:
        """Say something that is not the result."""
        # In one piece: another thread's line may come between two.
        print(f"{masked(message)}\n", end="", file=sys.stderr, flush=True)

    def warning(self, message: str) -> None:
        """Say something that the user should look at."""
        self.note(f"warning: {message}")

    def error(self, error: FactoryError) -> None:
        """Say what happened, why, and what to do next."""
        self.failed(failure_of(error))
        if not self.json_output:
            self.report(error)

    def failed(self, failure: Failure) -> None:
        """Print why there is no result, in its place, where that has a form of its own or is JSON."""
        if self.json_output:
            print(json.dumps({"error": to_plain(failure)}, indent=2, ensure_ascii=False))
        elif self.error_form is not None:
            print(self.error_form(failure))

    def report(self, error: FactoryError) -> None:
        """Say so on standard error, where the error is a part of the result and not all of it."""
        self.note(f"error: {error.reason}\n  what to do: {error.solution}")

    @contextmanager
    def progress(self, description: str, *, total: int, unit: str = "") -> Iterator[Progress]:
        """Show how far long work has come, on standard error; ``unit`` "bytes" shows sizes."""
        if sys.stderr.isatty() and not self.json_output:
            with _bar(description, total, in_bytes=unit == "bytes") as bar:
                yield bar
        else:
            yield _PlainProgress(self, description, total, in_bytes=unit == "bytes")


def failure_of(error: FactoryError) -> Failure:
    """An error as data."""
    return Failure(
        kind=type(error).__name__,
        reason=error.reason,
        solution=error.solution,
        exit_code=error.exit_code,
    )


def to_plain(data: object) -> object:
    """Data as JSON knows it: dataclasses and errors as objects, paths and dates as strings, sets as lists."""
    if isinstance(data, FactoryError):
        data = failure_of(data)
    if is_dataclass(data) and not isinstance(data, type):
        return {field.name: to_plain(getattr(data, field.name)) for field in fields(data)}
    if isinstance(data, Mapping):
        return {str(key): to_plain(value) for key, value in data.items()}
    if isinstance(data, (set, frozenset)):
        return sorted(str(to_plain(item)) for item in data)
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [to_plain(item) for item in data]
    if isinstance(data, (Path, PurePath, dt.date)):
        return str(data)
    return data


def human_size(size: int) -> str:
    """A number of bytes for people, in decimal units: ``446.1 MB``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _draw(table: Table) -> None:
    from rich.table import Table as RichTable

    drawn = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading in table.headings:
        right = heading in table.right_aligned
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    rich = _rich(None if sys.stdout.isatty() else _whole_width(table))
    # rich only draws: were it to write, it would end the program itself when nobody reads any more.
    with rich.capture() as capture:
        rich.print(drawn)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _whole_width(table: Table) -> int:
    """The width of a table that nothing folds: a pipe has none to fit into, and grep wants whole rows."""
    from rich.cells import cell_len

    columns = zip(table.headings, *table.rows, strict=True)
    return sum(max(cell_len(cell) for cell in column) + _GAP for column in columns)


def _rich(width: int | None) -> "RichConsole":
    from rich.console import Console as RichConsole

    return RichConsole(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


@contextmanager
def _bar(description: str, total: int, *, in_bytes: bool) -> Iterator[Progress]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    counter = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        counter,
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )
    with RichProgress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, message="")
        yield _RichBar(progress, task)


class _RichBar:
    def __init__(self, progress: "RichProgress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task

    def begin(self, message: str) -> None:
        self._progress.update(self._task, message=message)

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        self._progress.advance(self._task, amount)
        if message:
            self._progress.update(self._task, message=message)

    def extend(self, amount: int) -> None:
        total = next(task.total for task in self._progress.tasks if task.id == self._task)
        self._progress.update(self._task, total=(total or 0) + amount)


class _PlainProgress:
    """Progress where nobody watches: a line every few seconds, so that a log shows it is alive."""

    def __init__(self, console: Console, description: str, total: int, *, in_bytes: bool) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._done = 0
        self._show = human_size if in_bytes else str
        self._last = time.monotonic()

    def begin(self, message: str) -> None:
        if not self._console.json_output:
            self._console.note(f"{self._description} {message}")

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last >= _PLAIN_PROGRESS_SECONDS:
            self._last = now
            tail = f": {message}" if message else ""
            self._console.note(
                f"{self._description} {self._show(self._done)} of {self._show(self._total)}{tail}"
            )

    def extend(self, amount: int) -> None:
        self._total += amount
