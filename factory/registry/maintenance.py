"""The commands that keep registries: set up, show the status, prune and tear down."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from factory.clock import now
from factory.console import Progress, Report, Table, human_size, plural
from factory.errors import RegistryError
from factory.http.parallel import in_parallel
from factory.registry.declared import DriverName, Registry, RegistryClass
from factory.registry.drivers.driver import Driver, RegistryCheck
from factory.registry.inventory import Inventory, attached_to
from factory.registry.removal import Removed, remove
from factory.registry.retention import Key, Policy, Purpose, Verdict, decide, freed, short

Opener = Callable[[Registry], Driver]
DeletionState = Literal["kept", "would be deleted", "deleted", "gone already", "failed"]
_AT_ONCE = 4
_MAX_TAGS = 3
_RIGHT_ALIGNED = frozenset({"REPOSITORIES", "IMAGES", "SIZE", "AGE"})


@dataclass(frozen=True, kw_only=True)
class RegistrySetup:
    """What was created and found at one registry; ``error`` says why it could not be set up."""

    registry: Registry
    findings: tuple[RegistryCheck, ...] = ()
    error: RegistryError | None = None


@dataclass(frozen=True, kw_only=True)
class SetupReport(Report):
    """What was created and found, registry by registry."""

    dry_run: bool
    registries: tuple[RegistrySetup, ...]

    def failures(self) -> Iterable[RegistryError]:
        """Return why registries could not be set up."""
        return (one.error for one in self.registries if one.error is not None)

    def differs(self) -> bool:
        """Return whether something is wrong at a registry."""
        return any(finding.state == "wrong" for one in self.registries for finding in one.findings)

    def describe(self) -> Iterable[str | Table]:
        """Yield what was created and found, and the solutions for problems."""
        findings = [(one.registry.name, finding) for one in self.registries for finding in one.findings]
        if findings:
            yield Table(
                headings=("REGISTRY", "WHAT", "STATE", "FOUND"),
                rows=tuple((name, each.what, each.state, each.detail) for name, each in findings),
                yielding=frozenset({"WHAT", "FOUND"}),
            )
        for name, finding in findings:
            if finding.state == "wrong":
                yield f"what to do: {name}: {finding.what}: {finding.solution}"


def set_up(
    registries: Iterable[Registry], images: Mapping[str, Collection[str]], opener: Opener, *, dry_run: bool
) -> SetupReport:
    """Create what is missing and check what exists; repeated or parallel runs change nothing.

    Args:
        registries: The registries to set up.
        images: The names of the images that go into each, by the registry's name.
        opener: Returns the driver of a registry.
        dry_run: Only check.
    """
    chosen = tuple(registries)
    with _opened(chosen, opener) as (drivers, failed):
        done = (
            RegistrySetup(registry=registry, error=failed[registry.name])
            if registry.name in failed
            else _set_up(registry, images[registry.name], drivers[registry.name], dry_run=dry_run)
            for registry in chosen
        )
        return SetupReport(dry_run=dry_run, registries=tuple(done))


def _set_up(registry: Registry, images: Collection[str], driver: Driver, *, dry_run: bool) -> RegistrySetup:
    created: tuple[RegistryCheck, ...] = ()
    try:
        if not dry_run:
            created = driver.create(images)
        found = driver.check(images)
    except RegistryError as error:
        return RegistrySetup(registry=registry, findings=created, error=error)
    new = {finding.what for finding in created if finding.state == "created"}
    # What was created or tried just now is reported once.
    tried = {finding.what: finding for finding in created if finding.state != "created"}
    merged = tuple(
        replace(finding, state="created")
        if finding.what in new and finding.state == "ok"
        else tried.pop(finding.what, finding)
        for finding in found
    )
    return RegistrySetup(registry=registry, findings=(*merged, *tried.values()))


@dataclass(frozen=True, kw_only=True)
class RegistryStatus:
    """The status of one registry; the numbers are None if it could not be read.

    bytes: Counts what several images share once.
    prunable: How many manifests `prune` would delete; ``prunable_bytes`` is what that would free.
    """

    name: str
    url: str
    kind: RegistryClass
    driver: DriverName
    findings: tuple[RegistryCheck, ...] = ()
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
class RegistryStatusReport(Report):
    """The status of the registries that were asked for, in the order of ``factory.toml``."""

    registries: tuple[RegistryStatus, ...]

    def failures(self) -> Iterable[RegistryError]:
        """Return why registries could not be read."""
        return (one.error for one in self.registries if one.error is not None)

    def describe(self) -> Iterable[str | Table]:
        """Yield one row for each registry, and the parts that were not searched."""
        headings = (
            "REGISTRY",
            "CLASS",
            "DRIVER",
            "ANSWERS",
            "LOGIN",
            "REPOSITORIES",
            "IMAGES",
            "SIZE",
            "AGE",
        )
        rows = tuple(_status_row(one, now()) for one in self.registries)
        yield Table(headings=(*headings, "PRUNE WOULD TAKE"), rows=rows, right_aligned=_RIGHT_ALIGNED)
        yield from (f"{one.name}: {one.note}" for one in self.registries if one.note)


def collect_registry_status(
    registries: Mapping[str, Registry], names: Collection[str], policy: Policy, opener: Opener
) -> RegistryStatusReport:
    """Return the status of the named registries; nothing is changed.

    Args:
        registries: All registries of the repository, by name; those not named may hold children.
        names: The registries to report.
        policy: What the repository says of its images.
        opener: Returns the driver of a registry.
    """
    with _opened(registries.values(), opener) as (drivers, failed):
        inventories = _read_inventories(registries.values(), policy.images, drivers, failed)
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
    registry, error = inventory.registry, inventory.error
    findings: tuple[RegistryCheck, ...] = ()
    if driver is not None:
        try:
            findings = driver.check(policy.images if registry.driver == "oci" else ())
        except RegistryError as failure:
            error = error or failure
    status = RegistryStatus(
        name=registry.name,
        url=registry.url,
        kind=registry.kind,
        driver=registry.driver,
        findings=findings,
        note=inventory.partial,
        error=error,
    )
    if inventory.error is not None:
        return status
    own = [verdict for verdict in verdicts if verdict.key[0] == registry.name]
    moments = [image.moment for image in inventory.images if image.moment is not None]
    blobs = {digest: size for image in inventory.images for digest, size in image.blobs.items()}
    return replace(
        status,
        repositories=len(inventory.repositories),
        images=sum(image.labels is not None or not image.subjects for image in inventory.images),
        bytes=sum(blobs.values()),
        oldest=min(moments, default=None),
        newest=max(moments, default=None),
        prunable=sum(verdict.goes for verdict in own),
        prunable_bytes=freed(inventory, own),
    )


def _status_row(one: RegistryStatus, moment: dt.datetime) -> tuple[str, ...]:
    login = next((finding for finding in one.findings if finding.what == "login"), None)
    ages = [_age(one.oldest, moment), _age(one.newest, moment)]
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
        "?" if one.repositories is None else str(one.repositories),
        "?" if one.images is None else str(one.images),
        "?" if one.bytes is None else human_size(one.bytes),
        " to ".join(dict.fromkeys(ages)),
        prune,
    )


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What happened to one manifest, and why; ``by_hand`` is the command that deletes it regardless."""

    registry: str
    reference: str
    tags: tuple[str, ...]
    bytes: int
    moment: dt.datetime | None
    state: DeletionState
    reason: str
    by_hand: str


@dataclass(frozen=True, kw_only=True)
class Cleanup(Report):
    """What was deleted, or would be, and what stays.

    ``freed_bytes`` counts the blobs that no remaining manifest names; the registry's garbage collection frees
    them.
    """

    purpose: Purpose
    dry_run: bool
    fates: tuple[Deletion, ...]
    freed_bytes: int
    notes: tuple[str, ...]
    removed_repositories: tuple[str, ...] = ()
    errors: tuple[RegistryError, ...] = ()

    def failures(self) -> Iterable[RegistryError]:
        """Return why registries could not be read, or images not be deleted."""
        return self.errors

    def describe(self) -> Iterable[str | Table]:
        """Describe what is deleted and what stays, why, and how to delete the rest by hand."""
        kept = [deletion for deletion in self.fates if deletion.state == "kept"]
        going = [deletion for deletion in self.fates if deletion.state != "kept"]
        moment = now()
        if self.fates:
            yield Table(
                headings=("REGISTRY", "IMAGE", "TAGS", "SIZE", "AGE", "STATE", "WHY"),
                rows=tuple(_deletion_row(deletion, moment) for deletion in (*going, *kept)),
                right_aligned=_RIGHT_ALIGNED,
                yielding=frozenset({"WHY"}),
            )
        yield from self._summary(going, kept)
        yield from self.notes
        yield from (f"deleted the empty repository {name}" for name in self.removed_repositories)
        if self.purpose == "teardown" and kept:
            yield ""
            yield "what stays is removed by hand with:"
            yield from (f"  {deletion.by_hand}" for deletion in kept)

    def _summary(self, going: list[Deletion], kept: list[Deletion]) -> Iterator[str]:
        if self.errors and not self.fates:
            yield "nothing is known of what would be deleted and what would stay"
            return
        deleted = sum(deletion.state in {"deleted", "gone already"} for deletion in going)
        count = f"{len(going)} to delete" if self.dry_run else f"{deleted} of {len(going)} deleted"
        freeing = "would be" if self.dry_run else "are"
        if not going:
            count = "nothing to delete"
        stay = plural(len(kept), "stays", "stay")
        freed = f"; {human_size(self.freed_bytes)} {freeing} freed" if going else ""
        yield f"{count}, {stay}{freed}"
        if self.dry_run and going:
            yield "nothing was deleted: --yes deletes"
        if self.errors:
            yield "this is not all: what could not be read or deleted follows"


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
    """Prune or tear down the named registries; nothing is ever deleted from a persistent one.

    All registries are read, since an image of one may be the parent of an image of another.

    Args:
        purpose: "prune" or "teardown".
        registries: All registries of the repository, by name.
        names: Those to clean up; everything in the others stays.
        policy: What the repository says of its images.
        opener: Returns the driver of a registry.
        dry_run: Delete nothing, and report what would be deleted.
        progress: Advances with each deletion.
    """
    with _opened(registries.values(), opener) as (drivers, failed):
        inventories = _read_inventories(registries.values(), policy.images, drivers, failed)
        verdicts = decide(purpose, names, inventories, policy, registries=registries.values())
        persistent = [one for one in registries.values() if one.kind == "persistent"]
        removed = {} if dry_run else remove(verdicts, drivers, progress=progress, persistent=persistent)
        emptied: list[str] = []
        if purpose == "teardown" and not dry_run:
            emptied = _delete_empty_repositories(verdicts, removed, drivers)
        deletions = tuple(
            _deletion(verdict, removed.get(verdict.key), registries, drivers) for verdict in verdicts
        )
    # What could not be deleted stays.
    actual = tuple(
        replace(verdict, goes=False)
        if (one := removed.get(verdict.key)) is not None and not one.is_gone
        else verdict
        for verdict in verdicts
    )
    errors = [inventory.error for inventory in inventories if inventory.error is not None]
    errors += [one.error for one in removed.values() if one.error is not None]
    return Cleanup(
        purpose=purpose,
        dry_run=dry_run,
        fates=deletions,
        freed_bytes=sum(freed(inventory, actual) for inventory in inventories),
        notes=tuple(f"{one.registry.name}: {one.partial}" for one in inventories if one.partial),
        removed_repositories=tuple(emptied),
        errors=tuple(errors),
    )


def _delete_empty_repositories(
    verdicts: tuple[Verdict, ...], removed: Mapping[Key, Removed], drivers: Mapping[str, Driver]
) -> list[str]:
    """Delete the repositories in which nothing is left, if the service can."""
    going = {verdict.key[:2] for verdict in verdicts if verdict.goes}
    staying = {verdict.key[:2] for verdict in verdicts if not verdict.goes}
    staying |= {key[:2] for key, one in removed.items() if not one.is_gone}
    found = []
    for name, repository in sorted(going - staying):
        try:
            if drivers[name].delete_repository(repository):
                found.append(f"{name}: {repository}")
        except RegistryError:
            # Its images, which are what counts, were deleted.
            continue
    return found


def _deletion(
    verdict: Verdict,
    removed: Removed | None,
    registries: Mapping[str, Registry],
    drivers: Mapping[str, Driver],
) -> Deletion:
    name, repository, digest = verdict.key
    state: DeletionState = "would be deleted" if verdict.goes else "kept"
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


def _deletion_row(deletion: Deletion, moment: dt.datetime) -> tuple[str, ...]:
    name, _, digest = deletion.reference.partition("@")
    return (
        deletion.registry,
        f"{name.partition('/')[2]}@{short(digest)}",
        _tags(deletion.tags),
        human_size(deletion.bytes),
        _age(deletion.moment, moment),
        deletion.state,
        deletion.reason,
    )


def _tags(tags: tuple[str, ...]) -> str:
    """Return the first tags; the digest in a tag of an attachment is shortened."""
    shown = [
        tag.replace(digest[19:].replace(":", "-"), "…") if (digest := attached_to(tag)) else tag
        for tag in tags
    ]
    more = f" and {len(shown) - _MAX_TAGS} more" if len(shown) > _MAX_TAGS else ""
    return (", ".join(shown[:_MAX_TAGS]) or "-") + more


def _age(moment: dt.datetime | None, today: dt.datetime) -> str:
    """Return an age in whole days, in hours on the first day; ``?`` if unknown."""
    if moment is None:
        return "?"
    seconds = max(0.0, (today - moment).total_seconds())
    return f"{seconds / 3600:.0f} h" if seconds < 86400 else f"{seconds / 86400:.0f} d"  # noqa: PLR2004


@contextmanager
def _opened(
    registries: Iterable[Registry], opener: Opener
) -> Iterator[tuple[dict[str, Driver], dict[str, RegistryError]]]:
    """Yield registries' drivers by name, and the errors of others; close them at the end."""
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


def _read_inventories(
    registries: Iterable[Registry],
    images: Collection[str],
    drivers: Mapping[str, Driver],
    failed: Mapping[str, RegistryError],
) -> tuple[Inventory, ...]:
    """Return what each registry holds, with the error of one that cannot be read.

    ``images`` are the names of the repository's images, for registries that cannot list their repositories.
    """

    def read(registry: Registry) -> Inventory:
        if registry.name in failed:
            return Inventory(registry=registry, error=failed[registry.name])
        driver = drivers[registry.name]
        try:
            repositories = driver.repositories(images)
            found = in_parallel(driver.images, repositories.names, jobs=_AT_ONCE)
        except RegistryError as error:
            return Inventory(registry=registry, error=error)
        return Inventory(
            registry=registry,
            repositories=repositories.names,
            images=tuple(image for several in found for image in several),
            partial=repositories.partial,
        )

    return tuple(in_parallel(read, registries, jobs=_AT_ONCE))
