"""Setting registries up: creating what images need, and checking what is there."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from factory.console import Progress, Table, human_size
from factory.errors import RegistryError
from factory.http.parallel import in_parallel
from factory.registry.declared import DriverName, Registry, RegistryClass
from factory.registry.drivers.driver import Driver, Finding
from factory.registry.inventory import Inventory, attached_to
from factory.registry.removal import Removed, remove
from factory.registry.retention import Policy, Purpose, Verdict, decide, freed, short

Opener = Callable[[Registry], Driver]
_AT_ONCE = 4


@contextmanager
def opened(
    registries: Iterable[Registry], opener: Opener
) -> Iterator[tuple[dict[str, Driver], dict[str, RegistryError]]]:
    """The drivers of registries while the block runs, by name; and why one could not be opened."""
    drivers: dict[str, Driver] = {}
    failed: dict[str, RegistryError] = {}
    with ExitStack() as stack:
        for registry in registries:
            try:
                drivers[registry.name] = driver = opener(registry)
                stack.callback(driver.close)
            except RegistryError as error:
                failed[registry.name] = error
        yield drivers, failed


def read_inventories(
    registries: Iterable[Registry],
    images: Collection[str],
    drivers: Mapping[str, Driver],
    failed: Mapping[str, RegistryError],
) -> tuple[Inventory, ...]:
    """What each registry holds; one that cannot be read says why.

    Args:
        registries: which, in this order.
        images: the names of the repository's images, for registries that do not list what they have.
        drivers: by the registry's name.
        failed: why there is no driver, by the registry's name.
    """

    def read(registry: Registry) -> Inventory:
        if registry.name in failed:
            return Inventory(registry=registry, error=failed[registry.name])
        return _read(registry, images, drivers[registry.name])

    return tuple(in_parallel(read, registries, jobs=_AT_ONCE))


def _read(registry: Registry, images: Collection[str], driver: Driver) -> Inventory:
    try:
        repositories = driver.repositories(images)
        found = in_parallel(driver.images, repositories.names, jobs=_AT_ONCE)
    except RegistryError as error:
        return Inventory(registry=registry, error=error)
    return Inventory(
        registry=registry,
        repositories=repositories.names,
        images=tuple(image for held in found for image in held),
        partial=repositories.partial,
    )


@dataclass(frozen=True, kw_only=True)
class RegistrySetup:
    """What was created and found at one registry; ``error`` says why nothing could be."""

    registry: Registry
    findings: tuple[Finding, ...] = ()
    error: RegistryError | None = None


@dataclass(frozen=True, kw_only=True)
class SetupReport:
    """What was created and found, registry by registry."""

    dry_run: bool
    registries: tuple[RegistrySetup, ...]

    @property
    def exit_code(self) -> int:
        """0 for all well, 1 where something is wrong, `RegistryError`'s where one could not be asked."""
        if any(one.error for one in self.registries):
            return RegistryError.exit_code
        states = {finding.state for one in self.registries for finding in one.findings}
        return 1 if "wrong" in states else 0


def set_up(
    registries: Iterable[Registry], images: Mapping[str, Collection[str]], opener: Opener, *, dry_run: bool
) -> SetupReport:
    """Create what is missing and check what is there; a second run, also at the same time, changes nothing.

    Args:
        registries: which.
        images: the names of the images that go into each, by the registry's name.
        opener: gives the driver of a registry.
        dry_run: only look.
    """
    chosen = tuple(registries)
    with opened(chosen, opener) as (drivers, failed):
        done = (
            RegistrySetup(registry=registry, error=failed[registry.name])
            if registry.name in failed
            else _set_up(registry, images[registry.name], drivers[registry.name], dry_run=dry_run)
            for registry in chosen
        )
        return SetupReport(dry_run=dry_run, registries=tuple(done))


def _set_up(registry: Registry, images: Collection[str], driver: Driver, *, dry_run: bool) -> RegistrySetup:
    created: tuple[Finding, ...] = ()
    try:
        if not dry_run:
            created = driver.create(images)
        found = driver.check(images)
    except RegistryError as error:
        return RegistrySetup(registry=registry, findings=created, error=error)
    made = {finding.what for finding in created if finding.state == "created"}
    # What was created or tried just now is told once.
    tried = {finding.what: finding for finding in created if finding.state != "created"}
    told = tuple(
        replace(finding, state="created")
        if finding.what in made and finding.state == "ok"
        else tried.pop(finding.what, finding)
        for finding in found
    )
    return RegistrySetup(registry=registry, findings=(*told, *tried.values()))


@dataclass(frozen=True, kw_only=True)
class RegistryStatus:
    """One registry; the numbers are None where it could not be read.

    ``bytes`` counts what several images share once; ``prunable`` are the manifests that `prune` would
    take, and ``prunable_bytes`` what that would free.
    """

    name: str
    url: str
    kind: RegistryClass
    driver: DriverName
    findings: tuple[Finding, ...] = ()
    repositories: int | None = None
    images: int | None = None
    bytes: int | None = None
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    prunable: int | None = None
    prunable_bytes: int | None = None
    note: str = ""
    error: RegistryError | None = None


@dataclass(frozen=True, kw_only=True)
class RegistryStatusReport:
    """The registries that were asked for, in the order of ``factory.toml``."""

    registries: tuple[RegistryStatus, ...]

    @property
    def exit_code(self) -> int:
        """0, or that of `RegistryError` where one could not be read."""
        return RegistryError.exit_code if any(one.error for one in self.registries) else 0


def collect_registry_status(
    registries: Mapping[str, Registry], names: Collection[str], policy: Policy, opener: Opener
) -> RegistryStatusReport:
    """How the registries that are named stand; nothing is changed.

    Args:
        registries: all of the repository, by name; the others are read too, since they may hold children.
        names: those that were named.
        policy: what the repository says of its images.
        opener: gives the driver of a registry.
    """
    with opened(registries.values(), opener) as (drivers, failed):
        inventories = read_inventories(registries.values(), policy.images, drivers, failed)
        verdicts = decide("prune", registries, inventories, policy, registries=registries.values())
        found = tuple(
            _status(inventory, verdicts, drivers.get(inventory.registry.name), policy)
            for inventory in inventories
            if inventory.registry.name in names
        )
    return RegistryStatusReport(registries=found)


def _status(
    inventory: Inventory, verdicts: tuple[Verdict, ...], driver: Driver | None, policy: Policy
) -> RegistryStatus:
    registry = inventory.registry
    error = inventory.error
    findings: tuple[Finding, ...] = ()
    if driver is not None:
        findings, failed = _checked(driver, policy.images if registry.driver == "oci" else ())
        error = error or failed
    known = RegistryStatus(
        name=registry.name,
        url=registry.url,
        kind=registry.kind,
        driver=registry.driver,
        findings=findings,
        note=inventory.partial,
        error=error,
    )
    if inventory.error is not None:
        return known
    own = [verdict for verdict in verdicts if verdict.key[0] == registry.name]
    moments = [image.moment for image in inventory.images if image.moment is not None]
    blobs = {digest: size for image in inventory.images for digest, size in image.blobs.items()}
    return replace(
        known,
        repositories=len(inventory.repositories),
        images=sum(image.labels is not None or not image.subjects for image in inventory.images),
        bytes=sum(blobs.values()),
        oldest=min(moments, default=None),
        newest=max(moments, default=None),
        prunable=sum(verdict.goes for verdict in own),
        prunable_bytes=freed(inventory, own),
    )


def _checked(driver: Driver, images: Collection[str]) -> tuple[tuple[Finding, ...], RegistryError | None]:
    try:
        return driver.check(images), None
    except RegistryError as error:
        return (), error


State = Literal["kept", "would be deleted", "deleted", "gone already", "failed"]


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What became of one manifest, and why; ``by_hand`` is the command that deletes it all the same."""

    registry: str
    reference: str
    tags: tuple[str, ...]
    bytes: int
    moment: dt.datetime | None
    state: State
    reason: str
    by_hand: str


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """What was deleted, or would be, and what stays.

    ``freed_bytes`` is what nothing that stays names any more, which a registry has free when it has
    collected its garbage.
    """

    purpose: Purpose
    dry_run: bool
    fates: tuple[Deletion, ...]
    freed_bytes: int
    notes: tuple[str, ...]
    removed_repositories: tuple[str, ...] = ()
    errors: tuple[RegistryError, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or that of `RegistryError` where a registry could not be read, or something not be deleted."""
        return RegistryError.exit_code if self.errors else 0


def clean_up(
    purpose: Purpose,
    registries: Mapping[str, Registry],
    names: Collection[str],
    policy: Policy,
    opener: Opener,
    *,
    dry_run: bool,
    progress: Progress,
) -> Cleanup:
    """Prune or tear down the registries that are named; from a persistent one nothing is ever deleted.

    All registries are read, since what one holds may stand on what another does.

    Args:
        purpose: which of both.
        registries: all of the repository, by name.
        names: those that were named; of the rest everything stays.
        policy: what the repository says of its images.
        opener: gives the driver of a registry.
        dry_run: only say what would be deleted.
        progress: is told of each that is deleted.
    """
    with opened(registries.values(), opener) as (drivers, failed):
        inventories = read_inventories(registries.values(), policy.images, drivers, failed)
        verdicts = decide(purpose, names, inventories, policy, registries=registries.values())
        persistent = [one for one in registries.values() if one.kind == "persistent"]
        removed = {} if dry_run else remove(verdicts, drivers, progress=progress, persistent=persistent)
        emptied: list[str] = []
        if purpose == "teardown" and not dry_run:
            emptied = _empty_repositories(verdicts, removed, drivers)
        deletions = tuple(
            _deletion(verdict, removed.get(verdict.key), registries, drivers) for verdict in verdicts
        )
    left = tuple(_after(verdict, removed.get(verdict.key)) for verdict in verdicts)
    errors = [inventory.error for inventory in inventories if inventory.error is not None]
    errors += [one.error for one in removed.values() if one.error is not None]
    return Cleanup(
        purpose=purpose,
        dry_run=dry_run,
        fates=deletions,
        freed_bytes=sum(freed(inventory, left) for inventory in inventories),
        notes=tuple(f"{one.registry.name}: {one.partial}" for one in inventories if one.partial),
        removed_repositories=tuple(emptied),
        errors=tuple(errors),
    )


def _after(verdict: Verdict, removed: Removed | None) -> Verdict:
    """The verdict as it came out: what could not be deleted stays."""
    return replace(verdict, goes=False) if removed is not None and not removed.is_gone else verdict


def _empty_repositories(
    verdicts: tuple[Verdict, ...],
    removed: Mapping[tuple[str, str, str], Removed],
    drivers: Mapping[str, Driver],
) -> list[str]:
    """Delete the repositories of which all went, where the service can."""
    went = {verdict.key[:2] for verdict in verdicts if verdict.goes}
    stays = {verdict.key[:2] for verdict in verdicts if not verdict.goes}
    stays |= {key[:2] for key, one in removed.items() if not one.is_gone}
    found = []
    for name, repository in sorted(went - stays):
        try:
            if drivers[name].delete_repository(repository):
                found.append(f"{name}: {repository}")
        except RegistryError:
            # It is empty: the images, which were what counted, are gone.
            continue
    return found


def _deletion(
    verdict: Verdict,
    removed: Removed | None,
    registries: Mapping[str, Registry],
    drivers: Mapping[str, Driver],
) -> Deletion:
    name, repository, digest = verdict.key
    state: State = "would be deleted" if verdict.goes else "kept"
    reason = verdict.reason
    if removed is not None:
        state, reason = removed.state, removed.reason or verdict.reason
    return Deletion(
        registry=name,
        reference=f"{registries[name].host}/{repository}@{digest}",
        tags=verdict.image.tags,
        bytes=verdict.image.size,
        moment=verdict.image.moment,
        state=state,
        reason=reason,
        by_hand=drivers[name].by_hand(repository, digest),
    )


_MOST_TAGS = 3
_RIGHT = frozenset({"REPOSITORIES", "IMAGES", "SIZE", "AGE"})


def setup_parts(report: SetupReport) -> list[str | Table]:
    """What was created and found, and what to do about what is wrong."""
    rows = tuple(
        (one.registry.name, finding.what, finding.state, finding.detail)
        for one in report.registries
        for finding in one.findings
    )
    wrong = [
        f"{one.registry.name}: {finding.what}: {finding.solution}"
        for one in report.registries
        for finding in one.findings
        if finding.state == "wrong"
    ]
    headings = ("REGISTRY", "WHAT", "STATE", "FOUND")
    parts: list[str | Table] = [Table(headings=headings, rows=rows)] if rows else []
    return [*parts, *(f"what to do: {line}" for line in wrong)]


def standing_parts(report: RegistryStatusReport, *, now: dt.datetime) -> list[str | Table]:
    """One row for each registry."""
    headings = ("REGISTRY", "CLASS", "DRIVER", "ANSWERS", "LOGIN", "REPOSITORIES", "IMAGES", "SIZE", "AGE")
    rows = tuple(_status_row(one, now) for one in report.registries)
    notes = [f"{one.name}: {one.note}" for one in report.registries if one.note]
    return [Table(headings=(*headings, "PRUNE WOULD TAKE"), rows=rows, right_aligned=_RIGHT), *notes]


def cleanup_parts(report: Cleanup, *, now: dt.datetime) -> list[str | Table]:
    """What goes and what stays, why, and what it comes to; after a teardown how the rest goes by hand."""
    kept = [deletion for deletion in report.fates if deletion.state == "kept"]
    gone = [deletion for deletion in report.fates if deletion.state != "kept"]
    headings = ("REGISTRY", "IMAGE", "TAGS", "SIZE", "AGE", "STATE", "WHY")
    rows = tuple(_deletion_row(deletion, now) for deletion in (*gone, *kept))
    parts: list[str | Table] = [Table(headings=headings, rows=rows, right_aligned=_RIGHT)] if rows else []
    parts += [*_summary(report, gone, kept), *report.notes]
    parts += [f"deleted the empty repository {name}" for name in report.removed_repositories]
    if report.purpose == "teardown" and kept:
        parts += ["", "what stays is removed by hand with:", *(f"  {deletion.by_hand}" for deletion in kept)]
    return parts


def _summary(report: Cleanup, gone: list[Deletion], kept: list[Deletion]) -> Iterator[str]:
    if report.errors and not report.fates:
        yield "nothing is known of what would go and what would stay"
        return
    freed = human_size(report.freed_bytes)
    count = f"{len(gone)} to delete" if report.dry_run else f"{_done(gone)} of {len(gone)} deleted"
    yield f"{count}, {len(kept)} stay; {freed} {'would be' if report.dry_run else 'are'} freed"
    if report.dry_run and gone:
        yield "nothing was deleted: --yes deletes"
    if report.errors:
        yield "this is not all: what could not be read or deleted follows"


def _done(deletions: list[Deletion]) -> int:
    return sum(deletion.state in {"deleted", "gone already"} for deletion in deletions)


def _deletion_row(deletion: Deletion, now: dt.datetime) -> tuple[str, ...]:
    name, _, digest = deletion.reference.partition("@")
    return (
        deletion.registry,
        f"{name.partition('/')[2]}@{short(digest)}",
        _tags(deletion.tags),
        human_size(deletion.bytes),
        _age(deletion.moment, now),
        deletion.state,
        deletion.reason,
    )


def _tags(tags: tuple[str, ...]) -> str:
    """The first tags; those that are named after an image with its digest cut short."""
    shown = [
        tag.replace(digest[19:].replace(":", "-"), "…") if (digest := attached_to(tag)) else tag
        for tag in tags
    ]
    more = f" and {len(shown) - _MOST_TAGS} more" if len(shown) > _MOST_TAGS else ""
    return (", ".join(shown[:_MOST_TAGS]) or "-") + more


def _status_row(one: RegistryStatus, now: dt.datetime) -> tuple[str, ...]:
    states = {finding.what: finding for finding in one.findings}
    login = states.get("login")
    ages = [_age(one.oldest, now), _age(one.newest, now)]
    prune = "-"
    if one.prunable:
        prune = f"{one.prunable} ({human_size(one.prunable_bytes or 0)})"
    elif one.kind == "persistent":
        prune = "nothing, ever"
    elif one.prunable == 0:
        prune = "nothing"
    return (
        one.name,
        one.kind,
        one.driver,
        "no" if one.error else "yes",
        "?" if login is None else login.detail.partition(":")[0].replace("one is there", "yes"),
        _number(one.repositories),
        _number(one.images),
        "?" if one.bytes is None else human_size(one.bytes),
        " to ".join(dict.fromkeys(ages)),
        prune,
    )


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)


def _age(moment: dt.datetime | None, now: dt.datetime) -> str:
    """An age in whole days, or in hours on the first; ``?`` where it is not known."""
    if moment is None:
        return "?"
    seconds = max(0.0, (now - moment).total_seconds())
    return f"{seconds / 3600:.0f} h" if seconds < 86400 else f"{seconds / 86400:.0f} d"  # noqa: PLR2004
