"""What the registries have of the images of a repository, each registry asked once, side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.documents import read_json
from factory.errors import DocumentError, FactoryError
from factory.files import WORK_FOLDER
from factory.http.parallel import in_parallel
from factory.image_tests.definition import LEVELS
from factory.image_tests.report import TESTED_FILE
from factory.image_tests.report import Tested as Recorded
from factory.images.availability import Stores
from factory.images.definitions import ImageDefinition, local_reference
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image in the engine: whether it is of the identity now, its size in bytes, when it was made."""

    reference: str
    current: bool
    size: int
    created: str


def find_built(
    definitions: Iterable[ImageDefinition], tags: Mapping[str, str | None], engine: str | None
) -> dict[str, Built]:
    """By name what the engine has: the image of the identity now, else the one with the moving tag.

    Raises:
        EngineError: the engine that is named is not there, or the engine does not work.
    """
    wanted = {
        definition.name: [
            local_reference(definition.name, tag)
            for tag in (tags.get(definition.name), definition.moving_tag)
            if tag is not None
        ]
        for definition in definitions
    }
    stored = Stores(registries={}, engine=engine).in_engine(one for many in wanted.values() for one in many)
    found: dict[str, Built] = {}
    for name, references in wanted.items():
        for reference in references:
            if name not in found and (image := stored.get(reference)) is not None:
                found[name] = Built(
                    reference=reference,
                    current=reference == local_reference(name, tags.get(name) or ""),
                    size=image.size,
                    created=image.created,
                )
    return found


_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image in a registry. ``current``: the tag of the identity now is there, else only the moving tag is.

    ``size`` is what a pull brings: the compressed layers, in bytes; 0 where it was not asked, and so is
    ``created`` empty.
    """

    registry: str
    reference: str
    current: bool
    size: int = 0
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class AskedRegistry:
    """A registry that was asked; ``problem`` says why it gave no answer."""

    name: str
    url: str
    kind: str
    problem: str = ""


def ask_registries(
    registries: Mapping[str, Registry],
    definitions: Sequence[ImageDefinition],
    tags: Mapping[str, str | None],
) -> tuple[tuple[AskedRegistry, ...], dict[str, tuple[Pushed, ...]]]:
    """Which registries have which images; a registry that does not answer is told and does no harm."""
    answers = in_parallel(
        lambda registry: _ask(registry, definitions, tags), registries.values(), jobs=_AT_ONCE
    )
    found: dict[str, list[Pushed]] = {}
    for _, pushed in answers:
        for name, one in pushed.items():
            found.setdefault(name, []).append(one)
    return tuple(asked for asked, _ in answers), {name: tuple(many) for name, many in found.items()}


def _ask(
    registry: Registry, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> tuple[AskedRegistry, dict[str, Pushed]]:
    asked = {"name": registry.name, "url": registry.url, "kind": registry.kind}
    try:
        with open_registry(registry) as client:
            return AskedRegistry(**asked), _pushed(client, definitions, tags)
    except FactoryError as error:
        return AskedRegistry(**asked, problem=error.reason), {}


def _pushed(
    client: RegistryClient, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> dict[str, Pushed]:
    wanted = {
        (client.registry.repository(definition.name), tag): (definition.name, tag, rank)
        for definition in definitions
        for rank, tag in enumerate((tags.get(definition.name), definition.moving_tag))
        if tag is not None
    }
    digests = client.digests(wanted)
    there = sorted((wanted[place][2], place) for place in wanted if digests[place] is not None)
    best = {wanted[place][0]: place for _, place in reversed(there)}

    def describe(item: tuple[str, tuple[str, str]]) -> tuple[str, Pushed]:
        name, (repository, tag) = item
        manifest = client.image_manifest(repository, tag)
        config = client.config(repository, tag) or {}
        return name, Pushed(
            registry=client.registry.name,
            reference=client.registry.reference(name, tag),
            current=tag == tags.get(name),
            size=0 if manifest is None else sum(manifest.blobs.values()),
            created=str(config.get("created") or ""),
        )

    return dict(in_parallel(describe, best.items(), jobs=_AT_ONCE))


REPORTS = Path(WORK_FOLDER) / "reports"
_SELECTED = "selected"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """The tests of an image: the highest level that was run, whether all passed, when, and of which identity.

    ``level`` is "selected" if only tests chosen by name were run. ``current``: of the identity now.
    """

    __test__ = False  # not a test of ours, whatever pytest makes of its name

    level: str
    passed: bool
    started: str
    current: bool


def last_test(root: Path, name: str, tag: str | None) -> Tested | None:
    """Return what an image's tests came to: of its identity now, else of any; None if it was not tested.

    A record that cannot be read is none: the next run of the tests writes it.
    """
    folder = root / REPORTS / name
    if tag is not None and (found := _read(folder / tag / TESTED_FILE, current=True)) is not None:
        return found
    others = [_read(path, current=False) for path in folder.glob(f"*/{TESTED_FILE}")]
    return max((one for one in others if one is not None), key=lambda one: one.started, default=None)


def _read(path: Path, *, current: bool) -> Tested | None:
    try:
        recorded = read_json(path, Recorded)
    except (OSError, DocumentError):
        return None
    level = next((level for level in reversed(LEVELS) if level in recorded["levels"]), _SELECTED)
    statuses = {outcome["status"] for outcome in recorded["tests"].values()}
    has_failed = bool({"failed", "error"} & statuses)
    if level == _SELECTED and not has_failed:
        # Tests that were chosen by name do not speak for a level, but for themselves where they fail.
        return None
    return Tested(
        level=level,
        passed=not has_failed and "passed" in statuses,
        started=max(outcome["started"] for outcome in recorded["tests"].values()) if statuses else "",
        current=current,
    )
