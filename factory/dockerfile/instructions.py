"""Split a Dockerfile into instructions, as buildah does, and read the words of each.

The libraries for it read no heredocs (dockerfile-parse 2.0, dockerfile 3.4: a heredoc's body becomes
instructions), and one of the rules finds heredocs. Lines, blanks, comments and continuations are those of
buildah's parser (github.com/openshift/imagebuilder): otherwise a rule would look at other words than those
that are built.
"""

import csv
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from factory.dockerfile.shell import Command, commands, exec_form

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
_HEREDOC_SHELL = re.compile(r"(?:<<|(?:/\S*/)?(?:ba|da)?sh\b)")
_TAKES_HEREDOC = frozenset({"RUN", "COPY", "ADD"})
_PAIR_NAME = re.compile(r"\s*(?:\"(?P<quoted>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^\s=\"']+))=")
_QUOTING = re.compile(r"[\"'\\]")
_OLD_PAIR = re.compile(r"(?P<name>[^\s=]+)[ \t]+(?P<value>.+)", re.DOTALL)
_VARIABLE = re.compile(r"(?<!\\)\$(?:\{(?P<braced>\w+)(?::?-(?P<default>[^${}]*))?\}|(?P<plain>\w+))")
_SAFE_VALUES = {"--network": ("none", "default"), "--security": ("sandbox",)}
_TARGET = {"type", "target", "dst", "destination", "ro", "readonly", "rw", "readwrite", "z", "Z"}
_SAFE_MOUNTS = {
    "bind": frozenset({*_TARGET, "source", "src", "from"}),
    "cache": frozenset({*_TARGET, "id", "sharing", "from", "source", "src", "mode", "uid", "gid"}),
    "tmpfs": frozenset({*_TARGET, "size", "tmpfs-size", "mode", "tmpfs-mode"}),
}


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction: its name in capitals, and its text with continued lines joined.

    ``pieces`` are the numbered lines that it was joined from; ``heredoc`` is the body of its heredocs, None
    if it has none. ``onbuild`` is whether it is the trigger of an ONBUILD.
    """

    name: str
    text: str
    pieces: tuple[tuple[int, str], ...]
    heredoc: str | None = None
    onbuild: bool = False

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.pieces[0][0]

    @property
    def last_line(self) -> int:
        """The number of its last line, the body of a heredoc left out."""
        return self.pieces[-1][0]

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

    @property
    def flags_text(self) -> str:
        """Its options as they are written, with the blanks behind them."""
        return self.text.removesuffix(self.operands) if self.operands else self.text

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its operands: of a JSON array, or split as in a shell."""
        return exec_form(self.operands) or _split_words(self.operands)

    @property
    def is_exec_form(self) -> bool:
        """Return whether its operands are a JSON array of strings."""
        return exec_form(self.operands) is not None

    @property
    def shell_text(self) -> str:
        """Return the shell text of a RUN; of exec form, the words as a shell line."""
        words = exec_form(self.operands)
        return self.operands if words is None else shlex.join(words)

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """The simple commands of a RUN in any of its forms; none of another instruction."""
        if self.name != "RUN":
            return ()
        # Of exec form too, so that ["sh", "-c", "…"] is looked into.
        found = commands(self.shell_text)
        if self.heredoc is not None and _HEREDOC_SHELL.match(self.operands):
            return (*found, *commands(self.heredoc))
        return found

    @property
    def mounts(self) -> tuple[dict[str, str], ...]:
        """The options of each ``--mount`` of a RUN, by name."""
        if self.name != "RUN":
            return ()
        values = (flag.removeprefix("--mount=") for flag in self.flags if flag.startswith("--mount="))
        rows = (next(csv.reader([value]), []) for value in values)
        return tuple(dict(part.partition("=")[::2] for part in row) for row in rows)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources of a COPY or ADD, as written; empty for another instruction."""
        return self.words[:-1] if self.name in {"COPY", "ADD"} else ()

    @property
    def destination(self) -> str:
        """Return the destination of a COPY or ADD; empty for another instruction."""
        return self.words[-1] if self.name in {"COPY", "ADD"} and self.words else ""

    @property
    def origins(self) -> tuple[str, ...]:
        """Return what it copies or mounts from: stages by name or number, or images."""
        if self.name in {"COPY", "ADD"}:
            return tuple(flag[len("--from=") :] for flag in self.flags if flag.startswith("--from="))
        return tuple(origin for mount in self.mounts if (origin := mount.get("from")))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...] | None:
        """The pairs of an ENV or LABEL, as `read_pairs` returns them."""
        return read_pairs(self.text)

    @property
    def declared(self) -> tuple[str, ...]:
        """The names that an ARG declares; none of another instruction."""
        return tuple(word.partition("=")[0] for word in _split_words(self.text)) if self.name == "ARG" else ()

    def line_of(self, word: str) -> int:
        """Return the number of its first line that holds a word, else of its first."""
        return next((number for number, text in self.pieces if word in text), self.line)


def declared_arguments(instructions: Iterable[Instruction]) -> frozenset[str]:
    """Return the names of the build arguments that instructions declare."""
    return frozenset(name for found in instructions for name in found.declared)


def set_variables(instruction: Instruction, scope: dict[str, str], outer: Mapping[str, str]) -> None:
    """Put what an ARG or ENV sets into ``scope``; a bare ARG takes from ``outer``."""
    if instruction.name == "ENV":
        for name, value in instruction.pairs or ():
            scope[name] = expand(value, scope)
        return
    for word in _split_words(instruction.text):
        name, has_value, value = word.partition("=")
        if has_value:
            scope[name] = expand(value, scope)
        elif name in outer:
            scope[name] = outer[name]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with known variables replaced by their values."""

    def value(match: re.Match[str]) -> str:
        default = match[0] if match["default"] is None else match["default"]
        return variables.get(match["braced"] or match["plain"], default)

    return _VARIABLE.sub(value, text)


def references(text: str) -> frozenset[str]:
    """Return the names of the variables that a text refers to."""
    return frozenset(re.findall(r"\$\{?([A-Za-z_]\w*)", text))


@lru_cache(maxsize=1024)
def read_pairs(text: str) -> tuple[tuple[str, str], ...] | None:
    r"""Return the pairs of ``NAME=value …`` or ``NAME value``; None if the text is neither.

    As BuildKit and podman read an ENV or LABEL: words at blanks, quotes around any part of a value, ``\``
    before what would end a word or a quote. A value is returned as between double quotes, but for the quotes
    themselves: ``$NAME`` refers to a variable, and ``\$`` is a dollar.
    """
    if not _PAIR_NAME.match(text):
        match = _OLD_PAIR.fullmatch(text.strip())
        value = match["value"].strip() if match else ""
        return None if match is None else ((match["name"], _pair_value(value, 0, ends="")[0]),)
    pairs = []
    position = 0
    while position < len(text.rstrip()):
        match = _PAIR_NAME.match(text, position)
        if match is None:
            return None
        value, position = _pair_value(text, match.end())
        pairs.append((match["quoted"] or match["single"] or match["plain"], value))
    return tuple(pairs)


def _pair_value(text: str, position: int, *, ends: str = " \t") -> tuple[str, int]:
    """Return the value at a position, and the position after it."""
    found: list[str] = []
    quote = ""
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if not quote and character in ends:
            break
        if character == "\\" and quote != "'" and following:
            # A dollar that means itself stays marked; a blank or a quote does not need it any more.
            found.append(f"\\{following}" if following not in "\"' " else following)
            position += 2
            continue
        if character in "\"'" and quote in {"", character}:
            quote = "" if quote else character
        elif character == "$" and quote == "'":
            found.append("\\$")
        else:
            found.append(character)
        position += 1
    return "".join(found), position


def pair_text(name: str, value: str) -> str:
    """Return a pair as it is written in an instruction."""
    return f'{name}="{value.replace(chr(34), chr(92) + chr(34))}"'


def unsafe_run_options(instruction: Instruction) -> tuple[str, ...]:
    """Return the options of a RUN that open the build to the outside.

    That is another network than none, privileges, what the person or service that builds holds (secrets, SSH
    agents), and mounts with options that are not plain. Caches, temporary folders and bind mounts from the
    context or a stage are not among them.
    """
    if instruction.name != "RUN":
        return ()
    mounts = iter(instruction.mounts)
    return tuple(
        flag
        for flag in instruction.flags
        if not (_is_safe_mount(next(mounts)) if flag.startswith("--mount=") else _is_safe(flag))
    )


def _is_safe_mount(mount: Mapping[str, str]) -> bool:
    allowed = _SAFE_MOUNTS.get(mount.get("type", "bind"))
    return allowed is not None and set(mount) <= allowed


def _is_safe(flag: str) -> bool:
    option, _, value = flag.partition("=")
    return value in _SAFE_VALUES.get(option, ())


@lru_cache(maxsize=1024)
def _split_words(text: str) -> tuple[str, ...]:
    if _QUOTING.search(text) is None:  # shlex takes a hundred times as long
        return tuple(text.split())
    try:
        return tuple(shlex.split(text))
    except ValueError:  # a quote that does not close; the builder will say so
        return tuple(text.split())


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


def read_instructions(lines: Sequence[str]) -> tuple[Instruction, ...]:
    """Return the instructions of a Dockerfile that is given as `dockerfile_lines`.

    What a builder would refuse is taken as it is: the build will say so.
    """
    escape = escape_character(lines)
    instructions = []
    position = 0
    while position < len(lines):
        if _is_passed_over(lines[position]):
            position += 1
            continue
        pieces, joined, position = _joined(lines, position, escape)
        name, text, onbuild = _split(joined)
        if not name:  # a continuation of nothing
            continue
        heredoc = None
        if name in _TAKES_HEREDOC:
            heredoc, position = _heredocs(lines, position, text)
        instructions.append(
            Instruction(name=name, text=text, pieces=pieces, heredoc=heredoc, onbuild=onbuild)
        )
    return tuple(instructions)


def read_differently(lines: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Return the numbers of lines that engines read differently, each with the reason.

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
    """Return whether a text opens a heredoc, whether or not it closes."""
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
    """Return a word of a text, and the position after it."""
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
    """Return the lines of an instruction, their joined text, and the next position.

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


def _split(text: str) -> tuple[str, str, bool]:
    """Return the name, the rest, and whether it is the trigger of an ONBUILD."""
    name, rest = _first_word(text)
    onbuild = name.upper() == "ONBUILD"
    if onbuild:
        name, rest = _first_word(rest)
    return name.upper(), rest, onbuild


def _first_word(text: str) -> tuple[str, str]:
    name, *rest = _WORD_END.split(text.strip(_SPACES), maxsplit=1)
    return name, "".join(rest).strip(_SPACES)


def _heredocs(lines: Sequence[str], position: int, text: str) -> tuple[str | None, int]:
    """Return the bodies of the heredocs that a text opens, and the next position.

    One that never closes is not a heredoc: a shell string may hold ``<<WORD``.
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
