"""Build the parts of one image on top of each other; keep each for the next run.

A part's image has a name of the repository's own, ``localhost/factory-layer/REPOSITORY:KEY``, where
REPOSITORY is its mark on the engine; only such names are ever removed. Another repository's part with the
same key is the same image, and gets this repository's name as well.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from factory.build.plan import prefetched_volume
from factory.build.prepare import STAGE_EPOCH, VARIABLE, Prepared
from factory.console import Report, plural
from factory.dockerfile.instructions import Instruction, declared_arguments
from factory.dockerfile.model import SCRATCH, Stage, context_sources, read_dockerfile
from factory.dockerfile.steps import BuildStep, BuildSteps, base_references, dockerfile_of, parse_steps
from factory.engine.engine import (
    Engine,
    Operand,
    call_engine,
    create_container,
    mount_image,
    remove_container,
    run_engine,
)
from factory.engine.images import (
    PARTS_REPOSITORY,
    EngineImage,
    find_image,
    label_instruction,
    list_images,
    remove_image,
    tag_image,
)
from factory.engine.leftovers import ContainerOwner, remove_leftovers
from factory.errors import ProgramError, StorageError
from factory.files import read_text, scratch_folder, write_whole
from factory.tree import Entry, Tree

LAYERS = "/layers"
_RECORD = "segments"
_PATTERN = frozenset("$*?[")
_CAPABILITY = "security.capability"


@dataclass(frozen=True, kw_only=True)
class BuiltPart:
    """A part: its title for people, its key, its image's ID, and whether an earlier run built it."""

    title: str
    key: str
    image: str
    kept: bool


@dataclass
class PartBuilder:
    """Builds the parts of one image.

    Without ``kept``, each part is built again and gets no name by which a later run would find it.
    ``images`` are those of the stages, by name; ``parts`` are in the order in which they were built.
    """

    prepared: Prepared
    kept: bool = True
    images: dict[str, str] = field(default_factory=dict)
    parts: list[BuiltPart] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = parse_steps(self.prepared.dockerfile)
        self._contents: dict[str, dict[str, str]] = {}
        self._before = _read_record(self.prepared.owner.notes) if self.kept else ()

    def build_all(self) -> str:
        """Build all parts; return the ID of the image, which is that of the last one.

        Raises:
            EngineError: the engine failed.
            ProgramError: the engine is missing, or the run was interrupted.
        """
        self.build_stages()
        image = self.base(self.steps.final)
        steps = self.steps.steps
        for number, step in enumerate(steps):
            is_last = number == len(steps) - 1
            what = f"layer {step.layer}" if step.layer else "its own instructions"
            part = self.build(
                step,
                title=f"{what} ({number + 1} of {len(steps)})",
                base=image,
                epoch=self._epoch(steps[number:]),
                labels=self.prepared.labels if is_last else {},
            )
            image = part.image
        self.remove_superseded()
        return image

    def build_stages(self) -> None:
        """Build the stages that the final one needs, in order."""
        for stage in self.steps.stages:
            part = self.build(
                stage, title=f"stage {stage.names[-1]}", base=self.base(stage), epoch=STAGE_EPOCH
            )
            self.images |= dict.fromkeys(stage.names, part.image)

    def base(self, stage: Stage) -> str:
        """Return the image of a stage's FROM: that of another stage, one of the engine, or ``scratch``."""
        if (image := self.images.get(stage.image.lower())) is not None:
            return image
        reference = base_references(self.steps, self.prepared.target.arguments)[stage.image]
        return reference if reference == SCRATCH else self.prepared.bases.get(reference, reference)

    def build(
        self,
        part: BuildStep | Stage,
        *,
        title: str,
        base: str,
        epoch: int,
        labels: Mapping[str, str] | None = None,
    ) -> BuiltPart:
        """Build a part, or find it."""
        labels = labels or {}
        options = part.options if isinstance(part, Stage) else self.steps.final.options
        key = self._key(part, base, options, epoch, labels)
        engine, repository = self.prepared.engine, self.prepared.owner.repository
        reuse = self.kept and not self.prepared.fresh
        found = _find_part(engine, repository, key) if reuse else None
        if found is None:
            self.prepared.say(f"{self.prepared.target.name}: {title}")
            text = dockerfile_of(self.steps, part, base=base, images=self._known(), options=options)
            image = self._run_build(text, key, title=title, epoch=epoch, labels=labels)
        else:
            image = found.id
            self.prepared.say(f"{self.prepared.target.name}: {title}: kept from an earlier build")
        done = BuiltPart(title=title, key=key, image=image, kept=found is not None)
        self.parts.append(done)
        if self.kept:
            # Until the end, the parts of earlier runs stay in use.
            keys = dict.fromkeys((*self._before, *(one.key for one in self.parts)))
            _write_record(self.prepared.owner.notes, keys)
        return done

    def remove_superseded(self) -> None:
        """Remove parts of the image's earlier builds that no image of the repository uses now."""
        if not self.kept:
            return
        notes, now = self.prepared.owner.notes, [part.key for part in self.parts]
        _write_record(notes, now)
        used = {key for folder in notes.parent.iterdir() if folder.is_dir() for key in _read_record(folder)}
        # Children first: a parent without children is removed completely.
        for key in reversed([key for key in self._before if key not in used]):
            remove_image(self.prepared.engine, part_tag(self.prepared.owner.repository, key))

    def _run_build(self, text: str, key: str, *, title: str, epoch: int, labels: Mapping[str, str]) -> str:
        prepared, owner = self.prepared, self.prepared.owner
        plain = read_dockerfile(text).escape == "\\"
        text += label_instruction(labels) if plain else ""
        with scratch_folder() as folder:
            dockerfile, id_file = folder / "Dockerfile", folder / "id"
            dockerfile.write_text(text, encoding="utf-8")
            words = part_options(prepared, text, epoch=epoch, labels={} if plain else labels)
            words += ["--tag", part_tag(owner.repository, key)] if self.kept else []
            words += ["--secret", owner.secret]
            words += ["--file", str(dockerfile), "--iidfile", str(id_file)]
            run_engine(
                prepared.engine,
                "build",
                *words,
                operands=[Operand.path(prepared.context)],
                solution=f"Fix what it names. It was building {title} of {prepared.target.name}.",
                # podman would read the variable as an option that contradicts --timestamp.
                environment=owner.build_environment(
                    {name: value for name, value in os.environ.items() if name != VARIABLE}
                ),
                log=prepared.log,
            )
            return read_text(id_file).strip().removeprefix("sha256:")

    def _epoch(self, steps: tuple[BuildStep, ...]) -> int:
        """Return the time of the first of these steps.

        What is below the package layers has that of the lowest one, so that it changes with no other.
        """
        return self.prepared.layer_epoch(next((step.layer for step in steps if step.layer), None))

    def _known(self) -> dict[str, str]:
        return {**self.prepared.bases, **self.images}

    def _key(
        self, part: BuildStep | Stage, base: str, options: str, epoch: int, labels: Mapping[str, str]
    ) -> str:
        """Return the digest of everything that decides a part's content."""
        arguments = self.prepared.target.arguments
        declared = declared_arguments(_with_carried(self.steps, part))
        given = _build_arguments(self.prepared, epoch)
        values = {
            **self.steps.dockerfile.argument_values(arguments),
            **{name: value for name, value in given.items() if name in declared},
        }
        content = {
            "version": 2,
            "base": base,
            "options": options,
            "epoch": epoch,
            "text": [[*(text for _, text in found.pieces), found.heredoc] for found in part.instructions],
            "carried": part.carried if isinstance(part, BuildStep) else (),
            "arguments": {name: values[name] for name in sorted(declared) if name in values},
            "files": self._files(part.instructions),
            "copied": [list(self._copied(found)) for found in part.instructions],
            "labels": dict(labels),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _files(self, instructions: tuple[Instruction, ...]) -> list[tuple[str, str, bool]]:
        """Return the inputs that instructions may copy; rather too many than too few."""
        target = self.prepared.target
        patterns = [source.pattern for source in context_sources(instructions, target.arguments)]
        return [
            (path, file.sha256, file.executable)
            for path, file in sorted(target.files.items())
            if any(_matches(pattern, path) for pattern in patterns)
        ]

    def _copied(self, instruction: Instruction) -> Iterator[str]:
        """Yield what an instruction copies out of other images, as digests or these images' IDs."""
        for name in instruction.origins:
            image = self._known().get(name.lower(), name)
            paths = instruction.sources
            if name.lower() not in self.images or not paths or any(_PATTERN & set(path) for path in paths):
                yield image
                continue
            digests = self._stage_contents(image)
            yield from (digests.get(path, image) for path in paths)

    def _stage_contents(self, image: str) -> dict[str, str]:
        """Return the digests of everything copied out of a stage's image."""
        if image not in self._contents:
            names = {name for name, other in self.images.items() if other == image}
            stages = (*self.steps.stages, self.steps.final)
            paths = {
                path
                for stage in stages
                for found in stage.instructions
                if names.intersection(name.lower() for name in found.origins)
                for path in found.sources
                if not _PATTERN & set(path)
            }
            self._contents[image] = _content_digests(
                self.prepared.engine, image, sorted(paths), owner=self.prepared.owner
            )
        return self._contents[image]


def part_options(prepared: Prepared, text: str, *, epoch: int, labels: Mapping[str, str]) -> list[str]:
    """Return the options of a part's build, whose Dockerfile is ``text``, without file, tag and context.

    All of its instructions make one layer: a part is kept whole or not at all.
    """
    declared = declared_arguments(read_dockerfile(text).instructions)
    words = ["--layers=false", "--pull=never", "--timestamp", str(epoch)]
    for name, value in _build_arguments(prepared, epoch).items():
        words += ["--build-arg", f"{name}={value}"] if name in declared else []
    for name, value in labels.items():
        words += ["--label", f"{name}={value}"]
    words += ["--network", "none"] if prepared.target.hermetic else []
    words += [] if prepared.target.prefetched is None else prefetched_volume(prepared.target.prefetched)
    return words


def _build_arguments(prepared: Prepared, epoch: int) -> dict[str, str]:
    """Return the build arguments; the time too, for a Dockerfile that asks for it."""
    return {VARIABLE: str(epoch), **prepared.target.arguments}


def _with_carried(found: BuildSteps, part: BuildStep | Stage) -> tuple[Instruction, ...]:
    if isinstance(part, Stage):
        return part.instructions
    before = (other for other in found.steps if other.first_line < part.first_line)
    return (*(instruction for other in before for instruction in other.instructions), *part.instructions)


def _matches(pattern: str, path: str) -> bool:
    if pattern == "." or "$" in pattern:
        return True
    places = (path, *(str(parent) for parent in PurePosixPath(path).parents))
    return any(fnmatchcase(place, pattern) for place in places)


def part_tag(repository: str, key: str) -> str:
    """Return the name of a part's image."""
    return f"{PARTS_REPOSITORY}/{repository}:{key}"


@dataclass(frozen=True, kw_only=True)
class PrunedParts(Report):
    """The names of removed images, and the builds whose leftovers were removed."""

    removed: tuple[str, ...]
    left_behind: tuple[str, ...]
    dry: bool

    def data(self) -> dict[str, object]:
        """Return the names."""
        return {"removed": self.removed, "left_behind": self.left_behind}

    def describe(self) -> Iterator[str]:
        """Yield a line for each of the two."""
        verb = "would be removed" if self.dry else "removed"
        layers = plural(len(self.removed), "layer")
        yield f"{layers} {verb}" if self.removed else "no layer is kept: nothing to remove"
        if self.left_behind:
            yield f"What interrupted builds left of {', '.join(self.left_behind)} {verb}"


def prune_parts(engine: Engine, repository: str, folders: Path, *, dry_run: bool) -> PrunedParts:
    """Remove the images of a repository's parts, and what interrupted builds left.

    ``repository`` is its mark; ``folders`` is the folder with each image's notes.
    """
    left = remove_leftovers(engine, repository, folders, search=True, dry_run=dry_run)
    names = _part_names(engine, f"{PARTS_REPOSITORY}/{repository}")
    for name in () if dry_run else names:
        remove_image(engine, name)
    return PrunedParts(removed=names, left_behind=left, dry=dry_run)


def _find_part(engine: Engine, repository: str, key: str) -> EngineImage | None:
    """Return the image of a part that any repository of this engine has built; None without one."""
    name = part_tag(repository, key)
    if (image := find_image(engine, name)) is not None:
        return image
    try:
        others = _part_names(engine, f"{PARTS_REPOSITORY}/*:{key}")
    except ProgramError:
        return None  # a build works even if podman cannot list images
    if others and (image := find_image(engine, others[0])) is not None:
        tag_image(engine, image.id, name)
    return image


def _part_names(engine: Engine, pattern: str) -> tuple[str, ...]:
    """Return the names of parts that match a pattern of the engine's, sorted."""
    form = ("--filter", f"reference={pattern}", "--format", "{{.Repository}}:{{.Tag}}")
    listed = list_images(engine, *form)
    wanted = re.compile(re.escape(pattern).replace(r"\*", "[^/:]*") + ("" if ":" in pattern else ":.*"))
    return tuple(sorted(name for name in listed.split() if wanted.fullmatch(name)))


def _read_record(notes: Path) -> tuple[str, ...]:
    """Return the keys of the parts that an image was last built from."""
    try:
        return tuple(read_text(notes / _RECORD).split())
    except FileNotFoundError:
        return ()


def _write_record(notes: Path, keys: Iterable[str]) -> None:
    write_whole(notes / _RECORD, "".join(f"{key}\n" for key in keys).encode("ascii"))


def _content_digests(
    engine: Engine, image: str, paths: Iterable[str], *, owner: ContainerOwner
) -> dict[str, str]:
    """Return the SHA-256 over names, modes and contents below each path of an image.

    A path that does not exist, or cannot be read here, gets the image's ID instead. ``owner`` is that of the
    container that this may create.

    Raises:
        ProgramError: the engine failed.
    """
    wanted = tuple(paths)
    with mount_image(engine, image) as tree:
        if tree is not None:
            return {path: tree_digest(tree, path) or image for path in wanted}
    container = create_container(engine, image, "--label", owner.label)
    try:
        with scratch_folder() as folder:
            return _copied_digests(engine, container, image, wanted, folder)
    finally:
        remove_container(engine, container)


def _copied_digests(
    engine: Engine, container: str, image: str, paths: tuple[str, ...], folder: Path
) -> dict[str, str]:
    digests = {}
    copies: dict[str, str | None] = {}
    with Tree.opened(folder) as tree:
        for path in paths:
            # All package layers are small files under one folder: one copy for all of them.
            top = LAYERS if path.startswith(f"{LAYERS}/") else path
            if top not in copies:
                copy = str(len(copies))
                operands = [Operand.inside(container, top), Operand.path(folder / copy)]
                done = call_engine(engine, "cp", operands=operands)
                copies[top] = copy if done.status == 0 else None
            found = copies[top]
            place = None if found is None else f"{found}/{path.removeprefix(top)}"
            digests[path] = image if place is None else tree_digest(tree, place) or image
    return digests


def tree_digest(tree: Tree, path: str) -> str | None:
    """Return the SHA-256 over a file, or a folder with all below it.

    Names, owners, modes and contents count, and the extended attributes that mean something in a container.
    None if nothing exists there, or the path is a link or leads through one: only a container could follow
    it.
    """
    place = path.strip("/")
    try:
        top = _entry(tree, place)
        entries = (
            () if top is None else (top, *(sorted(tree.walk(place), key=_order) if top.is_folder else ()))
        )
        if top is None or top.is_link:
            return None
        digest = hashlib.sha256()
        for entry in entries:
            digest.update(_described(tree, entry, place))
    except StorageError:
        return None
    return digest.hexdigest()


def _entry(tree: Tree, place: str) -> Entry | None:
    if not place:
        with tree.folder() as folder:
            return Entry(path="", status=os.fstat(folder))
    status = tree.status(place)
    return None if status is None else Entry(path=place, status=status)


def _order(entry: Entry) -> list[str]:
    return entry.path.split("/")


def _described(tree: Tree, entry: Entry, place: str) -> bytes:
    status, content = entry.status, b""
    if entry.is_link:
        content = os.fsencode(tree.link_target(entry.path))
    elif entry.is_file:
        with tree.open(entry.path) as file:
            content = hashlib.sha256(file.read()).digest() + _attributes(file.fileno())
    name = os.fsencode(entry.path.removeprefix(place).strip("/") or ".")
    owner = b"%d:%d" % (status.st_uid, status.st_gid)
    return b"%d:%s:%o:%s:%d:%s;" % (len(name), name, status.st_mode, owner, len(content), content)


def _attributes(file: int) -> bytes:
    """Return file capabilities and user attributes; others depend on the file system and the machine."""
    names = [name for name in os.listxattr(file) if name == _CAPABILITY or name.startswith("user.")]
    return b"".join(b"%s=%s;" % (os.fsencode(name), os.getxattr(file, name)) for name in sorted(names))
