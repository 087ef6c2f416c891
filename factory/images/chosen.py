"""Choose the build of an image that a command takes: of the settings, of the options, or the only one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from factory.engine.images import IMAGE_LABEL, PARTS_REPOSITORY, find_labelled
from factory.errors import FactoryError, NotFoundError
from factory.flavor.repository import Repository
from factory.images.availability import Stores
from factory.images.builds import IMAGES_NOTES, ExistingBuild, build_names, existing_builds
from factory.images.catalogue import Catalogue
from factory.images.definitions import ImageDefinition, Variant, VariantOptions
from factory.images.plan import PlanRequest, Step, plan_images
from factory.pages import docs_command

Why = Literal["settings", "options", "only one"]


@dataclass(frozen=True, kw_only=True)
class ChosenBuild:
    """Which build of an image a command takes.

    definition: The image in the variant that is meant.
    step: What the plan says of that variant; None if it cannot be planned, and ``problem`` says why.
    build: The build; None if this machine has none of the variant.
    current: Whether its identity is that of the inputs now.
    others: Builds of other variants that this machine has.
    why: What decided the variant; "only one": the settings leave it open, and there is no other.
    """

    definition: ImageDefinition
    step: Step | None
    build: ExistingBuild | None
    current: bool
    others: tuple[ExistingBuild, ...]
    why: Why
    problem: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the choice, a sentence each."""
        name, build, said = self.definition.name, self.build, []
        if build is not None and self.why == "only one":
            said.append(f"{name}: taking the only build there is, {build.variant.words}")
        if build is not None and self.step is not None and not self.current:
            said.append(f"{name}: {build.reference} was built from other inputs than there are now")
        said += [f"{name} is also built: {other.words} ({other.reference})" for other in self.others]
        return tuple(said)


def choose_build(
    repository: Repository, catalogue: Catalogue, name: str, options: VariantOptions, *, engine: str | None
) -> ChosenBuild:
    """Return the build of one image that a command takes; any name in the engine is found.

    Raises:
        NotFoundError: there is no such image, or it has no build of the variant.
        SpecError: its spec or its settings are not acceptable.
        EngineError: the named engine is not installed, or the engine does not work.
    """
    definition = catalogue.definition(name)
    stores = Stores(registries={}, engine=engine, notes=repository.root / IMAGES_NOTES)
    (chosen,) = choose_builds(repository, catalogue, [definition], options, stores).values()
    if chosen.build is None or (chosen.build.in_layout and definition.builder != "layout" and not options):
        chosen = _labelled(chosen, stores)
    if chosen.build is None:
        raise _not_built(chosen)
    return chosen


def choose_builds(
    repository: Repository,
    catalogue: Catalogue,
    definitions: Sequence[ImageDefinition],
    options: VariantOptions,
    stores: Stores,
) -> dict[str, ChosenBuild]:
    """Return the build that is meant of each image, by name. Asks no registry.

    Errors of one image are its problem.

    Raises:
        EngineError: the named engine is not installed, or the engine does not work.
    """
    names = tuple(definition.name for definition in definitions)
    steps, problems = _steps(repository, catalogue, names, options, stores)
    builds = stores.builds(definitions)
    chosen: dict[str, ChosenBuild] = {}
    for definition in definitions:
        name = definition.name
        one = _chosen(
            steps[name].definition if name in steps else definition,
            steps.get(name),
            builds[name],
            why="options" if options else "settings",
            problem=problems.get(name, ""),
        )
        if one.build is None and not options:
            one = _only_one(repository, catalogue, one, builds[name], stores)
        chosen[name] = one
    return chosen


def _steps(
    repository: Repository,
    catalogue: Catalogue,
    names: tuple[str, ...],
    options: VariantOptions,
    stores: Stores,
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the plan's step of each image, and why others have none."""

    def plan(*names: str, include_broken: bool) -> dict[str, Step]:
        request = PlanRequest(names=names, variant=options, offline=True, include_broken=include_broken)
        planned = plan_images(repository, request, catalogue=catalogue, stores=stores)
        return {step.name: step for step in planned.steps}

    try:
        steps = plan(*(() if set(names) == set(catalogue.names) else names), include_broken=True)
    except FactoryError:
        # One image breaks the whole plan: plan each by itself.
        steps, problems = {}, {}
        for name in names:
            try:
                steps |= plan(name, include_broken=False)
            except FactoryError as error:
                problems[name] = error.reason
        return steps, problems
    blocked = {name: "; ".join(step.reasons) for name, step in steps.items() if step.action == "blocked"}
    return steps, blocked


def _chosen(
    definition: ImageDefinition,
    step: Step | None,
    builds: Sequence[ExistingBuild],
    *,
    why: Why,
    problem: str = "",
) -> ChosenBuild:
    """Return the current build of a variant, else its newest one."""
    own = [build for build in builds if build.variant.same_as(definition.variant)]
    identity = None if step is None else step.identity
    current = next((build for build in builds if build.identity == identity), None)
    return ChosenBuild(
        definition=definition,
        step=step,
        build=current or next(iter(own), None),
        current=current is not None,
        others=tuple(build for build in builds if build not in {*own, current}),
        why=why,
        problem=problem,
    )


def _only_one(
    repository: Repository,
    catalogue: Catalogue,
    one: ChosenBuild,
    builds: Sequence[ExistingBuild],
    stores: Stores,
) -> ChosenBuild:
    """Return the only variant that there are builds of, if the settings leave it open."""
    declared = one.definition
    own = [build for build in one.others if build.variant.builder == declared.builder] or one.others
    if len({build.variant.key for build in own}) != 1:
        return one
    newest = own[0]
    variant = newest.variant
    if declared.declared and bool(variant.downstream) != declared.downstream:
        return one
    options = _options(catalogue, declared.name, variant, leaves_parent=newest.leaves_parent)
    steps, problems = _steps(repository, catalogue, (declared.name,), options, stores)
    step = steps.get(declared.name)
    return _chosen(
        replace(declared, variant=variant) if step is None else step.definition,
        step,
        builds,
        why="only one",
        problem=problems.get(declared.name, one.problem),
    )


def _options(catalogue: Catalogue, name: str, variant: Variant, *, leaves_parent: bool) -> VariantOptions:
    """Return the options that mean a variant of an image."""
    root = name
    if not leaves_parent:
        while not (parent := catalogue.definition(root).parents[0]).is_reference:
            root = parent.image
    return VariantOptions(
        downstream=variant.downstream,
        base_image=variant.base_image,
        builder=variant.builder,
        rebased=frozenset({root} if variant.base_image else ()),
    )


def _labelled(chosen: ChosenBuild, stores: Stores) -> ChosenBuild:
    """Return the build of an image that has only other names in the engine, if there is one of those."""
    engine = stores.find_engine()
    name = chosen.definition.name
    names = () if engine is None else find_labelled(engine, IMAGE_LABEL, name)
    known = {build.identity for build in chosen.others}
    names = tuple(name for name in names if not name.startswith(f"{PARTS_REPOSITORY}/"))
    stored = stores.in_engine((*names, *build_names(stores.notes, chosen.definition)))
    found = [
        build
        for build in existing_builds(stores.notes, chosen.definition, stored, names=names)
        if not build.in_layout and build.identity not in known
    ]
    if len({build.identity for build in found}) == 1:
        return replace(chosen, build=found[0], current=False, why="only one")
    return replace(chosen, others=(*found, *chosen.others))


def _not_built(chosen: ChosenBuild) -> NotFoundError:
    name, words = chosen.definition.name, chosen.definition.variant.words
    if not chosen.others:
        return NotFoundError(
            f"{name} has not been built: neither the engine nor a layout of this repository has it",
            solution=f"Run `factory build {name}` first, or name the image or the layout itself.",
        )
    there = "; ".join(f"{build.words} ({build.reference})" for build in chosen.others)
    return NotFoundError(
        f"{name} has not been built {words or 'as its settings say'}; it is built: {there}",
        solution=f"Run `factory build {name}`, give --downstream, --midstream or --base-image to mean "
        "another variant, or name one by its reference. What commands mean without an option is a setting: "
        f"{docs_command('images')}.",
    )
