"""The bill of a flavor in its folder: made, and kept current with the lock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.console import Progress
from factory.errors import FactoryError, SbomError
from factory.flavor.repository import Flavor
from factory.render.drift import SBOM_FILE
from factory.sbom.collect import Known, Sources, known_packages, take_inventory
from factory.sbom.committed import committed_bytes, parse_bill
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.differences import differences
from factory.sbom.inventory import Inventory
from factory.sbom.wanted import LockedFlavor, read_locked
from factory.transaction import Replacement, open_transaction


@dataclass(frozen=True, kw_only=True)
class Written:
    """The bill of a flavor: where it stands, how much it lists, and whether it was written now."""

    flavor: str
    path: Path
    packages: int
    files: int
    written: bool


@dataclass(frozen=True, kw_only=True)
class BillsReport:
    """Every flavor of a run; ``errors`` by the flavors whose bill was left as it was."""

    flavors: tuple[Written, ...]
    errors: Mapping[str, FactoryError]

    @property
    def exit_code(self) -> int:
        """0, or that of the first error."""
        return next((error.exit_code for error in self.errors.values()), 0)


def write_bills(flavors: Iterable[Flavor], sources: Sources, *, progress: Progress) -> BillsReport:
    """Put the bills of flavors into their folders, every file looked at afresh.

    One that cannot be made stops no other; the others are written together.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    chosen = tuple(flavors)
    written: list[Written] = []
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
                inventory = take_inventory(read_locked(flavor), sources, progress=progress)
                change = _change(flavor.folder, inventory)
            except FactoryError as error:
                errors[flavor.name] = error
            else:
                changes += change
                written.append(_written(flavor, inventory, written=bool(change)))
        transaction.commit(changes)
    return BillsReport(flavors=tuple(written), errors=errors)


def describe_bills(report: BillsReport) -> tuple[str, ...]:
    """The report in lines: what became of the bill of each flavor."""
    return (
        *(
            f"{one.flavor}: {SBOM_FILE} {'written' if one.written else 'is current'}, "
            f"{one.packages} packages in {one.files} files"
            for one in report.flavors
        ),
        *(f"{name}: no bill was written ({type(error).__name__})" for name, error in report.errors.items()),
    )


def following_bill(folder: Path, flavor: LockedFlavor, sources: Sources) -> tuple[Replacement, ...]:
    """Return the change that a new lock asks of the bill in a flavor's folder, nothing if it agrees.

    Of one that does not agree, what it says of files that are still locked is kept, and only the new ones
    are looked at; one that was edited vouches for nothing.

    Raises:
        SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: as for `take_inventory`.
    """
    known: Known = {}
    try:
        try:
            before = parse_bill(committed_bytes(folder) or b"")
        except SbomError:
            pass
        else:
            if not differences(flavor, before):
                return ()
            known = known_packages(before)
        return _change(folder, take_inventory(flavor, sources, known=known))
    except FactoryError as error:
        raise type(error)(
            f"the {SBOM_FILE} of {flavor.name} cannot follow its lock; nothing was written: {error.reason}",
            solution=f"{error.solution} To go on without it, remove {SBOM_FILE}.",
        ) from error


def _change(folder: Path, inventory: Inventory) -> tuple[Replacement, ...]:
    before, content = committed_bytes(folder), to_cyclonedx(inventory)
    return (
        () if before == content else (Replacement(path=folder / SBOM_FILE, before=before, content=content),)
    )


def _written(flavor: Flavor, inventory: Inventory, *, written: bool) -> Written:
    return Written(
        flavor=flavor.name,
        path=flavor.folder / SBOM_FILE,
        packages=len(inventory.packages),
        files=sum(len(package.files) for package in inventory.packages),
        written=written,
    )
