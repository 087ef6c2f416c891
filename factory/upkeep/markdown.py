"""Tables and code in GitHub-flavoured Markdown, for what is read in a pull request."""

from collections.abc import Iterable, Iterator, Sequence

_LONG = 20


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; a bar in a cell does not end it."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"


def code(text: str) -> str:
    """A text in a monospaced font, whatever is in it; nothing for an empty one."""
    fence = "``" if "`" in text else "`"
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}" if text else ""


def folded(title: str, lines: Sequence[str], *, rows: int) -> Iterator[str]:
    """Lines under a heading; behind a click where their table is long."""
    if rows <= _LONG:
        yield from (f"**{title}**", "", *lines, "")
    else:
        yield from (f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "")
