"""Find where one image is: built in the engine, tested here, pushed into registries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.documents import read_json
from factory.errors import DocumentError, FactoryError
from factory.files import WORK_FOLDER
from factory.http.parallel import in_parallel
from factory.image_tests.definition import LEVELS
from factory.image_tests.report import PAGE_FILE, SELECTED_FOLDER, TESTED_FILE
from factory.image_tests.report import Tested as RecordedTests
from factory.images.availability import Stores
from factory.images.definitions import ImageDefinition, local_reference
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry

REPORTS = Path(WORK_FOLDER) / "reports"
_SELECTED = "selected"
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class BuildStatus:
    """An image in the engine: whether its identity is current, its size in bytes, its time."""

    reference: str
    current: bool
    size: int
    created: str


def find_builds(
    definitions: Iterable[ImageDefinition], tags: Mapping[str, str | None], engine: str | None
) -> dict[str, BuildStatus]:
    """Return the engine's images by name: of the current identity, else the moving tag's.

    Args:
        definitions: The images.
        tags: The tag of each image's current identity; None without one.
        engine: As in `factory.engine.engine.find_engine`.

    Raises:
        EngineError: the named engine is not installed, or the engine does not work.
    """
    wanted = {
        definition.name: [
            local_reference(definition.name, tag)
            for tag in (tags.get(definition.name), definition.moving_tag)
            if tag is not None
        ]
        for definition in definitions
    }
    stores = Stores(registries={}, engine=engine, notes=Path())
    stored = stores.in_engine(reference for references in wanted.values() for reference in references)
    found: dict[str, BuildStatus] = {}
    for name, references in wanted.items():
        for reference in references:
            if name not in found and (image := stored.get(reference)) is not None:
                found[name] = BuildStatus(
                    reference=reference,
                    current=reference == local_reference(name, tags.get(name) or ""),
                    size=image.size,
                    created=image.created,
                )
    return found


@dataclass(frozen=True, kw_only=True)
class PushStatus:
    """An image in a registry.

    current: Whether the tag of the current identity exists there; else only the moving tag does.
    size: Bytes of the compressed layers, which a pull transfers.
    """

    registry: str
    reference: str
    current: bool
    size: int = 0
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class AskedRegistry:
    """A registry that was asked; ``problem`` says why it did not answer."""

    name: str
    url: str
    kind: str
    problem: str = ""


def ask_registries(
    registries: Mapping[str, Registry],
    definitions: Sequence[ImageDefinition],
    tags: Mapping[str, str | None],
) -> tuple[tuple[AskedRegistry, ...], dict[str, tuple[PushStatus, ...]]]:
    """Return each image in the registries; a registry that does not answer has a problem instead."""
    answers = in_parallel(
        lambda registry: _ask(registry, definitions, tags), registries.values(), jobs=_AT_ONCE
    )
    found: dict[str, list[PushStatus]] = {}
    for _, pushed in answers:
        for name, one in pushed.items():
            found.setdefault(name, []).append(one)
    return tuple(asked for asked, _ in answers), {name: tuple(many) for name, many in found.items()}


def _ask(
    registry: Registry, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> tuple[AskedRegistry, dict[str, PushStatus]]:
    asked = {"name": registry.name, "url": registry.url, "kind": registry.kind}
    try:
        with open_registry(registry) as client:
            return AskedRegistry(**asked), _pushed(client, definitions, tags)
    except FactoryError as error:
        return AskedRegistry(**asked, problem=error.reason), {}


def _pushed(
    client: RegistryClient, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> dict[str, PushStatus]:
    wanted = {
        (client.registry.repository(definition.name), tag): (definition.name, rank)
        for definition in definitions
        for rank, tag in enumerate((tags.get(definition.name), definition.moving_tag))
        if tag is not None
    }
    digests = client.digests(wanted)
    existing = sorted(
        (place for place in wanted if digests[place] is not None), key=lambda place: (wanted[place][1], place)
    )
    best = {wanted[place][0]: place for place in reversed(existing)}

    def describe(item: tuple[str, tuple[str, str]]) -> tuple[str, PushStatus]:
        name, (repository, tag) = item
        manifest = client.image_manifest(repository, tag)
        config = client.config(repository, tag) or {}
        return name, PushStatus(
            registry=client.registry.name,
            reference=client.registry.reference(name, tag),
            current=tag == tags.get(name),
            size=0 if manifest is None else sum(manifest.blobs.values()),
            created=str(config.get("created") or ""),
        )

    return dict(in_parallel(describe, best.items(), jobs=_AT_ONCE))


@dataclass(frozen=True, kw_only=True)
class TestStatus:
    """The tests of an image: the highest level that was run, whether all passed, and when.

    level: "selected" if only tests chosen by name were run.
    current: Whether the tested image had the current identity.
    report: The page of the report, below the repository's root; None if it is not there.
    """

    __test__ = False  # not a test, although pytest would collect it by its name

    level: str
    passed: bool
    started: str
    current: bool
    report: Path | None = None


def last_test(root: Path, name: str, tag: str | None) -> TestStatus | None:
    """Return the tests of an image's current identity, else the newest of another; None without any.

    A record that cannot be read is skipped: the next test run writes it.
    """
    folder = root / REPORTS / name
    if tag is not None and (found := _read(root, folder / tag, current=True)) is not None:
        return found
    others = [_read(root, path.parent, current=False) for path in folder.glob(f"*/{TESTED_FILE}")]
    return max((one for one in others if one is not None), key=lambda one: one.started, default=None)


def _read(root: Path, folder: Path, *, current: bool) -> TestStatus | None:
    try:
        recorded = read_json(folder / TESTED_FILE, RecordedTests)
    except (OSError, DocumentError):
        return None
    level = next((level for level in reversed(LEVELS) if level in recorded["levels"]), _SELECTED)
    statuses = {outcome["status"] for outcome in recorded["tests"].values()}
    has_failed = bool({"failed", "error"} & statuses)
    if level == _SELECTED and not has_failed:
        # Tests chosen by name do not count for a level, but a failure does.
        return None
    return TestStatus(
        level=level,
        passed=not has_failed and "passed" in statuses,
        started=max(outcome["started"] for outcome in recorded["tests"].values()) if statuses else "",
        current=current,
        report=_page(root, folder),
    )


def _page(root: Path, folder: Path) -> Path | None:
    """Return the page of the last whole run, else of the last selected tests."""
    pages = (place / PAGE_FILE for place in (folder, folder / SELECTED_FOLDER))
    return next((page.relative_to(root) for page in pages if page.is_file()), None)
