"""The place of one thing of a hand-made folder, in words that may be printed and committed."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from factory.adopt.dockerfile import OldInstruction
from factory.check.indexes import passwords
from factory.masking import masked as masked_addresses

Place = Literal["spec", "hook", "template", "not kept"]
"""Read into the spec; kept in a hook; done by the template anyway; or not kept, with the reason."""

_SHOWN = 100
# A variable that is called what secrets are called, with a value that stands there itself.
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

    ``to`` is the key of the spec, the hook, or what of the template does it; ``why`` says what is worth
    knowing and, where it is not kept, ``solution`` what to do. ``line`` is None for a file as a whole.
    ``repeats`` names the file whose same instruction it goes with.
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
    """Return the placement of a line of a file that has no place."""
    found = file_placed(path, "not kept", why=why, solution=solution)
    return replace(found, line=line, what=_shortened(what))


def _shortened(text: str) -> str:
    """Return the beginning of a text on one line, without credentials."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 2]} …"


def printable(text: str) -> str:
    """Return a text as it may be printed: nothing of an address but where it leads, and no secret."""
    return masked_addresses(without_secrets(text))


def without_secrets(text: str) -> str:
    """Return a text as it may be committed: what is written as a variable stays."""
    for found, shown in passwords(text):
        text = text.replace(found, shown)
    return _SECRET.sub(r"\g<name>\g<between>***", _TOKEN.sub(r"\1=***", text))


def has_credentials(text: str) -> bool:
    """Return whether a text holds what must not be committed."""
    return without_secrets(text) != text
