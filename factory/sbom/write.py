"""The bill of a flavor in its folder: made, and kept current with the lock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.console import Progress
from factory.errors import FactoryError, SbomError
from factory.files import exclusive, write_whole
from factory.flavor.repository import Flavor
from factory.render.drift import SBOM_FILE
from factory.sbom.collect import Known, Sources, known_packages, take_inventory
from factory.sbom.committed import committed_bytes, parse_bill
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.differences import differences
from factory.sbom.inventory import Inventory


@dataclass(frozen=True, kw_only=True)
class Written:
    """The bill of a flavor: where it stands, how much it lists, and whether it was written now."""

    flavor: str
    path: Path
    packages: int
    files: int
    written: bool


def write_bill(flavor: Flavor, sources: Sources, *, progress: Progress | None = None) -> Written:
    """Put the bill of a flavor into its folder, every file looked at afresh.

    Raises:
        BusyError: another run works on the flavor.
        LockFileError, SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: as for
            `take_inventory`; nothing was written.
    """
    with exclusive(flavor.folder):
        return _write(flavor, take_inventory(flavor, sources, progress=progress))


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
    """Put the bills of flavors into their folders, each for itself: one that fails stops no other."""
    written: list[Written] = []
    errors: dict[str, FactoryError] = {}
    for flavor in flavors:
        try:
            written.append(write_bill(flavor, sources, progress=progress))
        except FactoryError as error:
            errors[flavor.name] = error
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


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A flavor whose bill was brought up to date with its lock, or could not be."""

    flavor: str
    error: FactoryError | None = None


def keep_bills(flavors: Iterable[Flavor], sources: Sources) -> tuple[Kept, ...]:
    """Bring the bills of flavors up to date after their locks were written (`factory.sbom.kept.with_bill`).

    A bill that agrees with its lock is not touched and nothing is asked. Of one that does not, what it
    says of files that are still locked is kept, and only the new ones are looked at; one that does not
    stand as it was written vouches for nothing.

    Returns:
        The flavors whose bill was written, and those where that failed: their locks stay as they are.
    """
    kept = (_keep(Flavor(flavor.folder), sources) for flavor in flavors)
    return tuple(one for one in kept if one is not None)


def _keep(flavor: Flavor, sources: Sources) -> Kept | None:
    try:
        with exclusive(flavor.folder):
            known: Known = {}
            try:
                standing = parse_bill(committed_bytes(flavor.folder) or b"")
            except SbomError:
                pass
            else:
                if not differences(flavor, standing):
                    return None
                known = known_packages(standing)
            _write(flavor, take_inventory(flavor, sources, known=known))
    except FactoryError as error:
        return Kept(flavor=flavor.name, error=_not_kept(flavor.name, error))
    return Kept(flavor=flavor.name)


def _not_kept(flavor: str, error: FactoryError) -> FactoryError:
    """Why a bill is not what its lock is: of the same kind, since it needs the same mending."""
    return type(error)(
        f"the lock of {flavor} is written, and its {SBOM_FILE} could not follow: {error.reason}",
        solution=f"{error.solution} Then run `factory sbom {flavor} --write`.",
    )


def _write(flavor: Flavor, inventory: Inventory) -> Written:
    content = to_cyclonedx(inventory)
    differs = committed_bytes(flavor.folder) != content
    if differs:
        write_whole(flavor.folder / SBOM_FILE, content)
    return Written(
        flavor=flavor.name,
        path=flavor.folder / SBOM_FILE,
        packages=len(inventory.packages),
        files=sum(len(package.files) for package in inventory.packages),
        written=differs,
    )
