"""A Dockerfile as its instructions, with the lines that each stands on.

The libraries for it read no heredocs (dockerfile-parse 2.0, dockerfile 3.4: a heredoc's body becomes
instructions), and finding heredocs is what one of the rules is for. Rules need no more than
joined lines; the form is that of the Dockerfile reference.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*", re.IGNORECASE)
# Not `<<<`, and the delimiter is a word: `$((1<<2))` opens nothing.
_HEREDOC = re.compile(r"(?<!<)<<-?([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\1")
_TAKES_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction: its name in capitals, and its text with continued lines joined.

    ``pieces`` are the numbered lines that it was joined from; ``heredoc`` is the body of its
    heredocs, None where it has none.
    """

    name: str
    text: str
    pieces: tuple[tuple[int, str], ...]
    heredoc: str | None = None

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.pieces[0][0]

    def line_of(self, word: str) -> int:
        """The number of the first of its lines that holds the word, else of its first line."""
        return next((number for number, text in self.pieces if word in text), self.line)


def read_instructions(lines: Sequence[str]) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile that is given as lines without their endings.

    What a Dockerfile's own parser would refuse is taken as it comes: a build will say so.
    """
    escape = next((match[1] for line in lines[:1] if (match := _ESCAPE.fullmatch(line.strip()))), "\\")
    instructions = []
    position = 0
    while position < len(lines):
        if _is_passed_over(lines[position]):
            position += 1
            continue
        pieces, position = _joined(lines, position, escape)
        name, text = _split(" ".join(text.strip() for _, text in pieces))
        heredoc = None
        if name in _TAKES_HEREDOC:
            heredoc, position = _heredocs(lines, position, text)
        instructions.append(Instruction(name=name, text=text, pieces=pieces, heredoc=heredoc))
    return tuple(instructions)


def opens_heredoc(text: str) -> bool:
    """Whether a text has what opens a heredoc, whether or not it is ever closed."""
    return _HEREDOC.search(text) is not None


def _is_passed_over(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _joined(lines: Sequence[str], position: int, escape: str) -> tuple[tuple[tuple[int, str], ...], int]:
    """The lines of the instruction that begins here, and the position after it.

    Comments and empty lines between continued lines belong to no instruction.
    """
    pieces: list[tuple[int, str]] = []
    continued = True
    while continued and position < len(lines):
        line = lines[position].rstrip()
        position += 1
        if _is_passed_over(line):
            continue
        continued = line.endswith(escape)
        pieces.append((position, line.removesuffix(escape)))
    return tuple(pieces), position


def _split(text: str) -> tuple[str, str]:
    name, rest = _first_word(text)
    if name.upper() == "ONBUILD":
        name, rest = _first_word(rest)
    return name.upper(), rest


def _first_word(text: str) -> tuple[str, str]:
    # At a blank or a tab alone: a Dockerfile's parser knows no others.
    name, *rest = re.split(r"[ \t]+", text.strip(), maxsplit=1)
    return name, "".join(rest)


def _heredocs(lines: Sequence[str], position: int, text: str) -> tuple[str | None, int]:
    """The bodies of the heredocs that a text opens, and the position after the last.

    What is never closed was none: a shell string may hold ``<<WORD``.
    """
    bodies: list[str] = []
    start = position
    for match in _HEREDOC.finditer(text):
        rest = range(position, len(lines))
        end = next((index for index in rest if lines[index].strip() == match[2]), None)
        if end is not None:
            bodies += lines[position:end]
            position = end + 1
    return ("\n".join(bodies) if position > start else None), position
