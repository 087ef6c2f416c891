"""The plan: which images have to be built, in which order, and why."""

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from factory.console import Report, Table, plural
from factory.engine.images import EngineImage
from factory.errors import FactoryError, ImageError, LockFileError, SpecError
from factory.flavor.kinds import Parent
from factory.flavor.project import ImageFolder
from factory.flavor.repository import NO_IMAGES, Repository
from factory.images.availability import Availability, Stores, find_availability, find_latest_builds
from factory.images.builds import IMAGES_NOTES, ExistingBuild, also_built
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import ImageDefinition, VariantOptions, local_reference
from factory.images.identity import BuildInputs, ParentState, differences, read_build_inputs
from factory.images.parents import (
    PARENTS_FILE,
    digest_in,
    find_origin_digests,
    is_local,
    pinned,
    read_recorded_digests,
)
from factory.lock.given import parent_unreadable
from factory.lock.judgement import refusals_of
from factory.lock.lockset import lock_file_names, require_lock_set

Action = Literal["build", "nothing", "blocked"]
# The rules about a lock that was made from something else than there is now.
_STALE = frozenset({"FAC321", "FAC337"})


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What to plan.

    names: Names of images or paths of flavor folders; all images if empty.
    variant: Means another variant than the settings do. Parents that come along are downstream or midstream
        as well; a base image and a builder are for the named images.
    pull: Ask the origins of external parents for their digests.
    offline: Ask no registry.
    forced_by: The option that builds the named images even if they exist; empty without one.
    engine: As in `factory.engine.engine.find_engine`.
    include_broken: Without names, an image that cannot be read is blocked instead of an error.
    """

    names: Sequence[str] = ()
    variant: VariantOptions = field(default_factory=VariantOptions)
    pull: bool = False
    offline: bool = False
    forced_by: str = ""
    engine: str | None = None
    include_broken: bool = False


@dataclass(frozen=True, kw_only=True)
class ParentReference:
    """The reference for a build argument, and the source of that image.

    image: The name of an image of the repository; None for an external image.
    pinned: The reference with its digest instead of its tag; None if the digest is not known, and for an
        image of this machine (``localhost/…``).
    registry: The name of the declared registry to pull from; None if the image is in the engine or is built
        before.
    """

    argument: str
    reference: str
    image: str | None = None
    pinned: str | None = None
    registry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One image of a plan: what it is built from now, where it is, and what to do.

    tag: The tag of its identity.
    local, remote: The reference with that tag in the engine, and in the registry if the image has one.
    in_engine, in_registry: None if not looked up.
    in_layout: The layout of this repository that has it, as ``oci:FOLDER:NAME``; None without one.
    others: Further builds of the image that this machine has; looked up only for what has to be built.
    action: "blocked" if it cannot be built now and was not named; the reasons say why.
    """

    definition: ImageDefinition
    inputs: BuildInputs | None
    identity: str | None
    tag: str | None
    local: str | None
    remote: str | None
    in_engine: bool | None
    in_registry: bool | None
    action: Action
    reasons: tuple[str, ...]
    parents: tuple[ParentReference, ...]
    in_layout: str | None = None
    others: tuple[ExistingBuild, ...] = ()

    @property
    def name(self) -> str:
        """The image's name."""
        return self.definition.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The requested images, and those of their parents to build or tag first.

    digests: Those of external parents at their origins (``pull``), by reference.
    stored: What the engine answered, by name; None for images that it does not have.
    """

    steps: tuple[Step, ...]
    digests: dict[str, str]
    stored: Mapping[str, EngineImage | None] = field(default_factory=dict)

    @property
    def to_build(self) -> tuple[Step, ...]:
        """The steps that build, in order."""
        return tuple(step for step in self.steps if step.action == "build")


def plan_images(
    repository: Repository,
    request: PlanRequest,
    *,
    catalogue: Catalogue | None = None,
    stores: Stores | None = None,
) -> Plan:
    """Decide which images have to be built, in which order, and why.

    Args:
        repository: The repository.
        request: What to plan.
        catalogue: That of the repository, if it was read already.
        stores: Where to look for images, if the engine was asked before.

    Raises:
        SpecError: ``factory.toml`` or a flavor's spec is not acceptable.
        NotFoundError: a named image does not exist.
        ImageError: an image cannot be built as it is defined.
        LockFileError: a named flavor, or one that a named image is built on, is not locked.
        RegistryError: a registry did not answer or refused.
        EngineError: the engine is needed and is not installed or does not work.
        StorageError: a file cannot be read.
    """
    catalogue = catalogue or read_catalogue(repository)
    images, asked = _chosen(catalogue, request)
    blocked = _unlocked(images)
    if request.names:
        _refuse_unlocked(blocked)
    stores = stores or Stores(
        registries={} if request.offline else catalogue.registries,
        engine=request.engine,
        notes=repository.root / IMAGES_NOTES,
    )
    origins = _origin_digests(catalogue, images) if request.pull else {}
    digests = {**read_recorded_digests(repository.root), **origins, **_local_ids(images, stores)}
    inputs = _inputs(images, blocked, digests, include_broken=request.include_broken)
    state = _PlanState(
        request=request,
        stores=stores,
        images=images,
        asked=asked,
        blocked=blocked,
        digests=digests,
        inputs=inputs,
        availability=find_availability(images, inputs, stores),
    )
    to_build = _to_build(state)
    others = _others(state, to_build)
    reasons = _reasons(state, to_build, others)
    shown = {*asked, *to_build, *_to_tag(state, to_build)}
    steps = tuple(
        replace(_step(state, name, to_build, reasons), others=others.get(name, ()))
        for name in images
        if name in shown
    )
    return Plan(steps=steps, digests=origins, stored=stores.known)


@dataclass(frozen=True, kw_only=True)
class _PlanState:
    """Everything that is known before the decision.

    images: Those that were asked for and all their parents, parents first.
    asked: The names of those that were asked for.
    blocked: Why images cannot be built, by name.
    digests: Those of external parents, by reference.
    """

    request: PlanRequest
    stores: Stores
    images: Mapping[str, ImageDefinition]
    asked: frozenset[str]
    blocked: Mapping[str, str]
    digests: Mapping[str, str]
    inputs: Mapping[str, BuildInputs]
    availability: Availability


def _chosen(catalogue: Catalogue, request: PlanRequest) -> tuple[dict[str, ImageDefinition], frozenset[str]]:
    """Return the images that were asked for with all their parents, parents first, and the asked names."""
    selected = catalogue.select(tuple(request.names), include_broken=request.include_broken)
    chosen = {image.name: image for image in selected}
    asked = frozenset(chosen)
    options = request.variant
    rebased = options.rebased or _rebased(selected, options)

    def variant(image: ImageDefinition) -> ImageDefinition:
        return catalogue.changed(
            image,
            downstream=options.downstream,
            base_image=options.base_image if image.name in rebased else None,
            builder=options.builder if image.name in asked and image.kind == "flavor" else None,
        )

    chosen = {name: variant(image) for name, image in chosen.items()}
    waiting = list(chosen)
    while waiting:
        for parent in chosen[waiting.pop()].own_parents:
            if parent.image not in chosen:
                chosen[parent.image] = variant(catalogue.definition(parent.image))
                waiting.append(parent.image)
    graph = {name: [parent.image for parent in chosen[name].own_parents] for name in sorted(chosen)}
    ordered: dict[str, ImageDefinition] = {}
    for name in graphlib.TopologicalSorter(graph).static_order():
        ordered[name] = _on_variants(chosen[name], ordered)
    return ordered, asked


def _rebased(named: Sequence[ImageDefinition], options: VariantOptions) -> frozenset[str]:
    """Return the images that get another base: of several, those with no parent in the repository.

    A child would otherwise leave the parent that is built beside it, and lack what that holds.

    Raises:
        SpecError: all that are named have parents in the repository.
    """
    if options.base_image is None:
        return frozenset()
    found = frozenset(image.name for image in named if len(named) == 1 or image.parents[0].is_reference)
    if not found:
        raise SpecError(
            "--base-image does not say for which image it is: all that are named have parents in the "
            "repository",
            solution="Name the one IMAGE that is to leave its parent, or its parents.",
        )
    return found


def _on_variants(image: ImageDefinition, parents: Mapping[str, ImageDefinition]) -> ImageDefinition:
    """Return an image that says which base image, given by an option, its parents are built on."""
    if image.variant.base_image is not None:
        return image
    bases = (parents[parent.image].variant.base_image for parent in image.own_parents)
    base = next((base for base in bases if base is not None), None)
    return image if base is None else replace(image, variant=replace(image.variant, base_image=base))


def _unlocked(images: Mapping[str, ImageDefinition]) -> dict[str, str]:
    """Return why images cannot be built before one is locked or repaired, by name."""
    blocked: dict[str, str] = {}
    for name, image in images.items():
        if image.problem:
            blocked[name] = image.problem
        elif image.packages is not None and (problem := _lock_problem(image.packages)):
            blocked[name] = problem
        _block_child(image, blocked)
    return blocked


def _lock_problem(image: ImageFolder) -> str:
    """Return why an image's lock does not let it be built; empty if it does.

    Of a flavor it is a missing lock alone, and a build finds the rest. Others are stale if a parent moved; a
    parent whose lock cannot be read has that problem itself.
    """
    try:
        needed = lock_file_names(image.project.spec)
        if not all((image.folder / file_name).is_file() for file_name in needed):
            return f"not locked: run `factory lock {image.name}`"
        if image.is_flavor or parent_unreadable(image.project) is not None:
            return ""
        found = refusals_of(image, require_lock_set(image.folder, image.project.spec))
    except FactoryError as error:
        if image.is_flavor:
            raise
        return error.reason
    stale = next((problem.message for problem in found if problem.code in _STALE), "")
    return f"its lock is stale, {stale}: run `factory lock {image.name}`" if stale else ""


def _block_child(image: ImageDefinition, blocked: dict[str, str]) -> None:
    below = next((parent.image for parent in image.own_parents if parent.image in blocked), None)
    if below is not None:
        blocked.setdefault(image.name, f"parent {below} cannot be built yet")


def _refuse_unlocked(blocked: Mapping[str, str]) -> None:
    # The first is a flavor: its children come after it.
    for name, reason in blocked.items():
        is_unlocked = reason.startswith("not locked")
        raise LockFileError(
            f"{name} is not locked, so nothing says what goes into it"
            if is_unlocked
            else f"{name}: {reason}",
            solution=f"Run `factory lock {name}` first.",
            not_locked=is_unlocked,
        )


def _origin_digests(catalogue: Catalogue, images: Mapping[str, ImageDefinition]) -> dict[str, str]:
    references = (reference for reference in _external(images) if not is_local(reference))
    return find_origin_digests(references, declared=tuple(catalogue.registries.values()))


def _local_ids(images: Mapping[str, ImageDefinition], stores: Stores) -> dict[str, str]:
    """Return the IDs of parents of this machine, which have no origin to ask."""
    wanted = [reference for reference in _external(images) if is_local(reference)]
    # The moving tags come along: an image with one may also have the tag of its identity.
    moving = [local_reference(image.name, image.moving_tag) for image in images.values()] if wanted else []
    stored = stores.in_engine((*wanted, *moving))
    for reference in wanted:
        if reference not in stored:
            raise ImageError(
                f"the engine does not have the parent {reference}, which is of this machine",
                solution="Build or load it first, or name a parent that a registry has.",
            )
    return {reference: image.id for reference, image in stored.items()}


def _external(images: Mapping[str, ImageDefinition]) -> tuple[str, ...]:
    parents = (parent for image in images.values() for parent in image.parents)
    return tuple(dict.fromkeys(parent.image for parent in parents if parent.is_reference))


def _inputs(
    images: Mapping[str, ImageDefinition],
    blocked: dict[str, str],
    digests: Mapping[str, str],
    *,
    include_broken: bool,
) -> dict[str, BuildInputs]:
    """Read each image's build inputs; with ``include_broken``, block unreadable images."""
    inputs: dict[str, BuildInputs] = {}
    for name, image in images.items():
        _block_child(image, blocked)
        if name in blocked:
            continue
        parents = [_parent_state(parent, inputs, digests) for parent in image.parents]
        try:
            inputs[name] = read_build_inputs(image, parents)
        except FactoryError as error:
            if not include_broken:
                raise
            blocked[name] = error.reason
    return inputs


def _parent_state(
    parent: Parent, inputs: Mapping[str, BuildInputs], digests: Mapping[str, str]
) -> ParentState:
    if not parent.is_reference:
        return ParentState(
            argument=parent.argument, image=parent.image, identity=inputs[parent.image].identity
        )
    digest = digest_in(parent.image) or digests.get(parent.image)
    return ParentState(argument=parent.argument, image=parent.image, digest=digest, stand_in=parent.stand_in)


def _to_build(state: _PlanState) -> frozenset[str]:
    """Return the unavailable images that were asked for, with their unavailable parents."""
    needed, found = set(state.asked), set[str]()
    for name in reversed(tuple(state.images)):
        forced = state.request.forced_by != "" and name in state.asked
        if name in needed and name in state.inputs and (forced or not state.availability.has(name)):
            found.add(name)
            needed |= {parent.image for parent in state.images[name].own_parents}
    return frozenset(found)


def _to_tag(state: _PlanState, to_build: Iterable[str]) -> frozenset[str]:
    """Return parents whose moving tag is wrong: a run ended before it was set."""
    found = set()
    for name in {parent.image for child in to_build for parent in state.images[child].own_parents}:
        tags = (state.inputs[name].tag, state.images[name].moving_tag)
        here, moving = (state.stores.known.get(local_reference(name, tag)) for tag in tags)
        if here is not None and (moving is None or moving.id != here.id):
            found.add(name)
    return frozenset(found)


def _others(state: _PlanState, to_build: Iterable[str]) -> dict[str, tuple[ExistingBuild, ...]]:
    """Return the builds of other variants that this machine has of images to build."""
    missing = [state.images[name] for name in to_build if not state.availability.has(name)]
    found = state.stores.builds(missing)
    return {
        image.name: tuple(build for build in found[image.name] if not build.variant.same_as(image.variant))
        for image in missing
    }


def _reasons(
    state: _PlanState, to_build: Iterable[str], others: Mapping[str, tuple[ExistingBuild, ...]]
) -> dict[str, tuple[str, ...]]:
    missing = [state.images[name] for name in to_build if not state.availability.has(name)]
    latest = find_latest_builds(missing, state.stores)
    reasons: dict[str, tuple[str, ...]] = dict.fromkeys(
        to_build, (f"asked for by {state.request.forced_by}",)
    )
    for image in missing:
        reference, inputs = latest.get(image.name, (None, None))
        if reference is None:
            unknown = state.request.offline and image.registry is not None
            never = f"never built {image.variant.words}" if others[image.name] else "never built"
            reasons[image.name] = (_unavailable(state, image) if unknown else never,)
        elif inputs is None:
            reasons[image.name] = (f"{reference} does not say what it was built from",)
        else:
            changes = differences(inputs, state.inputs[image.name])
            reasons[image.name] = changes or (_unavailable(state, image),)
    return reasons


def _unavailable(state: _PlanState, image: ImageDefinition) -> str:
    if image.registry is None:
        return "no image with this identity in the engine"
    if state.request.offline:
        return f"no image with this identity in the engine, and {image.registry} was not asked"
    return f"no image with this identity in {image.registry}"


def _step(
    state: _PlanState, name: str, to_build: frozenset[str], reasons: Mapping[str, tuple[str, ...]]
) -> Step:
    image, inputs = state.images[name], state.inputs.get(name)
    tag = None if inputs is None else inputs.tag
    published = None if tag is None else state.stores.registry_tag(image, tag)
    action: Action = "build" if name in to_build else "nothing"
    return Step(
        definition=image,
        inputs=inputs,
        identity=None if inputs is None else inputs.identity,
        tag=tag,
        local=None if tag is None else local_reference(name, tag),
        remote=None if published is None else published.registry.reference(name, published.tag),
        in_engine=state.availability.in_engine.get(name),
        in_registry=state.availability.in_registry.get(name),
        in_layout=state.availability.in_layout.get(name),
        action="blocked" if inputs is None else action,
        reasons=(state.blocked[name],) if inputs is None else reasons.get(name, ()),
        parents=tuple(_parent_reference(state, parent, to_build) for parent in image.parents),
    )


def _parent_reference(state: _PlanState, parent: Parent, to_build: frozenset[str]) -> ParentReference:
    if parent.is_reference:
        digest = None if is_local(parent.image) else state.digests.get(parent.image)
        return ParentReference(
            argument=parent.argument,
            reference=parent.image,
            pinned=None if digest is None else pinned(parent.image, digest),
        )
    inputs = state.inputs.get(parent.image)
    if inputs is None:
        return ParentReference(argument=parent.argument, reference=parent.image, image=parent.image)
    published = state.stores.registry_tag(state.images[parent.image], inputs.tag)
    here = parent.image in to_build or state.availability.in_engine.get(parent.image)
    if here or published is None:
        return ParentReference(
            argument=parent.argument,
            reference=local_reference(parent.image, inputs.tag),
            image=parent.image,
        )
    return ParentReference(
        argument=parent.argument,
        reference=published.registry.reference(parent.image, inputs.tag),
        image=parent.image,
        registry=published.registry.name,
    )


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a plan as others read it.

    ``registry`` is the registry's name, ``where`` says in words where the image is, ``variant`` which of its
    builds it is; ``also_built`` are builds of other variants that this machine has of an image to build.
    """

    image: str
    kind: str
    variant: str
    identity: str | None
    tag: str | None
    local: str | None
    registry: str | None
    remote: str | None
    in_engine: bool | None
    in_registry: bool | None
    where: str
    in_layout: str | None
    action: Action
    reasons: tuple[str, ...]
    parents: tuple[ParentReference, ...]
    also_built: tuple[ExistingBuild, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlanReport(Report):
    """A plan as data: the images in build order.

    ``recorded`` says whether the digests of external parents were written down and have changed.
    """

    images: tuple[PlannedStep, ...]
    to_build: tuple[str, ...]
    digests: dict[str, str]
    recorded: bool

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        blocked = sum(image.action == "blocked" for image in self.images)
        behind = f"; {blocked} cannot be built yet" if blocked else ""
        if not self.images:
            return NO_IMAGES
        if not self.to_build:
            return f"nothing to build{behind}"
        order = ", in this order" if len(self.to_build) > 1 else ""
        return f"{len(self.to_build)} of {plural(len(self.images), 'image')} to build{order}{behind}"

    def describe(self) -> Iterable[str | Table]:
        """Yield the images as a table, and the result in one sentence."""
        if self.images:
            yield Table(
                headings=("IMAGE", "IDENTITY", "WHERE", "WHAT", "WHY"),
                rows=tuple(
                    (image.image, image.tag or "-", image.where, image.action, "; ".join(image.reasons))
                    for image in self.images
                ),
                yielding=frozenset({"WHY"}),
            )
        for image in self.images:
            yield from (also_built(build) for build in image.also_built)
        yield self.summary
        if self.recorded:
            yield f"Recorded in {PARENTS_FILE}: commit it."


def report_plan(plan: Plan, *, recorded: bool = False) -> PlanReport:
    """Return a plan as data; ``recorded`` as in `PlanReport`."""
    return PlanReport(
        images=tuple(_planned(step) for step in plan.steps),
        to_build=tuple(step.name for step in plan.to_build),
        digests=plan.digests,
        recorded=recorded,
    )


def _planned(step: Step) -> PlannedStep:
    definition = step.definition
    registry = (definition.registry or "",) if step.in_registry else ()
    engine = ("engine",) if step.in_engine else ()
    layout = ("layout",) if step.in_layout else ()
    return PlannedStep(
        image=step.name,
        kind=definition.kind,
        variant=definition.variant.words,
        identity=step.identity,
        tag=step.tag,
        local=step.local,
        registry=definition.registry,
        remote=step.remote,
        in_engine=step.in_engine,
        in_registry=step.in_registry,
        in_layout=step.in_layout,
        where=", ".join((*registry, *engine, *layout)) or "nowhere",
        also_built=step.others,
        action=step.action,
        reasons=step.reasons,
        parents=step.parents,
    )
