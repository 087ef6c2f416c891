"""What has to be built, in order, and why."""

import graphlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from factory.console import Table
from factory.engine.images import EngineImage
from factory.errors import FactoryError, ImageError, LockFileError
from factory.flavor.repository import Repository
from factory.images.availability import Availability, Stores, find_availability, last_builts, local_reference
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import ImageDefinition, Parent
from factory.images.identity import BuildInputs, ParentState, differences, read_build_inputs
from factory.images.parents import PARENTS_FILE, ask_origins, digest_in, is_local, pinned, read_recorded
from factory.lock.lockset import lock_file_names

Action = Literal["build", "nothing", "blocked"]


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What is asked for.

    ``names`` are names of images or paths of flavor folders, none of them is all; ``change`` is made to
    each image that is named, and not to the parents that come along (`definitions.changed`). ``pull``:
    ask the origins of external parents for their digests. ``offline``: ask no registry. ``forced_by``:
    the option by which what is asked for is built whatever is there; empty where it is not. ``engine`` as in
    `factory.engine.engine.find_engine`. ``broken_too``: where no image is named, one that cannot be read is
    blocked, and hides no other.
    """

    names: Sequence[str] = ()
    change: Callable[[ImageDefinition], ImageDefinition] | None = None
    pull: bool = False
    offline: bool = False
    forced_by: str = ""
    engine: str | None = None
    broken_too: bool = False


@dataclass(frozen=True, kw_only=True)
class ParentReference:
    """The image that a build argument names: a reference to build FROM, and where it comes from.

    ``image`` is the name of an image of the repository, None for one of somebody else's. ``registry`` is
    the name of the declared registry that has it, where it is not in the engine and not to be built before.
    ``pinned`` is the reference with its digest in the place of the tag, where that is known; an image
    of this machine (``localhost/…``) has none.
    """

    argument: str
    reference: str
    image: str | None = None
    pinned: str | None = None
    registry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One image: what it is made of now, where it is, and what has to be done.

    ``tag`` is that of its identity; ``local`` the reference with it in the engine, ``remote`` that in its
    registry, None where it has none. ``in_engine`` and ``in_registry`` are None where that was not looked at.
    ``blocked``: it cannot be built now, and nobody asked for it by name; the reasons say why.
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

    @property
    def name(self) -> str:
        """The image's name."""
        return self.definition.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The images that were asked for and those parents of theirs that have to be built, parents first.

    A parent is there as well whose moving tag has to follow.
    ``digests`` are those of external parents that the origins gave (``pull``), by reference; ``stored`` is
    what the engine said that it has, by name, None for what it has not.
    """

    steps: tuple[Step, ...]
    digests: dict[str, str]
    stored: Mapping[str, EngineImage | None] = field(default_factory=dict)

    @property
    def to_build(self) -> tuple[Step, ...]:
        """What has to be built, in order."""
        return tuple(step for step in self.steps if step.action == "build")


@dataclass(frozen=True, kw_only=True)
class _PlanState:
    """All that is known before it is decided. ``images`` are in order, parents first; ``blocked`` say why.

    ``digests`` are those of external parents, by reference, and ``asked`` the names of what was asked for.
    """

    request: PlanRequest
    stores: Stores
    images: Mapping[str, ImageDefinition]
    asked: frozenset[str]
    blocked: Mapping[str, str]
    digests: Mapping[str, str]
    inputs: Mapping[str, BuildInputs]
    availability: Availability


def plan_images(repository: Repository, request: PlanRequest, *, catalogue: Catalogue | None = None) -> Plan:
    """Say what has to be built; ``catalogue`` is that of the repository, where it was read already.

    Raises:
        SpecError: ``factory.toml`` or a flavor says what is not acceptable.
        NotFoundError: an image that is named is not there.
        ImageError: an image cannot be built as it is defined.
        LockFileError: a flavor that is named, or that a named image stands on, is not locked.
        RegistryError: a registry did not answer, or refused.
        EngineError: the engine is not there or does not work, and is needed.
        StorageError: a file cannot be read.
    """
    catalogue = catalogue or read_catalogue(repository)
    images, asked = _chosen(catalogue, request)
    blocked = _blocked(images)
    if request.names:
        _refuse_blocked(blocked)
    stores = Stores(registries={} if request.offline else catalogue.registries, engine=request.engine)
    origins = _origins(catalogue, images) if request.pull else {}
    digests = {**read_recorded(repository.root), **origins, **_local_digests(images, stores)}
    inputs = _inputs(images, blocked, digests, broken_too=request.broken_too)
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
    reasons = _reasons(state, to_build)
    shown = {*asked, *to_build, *_left_behind(state, to_build)}
    steps = tuple(_step(state, name, to_build, reasons) for name in images if name in shown)
    return Plan(steps=steps, digests=origins, stored=stores.known)


def _chosen(catalogue: Catalogue, request: PlanRequest) -> tuple[dict[str, ImageDefinition], frozenset[str]]:
    """What is asked for and all that it stands on, parents first, and the names of what is asked for."""
    chosen = {
        image.name: image for image in catalogue.select(tuple(request.names), broken_too=request.broken_too)
    }
    asked = frozenset(chosen)
    if request.change is not None:
        chosen = {name: request.change(image) for name, image in chosen.items()}
    waiting = list(chosen)
    while waiting:
        for parent in _own_parents(chosen[waiting.pop()]):
            if parent.image not in chosen:
                chosen[parent.image] = catalogue.definition(parent.image)
                waiting.append(parent.image)
    graph = {name: [parent.image for parent in _own_parents(chosen[name])] for name in sorted(chosen)}
    return {name: chosen[name] for name in graphlib.TopologicalSorter(graph).static_order()}, asked


def _own_parents(definition: ImageDefinition) -> tuple[Parent, ...]:
    """The parents that are images of the repository."""
    return tuple(parent for parent in definition.parents if not parent.is_reference)


def _blocked(images: Mapping[str, ImageDefinition]) -> dict[str, str]:
    """The images that cannot be built before a flavor is locked, with that as the reason."""
    blocked: dict[str, str] = {}
    for name, image in images.items():
        flavor = image.flavor
        if image.problem:
            blocked[name] = image.problem
        elif flavor is not None:
            needed = lock_file_names(flavor.project.spec)
            if not all((flavor.folder / file_name).is_file() for file_name in needed):
                blocked[name] = f"not locked: run `factory lock {name}`"
        below = [parent.image for parent in _own_parents(image) if parent.image in blocked]
        if name not in blocked and below:
            blocked[name] = f"parent {below[0]} cannot be built yet"
    return blocked


def _refuse_blocked(blocked: Mapping[str, str]) -> None:
    # The first is a flavor: what stands on it comes behind it.
    for name in blocked:
        raise LockFileError(
            f"{name} is not locked, so nothing says what goes into it",
            solution=f"Run `factory lock {name}` first.",
            not_locked=True,
        )


def _external(images: Mapping[str, ImageDefinition]) -> tuple[str, ...]:
    parents = (parent for image in images.values() for parent in image.parents)
    return tuple(dict.fromkeys(parent.image for parent in parents if parent.is_reference))


def _origins(catalogue: Catalogue, images: Mapping[str, ImageDefinition]) -> dict[str, str]:
    references = (reference for reference in _external(images) if not is_local(reference))
    return ask_origins(references, declared=tuple(catalogue.registries.values()))


def _local_digests(images: Mapping[str, ImageDefinition], stores: Stores) -> dict[str, str]:
    """The IDs of parents of this machine, which have no origin that could be asked."""
    wanted = [reference for reference in _external(images) if is_local(reference)]
    # The moving tags come along: what carries one may have the tag of its identity as well.
    moving = [local_reference(image.name, image.moving_tag) for image in images.values()] if wanted else []
    stored = stores.stored((*wanted, *moving))
    for reference in wanted:
        if reference not in stored:
            raise ImageError(
                f"the engine does not have the parent {reference}, which is of this machine",
                solution="Build or load it first, or name a parent that a registry has.",
            )
    return {reference: image.id for reference, image in stored.items()}


def _inputs(
    images: Mapping[str, ImageDefinition],
    blocked: dict[str, str],
    digests: Mapping[str, str],
    *,
    broken_too: bool,
) -> dict[str, BuildInputs]:
    """What each image would be built from; with ``broken_too``, one that cannot be read becomes blocked."""
    inputs: dict[str, BuildInputs] = {}
    for name, image in images.items():
        below = [parent.image for parent in _own_parents(image) if parent.image in blocked]
        if name not in blocked and below:
            blocked[name] = f"parent {below[0]} cannot be built yet"
        if name in blocked:
            continue
        parents = [_parent_state(parent, inputs, digests) for parent in image.parents]
        try:
            inputs[name] = read_build_inputs(image, parents)
        except FactoryError as error:
            if not broken_too:
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
    return ParentState(argument=parent.argument, image=parent.image, digest=digest)


def _to_build(state: _PlanState) -> frozenset[str]:
    """What is asked for and is nowhere, and the parents of that which are nowhere either."""
    needed, found = set(state.asked), set[str]()
    for name in reversed(tuple(state.images)):
        forced = state.request.forced_by != "" and name in state.asked
        if name in needed and name in state.inputs and (forced or not state.availability.is_available(name)):
            found.add(name)
            needed |= {parent.image for parent in _own_parents(state.images[name])}
    return frozenset(found)


def _left_behind(state: _PlanState, to_build: frozenset[str]) -> frozenset[str]:
    """The parents of what is built whose moving tag is elsewhere: a run ended before it was set."""
    found = set()
    for name in {parent.image for child in to_build for parent in _own_parents(state.images[child])}:
        tags = (state.inputs[name].tag, state.images[name].moving_tag)
        here, moving = (state.stores.known.get(local_reference(name, tag)) for tag in tags)
        if here is not None and (moving is None or moving.id != here.id):
            found.add(name)
    return frozenset(found)


def _reasons(state: _PlanState, to_build: frozenset[str]) -> dict[str, tuple[str, ...]]:
    missing = [state.images[name] for name in to_build if not state.availability.is_available(name)]
    before = last_builts(missing, state.stores)
    reasons: dict[str, tuple[str, ...]] = dict.fromkeys(
        to_build, (f"asked for by {state.request.forced_by}",)
    )
    for image in missing:
        reference, inputs = before.get(image.name, (None, None))
        if reference is None:
            unknown = state.request.offline and image.registry is not None
            reasons[image.name] = (_nowhere(state, image) if unknown else "never built",)
        elif inputs is None:
            reasons[image.name] = (f"{reference} does not say what it was built from",)
        else:
            changes = differences(inputs, state.inputs[image.name])
            reasons[image.name] = changes or (_nowhere(state, image),)
    return reasons


def _nowhere(state: _PlanState, image: ImageDefinition) -> str:
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
    place = None if tag is None else state.stores.place(image, tag)
    action: Action = "build" if name in to_build else "nothing"
    return Step(
        definition=image,
        inputs=inputs,
        identity=None if inputs is None else inputs.identity,
        tag=tag,
        local=None if tag is None else local_reference(name, tag),
        remote=None if place is None else place.registry.reference(name, place.tag),
        in_engine=state.availability.stored.get(name),
        in_registry=state.availability.published.get(name),
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
    place = state.stores.place(state.images[parent.image], inputs.tag)
    here = parent.image in to_build or state.availability.stored.get(parent.image) or place is None
    return ParentReference(
        argument=parent.argument,
        reference=local_reference(parent.image, inputs.tag)
        if here or place is None
        else place.registry.reference(parent.image, inputs.tag),
        image=parent.image,
        registry=None if here or place is None else place.registry.name,
    )


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """One image of a plan: as `factory.images.plan.Step`, and no more than others want to know.

    ``registry`` is the registry's name; ``where`` says in words where the image is, ``reasons`` why it is
    built or cannot be.
    """

    image: str
    kind: str
    identity: str | None
    tag: str | None
    local: str | None
    registry: str | None
    remote: str | None
    in_engine: bool | None
    in_registry: bool | None
    where: str
    action: Action
    reasons: tuple[str, ...]
    parents: tuple[ParentReference, ...]


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """A whole plan: the images in the order of their builds, and what was recorded of external parents."""

    images: tuple[PlannedImage, ...]
    to_build: tuple[str, ...]
    digests: dict[str, str]
    recorded: bool

    @property
    def summary(self) -> str:
        """What comes of it, in one sentence."""
        blocked = sum(image.action == "blocked" for image in self.images)
        behind = f"; {blocked} cannot be built yet" if blocked else ""
        if not self.images:
            return "no images yet: make a flavor with `factory new-flavor`"
        if not self.to_build:
            return f"nothing to build{behind}"
        return f"{len(self.to_build)} of {len(self.images)} to build, in this order{behind}"


def report_plan(plan: Plan, *, recorded: bool = False) -> PlanReport:
    """A plan as data; ``recorded``: the digests of external parents were written down and have changed."""
    return PlanReport(
        images=tuple(_image(step) for step in plan.steps),
        to_build=tuple(step.name for step in plan.to_build),
        digests=plan.digests,
        recorded=recorded,
    )


def plan_parts(report: PlanReport) -> tuple[str | Table, ...]:
    """A plan for people: the table, and what comes of it."""
    recorded = (f"Recorded in {PARENTS_FILE}: commit it.",) if report.recorded else ()
    if not report.images:
        return (report.summary, *recorded)
    rows = tuple(
        (
            image.image,
            image.tag or "-",
            image.where,
            image.action,
            "; ".join(image.reasons),
        )
        for image in report.images
    )
    headings = ("IMAGE", "IDENTITY", "WHERE", "WHAT", "WHY")
    return (Table(headings=headings, rows=rows), report.summary, *recorded)


def _image(step: Step) -> PlannedImage:
    definition = step.definition
    return PlannedImage(
        image=step.name,
        kind=definition.kind,
        identity=step.identity,
        tag=step.tag,
        local=step.local,
        registry=definition.registry,
        remote=step.remote,
        in_engine=step.in_engine,
        in_registry=step.in_registry,
        where=_where(step),
        action=step.action,
        reasons=step.reasons,
        parents=step.parents,
    )


def _where(step: Step) -> str:
    places = []
    if step.in_registry:
        places.append(step.definition.registry or "")
    if step.in_engine:
        places.append("engine")
    return ", ".join(places) or "nowhere"
