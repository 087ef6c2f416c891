"""What is in an image: its Python packages and its layers."""

import json
from typing import Any

from packaging.utils import canonicalize_name

from factory.errors import FactoryError
from factory.image.engine import Engine
from factory.image_tests.container import Conditions
from factory.image_tests.context import Context
from factory.image_tests.outcome import Layer, Package
from factory.image_tests.subject import Subject
from factory.lock.lockset import LockSet, parse_lock_set, read_lock_set
from factory.process import run

# As root and without a temporary file system over what is there: it only looks, and sees everything.
LOOKING = Conditions(user="0:0", tmpfs=())
_LOCK_SUFFIX = ".txt"


def contents(context: Context, *, base: bool = False) -> dict[str, Any]:
    """What ``inside/contents.py`` tells of the image, or of its base image."""
    found: dict[str, Any] = context.probe("contents.py", conditions=LOOKING, base=base)
    return found


def locks_of(context: Context) -> LockSet | None:
    """The lock files that lie in the image, else those of its flavor's folder; None where there are none.

    Raises:
        LockFileError: one of them is not UTF-8.
    """
    texts = {name: text for name, text in contents(context)["locks"].items() if name.endswith(_LOCK_SUFFIX)}
    if texts:
        return parse_lock_set(texts)
    flavor = context.subject.flavor
    return None if flavor is None else read_lock_set(flavor.folder, flavor.project.spec)


def packages_of(context: Context) -> tuple[Package, ...]:
    """The Python packages of the image by name; none where its Python cannot be asked."""
    context.deadline = float("inf")
    try:
        found, locks = contents(context)["packages"], locks_of(context)
    except FactoryError:
        return ()
    locked = locks.versions() if locks else {}
    return tuple(
        Package(
            name=package["name"],
            version=package["version"],
            size=package["size"],
            locked=locked.get(canonicalize_name(package["name"])) == package["version"],
        )
        for package in sorted(found, key=lambda package: package["name"].lower())
    )


def layers_of(engine: Engine, subject: Subject) -> tuple[Layer, ...]:
    """The layers from the bottom up, each with its size and its instruction as the engine's history tells.

    History also has steps without a layer (OCI image-spec, empty_layer), which are those of no size;
    where the two do not agree, the layers stand there without.
    """
    form = ("--format", "json") if engine.kind == "podman" else ("--no-trunc", "--format", "{{json .}}")
    said = run([engine.program, "history", *form, subject.image_id], accept_failure=True)
    steps = _history(said.stdout) if said.status == 0 else []
    return match_layers(subject.layers, steps)


def match_layers(digests: tuple[str, ...], steps: list[tuple[int, str]]) -> tuple[Layer, ...]:
    """Layers with the steps that made them, each its size in bytes and its text, both from the bottom up."""
    made = [step for step in steps if step[0]]
    # A layer may be empty and still be one: then only as many steps as layers can be told apart.
    told = made if len(made) == len(digests) else steps if len(steps) == len(digests) else []
    told = told or [(0, "")] * len(digests)
    return tuple(
        Layer(digest=digest, size=size, created_by=text)
        for digest, (size, text) in zip(digests, told, strict=True)
    )


def _history(text: str) -> list[tuple[int, str]]:
    """Size and text of each step, from the bottom up, of podman's JSON or of docker's lines."""
    if text.startswith("["):
        return [(step.get("size") or 0, step.get("CreatedBy") or "") for step in reversed(json.loads(text))]
    steps = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [(_bytes(step.get("Size", "0B")), step.get("CreatedBy", "")) for step in reversed(steps)]


def _bytes(shown: str) -> int:
    """Docker shows sizes for people (``1.46GB``), in decimal units."""
    units = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}
    unit = next((unit for unit in units if shown.endswith(unit)), None)
    return int(float(shown.removesuffix(unit)) * units[unit]) if unit else 0
