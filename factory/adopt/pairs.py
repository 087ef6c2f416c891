r"""The names and values of an ENV or LABEL instruction.

As BuildKit and podman read them: words at blanks, quotes around any part of a value, ``\`` before
what would end a word or a quote.
"""

import re

_NAME = re.compile(r"\s*(?:\"(?P<quoted>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^\s=\"']+))=")
_OLD_FORM = re.compile(r"(?P<name>[^\s=]+)[ \t]+(?P<value>.+)", re.DOTALL)


def read_pairs(text: str) -> tuple[tuple[str, str], ...] | None:
    r"""The pairs of ``NAME=value …`` or of ``NAME value``; None where the text is neither.

    A value is given as it would stand between double quotes, but for the quotes themselves: ``$NAME``
    refers to a variable, and ``\$`` is a dollar.
    """
    if not _NAME.match(text):
        match = _OLD_FORM.fullmatch(text.strip())
        return None if match is None else ((match["name"], match["value"].strip()),)
    pairs = []
    position = 0
    while position < len(text.rstrip()):
        match = _NAME.match(text, position)
        if match is None:
            return None
        value, position = _value(text, match.end())
        pairs.append((match["quoted"] or match["single"] or match["plain"], value))
    return tuple(pairs)


def written(name: str, value: str) -> str:
    """A pair as it stands in an instruction."""
    return f'{name}="{value.replace(chr(34), chr(92) + chr(34))}"'


def _value(text: str, position: int) -> tuple[str, int]:
    """The value that begins here, and the position after it."""
    found: list[str] = []
    quote = ""
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if not quote and character in " \t":
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
