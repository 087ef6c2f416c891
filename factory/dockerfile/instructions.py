"""A Dockerfile as its instructions, with the lines that each is made of, read as buildah reads it.

The libraries for it read no heredocs (dockerfile-parse 2.0, dockerfile 3.4: a heredoc's body becomes
instructions), and finding heredocs is what one of the rules is for. Lines, blanks, comments and continuations
are those of buildah's parser (github.com/openshift/imagebuilder): otherwise a rule would look at other words
than those that are built.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

_BOM = b"\xef\xbb\xbf"
# Go's unicode.IsSpace, which trims lines; words are split at fewer.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WORD_END = re.compile(r"[\t\v\f\r ]+")
# The first line alone, whatever follows the character; BuildKit also reads it after other directives.
_ESCAPE = re.compile(r"#[ \t]*escape[ \t]*=[ \t]*(?P<character>.).*", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#[ \t]*[a-z]+[ \t]*=.*", re.IGNORECASE)
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

    @property
    def flags(self) -> tuple[str, ...]:
        """Its options, such as ``--from=builder``, quotes removed."""
        return self._parts[0]

    @property
    def operands(self) -> str:
        """Its text after the options: what a RUN runs, what a COPY copies."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[tuple[str, ...], str]:
        return split_flags(self.text)

    def line_of(self, word: str) -> int:
        """The number of the first of its lines that holds the word, else of its first line."""
        return next((number for number, text in self.pieces if word in text), self.line)


def dockerfile_lines(content: bytes) -> list[bytes]:
    """Return the lines of a Dockerfile without their endings and without a byte-order mark.

    A line ends at a line feed, with one carriage return before it or without, and nowhere else.
    """
    lines = content.removeprefix(_BOM).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def decoded(lines: Iterable[bytes]) -> list[str]:
    """Return lines as text; what is not UTF-8 is replaced."""
    return [line.decode("utf-8", "replace") for line in lines]


def read_dockerfile(content: bytes | str) -> tuple[Instruction, ...]:
    """Return the instructions of a whole Dockerfile, as `read_instructions` does."""
    raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return read_instructions(decoded(dockerfile_lines(raw)))


def read_instructions(lines: Sequence[str]) -> tuple[Instruction, ...]:
    """Return the instructions of a Dockerfile that is given as `dockerfile_lines`.

    What a Dockerfile's own parser would refuse is taken as it comes: a build will say so.
    """
    escape = escape_character(lines)
    instructions = []
    position = 0
    while position < len(lines):
        if _is_passed_over(lines[position]):
            position += 1
            continue
        pieces, joined, position = _joined(lines, position, escape)
        name, text = _split(joined)
        if not name:  # a continuation of nothing
            continue
        heredoc = None
        if name in _TAKES_HEREDOC:
            heredoc, position = _heredocs(lines, position, text)
        instructions.append(Instruction(name=name, text=text, pieces=pieces, heredoc=heredoc))
    return tuple(instructions)


def read_differently(lines: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Return the numbers of lines that engines read in different ways, each with what it has.

    ``lines`` are as for `read_instructions`.
    """
    found: list[tuple[int, str]] = []
    escape = escape_character(lines)
    directives = 0
    while directives < len(lines) and _DIRECTIVE.fullmatch(lines[directives].strip(_SPACES)):
        directives += 1
    for number, line in enumerate(lines, start=1):
        stripped = line.strip(_SPACES)
        directive = _ESCAPE.fullmatch(stripped)
        exact = re.fullmatch(r"#[ \t]*escape[ \t]*=[ \t]*[\\`][ \t]*", line, re.IGNORECASE)
        if directive and number <= directives and (number > 1 or not exact):
            found.append((number, "an escape directive that not every engine reads"))
        elif not _is_passed_over(line) and line.rstrip(" \t").endswith(escape * 2):
            found.append((number, f"{escape * 2} at its end, which continues it for some engines alone"))
        elif "\r" in line:
            # In a comment too: what splits lines there, such as an editor, may see the marker of a block.
            found.append((number, "a carriage return inside"))
    return tuple(found)


def opens_heredoc(text: str) -> bool:
    """Whether a text has what opens a heredoc, whether or not it is ever closed."""
    return _HEREDOC.search(text) is not None


def split_flags(text: str) -> tuple[tuple[str, ...], str]:
    """Return the options that an instruction's text begins with, and the rest of it.

    As the Dockerfile parser of Docker and buildah does it: words that begin with two dashes, with quotes and
    backslashes in them resolved; two dashes alone end them.
    """
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _SPACES:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        word, position = _flag(text, position)
        if word == "--":
            return tuple(flags), text[position:].strip(_SPACES)
        flags.append(word)


def _flag(text: str, position: int) -> tuple[str, int]:
    """A word of a text, and the position after it."""
    word, quote = "", ""
    while position < len(text) and (quote or text[position] not in _SPACES):
        character = text[position]
        position += 1
        if quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif character == "\\":
            word += text[position : position + 1]
            position += 1
        else:
            word += character
    return word, position


def escape_character(lines: Sequence[str]) -> str:
    """Return what continues a line and escapes a character: the escape directive's, else a backslash."""
    match = _ESCAPE.fullmatch(lines[0].lstrip(_SPACES)) if lines else None
    return "`" if match and match["character"] == "`" else "\\"


def _is_passed_over(line: str) -> bool:
    stripped = line.strip(_SPACES)
    return not stripped or stripped.startswith("#")


def _joined(lines: Sequence[str], position: int, escape: str) -> tuple[tuple[tuple[int, str], ...], str, int]:
    """The lines of the instruction that begins here, their text joined, and the position after it.

    Lines are joined with nothing between them: a word may go on in the next line. Comments and empty lines
    between continued lines belong to no instruction.
    """
    pieces: list[tuple[int, str]] = []
    joined = ""
    continued = True
    while continued and position < len(lines):
        line = lines[position]
        position += 1
        if _is_passed_over(line):
            continue
        body = line.rstrip(" \t")
        continued = body.endswith(escape)
        joined += body.removesuffix(escape) if continued else line
        pieces.append((position, body.removesuffix(escape) if continued else body))
    return tuple(pieces), joined, position


def _split(text: str) -> tuple[str, str]:
    name, rest = _first_word(text)
    if name.upper() == "ONBUILD":
        name, rest = _first_word(rest)
    return name.upper(), rest


def _first_word(text: str) -> tuple[str, str]:
    name, *rest = _WORD_END.split(text.strip(_SPACES), maxsplit=1)
    return name, "".join(rest).strip(_SPACES)


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
