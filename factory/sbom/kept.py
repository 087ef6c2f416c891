"""The bill of materials of a flavor, kept current together with a new lock."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.lock.lockset import LockSet
from factory.render.drift import SBOM_FILE
from factory.transaction import Replacement


class Followed(Protocol):
    """What became of a flavor; ``followed`` names the files that changed together with its lock."""

    @property
    def flavor(self) -> str: ...
    @property
    def followed(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class BillKeeper:
    """Gives the bill that follows from a new lock, for a flavor that has one; folders as in `LockOptions`."""

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()

    def __call__(self, flavor: Flavor, project: Project, locks: LockSet) -> tuple[Replacement, ...]:
        """Return the change of the flavor's bill, nothing if it has none or that agrees with the lock.

        Raises:
            SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: it cannot be made.
        """
        if not os.path.lexists(flavor.folder / SBOM_FILE):
            return ()
        # Imported where there is one: its library is slow to start.
        from factory.sbom.collect import Sources  # noqa: PLC0415
        from factory.sbom.wanted import LockedFlavor  # noqa: PLC0415
        from factory.sbom.write import following_bill  # noqa: PLC0415

        sources = Sources(find_links=self.find_links, public_find_links=self.public_find_links)
        locked = LockedFlavor(name=flavor.name, spec=project.spec, locks=locks)
        return following_bill(flavor.folder, locked, sources)


def describe_followed(outcomes: Iterable[Followed]) -> tuple[str, ...]:
    """A line for each file that changed together with a lock."""
    return tuple(
        f"{item.flavor}: {name} is brought up to date" for item in outcomes for name in item.followed
    )
