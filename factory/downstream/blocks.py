"""MIDSTREAM ONLY blocks: found by their banners, removed exactly, and refused where they do not pair.

A block begins with a banner line (a comment of nothing but ``#``) followed by a comment line
``# MIDSTREAM ONLY`` or ``# MIDSTREAM ONLY: what it is``, and ends with the closing banner of
``# END MIDSTREAM ONLY``::

    ####################
    # MIDSTREAM ONLY: system packages
    ####################
    RUN dnf install …
    ####################
    # END MIDSTREAM ONLY
    ####################

Works on bytes: what is outside the blocks is kept as it is, whatever its line endings or encoding.
The form is that of docs/downstream.md; words that mention MIDSTREAM ONLY elsewhere in a block are
ordinary comments.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.errors import MarkerError

_BANNER = re.compile(rb"[ \t]*#{8,}[ \t]*")
_BEGIN = re.compile(rb"[ \t]*#[ \t]*MIDSTREAM[ \t]+ONLY[ \t]*(?::.*)?")
_END = re.compile(rb"[ \t]*#[ \t]*END[ \t]+MIDSTREAM[ \t]+ONLY[ \t]*")
# Under a banner, what a person would take for a marker and these are not.
_NEARLY = re.compile(rb"[ \t]*#+[ \t]*(?:END\b.*)?MIDSTREAM[ \t_-]*ONLY\b.*", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """The lines of a block from 0: ``start`` is its first banner, ``stop`` past its last."""

    start: int
    stop: int


def strip_blocks(content: bytes) -> bytes:
    """Return the content without its MIDSTREAM ONLY blocks; every other byte is kept.

    Raises:
        MarkerError: a block does not close, closes twice, nests, or lacks a banner.
    """
    lines = content.splitlines(keepends=True)
    blocks = find_blocks(lines)
    kept: list[bytes] = []
    position = 0
    for block in blocks:
        kept += lines[position : block.start]
        position = block.stop
    return b"".join((*kept, *lines[position:]))


def find_blocks(lines: Sequence[bytes]) -> tuple[Block, ...]:
    """Return the blocks of a text given as lines, in order.

    Raises:
        MarkerError: as for `strip_blocks`.
    """
    return tuple(_blocks([line.rstrip(b"\r\n") for line in lines]))


def _blocks(lines: Sequence[bytes]) -> Iterator[Block]:
    opened: int | None = None
    past = 0
    for number, marker in _markers(lines):
        if marker == "end":
            if opened is None:
                raise _error(number, "closes a MIDSTREAM ONLY block that is not open")
            yield Block(start=opened, stop=number + 2)
            opened, past = None, number + 2
        elif marker == "begin":
            if opened is not None:
                raise _error(number, f"opens a MIDSTREAM ONLY block inside the one of line {opened + 1}")
            # A block right below another may share its banner, which is the first one's.
            opened = max(number - 1, past)
        elif opened is None:
            raise _error(number, "says MIDSTREAM ONLY without a banner line above it")
    if opened is not None:
        raise _error(opened, "opens a MIDSTREAM ONLY block that is never closed")


def _markers(lines: Sequence[bytes]) -> Iterator[tuple[int, Literal["begin", "end", "mention"]]]:
    """Yield the lines that say MIDSTREAM ONLY as markers do."""
    for number, line in enumerate(lines):
        bannered = _is_banner(lines, number - 1)
        if _END.fullmatch(line):
            if not (bannered and _is_banner(lines, number + 1)):
                raise _error(number, "ends a MIDSTREAM ONLY block without a banner line above and below it")
            yield number, "end"
        elif _BEGIN.fullmatch(line):
            yield number, "begin" if bannered else "mention"
        elif bannered and _NEARLY.fullmatch(line) and not _ends_a_block(lines, number - 1):
            raise _error(number, "is nearly a MIDSTREAM ONLY marker and not quite")


def _ends_a_block(lines: Sequence[bytes], number: int) -> bool:
    return number > 0 and _END.fullmatch(lines[number - 1]) is not None


def _is_banner(lines: Sequence[bytes], number: int) -> bool:
    return 0 <= number < len(lines) and _BANNER.fullmatch(lines[number]) is not None


def _error(number: int, what: str) -> MarkerError:
    return MarkerError(
        f"line {number + 1} {what}",
        solution="Pair every `# MIDSTREAM ONLY` or `# MIDSTREAM ONLY: …` with one `# END MIDSTREAM ONLY`, "
        "each between two lines of `#`, and do not nest them. Nothing was written.",
        line=number + 1,
    )
