"""Carrying out the build of one image: its parents at hand, its parts built, its names given at the end."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from factory.build.artifacts import STAGE, keep_artifacts
from factory.build.build import BuildPlan, Target, build_options, shell_command
from factory.build.building import PartBuilt, Recipe, build_parts
from factory.build.compare import compare_images
from factory.build.context import build_context
from factory.build.epoch import choose_epoch
from factory.build.package_epochs import package_epochs
from factory.build.segment_cache import read_record, remove_superseded, write_record
from factory.console import Progress
from factory.dockerfile.model import mount_in_every_run, read_dockerfile
from factory.dockerfile.steps import base_references, parse_steps
from factory.engine.engine import Operand, run_engine
from factory.engine.images import (
    EngineImage,
    find_image,
    find_images,
    image_labels,
    label_instruction,
    pull_image,
    remove_image,
    tag_image,
)
from factory.engine.leftovers import Owner, cleaned_up, repository_mark
from factory.errors import EngineError
from factory.files import exclusive, make_output_folder, read_text, scratch_folder
from factory.images.plan import ParentReference
from factory.prefetch.layout import MOUNT_POINT
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import Prefetched, prefetch_flavor

Action = Literal["built", "nothing", "differs"]


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image that was built, or that was there: ``nothing`` to build.

    ``tag`` is the name that it was given last, ``identity_tag`` the one of its identity, ``remote`` that
    name in its registry where it is there. ``id`` and ``size`` (its layers in bytes, uncompressed) are None
    where the engine does not have it; ``added`` is what it has over its base image, None where that is not at
    hand; ``seconds`` are the engine's alone. ``parts`` are those that were built now. ``difference`` is
    what two builds from nothing differ in, where that was asked for and they ``differ``. ``artifacts`` is the
    folder with what the build made beside the image (`keep_artifacts`).
    """

    image: str
    action: Action
    reasons: tuple[str, ...]
    identity: str
    identity_tag: str
    tag: str
    remote: str | None
    id: str | None
    base_image: str
    prefetched: Prefetched | None
    size: int | None
    added: int | None
    seconds: float
    parts: tuple[str, ...] = ()
    difference: str | None = None
    artifacts: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What the build of any image of a run needs. ``say`` is told of each part that begins.

    With ``logged`` the engine's output goes into a file for each image instead of standard error.
    """

    plan: BuildPlan
    fetching: Fetching
    progress: Progress
    say: Callable[[str], None]
    logged: bool

    @property
    def folders(self) -> Path:
        """Where each image has a folder of its own for the factory's notes."""
        return self.plan.request.work / "images"

    def owner(self, work: Path) -> Owner:
        """Whose the containers are of the image that has its notes in a folder."""
        return Owner(repository=repository_mark(self.plan.root), notes=work)


def make_image(place: Workplace, target: Target) -> BuiltImage:
    """Build an image, or find that there is nothing to build; its names come last, the moving one at the end.

    Raises:
        EngineError: the engine failed.
        BusyError: another run is building the image.
        PrefetchError, IndexAccessError, StorageError: as for `prefetch_flavor`.
        ImageError: an input was changed in the meantime, or SOURCE_DATE_EPOCH is no time.
    """
    if target.step.action == "nothing":
        return _found(place, target)
    work = make_output_folder(place.folders / target.name)
    with exclusive(work):
        request = place.plan.request
        forced = target.asked and (request.force or request.verify)
        if not forced and find_image(place.plan.engine, target.step.local or "") is not None:
            # Another run has built it since it was planned.
            return _found(place, target)
        with cleaned_up(place.plan.engine, place.owner(work)):
            return _made(place, target, work, fresh=forced, twice=target.asked and request.verify)


def _found(place: Workplace, target: Target) -> BuiltImage:
    """An image that is there: the moving name follows to it, since an earlier run may have ended before."""
    engine, step = place.plan.engine, target.step
    names = (step.local or "", target.moving, step.parents[0].reference)
    known = place.plan.stored
    if known.get(names[0]) is None:
        # Another run has built it since, or it is in the registry alone.
        known = {}
    if any(name not in known for name in names):
        # One call for all: starting the engine is most of the time of a run that has nothing to do.
        known = {**dict.fromkeys(names), **find_images(engine, names)}
    here, moving, base = (known[name] for name in names)
    if here is not None and (moving is None or moving.id != here.id):
        tag_image(engine, here.id, target.moving)
    return _report(target, here, base, action="nothing", seconds=0.0)


def _made(place: Workplace, target: Target, work: Path, *, fresh: bool, twice: bool) -> BuiltImage:
    prefetched = prefetch(place, target)
    bases = bases_at_hand(place, target, work)
    manifest = target.step.inputs
    inputs = {} if manifest is None else manifest.files
    with build_context(target.step.definition.folder, inputs, work) as context:
        start = time.monotonic()
        if place.plan.engine.kind == "docker":
            _docker(place, target, context, work)
            parts: list[PartBuilt] = []
            difference = None
        else:
            recipe = make_recipe(place, target, bases, context, work)
            parts = _parts(place, recipe, work, fresh=fresh)
            difference = _built_again(place, recipe, parts) if twice else None
        seconds = time.monotonic() - start
    image = find_image(place.plan.engine, parts[-1].image if parts else target.step.local or "")
    if image is None:
        raise EngineError(
            f"{place.plan.engine.kind} ended well and does not have {target.name}",
            solution="Look at what it said above, and at its storage settings.",
        )
    artifacts = _artifacts(place, parts, work) if _is_compiled(target) else None
    if difference is None:
        tag_image(place.plan.engine, image.id, target.step.local or "", target.moving)
    built = tuple(part.title for part in parts if not part.kept)
    action: Action = "built" if difference is None else "differs"
    parent = target.step.parents[0]
    base = find_image(place.plan.engine, parent.pinned or parent.reference)
    report = _report(
        target, image, base, action=action, seconds=seconds, prefetched=prefetched, parts=built,
        difference=difference,
    )  # fmt: skip
    return replace(report, artifacts=artifacts)


def _is_compiled(target: Target) -> bool:
    return target.step.definition.kind == "pytorch-base"


def _artifacts(place: Workplace, parts: list[PartBuilt], work: Path) -> Path | None:
    """Where what the build made beside the image is kept; None where it makes nothing."""
    stage = next((part for part in parts if part.title == f"stage {STAGE}"), None)
    if stage is None:
        return None
    folder = (work / STAGE).absolute()
    return keep_artifacts(place.plan.engine, stage.image, folder, owner=place.owner(work))


def prefetch(place: Workplace, target: Target) -> Prefetched | None:
    """Prefetch what a build without a network takes; None where the build has one.

    Raises:
        PrefetchError, IndexAccessError, StorageError: as for `prefetch_flavor`.
    """
    flavor = target.step.definition.flavor
    if target.prefetched is None or flavor is None:
        return None
    return prefetch_flavor(flavor, target.prefetched, fetching=place.fetching, progress=place.progress)


def _parts(place: Workplace, recipe: Recipe, work: Path, *, fresh: bool) -> list[PartBuilt]:
    before = read_record(work)
    parts: list[PartBuilt] = []
    for part in build_parts(recipe, fresh=fresh, say=place.say):
        parts.append(part)
        # What is under way counts as used for whoever removes what is not.
        write_record(work, dict.fromkeys((*before, *(done.key for done in parts))))
    keys = [part.key for part in parts]
    write_record(work, keys)
    remove_superseded(place.plan.engine, recipe.owner.repository, work, before=before, now=keys)
    return parts


def _built_again(place: Workplace, recipe: Recipe, first: list[PartBuilt]) -> str | None:
    """Build all of it from nothing once more; what differs, None where nothing does."""
    engine = recipe.engine
    place.say(f"{recipe.name}: once more, to compare")
    second = list(build_parts(recipe, fresh=True, named=False, say=place.say))
    try:
        images = [find_image(engine, parts[-1].image) for parts in (first, second)]
        if images[0] is None or images[1] is None:
            raise EngineError(
                f"an image of {recipe.name} is gone from the engine while it was compared",
                solution="Run the same command again, and nothing beside it that removes images.",
            )
        return _difference(place, images[0], images[1], first)
    finally:
        kept = {part.image for part in first}
        for part in reversed(second):
            if part.image not in kept:
                remove_image(engine, part.image)


def _difference(place: Workplace, one: EngineImage, other: EngineImage, parts: list[PartBuilt]) -> str | None:
    found = compare_images(place.plan.engine, one, other)
    if found is None:
        return None
    if found.layer is None:
        return "the layers are the same; the settings of the images (labels, environment, history) differ"
    # Every part is one layer; those below are the base image's.
    segments = [part for part in parts if not part.title.startswith("stage ")]
    number = found.layer - (len(one.layers) - len(segments))
    title = segments[number].title if 0 <= number < len(segments) else "the base image"
    where = f"layer {found.layer + 1} of {len(one.layers)} ({title})"
    if found.file is None:
        return f"{where}: the same files in another form"
    file = found.file
    return f"{where}: {file.path} differs in its {file.kind}: {file.first} and {file.second}"


def make_recipe(place: Workplace, target: Target, bases: dict[str, str], context: Path, work: Path) -> Recipe:
    """What the build of an image takes, whose inputs are in ``context``.

    Raises:
        LockFileError: the flavor is not locked.
        ImageError: SOURCE_DATE_EPOCH is no time.
    """
    definition, step = target.step.definition, target.step
    newest, layers = package_epochs(definition, os.environ)
    text = read_text(context / definition.dockerfile)
    inputs = {} if step.inputs is None else step.inputs.files
    return Recipe(
        name=target.name,
        engine=place.plan.engine,
        owner=place.owner(work),
        dockerfile=text,
        arguments=target.arguments,
        bases=bases,
        labels=_labels(target),
        inputs=inputs,
        context=context,
        epoch=choose_epoch(os.environ, newest_upload=newest, folder=definition.folder, inputs=inputs),
        layer_epochs=layers,
        network=not target.hermetic,
        prefetched=target.prefetched,
        log=_log(place, work),
    )


def _labels(target: Target) -> dict[str, str]:
    step = target.step
    inputs = "" if step.inputs is None else step.inputs.text
    return image_labels(name=target.name, identity=step.identity or "", inputs=inputs)


def _log(place: Workplace, work: Path) -> Path | None:
    return work / "build.log" if place.logged else None


def bases_at_hand(place: Workplace, target: Target, work: Path) -> dict[str, str]:
    """The IDs of all images of others that the Dockerfile names; what is missing is pulled.

    Raises:
        EngineError: the engine failed, or an image cannot be had.
    """
    if place.plan.engine.kind == "docker":
        return {}
    parents = {parent.reference: parent for parent in target.step.parents}
    found = parse_steps(read_text(target.dockerfile))
    stages = (*found.stages, found.final)
    own = {name for stage in found.stages for name in stage.names}
    copied = {name for stage in stages for one in stage.instructions for name in one.origins}
    named = {*base_references(found, target.arguments).values(), *copied}
    wanted = {name for name in named if name.lower() not in {*own, "scratch"} and "$" not in name}
    return {
        name: _at_hand(place, target, parents.get(name) or ParentReference(argument="", reference=name), work)
        for name in sorted(wanted)
    }


def _at_hand(place: Workplace, target: Target, parent: ParentReference, work: Path) -> str:
    engine = place.plan.engine
    reference = parent.pinned or parent.reference
    image = find_image(engine, reference)
    if image is None:
        registry = place.plan.registries.get(parent.registry or "")
        place.say(f"{target.name}: pulling {reference}")
        pull_image(
            engine,
            reference,
            verified=registry is None or registry.tls_verify,
            solution="Where it cannot be pulled, name another with --base-image; where the index cannot be "
            f"reached, build with --hermetic. By hand: {shell_command(target, engine)}",
            log=_log(place, work),
        )
        image = find_image(engine, reference)
    if image is None:
        raise EngineError(
            f"{engine.kind} pulled {reference} and does not have it",
            solution="Look at its storage settings.",
        )
    return image.id


def _docker(place: Workplace, target: Target, context: Path, work: Path) -> None:
    """One plain build: docker knows no --timestamp, and its layers keep the time that they were made at."""
    engine = place.plan.engine
    text = read_text(context / target.step.definition.dockerfile)
    if target.prefetched is not None:
        text = mount_in_every_run(text, f"type=bind,from=prefetched,target={MOUNT_POINT}")
    with scratch_folder() as folder:
        dockerfile = folder / target.step.definition.dockerfile
        plain = read_dockerfile(text).escape == "\\"
        labels = _labels(target)
        ending = label_instruction(labels) if plain else ""
        dockerfile.write_text(f"{text.rstrip()}\n{ending}", encoding="utf-8")
        pairs = () if plain else labels.items()
        options = [word for name, value in pairs for word in ("--label", f"{name}={value}")]
        run_engine(
            engine,
            "build",
            *options,
            *build_options(target, engine, dockerfile=dockerfile),
            operands=[Operand.path(context)],
            solution="Fix what it names.",
            log=_log(place, work),
        )


def _report(
    target: Target,
    image: EngineImage | None,
    base: EngineImage | None,
    *,
    action: Action,
    seconds: float,
    prefetched: Prefetched | None = None,
    parts: tuple[str, ...] = (),
    difference: str | None = None,
) -> BuiltImage:
    step = target.step
    return BuiltImage(
        image=target.name,
        action=action,
        reasons=step.reasons,
        identity=step.identity or "",
        identity_tag=step.local or "",
        tag=target.moving,
        remote=step.remote if step.in_registry else None,
        id=None if image is None else image.id,
        base_image=step.parents[0].reference,
        prefetched=prefetched,
        size=None if image is None else image.size,
        added=None if image is None or base is None else image.size - base.size,
        seconds=round(seconds, 1),
        parts=parts,
        difference=difference,
    )
