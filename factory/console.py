"""The only place that prints: results to standard output, everything else to standard error.

Results are plain data (dataclasses, dicts, lists). With ``--json`` the data itself is printed, exactly one
document; without, a text for people. rich is imported when something is drawn, not at start-up.

Nearly all output quotes what others wrote: names in a registry, lines of a lock, output of a program. So none
of it reaches a terminal, or the log of a CI system, as a command: characters that a terminal obeys or that
hide others are shown as their escapes (`visible`), and what a CI system would take for its own command is
broken (`harmless`). The factory's own annotations are `Commands`.
"""

import datetime as dt
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

from factory.clock import read_timings
from factory.errors import FactoryError
from factory.masking import masked

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import Task, TaskID

_PLAIN_PROGRESS_SECONDS = 5.0
_GAP = 2
# Cells of a yielding column, at least: an address is still read in pieces of this width.
_NARROWEST = 24
_PAIR = 2
# How alike two names are (0 to 1) of which one may be a misspelling of the other, and by how much less than
# the likeliest one another may be.
_ALIKE, _AS_ALIKE = 0.6, 0.04
_SHOWN_NAMES, _FEW_NAMES = 3, 10
_SEPARATED = re.compile(r"[^/,;&?@]+[/,;&?@]*|[/,;&?@]+")
# Styles of ANSI terminals (ECMA-48, 8.3.117).
_BOLD, _RED, _YELLOW, _DIM = "1", "31", "33", "2"
_LEVELS = {"error": _RED, "warning": _YELLOW, "waived": _DIM}
_LEVEL = re.compile("^  (?:error|warning|waived)\\b", re.MULTILINE)
# What a terminal obeys (C0 but for line feed and tab, DEL, C1), what turns or hides text around it (marks and
# overrides of direction, characters without a width, tags; Unicode TR 36), what ends a line for some readers
# and not for others (U+2028, U+2029), and half characters, which no output can encode.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LINE_ENDS = str.maketrans({"\n": "\\n", "\t": " "})
# GitHub takes `::name` at the start of a line for a command, and `##[` anywhere in it; Azure and TeamCity
# take `##` with their names.
_LINE_COMMAND = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
_HASH_COMMAND = re.compile(r"#(?=#(?:vso|teamcity)?\[)")


class Progress(Protocol):
    """Receives the progress of long work. Safe to call from several threads."""

    def begin(self, message: str) -> None:
        """Note that a part begins that may take long; the message names it."""

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        """Add to what is done; the message names it."""

    def extend(self, amount: int) -> None:
        """Add to what is to do."""


class Silent:
    """Progress that is not shown."""

    def begin(self, message: str) -> None:
        """Say nothing."""

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        """Say nothing."""

    def extend(self, amount: int) -> None:
        """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows for people: the headings, and as many cells in each row.

    ``yielding`` are the headings of columns of prose and addresses. In a narrow terminal they give way
    first: they wrap between words, and a word that is longer than the column breaks, if possible behind a
    slash or a comma. The other columns wrap between words alone, and the first one never.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right_aligned: frozenset[str] = frozenset()
    yielding: frozenset[str] = frozenset()


class Levels(str):
    """Text whose lines may begin with a level, such as ``error``, which a terminal shows in colour."""

    __slots__ = ()


class Commands(str):
    """Commands for a CI system: each line is begun by the factory, and its data escaped."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A command's failure as data. ``kind`` is the name of an error, `UsageError` or `Interrupted`."""

    kind: str
    reason: str
    solution: str
    exit_code: int


class Failed(Protocol):
    """Anything that ended with an error: a `FactoryError`, a `Failure`, or its body in a report."""

    @property
    def exit_code(self) -> int:
        """The exit code of the error."""


class Explained(Protocol):
    """An error, or its data, with what people read of it."""

    @property
    def reason(self) -> str:
        """What happened, and why."""

    @property
    def solution(self) -> str:
        """What to do."""


class FlavorOutcome(Protocol):
    """The result for one flavor; ``error`` is None if nothing went wrong."""

    @property
    def flavor(self) -> str:
        """Its name."""

    @property
    def error(self) -> Explained | None:
        """Why there is no result."""


class Report:
    """The result of a command, usually a frozen dataclass whose fields are the JSON.

    A report overrides what applies to it: the errors among its parts, whether it found something, and
    what people read.
    """

    def failures(self) -> Iterable[Failed]:
        """Return the errors that this report contains, the one that decides first."""
        return ()

    def differs(self) -> bool:
        """Return whether the command found something that makes it exit with 1."""
        return False

    def describe(self) -> Iterable[str | Table]:
        """Return the parts that people read, in order."""
        return ()

    def data(self) -> object:
        """Return what ``--json`` prints, if that is not the report itself."""
        return self

    @property
    def exit_code(self) -> int:
        """The exit code of the first failure, else 1 if something was found, else 0."""
        failure = next(iter(self.failures()), None)
        return int(self.differs()) if failure is None else failure.exit_code


class Console:
    """Print for one run of the command."""

    def __init__(self, *, json_output: bool = False, quiet: bool = False) -> None:
        self.json_output = json_output
        self.quiet = quiet
        # Whether how long operations took is shown, in the JSON or on standard error.
        self.timings = False
        # Formats a failure for an output with a format of its own, such as SARIF.
        self.error_form: Callable[[Failure], str] | None = None

    def result(self, data: object, *parts: str | Table) -> None:
        """Print a result: the data as JSON with ``--json``, else the parts, one below the other."""
        if self.json_output:
            print(to_json(self._with_timings(data), ascii_only=not _prints_unicode()))
            return
        for part in parts:
            if isinstance(part, Table):
                print(_drawn(part))
            elif isinstance(part, Commands):
                print(_HASH_COMMAND.sub(r"\\x23", visible(part)))
            elif isinstance(part, Levels):
                print(_LEVEL.sub(lambda level: _styled(level[0], _LEVELS[level[0].strip()]), harmless(part)))
            else:
                print(harmless(part))

    def show_timings(self) -> None:
        """Print how long operations took, on standard error; with ``--json`` the result has it."""
        if self.json_output or not self.timings:
            return
        found = read_timings()
        rows = [(one.kind, str(one.count), f"{one.seconds:.2f}") for one in found.operations]
        headings = ("OPERATION", "COUNT", "SECONDS")
        right = frozenset({"COUNT", "SECONDS"})
        rows.append(("in all", "", f"{found.seconds:.2f}"))
        self.note(_drawn(Table(headings=headings, rows=tuple(rows), right_aligned=right)))

    def _with_timings(self, data: object) -> object:
        """Return data with the timings: an object gets one more key, anything else becomes ``result``."""
        if not self.timings:
            return data
        plain = to_plain(data)
        return {**(plain if isinstance(plain, dict) else {"result": plain}), "timings": read_timings()}

    def show(self, report: Report) -> int:
        """Print a report as `result` does, and return its exit code."""
        self.result(report.data(), *report.describe())
        return report.exit_code

    def raw(self, content: bytes) -> None:
        """Write bytes to standard output: unchanged into a file or pipe, as text to a terminal."""
        if sys.stdout.isatty():
            print(harmless(content.decode("utf-8", "replace")), end="")
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def note(self, message: str) -> None:
        """Print a message that is not the result, on standard error."""
        # In one piece: another thread's line may come between two.
        print(f"{harmless(masked(message))}\n", end="", file=sys.stderr, flush=True)

    def step(self, message: str) -> None:
        """Print that a step of long work begins or has ended; nothing if quiet."""
        if not self.quiet:
            self.note(message)

    def warning(self, message: str) -> None:
        """Print a message that the user should look at."""
        self.note(f"warning: {message}")

    def error(self, error: FactoryError) -> None:
        """Print what happened, why, and what to do next."""
        self.failed(failure_of(error))
        if not self.json_output:
            self.report(error)

    def failed(self, failure: Failure) -> None:
        """Print the failure in place of the result, if that is JSON or has its own format."""
        if self.json_output:
            print(to_json(self._with_timings({"error": failure}), ascii_only=not _prints_unicode()))
        elif self.error_form is not None:
            print(harmless(self.error_form(failure)))

    def report(self, error: FactoryError) -> None:
        """Print an error that is part of the result on standard error."""
        self.note(f"error: {error.reason}\n  what to do: {error.solution}")

    def report_each(self, outcomes: Iterable[FlavorOutcome]) -> None:
        """Print the errors of several flavors on standard error, each under its flavor's name."""
        for outcome in outcomes:
            if outcome.error:
                error = outcome.error
                self.note(f"error: {outcome.flavor}: {error.reason}\n  what to do: {error.solution}")

    @contextmanager
    def progress(self, description: str, *, total: int, unit: str = "") -> Iterator[Progress]:
        """Show the progress of long work on standard error; ``unit`` "bytes" shows sizes."""
        if self.quiet:
            yield Silent()
        elif sys.stderr.isatty() and not self.json_output:
            with _bar(description, total, in_bytes=unit == "bytes") as bar:
                yield bar
        else:
            yield _PlainProgress(self, description, total, in_bytes=unit == "bytes")


def visible(text: str, *, one_line: bool = False) -> str:
    """Return a text in which every character can be seen, and no terminal obeys one.

    Args:
        text: from anywhere.
        one_line: escape line feeds too, so that one cell or one message stays one.
    """
    shown = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    return shown.translate(_LINE_ENDS) if one_line else shown


def harmless(text: str) -> str:
    """Return a text as `visible` does, in which no CI system finds a command."""
    return _without_commands(visible(text))


def to_json(data: object, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """Return data as JSON, in which all that is not `visible` and `harmless` is escaped."""
    text = json.dumps(to_plain(data), indent=indent, ensure_ascii=ascii_only)
    shown = _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)
    return _HASH_COMMAND.sub(r"\\u0023", shown)


def _without_commands(text: str) -> str:
    return _HASH_COMMAND.sub(r"\\x23", _LINE_COMMAND.sub(r"\1\\x3a", text))


def _prints_unicode() -> bool:
    """Return whether standard output encodes every character; Python's escapes would break JSON."""
    return (sys.stdout.encoding or "").replace("-", "").lower() == "utf8"


def failure_of(error: FactoryError) -> Failure:
    """Return an error as data."""
    return Failure(
        kind=type(error).__name__,
        reason=error.reason,
        solution=error.solution,
        exit_code=error.exit_code,
    )


def to_plain(data: object) -> object:
    """Convert data to JSON's types: dataclasses and errors to objects, paths and dates to strings."""
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
    """Format a number of bytes for people, in decimal units: ``446.1 MB``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun: ``1 image``, ``3 images``; ``nouns`` if more than an "s" differs."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def did_you_mean(wanted: str, names: Collection[str], *, listing: str) -> str:
    """Return the names that were probably meant, as a question; else all, or how to list many.

    Args:
        wanted: What was given.
        names: Those that there are.
        listing: The command that lists them.
    """
    from difflib import SequenceMatcher

    ratios = {name: SequenceMatcher(None, wanted, name).ratio() for name in names}
    best = max(ratios.values(), default=0.0)
    likely = [name for name in sorted(names) if wanted and name.startswith(wanted)] or [
        name
        for name, ratio in sorted(ratios.items(), key=lambda item: -item[1])
        if ratio >= _ALIKE and ratio > best - _AS_ALIKE
    ]
    if likely:
        return f"Did you mean {' or '.join(likely[:_SHOWN_NAMES])}? `{listing}` lists all."
    if len(names) > _FEW_NAMES or not names:
        return f"`{listing}` lists those that there are." if names else "There is none yet."
    return f"{'There is' if len(names) == 1 else 'There are'} {', '.join(sorted(names))}."


def _styled(text: str, code: str) -> str:
    """Return text in a style of ANSI (ECMA-48) if standard output is a terminal that shows styles.

    https://no-color.org: no colour if ``NO_COLOR`` is set and not empty.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _drawn(table: Table) -> str:
    cells = [[visible(cell, one_line=True).rstrip() for cell in row] for row in (table.headings, *table.rows)]
    # In a pipe nothing wraps.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    columns = [
        _Column(
            cells=column,
            right=heading in table.right_aligned,
            yields=heading in table.yielding,
            # A name is never broken, and names are in the first column.
            least=max(
                _cell_width(heading),
                min(_least(column), _NARROWEST)
                if heading in table.yielding
                else _least(column, whole=number == 0 or heading in table.right_aligned),
            ),
        )
        for number, (heading, column) in enumerate(
            zip(table.headings, map(list, zip(*cells, strict=True)), strict=True)
        )
    ]
    blocks = [columns] if room is None else _blocks(columns, room)
    for number, block in enumerate(blocks):
        _narrow(block, None if room is None else room - (_GAP if number else 0))
    lines: list[str] = []
    for row in range(len(cells)):
        for number, block in enumerate(blocks):
            drawn = [_without_commands(line) for line in _row_lines(block, row, _GAP if number else 0)]
            lines += [_styled(line, _BOLD) for line in drawn] if row == 0 else drawn
    return "\n".join(lines)


@dataclass(kw_only=True)
class _Column:
    """A column: its heading and cells, and how narrow it may get; ``width`` once that is known."""

    cells: list[str]
    right: bool
    yields: bool
    least: int
    width: int = 0


def _least(column: Iterable[str], *, whole: bool = False) -> int:
    return max(_cell_width(word) for cell in column for word in ((cell,) if whole else _words(cell)))


def _blocks(columns: list[_Column], room: int) -> list[list[_Column]]:
    """Divide columns into blocks that fit; a row takes one line, or more, for each block."""
    blocks: list[list[_Column]] = [[]]
    left = room
    # A pair of a key and its value stays together, however long the value.
    for column in columns:
        if blocks[-1] and column.least > left and len(columns) > _PAIR:
            blocks.append([])
            left = room - _GAP
        blocks[-1].append(column)
        left -= column.least + _GAP
    return blocks


def _narrow(block: list[_Column], room: int | None) -> None:
    """Set the widths of a block's columns: first those that yield get narrower, then the others."""
    for column in block:
        column.width = max(map(_cell_width, column.cells))
    if room is None:
        return
    excess = sum(column.width for column in block) + _GAP * (len(block) - 1) - room
    for yields in (True, False):
        giving = [column for column in block if column.yields == yields and column.width > column.least]
        while excess > 0 and giving:
            widest = max(giving, key=lambda column: column.width)
            widest.width -= 1
            excess -= 1
            giving = [column for column in giving if column.width > column.least]


def _row_lines(block: list[_Column], row: int, indentation: int) -> Iterator[str]:
    wrapped = [_wrapped(column.cells[row], column.width) for column in block]
    for number in range(max(map(len, wrapped))):
        parts = (
            _aligned(lines[number] if number < len(lines) else "", column.width, right=column.right)
            for lines, column in zip(wrapped, block, strict=True)
        )
        yield (" " * indentation + (" " * _GAP).join(parts)).rstrip()


def _wrapped(cell: str, width: int) -> list[str]:
    """Return the lines of a cell; each is as far from the edge as the first."""
    if _cell_width(cell) <= width:
        return [cell]
    indentation = " " * (len(cell) - len(cell.lstrip()))
    lines, line = [], ""
    for word in cell.split():
        for number, piece in enumerate(_pieces(word, width - len(indentation))):
            longer = f"{line}{' ' if line and not number else ''}{piece}"
            if line and _cell_width(indentation + longer) > width:
                lines.append(indentation + line)
                longer = piece
            line = longer
    return [*lines, indentation + line]


def _pieces(word: str, width: int) -> list[str]:
    """Return a word that fits; else its pieces, which end behind a separator, or wherever they have to."""
    if _cell_width(word) <= width:
        return [word]
    pieces: list[str] = []
    for piece in _SEPARATED.findall(word):
        rest = piece
        while _cell_width(rest) > max(width, 1):
            end = next((end for end in range(len(rest) - 1, 0, -1) if _cell_width(rest[:end]) <= width), 1)
            pieces.append(rest[:end])
            rest = rest[end:]
        pieces.append(rest)
    return pieces


def _aligned(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - _cell_width(cell))
    return space + cell if right else cell + space


def _cell_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _words(cell: str) -> list[str]:
    """Return the words of a cell, each as far from the edge as the first."""
    indentation = " " * (len(cell) - len(cell.lstrip()))
    return [indentation + word for word in cell.split()] or [""]


@contextmanager
def _bar(description: str, total: int, *, in_bytes: bool) -> Iterator[Progress]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    counter = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        counter,
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with RichProgress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
        # Not shown until there is something to do, and no longer once all is done.
        task = progress.add_task(
            visible(description, one_line=True), total=total, message="", visible=total > 0
        )
        yield _RichBar(progress, task)


class _RichBar:
    def __init__(self, progress: "RichProgress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task

    def begin(self, message: str) -> None:
        self._progress.update(self._task, message=visible(message, one_line=True))

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        self._progress.advance(self._task, amount)
        if message:
            self.begin(message)
        self._progress.update(self._task, visible=not self._own.finished)

    def extend(self, amount: int) -> None:
        self._progress.update(self._task, total=(self._own.total or 0) + amount, visible=True)

    @property
    def _own(self) -> "Task":
        return next(task for task in self._progress.tasks if task.id == self._task)


class _PlainProgress:
    """Progress without a terminal: a line every few seconds, so that a log shows life."""

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
