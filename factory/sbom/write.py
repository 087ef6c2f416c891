"""Make a flavor's SBOM in a format, write it into its folder, and keep it current."""

import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from factory.console import Progress, Report, plural
from factory.errors import FactoryError, SbomError
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.lock.lockset import LockSet
from factory.render.drift import SBOM_FILE
from factory.sbom.collect import Known, SbomSources, collect_sbom, known_packages
from factory.sbom.committed import parse_sbom, read_committed_bytes, sbom_differences
from factory.sbom.document import created_at
from factory.sbom.model import LockedFlavor, Sbom, read_locked
from factory.transaction import Replacement, open_transaction

SbomFormat = Literal["cyclonedx", "spdx"]


def make_sbom(
    flavor: Flavor,
    sources: SbomSources,
    *,
    form: SbomFormat,
    environment: Mapping[str, str],
    progress: Progress | None = None,
) -> bytes:
    """Return the SBOM of a flavor from every file of its lock; ``environment`` may have SOURCE_DATE_EPOCH.

    Raises:
        SbomError: SPDX was asked for, and its library is not installed.
        LockFileError, SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: as for
            `collect_sbom`.
    """
    if form == "spdx" and importlib.util.find_spec("spdx_tools") is None:
        raise SbomError(
            "an SBOM in SPDX is written with spdx-tools, and that is not installed",
            solution="Install it with `pip install 'universal-image-factory[spdx]'`, or leave out --format: "
            "CycloneDX needs nothing more.",
        )
    created = created_at(environment)
    sbom = collect_sbom(read_locked(flavor), sources, progress=progress)
    if form == "cyclonedx":
        return _cyclonedx(sbom)
    # An extra, and slow to start.
    from factory.sbom.spdx import to_spdx  # noqa: PLC0415

    return to_spdx(sbom, created=created)


def committed_sbom(flavor: Flavor) -> bytes | None:
    """Return the SBOM in the flavor's folder and its image; None if it has none.

    Raises:
        SbomError: it is not that of the flavor's lock, or not as it was written.
        LockFileError, StorageError: as for `collect_sbom`.
    """
    content = read_committed_bytes(flavor.folder)
    if content is None:
        return None
    found = sbom_differences(read_locked(flavor), parse_sbom(content))
    if found:
        raise SbomError(
            f"the bill of materials of {flavor.name} is not that of its lock: {found[0]}",
            solution=f"Write it again: `factory sbom {flavor.name} --write`.",
        )
    return content


@dataclass(frozen=True, kw_only=True)
class WrittenSbom:
    """The SBOM of a flavor: where it is, how much it lists, and whether it was written now."""

    flavor: str
    path: Path
    packages: int
    files: int
    written: bool


@dataclass(frozen=True, kw_only=True)
class SbomsReport(Report):
    """Every flavor of a run; ``errors`` by the flavors whose SBOM was left as it was."""

    flavors: tuple[WrittenSbom, ...]
    errors: Mapping[str, FactoryError]

    def failures(self) -> Iterable[FactoryError]:
        return self.errors.values()

    def describe(self) -> Iterator[str]:
        for one in self.flavors:
            state = "written" if one.written else "is current"
            size = f"{plural(one.packages, 'package')} in {plural(one.files, 'file')}"
            yield f"{one.flavor}: {SBOM_FILE} {state}, {size}"
        for name, error in self.errors.items():
            yield f"{name}: no SBOM was written ({type(error).__name__})"


def write_sboms(flavors: Iterable[Flavor], sources: SbomSources, *, progress: Progress) -> SbomsReport:
    """Write the SBOMs of flavors into their folders, from every file of their locks.

    One that cannot be made stops no other; the others are written together.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    chosen = tuple(flavors)
    written: list[WrittenSbom] = []
    changes: list[Replacement] = []
    errors: dict[str, FactoryError] = {}
    with open_transaction() as transaction:
        for flavor in sorted(chosen, key=lambda flavor: flavor.folder.resolve()):
            try:
                transaction.take(flavor.folder)
            except FactoryError as error:
                errors[flavor.name] = error
        for flavor in (one for one in chosen if one.name not in errors):
            try:
                sbom = collect_sbom(read_locked(flavor), sources, progress=progress)
                change = _change(flavor.folder, sbom)
            except FactoryError as error:
                errors[flavor.name] = error
            else:
                changes += change
                written.append(
                    WrittenSbom(
                        flavor=flavor.name,
                        path=flavor.folder / SBOM_FILE,
                        packages=len(sbom.packages),
                        files=sum(len(package.files) for package in sbom.packages),
                        written=bool(change),
                    )
                )
        transaction.commit(changes)
    return SbomsReport(flavors=tuple(written), errors=errors)


@dataclass(frozen=True, kw_only=True)
class SbomUpdater:
    """Returns the change of a flavor's SBOM that follows from a new lock; folders as in `LockOptions`."""

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()

    def __call__(self, flavor: Flavor, project: Project, locks: LockSet) -> tuple[Replacement, ...]:
        """Return the change, nothing if the flavor has no SBOM or that agrees with the lock.

        Of one that does not agree, what it says of files that are still locked is kept, and only the new ones
        are looked at; one that was edited vouches for nothing.

        Raises:
            SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: it cannot be made.
        """
        if not os.path.lexists(flavor.folder / SBOM_FILE):
            return ()
        sources = SbomSources(find_links=self.find_links, public_find_links=self.public_find_links)
        locked = LockedFlavor(name=flavor.name, spec=project.spec, locks=locks)
        try:
            return _updated(flavor.folder, locked, sources)
        except FactoryError as error:
            raise type(error)(
                f"the {SBOM_FILE} of {flavor.name} cannot follow its lock; nothing was written: "
                f"{error.reason}",
                solution=f"{error.solution} To go on without it, remove {SBOM_FILE}.",
            ) from error


def _updated(folder: Path, flavor: LockedFlavor, sources: SbomSources) -> tuple[Replacement, ...]:
    known: Known = {}
    try:
        before = parse_sbom(read_committed_bytes(folder) or b"")
    except SbomError:
        pass
    else:
        if not sbom_differences(flavor, before):
            return ()
        known = known_packages(before)
    return _change(folder, collect_sbom(flavor, sources, known=known))


def _change(folder: Path, sbom: Sbom) -> tuple[Replacement, ...]:
    before, content = read_committed_bytes(folder), _cyclonedx(sbom)
    if before == content:
        return ()
    return (Replacement(path=folder / SBOM_FILE, before=before, content=content),)


def _cyclonedx(sbom: Sbom) -> bytes:
    # Imported when one is written: its library is slow to start.
    from factory.sbom.cyclonedx import to_cyclonedx  # noqa: PLC0415

    return to_cyclonedx(sbom)


class FollowedOutcome(Protocol):
    """The result for one flavor; ``followed`` names the files that changed together with its lock."""

    @property
    def flavor(self) -> str: ...
    @property
    def followed(self) -> tuple[str, ...]: ...


def describe_followed(outcomes: Iterable[FollowedOutcome]) -> tuple[str, ...]:
    """Return a line for each file that changed together with a lock."""
    return tuple(
        f"{item.flavor}: {name} is brought up to date" for item in outcomes for name in item.followed
    )
