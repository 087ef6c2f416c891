"""The grammar of a Dockerfile's stages: what a FROM names, and the variables that ARG and ENV set."""

import re

from factory.dockerfile.instructions import Instruction

FROM = re.compile(r"(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?\s*", re.IGNORECASE)
"""The text of a FROM: the image or the stage that it builds on, and the name of its own stage."""

_REFERENCE = re.compile(r"\$\{(\w+)(?::?-([^${}]*))?\}|\$(\w+)")
_ASSIGNED = re.compile(r"(\w+)(?:=(?:\"([^\"]*)\"|'([^']*)'|(\S*)))?")


def expand(text: str, variables: dict[str, str]) -> str:
    """A text with the variables that are known put in; the others stay as they are."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        return variables.get(name, match[0] if match[2] is None else match[2])

    return _REFERENCE.sub(value, text)


def assign(instruction: Instruction, scope: dict[str, str], outer: dict[str, str]) -> None:
    """Put into ``scope`` what an ARG or ENV sets; an ARG without a value takes that of ``outer``."""
    name, *rest = instruction.text.split(maxsplit=1) or [""]
    if instruction.name == "ENV" and "=" not in name:
        scope[name] = expand("".join(rest).strip("\"'"), scope)
        return
    for match in _ASSIGNED.finditer(instruction.text):
        values = [value for value in match.groups()[1:] if value is not None]
        if values:
            scope[match[1]] = expand(values[0], scope)
        elif match[1] in outer:
            scope[match[1]] = outer[match[1]]
