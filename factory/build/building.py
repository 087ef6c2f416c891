"""The parts of one image, built by podman one on top of the other, each kept for the next run."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from factory.build.content import content_digests
from factory.build.epoch import STAGE_EPOCH, VARIABLE
from factory.build.segment_cache import find_segment, segment_tag
from factory.dockerfile.instructions import Instruction, declared_arguments
from factory.dockerfile.model import SCRATCH, Stage, context_sources, read_dockerfile
from factory.dockerfile.steps import (
    BuildStep,
    BuildSteps,
    base_references,
    dockerfile_of,
    parse_steps,
)
from factory.engine.engine import Engine, Operand, run_engine
from factory.engine.images import label_instruction
from factory.engine.leftovers import Owner
from factory.files import read_text, scratch_folder
from factory.images.inputs import InputFile
from factory.prefetch.layout import MOUNT_POINT

_PATTERN = frozenset("$*?[")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that one build takes.

    ``arguments`` are the build arguments, parents among them; ``bases`` gives the engine's ID of each image
    that a FROM may name. ``epoch`` is the time of the image, ``layer_epochs`` those of its package layers.
    Without ``network`` nothing can be reached; ``prefetched`` is mounted where it is given. The engine's
    output goes to ``log``, or to standard error where it is None. ``owner`` is whose its containers are.
    """

    name: str
    engine: Engine
    owner: Owner
    dockerfile: str
    arguments: Mapping[str, str]
    bases: Mapping[str, str]
    labels: Mapping[str, str]
    inputs: Mapping[str, InputFile]
    context: Path
    epoch: int
    layer_epochs: Mapping[str, int | None] = field(default_factory=dict)
    network: bool = True
    prefetched: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, kw_only=True)
class PartBuilt:
    """A part: what it is to people, its key, its image's ID, and whether it was there already."""

    title: str
    key: str
    image: str
    kept: bool


def build_parts(
    recipe: Recipe, *, fresh: bool = False, named: bool = True, say: Callable[[str], None]
) -> Iterator[PartBuilt]:
    """Build an image part by part; the last one is the image. Each part is given when it is there.

    Args:
        recipe: what to build.
        fresh: take nothing from earlier builds.
        named: keep the parts under names, by which a later run finds them.
        say: told when a part begins.

    Raises:
        EngineError: the engine failed.
        ProgramError: the engine is gone, or the run was interrupted.
    """
    found = parse_steps(recipe.dockerfile)
    work = PartBuilder(recipe=recipe, found=found, fresh=fresh, named=named, say=say)
    yield from work.stages()
    base = work.base(found.final)
    for number, segment in enumerate(found.steps):
        part = work.build(
            segment,
            title=_title(segment, number, len(found.steps)),
            base=base,
            epoch=_epoch(recipe, found.steps[number:]),
            labels=recipe.labels if number == len(found.steps) - 1 else {},
        )
        yield part
        base = part.image


def _title(segment: BuildStep, number: int, count: int) -> str:
    what = f"layer {segment.layer}" if segment.layer else "its own instructions"
    return f"{what} ({number + 1} of {count})"


def _epoch(recipe: Recipe, segments: tuple[BuildStep, ...]) -> int:
    """The time of the first of these segments.

    What stands below the package layers has that of the lowest one, so that it moves with no other.
    """
    if len(segments) == 1 and segments[0].layer is None:
        return recipe.epoch
    layer = next((segment.layer for segment in segments if segment.layer), None)
    epoch = recipe.layer_epochs.get(layer) if layer else None
    return recipe.epoch if epoch is None else epoch


@dataclass
class PartBuilder:
    """One build under way: the images of the stages that are there, by name."""

    recipe: Recipe
    found: BuildSteps
    fresh: bool
    named: bool
    say: Callable[[str], None]
    images: dict[str, str] = field(default_factory=dict)
    contents: dict[str, dict[str, str]] = field(default_factory=dict)

    def stages(self) -> Iterator[PartBuilt]:
        """Build the stages that the final one needs, in order."""
        for stage in self.found.stages:
            part = self.build(
                stage, title=f"stage {stage.names[-1]}", base=self.base(stage), epoch=STAGE_EPOCH
            )
            self.images |= dict.fromkeys(stage.names, part.image)
            yield part

    def base(self, stage: Stage) -> str:
        """The image that a stage stands on: that of another stage, an image of the engine, or none."""
        if (image := self.images.get(stage.image.lower())) is not None:
            return image
        reference = base_references(self.found, self.recipe.arguments)[stage.image]
        return reference if reference == SCRATCH else self.recipe.bases.get(reference, reference)

    def build(
        self,
        part: BuildStep | Stage,
        *,
        title: str,
        base: str,
        epoch: int,
        labels: Mapping[str, str] | None = None,
    ) -> PartBuilt:
        """Build a part, or find it."""
        labels = labels or {}
        options = part.options if isinstance(part, Stage) else self.found.final.options
        key = self._key(part, base, options, epoch, labels)
        engine, owner = self.recipe.engine, self.recipe.owner
        if not self.fresh and (image := find_segment(engine, owner.repository, key)) is not None:
            return PartBuilt(title=title, key=key, image=image.id, kept=True)
        self.say(f"{self.recipe.name}: {title}")
        text = dockerfile_of(self.found, part, base=base, images=self._known(), options=options)
        plain = read_dockerfile(text).escape == "\\"
        text += label_instruction(labels) if plain else ""
        with scratch_folder() as folder:
            dockerfile, id_file = folder / "Dockerfile", folder / "id"
            dockerfile.write_text(text, encoding="utf-8")
            words = part_options(self.recipe, text, epoch=epoch, labels={} if plain else labels)
            words += ["--tag", segment_tag(owner.repository, key)] if self.named else []
            words += ["--secret", owner.secret]
            words += ["--file", str(dockerfile), "--iidfile", str(id_file)]
            run_engine(
                engine,
                "build",
                *words,
                operands=[Operand.path(self.recipe.context)],
                solution=f"Fix what it names. It was building {title} of {self.recipe.name}.",
                # podman would take the variable for an option that contradicts --timestamp.
                environment=owner.build_environment(
                    {name: value for name, value in os.environ.items() if name != VARIABLE}
                ),
                log=self.recipe.log,
            )
            image_id = read_text(id_file).strip().removeprefix("sha256:")
        return PartBuilt(title=title, key=key, image=image_id, kept=False)

    def _known(self) -> dict[str, str]:
        return {**self.recipe.bases, **self.images}

    def _key(
        self, part: BuildStep | Stage, base: str, options: str, epoch: int, labels: Mapping[str, str]
    ) -> str:
        declared = declared_arguments(_with_carried(self.found, part))
        values = {
            **self.found.dockerfile.argument_values(self.recipe.arguments),
            **self._given(declared, epoch),
        }
        told = {
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
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def _given(self, declared: Iterable[str], epoch: int) -> dict[str, str]:
        return {name: value for name, value in _arguments(self.recipe, epoch).items() if name in declared}

    def _files(self, instructions: tuple[Instruction, ...]) -> list[tuple[str, str, bool]]:
        """The inputs that instructions may copy: rather one too many than one too few."""
        patterns = [source.pattern for source in context_sources(instructions, self.recipe.arguments)]
        return [
            (path, file.sha256, file.executable)
            for path, file in sorted(self.recipe.inputs.items())
            if any(_covers(pattern, path) for pattern in patterns)
        ]

    def _copied(self, instruction: Instruction) -> Iterator[str]:
        """What an instruction takes out of other images, as digests or as these images' IDs."""
        for name in instruction.origins:
            image = self._known().get(name.lower(), name)
            paths = instruction.sources
            if name.lower() not in self.images or not paths or any(_PATTERN & set(path) for path in paths):
                yield image
                continue
            known = self._contents(image)
            yield from (known.get(path, image) for path in paths)

    def _contents(self, image: str) -> dict[str, str]:
        """The digests of all that is copied out of a stage's image."""
        if image not in self.contents:
            names = {name for name, other in self.images.items() if other == image}
            stages = (*self.found.stages, self.found.final)
            paths = {
                path
                for stage in stages
                for found in stage.instructions
                if names.intersection(name.lower() for name in found.origins)
                for path in found.sources
                if not _PATTERN & set(path)
            }
            self.contents[image] = content_digests(
                self.recipe.engine, image, sorted(paths), owner=self.recipe.owner
            )
        return self.contents[image]


def part_options(recipe: Recipe, text: str, *, epoch: int, labels: Mapping[str, str]) -> list[str]:
    """The options of a part's build, whose Dockerfile is ``text``; file, tag and context are left out.

    One layer for all of its instructions: a part is kept whole or not at all.
    """
    taken = declared_arguments(read_dockerfile(text).instructions)
    words = ["--layers=false", "--pull=never", "--timestamp", str(epoch)]
    for name, value in _arguments(recipe, epoch).items():
        words += ["--build-arg", f"{name}={value}"] if name in taken else []
    for name, value in labels.items():
        words += ["--label", f"{name}={value}"]
    words += [] if recipe.network else ["--network", "none"]
    if recipe.prefetched is not None:
        # z: where SELinux is on, the container may not read the folder otherwise.
        words += ["--volume", f"{recipe.prefetched}:{MOUNT_POINT}:ro,z"]
    return words


def _arguments(recipe: Recipe, epoch: int) -> dict[str, str]:
    """The build arguments; the time too, for a Dockerfile that asks for it."""
    return {VARIABLE: str(epoch), **recipe.arguments}


def _with_carried(found: BuildSteps, part: BuildStep | Stage) -> tuple[Instruction, ...]:
    if isinstance(part, Stage):
        return part.instructions
    before = (other for other in found.steps if other.first_line < part.first_line)
    return (*(instruction for other in before for instruction in other.instructions), *part.instructions)


def _covers(pattern: str, path: str) -> bool:
    if pattern == "." or "$" in pattern:
        return True
    places = (path, *(str(parent) for parent in PurePosixPath(path).parents))
    return any(fnmatchcase(place, pattern) for place in places)
