"""Where every image of a repository stands, as data: locked, drifted, built, tested, pushed."""

from dataclasses import dataclass, replace

from factory.check.state import flavor_state
from factory.errors import FactoryError
from factory.flavor.repository import Repository
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import ImageDefinition
from factory.images.plan import PlanRequest, Step, plan_images
from factory.status.places import AskedRegistry, Built, Pushed, Tested, ask_registries, find_built, last_test


@dataclass(frozen=True, kw_only=True)
class ImageStatus:
    """One image. ``depth`` is how many images of the repository it stands on, one on the other.

    ``lock`` and ``rendering`` are empty where it is no flavor; ``tag`` is that of its identity now, None
    where it has none yet, and ``problem`` says why. Of what was built, tested or pushed ``current`` says
    whether it is of that identity.
    """

    name: str
    kind: str
    depth: int
    parents: tuple[str, ...]
    lock: str
    rendering: str
    identity: str | None
    tag: str | None
    built: Built | None
    tested: Tested | None
    pushed: tuple[Pushed, ...]
    problem: str

    @property
    def size(self) -> int | None:
        """Bytes: of the layers in the engine, or compressed in a registry; None where it is nowhere."""
        sizes = [self.built.size] if self.built else [one.size for one in self.pushed]
        return next((size for size in sizes if size), None)

    @property
    def created(self) -> str | None:
        """When the image was made, RFC 3339; None where it is nowhere or does not tell."""
        times = [self.built.created] if self.built else [one.created for one in self.pushed]
        return next((time for time in times if time), None)


@dataclass(frozen=True, kw_only=True)
class RepositoryStatus:
    """All images of a repository, each below the one that it stands on, and the registries asked."""

    repository: str
    images: tuple[ImageStatus, ...]
    registries: tuple[AskedRegistry, ...]


def collect_status(
    repository: Repository, names: tuple[str, ...] = (), *, offline: bool = False, engine: str | None = None
) -> RepositoryStatus:
    """Look where images stand; whatever is wrong with one, or with a registry, is told beside the others.

    Args:
        repository: whose.
        names: of images, all where there is none.
        offline: ask no registry.
        engine: as in `factory.engine.engine.find_engine`.

    Raises:
        SpecError: ``factory.toml`` says what is not acceptable.
        NotFoundError: an image that is named is not there.
        EngineError: the engine that is named is not there, or the engine does not work.
    """
    catalogue = read_catalogue(repository)
    definitions = catalogue.select(names, include_broken=True)
    steps, problems = _steps(repository, definitions, engine)
    tags = {name: step.tag for name, step in steps.items()}
    built = find_built(definitions, tags, engine)
    asked, pushed = ask_registries({} if offline else catalogue.registries, definitions, tags)
    rows = [
        replace(
            _image_status(repository, definition, steps.get(definition.name)),
            depth=_depth(catalogue, definition),
            built=built.get(definition.name),
            pushed=pushed.get(definition.name, ()),
            problem=problems.get(definition.name, ""),
        )
        for definition in definitions
    ]
    return RepositoryStatus(repository=repository.root.name, images=_as_tree(rows), registries=asked)


def _steps(
    repository: Repository, definitions: tuple[ImageDefinition, ...], engine: str | None
) -> tuple[dict[str, Step], dict[str, str]]:
    """What each image is now; where one cannot be told, why, and the others all the same."""

    def plan(*names: str) -> dict[str, Step]:
        planned = plan_images(
            repository, PlanRequest(names=names, offline=True, engine=engine, include_broken=not names)
        )
        return {step.name: step for step in planned.steps}

    try:
        steps = plan()
    except FactoryError:
        steps, problems = {}, {}
        for definition in definitions:
            try:
                steps |= plan(definition.name)
            except FactoryError as error:
                problems[definition.name] = error.reason
        return steps, problems
    return steps, {name: "; ".join(step.reasons) for name, step in steps.items() if step.action == "blocked"}


def _image_status(repository: Repository, definition: ImageDefinition, step: Step | None) -> ImageStatus:
    tag = None if step is None else step.tag
    state = None if definition.flavor is None else flavor_state(definition.flavor)
    return ImageStatus(
        name=definition.name,
        kind=definition.kind,
        depth=0,
        parents=tuple(parent.image for parent in definition.parents),
        lock="" if state is None else state.lock,
        rendering="" if state is None else state.rendering,
        identity=None if step is None else step.identity,
        tag=tag,
        built=None,
        tested=last_test(repository.root, definition.name, tag),
        pushed=(),
        problem="",
    )


def _depth(catalogue: Catalogue, definition: ImageDefinition) -> int:
    own = [parent.image for parent in definition.parents if not parent.is_reference]
    return 1 + max(_depth(catalogue, catalogue.definition(name)) for name in own) if own else 0


def _as_tree(rows: list[ImageStatus]) -> tuple[ImageStatus, ...]:
    """Each image below the first of its parents that is there, by name on each level."""
    there = {row.name for row in rows}
    below: dict[str, list[ImageStatus]] = {}
    for row in sorted(rows, key=lambda row: row.name):
        above = next((parent for parent in row.parents if parent in there), "")
        below.setdefault(above, []).append(row)
    ordered: list[ImageStatus] = []
    waiting = list(reversed(below.get("", [])))
    while waiting:
        row = waiting.pop()
        ordered.append(row)
        waiting += reversed(below.get(row.name, []))
    return tuple(ordered)
