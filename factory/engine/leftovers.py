"""Mark the containers of a build, and remove those that an interrupted build left.

A killed run leaves two kinds of containers: those that the factory creates, which carry a label, and those
that `podman build` works in. A label on the latter would change the image. They are recognized by a secret
that each build is offered and none asks for: buildah records its name with the container. Their processes
outlive podman, and are ended through the OCI runtime, which knows them by the bundles in the build's folder
for temporary files. That folder exists while a build runs: one that is found later means leftovers.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.documents import parse_json
from factory.engine.engine import Engine, Operand, call_engine, call_listing, engine_words, remove_container
from factory.errors import BusyError, DocumentError, EngineError, StorageError
from factory.files import exclusive, storage_error
from factory.process import Cancellation, run
from factory.tree import Tree

_LABEL = "io.universal-image-factory.build"
_TEMPORARY = "engine"
_BUILDAH = "buildah"
_MARK_DIGITS = 16
_OFFERED = re.compile(rf"id=factory-(?P<mark>[^,]+),src={os.devnull}")


@dataclass(frozen=True, kw_only=True)
class ContainerOwner:
    """The owner of containers: an image's folder of notes (``.work/images/NAME``) in one repository.

    ``repository`` is the repository's mark. The folder is locked while its image is built, so that the holder
    of the lock knows that containers with the owner's mark were left behind.
    """

    repository: str
    notes: Path

    @property
    def mark(self) -> str:
        """The text that identifies its containers."""
        return f"{self.repository}.{self.notes.name}"

    @property
    def label(self) -> str:
        """The label of its containers."""
        return f"{_LABEL}={self.mark}"

    @property
    def temporary(self) -> Path:
        """The folder for the temporary files of its builds; it exists while one runs."""
        return self.notes / _TEMPORARY

    @property
    def secret(self) -> str:
        """The secret that its builds are offered, an option's value; it is empty."""
        return f"id=factory-{self.mark},src={os.devnull}"

    def build_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of one of its builds."""
        return {**environment, "TMPDIR": str(self.temporary.absolute())}


def repository_mark(root: Path) -> str:
    """Return the identifier of a repository on an engine, valid until its folder moves."""
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:_MARK_DIGITS]


@contextmanager
def cleaned_up(engine: Engine, owner: ContainerOwner) -> Iterator[None]:
    """Remove what the block leaves on the engine, however it ends. Hold the lock of the notes.

    Raises:
        StorageError: the folder for temporary files cannot be made.
    """
    try:
        owner.temporary.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(owner.temporary, error) from error
    ended = False
    try:
        yield
        ended = True
    finally:
        if ended:
            shutil.rmtree(owner.temporary, ignore_errors=True)
        else:
            _remove_owned(engine, owner)


def remove_leftovers(
    engine: Engine, repository: str, folders: Path, *, search: bool = False, dry_run: bool = False
) -> tuple[str, ...]:
    """Remove what killed runs left of builds that have ended; return the builds' names.

    Args:
        engine: where they were built.
        repository: its mark.
        folders: the folder with each image's notes.
        search: Also ask the engine for containers, in case the notes were removed; this is slower.
        dry_run: Only return the names.

    Raises:
        ProgramError: the engine is missing.
    """
    left = {path.parent.name for path in folders.glob(f"*/{_TEMPORARY}")}
    if search and engine.kind == "podman":
        marks = (mark.partition(".") for mark in _marks(engine).values())
        left |= {name for found, _, name in marks if found == repository}
    removed = []
    for name in sorted(left):
        owner = ContainerOwner(repository=repository, notes=folders / name)
        try:
            with exclusive(owner.notes, wait_seconds=0) if owner.notes.is_dir() else nullcontext():
                if not dry_run:
                    _remove_owned(engine, owner)
        except BusyError:
            continue  # its build is running
        removed.append(name)
    return tuple(removed)


def _remove_owned(engine: Engine, owner: ContainerOwner) -> None:
    if engine.kind == "podman":
        with Cancellation().active():
            _end_processes(engine, owner)
            for container, mark in _marks(engine).items():
                if mark == owner.mark:
                    remove_container(engine, container)
    shutil.rmtree(owner.temporary, ignore_errors=True)


def _end_processes(engine: Engine, owner: ContainerOwner) -> None:
    """End the processes of RUN instructions that outlived podman."""
    bundles = sorted(path.name for path in owner.temporary.glob(f"{_BUILDAH}*"))
    if not bundles:
        return
    said = call_engine(engine, "info", "--format", "{{.Host.OCIRuntime.Path}}")
    # The containers of a rootless engine are in the engine's user namespace.
    inside = () if os.geteuid() == 0 else engine_words(engine, "unshare")
    for bundle in bundles:
        container = Operand.container(f"{_BUILDAH}-{bundle}")
        run([*inside, said.stdout.strip(), "delete", "--force", container.text], accept_failure=True)


class _Listed(TypedDict):
    Id: str
    Command: NotRequired[list[str] | None]
    Labels: NotRequired[dict[str, str] | None]


class _Options(TypedDict):
    Secrets: NotRequired[list[str] | None]


class _Record(TypedDict):
    CommonBuildOpts: NotRequired[_Options | None]


def _marks(engine: Engine) -> dict[str, str]:
    """Return the marks of the containers of all repositories' builds, by container ID."""
    listed = call_listing(engine, "ps", "--all", "--external", "--no-trunc", "--format", "json")
    if listed.status != 0:
        return {}
    source = f"{engine.kind}'s list of containers"
    containers = parse_json(listed.stdout or "[]", list[_Listed], source=source, error=EngineError)
    marks = {one["Id"]: (one.get("Labels") or {}).get(_LABEL, "") for one in containers}
    working = [one["Id"] for one in containers if one.get("Command") == [_BUILDAH]]
    if working:
        place = call_engine(engine, "info", "--format", "{{.Store.GraphRoot}} {{.Store.GraphDriverName}}")
        root, _, driver = place.stdout.strip().rpartition(" ")
        marks |= {one: _offered_mark(Path(root) / f"{driver}-containers" / one) for one in working}
    return {container: mark for container, mark in marks.items() if mark}


def _offered_mark(folder: Path) -> str:
    """Return the mark in the secret that this container's build was offered; empty without one."""
    try:
        with Tree.opened(folder) as tree:
            content = tree.read(f"userdata/{_BUILDAH}.json")
        record = parse_json(content, _Record, source=str(folder))
    except (StorageError, DocumentError):
        return ""  # removed in the meantime
    offered = (record.get("CommonBuildOpts") or {}).get("Secrets") or ()
    return next((found["mark"] for secret in offered if (found := _OFFERED.fullmatch(secret))), "")
