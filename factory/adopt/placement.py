"""The placement of one thing of a hand-made folder, in words safe to print and commit."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from factory.adopt.dockerfile import OldInstruction
from factory.check.indexes import passwords
from factory.masking import masked as masked_addresses

Place = Literal["spec", "hook", "template", "not kept"]
"""Read into the spec; kept in a hook; done by the template anyway; or not kept, with the reason."""

_SHOWN = 100
# A variable with a secret's name and a literal value.
_SECRET = re.compile(
    r"(?P<name>(?<![\w$-])(?:[A-Z0-9]+_)*(?:TOKEN|PASSWORD|PASSWD|SECRET|APIKEY|CREDENTIALS|[A-Z0-9]+_KEY))"
    r"(?P<between>=)"
    r"(?![\"']?(?:[$`/*]|(?:true|false|yes|no|on|off|none|\d{1,4})(?:[\"'\s;&|]|$))|\"\"|''|[\s;&|]|$)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s;&|]+)"
)
_TOKEN = re.compile(
    r"(?<=[?&])((?:[\w-]+[_-])?(?:token|key|password|secret|sig|signature|credential|jwt|auth))"
    r"=(?![$`])[^&\s\"']+",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """An instruction or file, and its place.

    ``to`` is the key of the spec, the hook, or the part of the template; ``why`` explains it and, if it is
    not kept, ``solution`` says what to do. ``line`` is None for a file as a whole. ``repeats`` names the file
    with the same instruction, whose placement it shares.
    """

    path: str
    line: int | None
    what: str
    place: Place
    to: str = ""
    why: str = ""
    solution: str = ""
    repeats: str = ""


def placed(step: OldInstruction, place: Place, to: str, why: str = "") -> Placement:
    """Return the placement of an instruction."""
    return Placement(
        path=step.path, line=step.line, what=_shortened(step.shown), place=place, to=to, why=printable(why)
    )


def not_kept(step: OldInstruction, why: str, solution: str) -> Placement:
    """Return the placement of an instruction that cannot be kept."""
    return replace(placed(step, "not kept", "", why), solution=printable(solution))


def file_placed(path: str, place: Place, to: str = "", why: str = "", *, solution: str = "") -> Placement:
    """Return the placement of a file as a whole."""
    return Placement(
        path=path, line=None, what=path, place=place, to=to, why=printable(why), solution=printable(solution)
    )


def line_not_kept(path: str, line: int, what: str, why: str, solution: str) -> Placement:
    """Return the placement of a line of a file that is not kept."""
    found = file_placed(path, "not kept", why=why, solution=solution)
    return replace(found, line=line, what=_shortened(what))


def _shortened(text: str) -> str:
    """Return the beginning of a text on one line, without credentials."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 2]} …"


def printable(text: str) -> str:
    """Return a text safe to print: without secrets, addresses reduced to their target."""
    return masked_addresses(without_secrets(text))


def without_secrets(text: str) -> str:
    """Return a text safe to commit; variables in it stay."""
    for found, shown in passwords(text):
        text = text.replace(found, shown)
    return _SECRET.sub(r"\g<name>\g<between>***", _TOKEN.sub(r"\1=***", text))


def has_credentials(text: str) -> bool:
    """Return whether a text holds credentials that must not be committed."""
    return without_secrets(text) != text
