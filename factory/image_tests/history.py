"""How an image was made, step by step, as the engine tells it."""

import re
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from factory.documents import Size, parse_json
from factory.engine.engine import Engine, Operand, call_engine
from factory.errors import ImageTestError
from factory.masking import HIDDEN, masked

LOGIN_IN_URL = re.compile(r"(?<=://)[^/\s:@\"']+:(?!\$)[^/\s@\"'$]+(?=@)")
# A value, and not the name of a variable or of a file that a secret is mounted at.
_VALUE = re.compile(
    r"\b(\w*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY)\w*)=(?![\"']?[$/]|[\"']{2}|\s|$)"
    r"(\"[^\"]*\"|'[^']*'|\S+)",
    re.IGNORECASE,
)
# Whole words at the end: MAX_TOKENS and TOKENIZERS_PARALLELISM name no credential.
_SECRET_NAME = re.compile(
    r"\w*(?:PASSWORD|PASSWD)|(?:\w+_)?(?:TOKEN|SECRET|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CREDENTIALS?)",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[+-]?[\d._]*|true|false|yes|no|on|off|none|null", re.IGNORECASE)
_SOURCE = "the history of an image"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a build: the bytes that it added, its instruction, and the credentials that stand in that.

    In the text there are stars in the place of each credential; ``credentials`` say what each is.
    """

    size: int
    text: str
    credentials: tuple[str, ...] = ()


def history_of(engine: Engine, image: str) -> tuple[Step, ...]:
    """The steps from the first on; none where the engine does not tell."""
    form = ("--format", "json") if engine.kind == "podman" else ("--no-trunc", "--format", "{{json .}}")
    said = call_engine(engine, "history", *form, operands=[Operand.image(image)])
    return parse_history(said.stdout) if said.status == 0 else ()


def parse_history(text: str) -> tuple[Step, ...]:
    """The steps of podman's JSON array, or of docker's lines of JSON; both have the last step first."""
    if text.startswith("["):
        listed = parse_json(text, list[_PodmanStep], source=_SOURCE, error=ImageTestError)
        steps = [step_of(step.get("size") or 0, step.get("CreatedBy") or "") for step in listed]
    else:
        lines = [
            parse_json(line, _DockerStep, source=_SOURCE, error=ImageTestError)
            for line in text.split("\n")
            if line.strip()
        ]
        steps = [step_of(_bytes(step.get("Size", "0B")), step.get("CreatedBy", "")) for step in lines]
    return tuple(reversed(steps))


class _PodmanStep(TypedDict):
    size: NotRequired[Size | None]
    CreatedBy: NotRequired[str | None]


class _DockerStep(TypedDict):
    Size: NotRequired[str]
    CreatedBy: NotRequired[str]


def step_of(size: int, text: str) -> Step:
    """A step, with what looks like a credential taken out of its instruction."""
    found = [f"the value of {match[1]}" for match in _VALUE.finditer(text) if is_credential(*match.groups())]
    found += ["the login of a URL"] if LOGIN_IN_URL.search(text) else []
    hidden = masked(_VALUE.sub(_shown, text))
    return Step(size=size, text=hidden, credentials=tuple(dict.fromkeys(found)))


def inherited_steps(steps: tuple[Step, ...], base: tuple[Step, ...]) -> int:
    """How many of the steps are those of the base image: all of its own, as the first ones, or none."""
    return len(base) if [step.text for step in steps[: len(base)]] == [step.text for step in base] else 0


def is_credential(name: str, value: str) -> bool:
    """Whether a variable holds a credential, by its name and a value that is no number or switch.

    The login of a URL counts, whatever the name.
    """
    bare = value.strip("\"'")
    if LOGIN_IN_URL.search(bare):
        return True
    return bool(_SECRET_NAME.fullmatch(name)) and not _PLAIN.fullmatch(bare)


def _shown(match: re.Match[str]) -> str:
    # More is hidden than is called a credential: a report is for everybody.
    return match[0] if _PLAIN.fullmatch(match[2].strip("\"'")) else f"{match[1]}={HIDDEN}"


def _bytes(shown: str) -> int:
    """Docker shows sizes for people (``1.46GB``), in decimal units."""
    units = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}
    unit = next((unit for unit in units if shown.endswith(unit)), None)
    return round(float(shown.removesuffix(unit)) * units[unit]) if unit else 0
