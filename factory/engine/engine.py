"""The container engine: podman's command line, or docker's, and skopeo's for its images.

Every command goes through `engine_words` or `skopeo_words`: what a command acts on comes after ``--`` and
was checked, so that no label, registry name or argument is taken for an option. podman 4.3, docker 28
and skopeo 1.9 accept ``--`` in all commands used here.
"""

import os
import re
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from factory.clock import now, timed
from factory.console import visible
from factory.dockerfile.references import is_image_id, parse_reference
from factory.errors import EngineError
from factory.files import storage_error
from factory.masking import masked
from factory.process import Cancellation, Finished, current_cancellation, run
from factory.tree import Tree

ENGINES = ("podman", "docker")
ENGINE_VARIABLE = "FACTORY_ENGINE"
# As engines name containers: a name or an ID.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LISTINGS = 5
_LISTING_PAUSE_SECONDS = 0.5

Word = str | Path
SKOPEO = "skopeo"
# Of a failed engine's output, in the error: where the reason is. The log has all of it.
_QUOTED_LINES = 25


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that is installed: its kind, ``podman`` or ``docker``, and its program."""

    kind: str
    program: Path


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
        """Return a file or folder of this machine; absolute, so that it is no address."""
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
    """Run the engine and return its output; the words are those of `engine_words`.

    Raises:
        ProgramError: it is missing, ran past the timeout, or failed without ``accept_failure``.
    """
    words = engine_words(engine, command, *options, operands=operands, arguments=arguments)
    with timed("engine"):
        return run(words, given=given, timeout=timeout, accept_failure=accept_failure)


def call_listing(engine: Engine, command: str, *options: Word) -> Finished:
    """Run a command that lists images or containers, again for a while if it fails.

    podman fails for a moment if another program removes one of them while it lists them. Its messages for
    that differ with the moment, so that none is looked for.

    Raises:
        ProgramError: the engine is missing, or the run was interrupted.
    """
    listed = call_engine(engine, command, *options)
    for _ in range(_LISTINGS):
        if listed.status == 0:
            break
        current_cancellation().pause(_LISTING_PAUSE_SECONDS)
        listed = call_engine(engine, command, *options)
    return listed


def find_engine(kind: str | None = None) -> Engine:
    """Return the engine of this kind; else that of ``FACTORY_ENGINE``; else podman, then docker.

    Raises:
        EngineError: it is unknown, or not installed.
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


def run_engine(
    engine: Engine,
    command: str,
    *options: Word,
    operands: Sequence[Operand],
    solution: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run the engine with its output appended to the file ``log``, each line as it comes and with its time.

    The words are those of `engine_words`.

    Raises:
        EngineError: it failed; ``solution`` says what to do then. It quotes the last lines.
        StorageError: the log cannot be written.
    """
    words = engine_words(engine, command, *options, operands=operands)
    last: deque[str] = deque(maxlen=_QUOTED_LINES)
    try:
        with log.open("a", encoding="utf-8", buffering=1) as file, timed(command):

            def keep(line: str) -> None:
                shown = visible(masked(line.rstrip("\r\n")))
                last.append(shown)
                file.write(f"{now():%H:%M:%S} {shown}\n")

            keep(f"$ {engine.kind} {command}")
            last.clear()
            finished = run(words, each_line=keep, accept_failure=True, environment=environment)
    except OSError as error:
        raise storage_error(log, error) from error
    if finished.status != 0:
        said = "\n".join(line for line in last if line.strip()) or "(it printed nothing)"
        raise EngineError(
            f"{engine.kind} {command} ended with status {finished.status}. Its last lines:\n{said}\n"
            f"All of them are in {log}",
            solution=solution,
        )


def create_container(engine: Engine, name: str, *options: Word) -> str:
    """Create a container of an image, which is never started, and return its ID.

    Raises:
        ProgramError: the engine failed.
    """
    # An image without a command needs one here.
    created = call_engine(
        engine, "create", "--pull=never", *options,
        operands=[Operand.image(name)], arguments=["never-started"], accept_failure=False,
    )  # fmt: skip
    return created.stdout.split()[-1]


def remove_container(engine: Engine, name: str, *, seconds: float | None = None) -> None:
    """Stop and remove a container if it exists, also after an interruption.

    Raises:
        ProgramError: the engine is missing, or did not end within so many seconds.
    """
    # podman would wait ten seconds; docker does not wait.
    at_once = ("--time", "0") if engine.kind == "podman" else ()
    with Cancellation().active():
        call_engine(engine, "rm", "--force", *at_once, operands=[Operand.container(name)], timeout=seconds)


@contextmanager
def mount_image(engine: Engine, image: str) -> Iterator[Tree | None]:
    """Yield the root folder of an image, read-only; None unless it is podman run by root.

    No process uses it: its content does not change, and links in it are never followed. podman counts its
    users. The mount of a killed run stays, and does not prevent podman from removing the image.

    Raises:
        ProgramError: the engine is missing, or the run was interrupted.
    """
    if engine.kind != "podman" or os.geteuid() != 0:
        yield None
        return
    done = call_engine(engine, "image mount", operands=[Operand.image(image)])
    if done.status != 0:
        yield None
        return
    try:
        with Tree.opened(Path(done.stdout.strip())) as tree:
            yield tree
    finally:
        with Cancellation().active():
            call_engine(engine, "image unmount", operands=[Operand.image(image)])
