"""The container engine: podman's command line, or docker's."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import EngineError
from factory.process import run

ENGINES = ("podman", "docker")
ENGINE_VARIABLE = "FACTORY_ENGINE"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that is installed: its kind, ``podman`` or ``docker``, and its program."""

    kind: str
    program: Path


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image as the engine stores it.

    ``layers`` are the digests of the uncompressed layers, from the bottom up (OCI image-spec, diff_ids);
    ``size`` is their size in bytes together.
    """

    id: str
    size: int
    layers: tuple[str, ...]


def find_engine(kind: str | None = None) -> Engine:
    """The engine asked for; else that of the variable ``FACTORY_ENGINE``; else podman, then docker.

    Raises:
        EngineError: it is not one that the factory knows, or not installed.
    """
    wanted = kind or os.environ.get(ENGINE_VARIABLE) or None
    if wanted is not None and wanted not in ENGINES:
        raise EngineError(
            f"{wanted!r} is not a container engine that the factory knows",
            solution=f"Use one of {', '.join(ENGINES)} for --engine or {ENGINE_VARIABLE}.",
        )
    for candidate in ENGINES if wanted is None else (wanted,):
        if (program := shutil.which(candidate)) is not None:
            return Engine(kind=candidate, program=Path(program))
    raise EngineError(
        f"{wanted or 'no container engine'} is {'not ' if wanted else ''}installed",
        solution="Install podman (Debian, Ubuntu: apt-get install podman; Fedora, RHEL: dnf install podman).",
    )


def find_image(engine: Engine, reference: str) -> Image | None:
    """An image that the engine has in its storage; None where it has not. Nothing is pulled.

    Raises:
        EngineError: the engine does not work.
    """
    found = run(
        [engine.program, "image", "inspect", reference],
        accept_failure=True,
    )
    if found.status == 0:
        return _image(json.loads(found.stdout)[0])
    # An image that is not there, and an engine that does not work, give the same status.
    listed = run([engine.program, "image", "ls", "--quiet"], accept_failure=True)
    if listed.status != 0:
        raise EngineError(
            f"{engine.kind} does not work: {listed.stderr.strip() or found.stderr.strip()}",
            solution=f"See to it that `{engine.kind} image ls` works, then run the same command again.",
        )
    return None


def run_engine(engine: Engine, arguments: Sequence[str | Path], *, solution: str) -> None:
    """Let the engine do something, with its output on standard error.

    Raises:
        EngineError: it failed; ``solution`` says what to do then.
    """
    finished = run([engine.program, *arguments], stream=True, accept_failure=True)
    if finished.status != 0:
        raise EngineError(
            f"{engine.kind} {arguments[0]} ended with status {finished.status}; what it said stands above",
            solution=solution,
        )


def _image(document: dict[str, Any]) -> Image:
    return Image(
        id=document["Id"].removeprefix("sha256:"),
        size=document["Size"],
        layers=tuple(document["RootFS"]["Layers"]),
    )
