"""Prepare the build of one image: its artifacts, its base images, its context, its times.

The times make the same image of the same inputs. They are in seconds since 1970; SOURCE_DATE_EPOCH is the
variable of the Reproducible Builds project.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.build.plan import BuildPlan, Target, shell_command
from factory.console import Progress
from factory.dockerfile.steps import base_references, parse_steps
from factory.engine.engine import Engine
from factory.engine.images import KIND_LABEL, find_image, image_labels, load_layout, pull_image
from factory.engine.leftovers import ContainerOwner, repository_mark
from factory.errors import EngineError, ImageError
from factory.files import open_regular, read_text, storage_error, temporary_sibling
from factory.flavor.repository import Repository
from factory.images.builds import recorded_layout
from factory.images.catalogue import read_catalogue
from factory.images.definitions import ImageDefinition
from factory.images.identity import variant_text
from factory.images.inputs import InputFile, read_inputs
from factory.images.plan import ParentReference
from factory.layers.contents import layer_epochs, newest_upload
from factory.lock.lockset import require_lock_set
from factory.pages import docs_command
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import Prefetched, prefetch_flavor
from factory.process import run

VARIABLE = "SOURCE_DATE_EPOCH"
STAGE_EPOCH = 315_532_800
"""1980-01-01: for stages that files are only copied out of; zip archives have no earlier time."""
# Paths per call of git: the length of a command line is limited.
_PATHS_PER_CALL = 500
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BuildSession:
    """One run of `factory build`. ``say`` gets a line for each part that begins."""

    plan: BuildPlan
    fetching: Fetching
    progress: Progress
    say: Callable[[str], None]

    @property
    def folders(self) -> Path:
        """Return the parent of each image's folder for the factory's notes."""
        return self.plan.request.work / "images"

    def owner(self, notes: Path) -> ContainerOwner:
        """Return the owner of the containers of the image that has its notes in a folder."""
        return ContainerOwner(repository=repository_mark(self.plan.root), notes=notes)

    def log(self, notes: Path) -> Path:
        """Return the file for the engine's output."""
        return notes / "build.log"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image that is ready to be built.

    ``bases`` are the engine's IDs of the images that a FROM or a COPY names, by name; none for docker.
    ``epoch`` is the time of the image, ``layer_epochs`` those of its package layers. ``context`` has its
    inputs and nothing else. ``fresh``: take nothing from earlier builds; ``twice``: build twice, and
    compare. ``log`` as `BuildSession.log`.
    """

    target: Target
    engine: Engine
    owner: ContainerOwner
    dockerfile: str
    bases: Mapping[str, str]
    context: Path
    epoch: int
    layer_epochs: Mapping[str, int | None]
    prefetched: Prefetched | None
    fresh: bool
    twice: bool
    log: Path
    say: Callable[[str], None]

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the image."""
        step = self.target.step
        labels = image_labels(
            name=step.name,
            identity=step.identity or "",
            inputs="" if step.inputs is None else step.inputs.text,
            variant=variant_text(step.definition.variant),
            stand_in=next((parent.image for parent in step.definition.parents if parent.stand_in), ""),
        )
        return {**labels, f"{KIND_LABEL}{step.definition.kind}": step.name}

    def layer_epoch(self, layer: str | None) -> int:
        """Return the time of a package layer; the image's if it has none of its own."""
        epoch = self.layer_epochs.get(layer) if layer else None
        return self.epoch if epoch is None else epoch


@contextmanager
def prepare(session: BuildSession, target: Target, notes: Path) -> Iterator[Prepared]:
    """Yield an image ready to build; ``notes`` is its locked folder of notes.

    Raises:
        PrefetchError, IndexAccessError, StorageError: as for `prefetch_flavor`.
        EngineError: a base image cannot be pulled.
        LockFileError: the flavor is not locked.
        ImageError: an input has changed since it was planned, or SOURCE_DATE_EPOCH is not a time.
    """
    definition, request = target.step.definition, session.plan.request
    prefetched = None
    if target.prefetched is not None and definition.packages is not None:
        prefetched = prefetch_flavor(
            definition.packages, target.prefetched, fetching=session.fetching, progress=session.progress
        )
    bases = {} if session.plan.engine.kind == "docker" else _pull_bases(session, target, notes)
    with build_context(definition.folder, target.files, notes) as context:
        epoch, layer_epochs = build_epochs(definition, os.environ, inputs=target.files)
        yield Prepared(
            target=target,
            engine=session.plan.engine,
            owner=session.owner(notes),
            dockerfile=read_text(context / definition.dockerfile),
            bases=bases,
            context=context,
            epoch=epoch,
            layer_epochs=layer_epochs,
            prefetched=prefetched,
            fresh=target.asked and (request.force or request.verify),
            twice=target.asked and request.verify,
            log=session.log(notes),
            say=session.say,
        )


def _pull_bases(session: BuildSession, target: Target, notes: Path) -> dict[str, str]:
    """Return the IDs of the external images in the Dockerfile; pull missing ones."""
    parents = {parent.reference: parent for parent in target.step.parents}
    found = parse_steps(read_text(target.dockerfile))
    stages = (*found.stages, found.final)
    own = {name for stage in found.stages for name in stage.names}
    copied = {name for stage in stages for one in stage.instructions for name in one.origins}
    named = {*base_references(found, target.arguments).values(), *copied}
    wanted = {name for name in named if name.lower() not in {*own, "scratch"} and "$" not in name}
    return {
        name: _pull_base(
            session, target, parents.get(name) or ParentReference(argument="", reference=name), notes
        )
        for name in sorted(wanted)
    }


def _pull_base(session: BuildSession, target: Target, parent: ParentReference, notes: Path) -> str:
    engine = session.plan.engine
    reference = parent.pinned or parent.reference
    image = find_image(engine, reference)
    if image is None and parent.image is not None and parent.registry is None:
        tag = reference.rpartition(":")[2]
        if (layout := recorded_layout(session.folders, parent.image, tag)) is not None:
            session.say(f"{target.name}: loading {layout}")
            load_layout(engine, layout, reference)
            image = find_image(engine, reference)
    if image is None:
        registry = session.plan.registries.get(parent.registry or "")
        session.say(f"{target.name}: pulling {reference}")
        pull_image(
            engine,
            reference,
            verified=registry is None or registry.tls_verify,
            solution="If it cannot be pulled, say once where it is under [mirrors] of factory.local.toml "
            f"({docs_command('images')}), or name another with --base-image; if the index cannot be "
            f"reached, build with --hermetic. By hand: {shell_command(target, engine)}",
            log=session.log(notes),
        )
        image = find_image(engine, reference)
    if image is None:
        raise EngineError(
            f"{engine.kind} pulled {reference} and does not have it",
            solution="Check its storage settings.",
        )
    return image.id


@contextmanager
def build_context(folder: Path, inputs: Mapping[str, InputFile], notes: Path) -> Iterator[Path]:
    """Yield a temporary folder in ``notes`` with the declared inputs of an image, and nothing else.

    Modes are 755 and 644 whatever they are in ``folder``: the identity knows only whether a file can be
    executed.

    Raises:
        ImageError: a file has changed since the identity was read.
        StorageError: the file system refused.
    """
    context = temporary_sibling(notes / "context")
    try:
        context.mkdir()
        for path, wanted in inputs.items():
            _copy_input(folder, path, wanted, context)
        inside = (path for path in context.rglob("*") if path.is_dir() and not path.is_symlink())
        for made in (context, *inside):
            # mkdir applies the umask of this user, and COPY takes the mode into the image.
            made.chmod(0o755)
        yield context
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(context, ignore_errors=True)


def _copy_input(folder: Path, path: str, wanted: InputFile, context: Path) -> None:
    source, copy = folder / path, context / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        copy.symlink_to(source.readlink())
        target = source.resolve()
        if target.is_file() and not (context / target.relative_to(folder.resolve())).exists():
            # A link's target is an input as well.
            _write_copy(target, context / target.relative_to(folder.resolve()), executable=wanted.executable)
        return
    if _write_copy(source, copy, executable=wanted.executable) != wanted.sha256:
        raise ImageError(
            f"{source} was changed while its image was being planned",
            solution="Run the same command again.",
        )


def _write_copy(source: Path, copy: Path, *, executable: bool) -> str:
    """Copy a file in chunks; return the SHA-256 of what was copied."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open_regular(source) as file, copy.open("wb") as written:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
    os.chmod(copy, 0o755 if executable else 0o644)  # noqa: PTH101 - one call for both
    return digest.hexdigest()


def image_epoch(repository: Repository, name: str, environment: Mapping[str, str]) -> int:
    """Return the time that `factory build` sets in an image.

    With it, another builder such as buildah in a Tekton Task builds one commit to one digest.

    Raises:
        NotFoundError, SpecError: there is no such image, or its definition is not acceptable.
        LockFileError: the flavor is not locked.
        ImageError: an input is missing, or SOURCE_DATE_EPOCH is not a time.
    """
    definition = read_catalogue(repository).definition(name)
    epoch, _ = build_epochs(definition, environment)
    return epoch


def build_epochs(
    definition: ImageDefinition, environment: Mapping[str, str], *, inputs: Iterable[str] | None = None
) -> tuple[int, dict[str, int | None]]:
    """Return the times of an image and its package layers; each depends on its own pins.

    A layer's is None if the lock records none. ``SOURCE_DATE_EPOCH`` is the time of all of them.
    ``inputs`` are read if they are not given.

    Raises:
        LockFileError: the flavor is not locked.
        ImageError: the variable is not a time.
    """
    newest: int | None = None
    layers: dict[str, int | None] = {}
    if definition.flavor is not None and _variable_epoch(environment) is None:
        spec = definition.flavor.project.spec
        locks = require_lock_set(definition.flavor.folder, spec)
        newest, layers = newest_upload(locks), layer_epochs(locks, spec.package_layers)
    # An image without a lock lacks an input as well; the message is to be about the lock.
    names = read_inputs(definition) if inputs is None else inputs
    epoch = choose_epoch(environment, newest_upload=newest, folder=definition.folder, inputs=names)
    return epoch, layers


def choose_epoch(
    environment: Mapping[str, str], *, newest_upload: int | None, folder: Path, inputs: Iterable[str]
) -> int:
    """Return the time of the variable, else the newest upload, else the commit, else 0.

    Args:
        environment: where the variable may be.
        newest_upload: of what the lock names; None if it records none.
        folder: the image's.
        inputs: its declared inputs, relative to the folder; the newest commit that changed one counts.

    Raises:
        ImageError: the variable is set and not a whole number of seconds from 0 on.
    """
    if (said := _variable_epoch(environment)) is not None:
        return said
    if newest_upload is not None:
        return newest_upload
    return commit_epoch(folder, inputs) or 0


def _variable_epoch(environment: Mapping[str, str]) -> int | None:
    """Return the time in ``SOURCE_DATE_EPOCH``; None if it is not set or empty."""
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ImageError(
            f"{VARIABLE} is {value!r}, which is no time",
            solution="Set it to seconds since 1970, as `git log -1 --format=%ct` prints them, or unset it.",
        )
    return int(value)


def commit_epoch(folder: Path, paths: Iterable[str]) -> int | None:
    """Return when a commit last changed one of ``paths``, relative to the folder.

    None if git does not know, or in a shallow clone, which has the time of its last commit for every file.
    """
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    if _git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return None
    wanted = sorted(paths)
    parts = [wanted[start : start + _PATHS_PER_CALL] for start in range(0, len(wanted), _PATHS_PER_CALL)]
    times = [_git(folder, "--literal-pathspecs", "log", "-1", "--format=%ct", "--", *part) for part in parts]
    return max((int(time) for time in times if time.isdigit()), default=None)


def _git(folder: Path, *words: str) -> str:
    """Return git's output; empty if it fails."""
    finished = run(("git", "-C", folder, *words), accept_failure=True)
    return finished.stdout.strip() if finished.status == 0 else ""
