"""Find where one image is: tested here, pushed into registries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.documents import read_json
from factory.errors import DocumentError, FactoryError
from factory.files import WORK_FOLDER
from factory.http.parallel import in_parallel
from factory.image_tests.definition import LEVELS
from factory.image_tests.report import PAGE_FILE, SELECTED_FOLDER, TESTED_FILE
from factory.image_tests.report import Tested as RecordedTests
from factory.images.definitions import ImageDefinition
from factory.images.identity import parse_variant
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry
from factory.registry.oci import ImageConfig, labels_of

REPORTS = Path(WORK_FOLDER) / "reports"
_SELECTED = "selected"
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class BuildStatus:
    """An image in the engine or in a layout: whether its identity is current, its size in bytes, its time.

    created: The time in it, which is that of its packages.
    built: When this repository built it; empty if that is not recorded.
    """

    reference: str
    current: bool
    size: int
    created: str
    built: str = ""


@dataclass(frozen=True, kw_only=True)
class PushStatus:
    """An image in a registry.

    current: Whether the tag of the current identity exists there; else only the moving tag does.
    variant: Which variant the moving tag names, in words, if it is another than the one that is meant.
    size: Bytes of the compressed layers, which a pull transfers.
    """

    registry: str
    reference: str
    current: bool
    size: int = 0
    created: str = ""
    variant: str = ""


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
    meant = {definition.name: definition.variant for definition in definitions}
    digests = client.digests(wanted)
    existing = sorted(
        (place for place in wanted if digests[place] is not None), key=lambda place: (wanted[place][1], place)
    )
    best = {wanted[place][0]: place for place in reversed(existing)}

    def describe(item: tuple[str, tuple[str, str]]) -> tuple[str, PushStatus]:
        name, (repository, tag) = item
        manifest = client.image_manifest(repository, tag)
        config = client.config(repository, tag) or ImageConfig()
        variant = parse_variant(labels_of(config))
        other = tag != tags.get(name) and variant is not None and not variant.same_as(meant[name])
        return name, PushStatus(
            registry=client.registry.name,
            reference=client.registry.reference(name, tag),
            current=tag == tags.get(name),
            size=0 if manifest is None else sum(manifest.blobs.values()),
            created=str(config.get("created") or ""),
            variant=variant.words if other and variant is not None else "",
        )

    return dict(in_parallel(describe, best.items(), jobs=_AT_ONCE))


@dataclass(frozen=True, kw_only=True)
class TestStatus:
    """The tests of an image: the highest level that was run, whether all passed, and when.

    level: "selected" if only tests chosen by name were run.
    current: Whether the tested image had the current identity.
    failed: The tests that failed, or could not be run.
    report: The page of the last run, below the repository's root if it is in it; None if it is not there.
    """

    __test__ = False  # not a test, although pytest would collect it by its name

    level: str
    passed: bool
    started: str
    current: bool
    failed: tuple[str, ...] = ()
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
    failed = [name for name, one in recorded["tests"].items() if one["status"] in {"failed", "error"}]
    has_failed = bool(failed)
    if level == _SELECTED and not has_failed:
        # Tests chosen by name do not count for a level, but a failure does.
        return None
    return TestStatus(
        level=level,
        passed=not has_failed and "passed" in statuses,
        started=max(outcome["started"] for outcome in recorded["tests"].values()) if statuses else "",
        current=current,
        failed=tuple(failed),
        report=_page(root, folder, recorded.get("report", "")),
    )


def _page(root: Path, folder: Path, recorded: str) -> Path | None:
    """Return the page of the last run, wherever it is; else that of a run in the image's own folder."""
    own = (place / PAGE_FILE for place in (folder, folder / SELECTED_FOLDER))
    pages = (*((Path(recorded),) if recorded else ()), *own)
    page = next((page for page in pages if page.is_file()), None)
    return page.relative_to(root) if page is not None and page.is_relative_to(root) else page
