"""How an image was made, step by step, as the engine tells it."""

import json
from dataclasses import dataclass

from factory.image.engine import Engine
from factory.process import run


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a build: the bytes that it added, and its instruction."""

    size: int
    text: str


def history_of(engine: Engine, image: str) -> tuple[Step, ...]:
    """The steps from the first on; none where the engine does not tell."""
    form = ("--format", "json") if engine.kind == "podman" else ("--no-trunc", "--format", "{{json .}}")
    said = run([engine.program, "history", *form, image], accept_failure=True)
    return parse_history(said.stdout) if said.status == 0 else ()


def parse_history(text: str) -> tuple[Step, ...]:
    """The steps of podman's JSON array, or of docker's lines of JSON; both have the last step first."""
    if text.startswith("["):
        steps = [
            Step(size=step.get("size") or 0, text=step.get("CreatedBy") or "") for step in json.loads(text)
        ]
    else:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        steps = [Step(size=_bytes(step.get("Size", "0B")), text=step.get("CreatedBy", "")) for step in lines]
    return tuple(reversed(steps))


def _bytes(shown: str) -> int:
    """Docker shows sizes for people (``1.46GB``), in decimal units."""
    units = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}
    unit = next((unit for unit in units if shown.endswith(unit)), None)
    return round(float(shown.removesuffix(unit)) * units[unit]) if unit else 0
