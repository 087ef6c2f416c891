"""One bill of one flavor, in the format that was asked for."""

from collections.abc import Mapping
from typing import Literal

from factory.console import Progress
from factory.errors import SbomError
from factory.flavor.repository import Flavor
from factory.sbom.collect import Sources, take_inventory
from factory.sbom.committed import committed_bytes, parse_bill
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.differences import differences
from factory.sbom.document import created_at
from factory.sbom.wanted import read_locked

Form = Literal["cyclonedx", "spdx"]


def make_bill(
    flavor: Flavor,
    sources: Sources,
    *,
    form: Form,
    environment: Mapping[str, str],
    progress: Progress | None = None,
) -> bytes:
    """The bill of a flavor, every file of its lock looked at; ``environment`` may hold SOURCE_DATE_EPOCH.

    Raises:
        LockFileError, SbomError, IndexAccessError, IndexContentError, RedirectError, StorageError: as for
            `take_inventory`.
    """
    created = created_at(environment)
    inventory = take_inventory(read_locked(flavor), sources, progress=progress)
    if form == "cyclonedx":
        return to_cyclonedx(inventory)
    # Imported when asked for: the library takes most of a second to start.
    from factory.sbom.spdx import to_spdx  # noqa: PLC0415

    return to_spdx(inventory, created=created)


def standing_bill(flavor: Flavor) -> bytes | None:
    """The bill in the flavor's folder, which is also in its image; None where there is none.

    Raises:
        SbomError: it is not that of the flavor's lock, or does not stand as it was written.
        LockFileError, StorageError: as for `take_inventory`.
    """
    content = committed_bytes(flavor.folder)
    if content is None:
        return None
    found = differences(read_locked(flavor), parse_bill(content))
    if found:
        raise SbomError(
            f"the bill of materials of {flavor.name} is not that of its lock: {found[0]}",
            solution=f"Make it anew: `factory sbom {flavor.name} --write`.",
        )
    return content
