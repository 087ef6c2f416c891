"""The container engine: podman's command line, or docker's, and skopeo's for its images.

Every command goes through `engine_words` or `skopeo_words`: what a command acts on stands behind ``--`` and
was checked, so that no label, name of a registry or argument is taken for an option. podman 4.3, docker 28
and skopeo 1.9 accept ``--`` in all commands used here.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, Self, TypedDict

from factory.dockerfile.references import is_image_id, parse_reference
from factory.documents import Size, parse_json
from factory.errors import EngineError
from factory.process import Finished, Stop, governor, run

ENGINES = ("podman", "docker")
ENGINE_VARIABLE = "FACTORY_ENGINE"
# podman's words and docker's; in others, the answer is the same and takes longer.
_NOT_THERE = ("image not known", "No such image")
_HALF_WRITTEN = re.compile(r'image with ID "([0-9a-f]{64})" \(consider removing the image')
_LISTINGS = 5
_LISTING_PAUSE_SECONDS = 0.5
_NOBODY = "localhost/factory-asks-whether-podman-works:none"
# As engines name containers: a name or an ID.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Word = str | Path
SKOPEO = "skopeo"


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


@dataclass(frozen=True)
class Operand:
    """What a command acts on: an image, a container, a path or a place of images, checked.

    Made by the methods below, never from a text that is not.
    """

    text: str

    @classmethod
    def image(cls, name: str) -> Self:
        """Return an image by its reference or its full ID.

        Raises:
            SpecError: it is neither, such as ``--help``, or engines would read it as another place of images,
                such as ``dir:folder``.
        """
        if is_image_id(name):
            return cls(name)
        parse_reference(name, of="the image")
        return cls(name)

    @classmethod
    def container(cls, name: str) -> Self:
        """Return a container by its name or ID.

        Raises:
            EngineError: it is neither.
        """
        if not _CONTAINER.fullmatch(name):
            raise EngineError(
                f"{name!r} is not the name or ID of a container",
                solution="Run the same command again; if it says the same, look at the engine's version.",
            )
        return cls(name)

    @classmethod
    def inside(cls, name: str, path: str) -> Self:
        """Return a path in a container, as ``cp`` takes it. Raises as `container`."""
        return cls(f"{cls.container(name).text}:{path}")

    @classmethod
    def path(cls, place: Path) -> Self:
        """Return a file or folder of this machine; absolute, so that it is not taken for an address."""
        return cls(str(place.absolute()))

    @classmethod
    def in_storage(cls, storage: Literal["docker-daemon", "containers-storage"], name: str) -> Self:
        """Return an image in an engine's storage, as skopeo names it. Raises as `image`."""
        return cls(f"{storage}:{cls.image(name).text}")

    @classmethod
    def in_layout(cls, folder: Path, name: str | None) -> Self:
        """Return an image of an OCI layout, as skopeo and podman name it."""
        return cls(f"oci:{folder}" + (f":{name}" if name else ""))


def engine_words(
    engine: Engine,
    command: str,
    *options: Word,
    operands: Sequence[Operand] = (),
    arguments: Sequence[Word] = (),
) -> tuple[Word, ...]:
    """Return the words of one call of the engine.

    Args:
        engine: which one.
        command: such as ``run`` or ``image inspect``.
        options: its options, each with its value.
        operands: what it acts on; they come after ``--``.
        arguments: the command that is run in a container, after the last operand.
    """
    return (engine.program, *_call(command, options, operands), *arguments)


def skopeo_words(command: str, *options: Word, operands: Sequence[Operand]) -> tuple[Word, ...]:
    """Return the words of one call of skopeo, as `engine_words` does."""
    return (SKOPEO, *_call(command, options, operands))


def _call(command: str, options: Sequence[Word], operands: Sequence[Operand]) -> tuple[Word, ...]:
    behind = ("--", *(operand.text for operand in operands)) if operands else ()
    return (*command.split(), *options, *behind)


def call_engine(
    engine: Engine,
    command: str,
    *options: Word,
    operands: Sequence[Operand] = (),
    arguments: Sequence[Word] = (),
    given: str | None = None,
    timeout: float | None = None,
    accept_failure: bool = True,
) -> Finished:
    """Run the engine and return what it said; the words are those of `engine_words`.

    Raises:
        ProgramError: it is not there, ran past the timeout, or failed without ``accept_failure``.
    """
    words = engine_words(engine, command, *options, operands=operands, arguments=arguments)
    return run(words, given=given, timeout=timeout, accept_failure=accept_failure)


class InspectedConfig(TypedDict):
    """What a container of an image is started with."""

    Env: NotRequired[list[str] | None]
    Entrypoint: NotRequired[list[str] | None]
    Cmd: NotRequired[list[str] | None]
    User: NotRequired[str | None]
    WorkingDir: NotRequired[str | None]
    Labels: NotRequired[dict[str, str] | None]


class _RootFs(TypedDict):
    Layers: NotRequired[list[str] | None]


class Inspected(TypedDict):
    """An image as ``image inspect`` of podman and docker describes it."""

    Id: str
    Size: NotRequired[Size | None]
    Created: NotRequired[str | None]
    RepoTags: NotRequired[list[str] | None]
    RootFS: NotRequired[_RootFs]
    Config: NotRequired[InspectedConfig | None]


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


def list_images(engine: Engine, *options: Word) -> str:
    """Return what ``image ls`` prints.

    podman fails for a moment if another program removes an image while it lists them, and for good if a run
    that was killed left an image half-written. Such an image, which nobody can use, is removed after a while.

    Raises:
        ProgramError: it failed all the same.
    """
    for _ in range(_LISTINGS):
        found = call_engine(engine, "image ls", *options)
        if found.status == 0:
            return found.stdout
        governor().pause(_LISTING_PAUSE_SECONDS)
    if (broken := _HALF_WRITTEN.search(found.stderr)) is not None:
        remove_image(engine, broken[1])
    return call_engine(engine, "image ls", *options, accept_failure=False).stdout


def find_image(engine: Engine, reference: str) -> Image | None:
    """An image that the engine has in its storage; None where it has not. Nothing is pulled.

    Raises:
        SpecError: it is no reference and no ID.
        EngineError: the engine does not work.
    """
    found = call_engine(engine, "image inspect", operands=[Operand.image(reference)])
    if found.status == 0:
        return _image(parse_inspected(engine, found.stdout)[0])
    if any(words in found.stderr for words in _NOT_THERE):
        return None
    require_working(engine, found.stderr)
    return None


def parse_inspected(engine: Engine, output: str) -> list[Inspected]:
    """Return what ``image inspect`` printed of images that are there.

    Raises:
        EngineError: it is no such list, or an empty one.
    """
    source, solution = f"what {engine.kind} says of an image", f"Look at `{engine.kind} image inspect`."
    documents = parse_json(output, list[Inspected], source=source, error=EngineError, solution=solution)
    if not documents:
        raise EngineError(f"{source} is an empty list", solution=solution)
    return documents


def require_working(engine: Engine, said: str) -> None:
    """See whether it is the engine that does not work, where it does not tell of an image and ``said`` so.

    An image that is not there gives the same status. Listing all images takes seconds where there are many,
    and fails where another run removes one.

    Raises:
        EngineError: the engine does not work.
    """
    # podman answers 1 for what is not there and 125 for a failure, also for what is no reference, so that one
    # is asked for which is; docker's client answers 1 without its server.
    asked = (
        call_engine(engine, "image exists", operands=[Operand.image(_NOBODY)])
        if engine.kind == "podman"
        else call_engine(engine, "version")
    )
    if asked.status > (engine.kind == "podman"):
        raise EngineError(
            f"{engine.kind} does not work: {asked.stderr.strip() or said.strip()}",
            solution=f"See to it that `{engine.kind} image ls` works, then run the same command again.",
        )


def run_engine(
    engine: Engine,
    command: str,
    *options: Word,
    operands: Sequence[Operand],
    solution: str,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> None:
    """Let the engine do something, with its output on standard error, or at the end of the file ``log``.

    The words are those of `engine_words`.

    Raises:
        EngineError: it failed; ``solution`` says what to do then. What it said into a file is repeated.
    """
    words = engine_words(engine, command, *options, operands=operands)
    finished = run(words, stream=log is None, accept_failure=True, environment=environment)
    said = finished.stdout + finished.stderr
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(said)
    if finished.status != 0:
        where = (
            "; what it said stands above" if log is None else f" (its output is in {log}):\n{said.strip()}"
        )
        raise EngineError(
            f"{engine.kind} {command} ended with status {finished.status}{where}", solution=solution
        )


def pull_image(
    engine: Engine, reference: str, *, verified: bool, solution: str, log: Path | None = None
) -> None:
    """Pull an image; ``verified`` is whether the registry has to prove who it is (TLS).

    Raises:
        EngineError: it failed; ``solution`` says what to do then.
    """
    options = [] if verified or engine.kind == "docker" else ["--tls-verify=false"]
    operands = [Operand.image(reference)]
    run_engine(engine, "pull", "--quiet", *options, operands=operands, solution=solution, log=log)


def tag_image(engine: Engine, image: str, *names: str) -> None:
    """Give an image names, one after the other.

    Raises:
        ProgramError: the engine failed.
    """
    for name in names:
        call_engine(engine, "tag", operands=[Operand.image(image), Operand.image(name)], accept_failure=False)


def remove_image(engine: Engine, name: str) -> None:
    """Remove an image, or one of its names, if it is there and no container is made of it.

    Images without a name that are below it stay.

    Raises:
        ProgramError: the engine is not there, or the run was interrupted.
    """
    call_engine(engine, "image rm", "--no-prune", operands=[Operand.image(name)])


def create_container(engine: Engine, name: str, *options: Word) -> str:
    """Create a container of an image, which is never started, and return its ID.

    Raises:
        ProgramError: the engine failed.
    """
    # An image without a command wants one all the same.
    created = call_engine(
        engine,
        "create",
        "--pull=never",
        *options,
        operands=[Operand.image(name)],
        arguments=["never-started"],
        accept_failure=False,
    )
    return created.stdout.split()[-1]


def remove_container(engine: Engine, name: str, *, seconds: float | None = None) -> None:
    """Stop a container at once and remove it if it is there, also if the run was interrupted.

    Raises:
        ProgramError: the engine is not there, or did not end within so many seconds.
    """
    # podman would give it ten seconds to end; docker gives none.
    at_once = ("--time", "0") if engine.kind == "podman" else ()
    with Stop().governing():
        call_engine(engine, "rm", "--force", *at_once, operands=[Operand.container(name)], timeout=seconds)


def layers_of(document: Inspected) -> tuple[str, ...]:
    """The digests of the uncompressed layers, the lowest first."""
    return tuple(document.get("RootFS", {}).get("Layers") or ())


def _image(document: Inspected) -> Image:
    return Image(
        id=document["Id"].removeprefix("sha256:"),
        size=document.get("Size") or 0,
        layers=layers_of(document),
    )
