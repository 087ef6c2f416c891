"""Tables and code in GitHub-flavoured Markdown, for what is read in a pull request.

Nearly all that is shown was written by others: a cell is text, whatever is in it, and becomes no link, image,
HTML, mention or reference (`plain`), unless it was made by `code`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from factory.console import visible

_LONG = 20
# What begins code, stress, a link, a tag or an entity; `<2` of a requirement begins none.
_MARKS = re.compile(r"[\\`*\[\]~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])")
# What GitHub makes a mention of, or a reference that closes an issue: an empty comment takes them apart.
_CALLS = re.compile(r"@(?=\w)|#(?=\d)|(?<=\bGH)-(?=\d)", re.IGNORECASE)


class Code(str):
    """Markdown that `code` made."""

    __slots__ = ()


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; a cell is escaped text, or made by `code`."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def plain(text: str) -> str:
    """Return a text on one line that stays a text."""
    shown = visible(" ".join(text.split()), one_line=True)
    marked = _MARKS.sub(lambda match: f"\\{match[0]}", shown)
    return _CALLS.sub(lambda match: f"{match[0]}<!-- -->", marked)


def code(*texts: str) -> Code:
    """Return texts in a monospaced font with commas between them; nothing for an empty one."""
    return Code(", ".join(filter(None, map(_code, texts))))


def folded(title: str, lines: Sequence[str], *, rows: int) -> Iterator[str]:
    """Yield lines under a heading; behind a click if their table is long."""
    if rows <= _LONG:
        yield from (f"**{title}**", "", *lines, "")
    else:
        yield from (f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "")


def _code(text: str) -> str:
    shown = visible(" ".join(text.split()), one_line=True)
    # A bar in a table is escaped, also in code, and another backslash before it would undo that.
    shown = shown.replace("\\|", "\\\\x7c")
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown else ""


def _cell(text: str) -> str:
    return (text if isinstance(text, Code) else plain(text)).replace("|", "\\|")
