"""The container engine: podman's command line, or docker's."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import EngineError
from factory.process import run

ENGINES = ("podman", "docker")
ENGINE_VARIABLE = "FACTORY_ENGINE"
# podman's words and docker's; in others, the answer is the same and takes longer.
_NOT_THERE = ("image not known", "No such image")
_NOBODY = "localhost/factory-asks-whether-podman-works:none"


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
    if any(words in found.stderr for words in _NOT_THERE):
        return None
    require_working(engine, found.stderr)
    return None


def require_working(engine: Engine, said: str) -> None:
    """See whether it is the engine that does not work, where it does not tell of an image and ``said`` so.

    An image that is not there gives the same status. Listing all images takes seconds where there are many,
    and fails where another run removes one.

    Raises:
        EngineError: the engine does not work.
    """
    # podman answers 1 for what is not there and 125 for a failure, also for what is no reference, so that one
    # is asked for which is; docker's client answers 1 without its server.
    question = ("image", "exists", _NOBODY) if engine.kind == "podman" else ("version",)
    asked = run([engine.program, *question], accept_failure=True)
    if asked.status > (engine.kind == "podman"):
        raise EngineError(
            f"{engine.kind} does not work: {asked.stderr.strip() or said.strip()}",
            solution=f"See to it that `{engine.kind} image ls` works, then run the same command again.",
        )


def run_engine(
    engine: Engine,
    arguments: Sequence[str | Path],
    *,
    solution: str,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> None:
    """Let the engine do something, with its output on standard error, or at the end of the file ``log``.

    Raises:
        EngineError: it failed; ``solution`` says what to do then. What it said into a file is repeated.
    """
    finished = run(
        [engine.program, *arguments], stream=log is None, accept_failure=True, environment=environment
    )
    said = finished.stdout + finished.stderr
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(said)
    if finished.status != 0:
        where = (
            "; what it said stands above" if log is None else f" (its output is in {log}):\n{said.strip()}"
        )
        raise EngineError(
            f"{engine.kind} {arguments[0]} ended with status {finished.status}{where}", solution=solution
        )


def pull_image(
    engine: Engine, reference: str, *, verified: bool, solution: str, log: Path | None = None
) -> None:
    """Pull an image; ``verified`` is whether the registry has to prove who it is (TLS).

    Raises:
        EngineError: it failed; ``solution`` says what to do then.
    """
    options = [] if verified or engine.kind == "docker" else ["--tls-verify=false"]
    run_engine(engine, ["pull", "--quiet", *options, reference], solution=solution, log=log)


def tag_image(engine: Engine, image: str, *names: str) -> None:
    """Give an image names, one after the other.

    Raises:
        ProgramError: the engine failed.
    """
    for name in names:
        run([engine.program, "tag", image, name])


def _image(document: dict[str, Any]) -> Image:
    return Image(
        id=document["Id"].removeprefix("sha256:"),
        size=document["Size"],
        layers=tuple(document["RootFS"]["Layers"]),
    )
