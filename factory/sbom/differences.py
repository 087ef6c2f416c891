"""How a bill differs from the lock beside it, in words and without a network."""

from collections.abc import Iterator

from factory.flavor.spec import Spec
from factory.sbom.inventory import Inventory, Package
from factory.sbom.wanted import LockedFlavor, Wanted, wanted_packages


def differences(flavor: LockedFlavor, inventory: Inventory) -> tuple[str, ...]:
    """What a bill says otherwise than the flavor's lock and spec; empty where they agree.

    Licences are not compared: a lock has none.

    Raises:
        SbomError: as for `wanted_packages`.
    """
    return tuple(_differences(flavor, inventory))


def _differences(flavor: LockedFlavor, inventory: Inventory) -> Iterator[str]:
    spec = flavor.spec
    locked = {item.name: item for item in wanted_packages(flavor)}
    listed = {package.name: package for package in inventory.packages}
    if inventory.flavor != flavor.name:
        yield f"it is that of {inventory.flavor}"
    if inventory.base_image != spec.base_image:
        yield f"it names the base image {inventory.base_image}"
    if inventory.downstream_base_image != spec.downstream_base_image:
        yield f"it names the downstream base image {inventory.downstream_base_image}"
    for name in sorted(locked.keys() | listed.keys()):
        if name not in listed:
            yield f"{name} is locked and not listed"
        elif name not in locked:
            yield f"{name} is listed and not locked"
        elif (text := _of_package(locked[name], listed[name], spec)) is not None:
            yield text


def _of_package(locked: Wanted, listed: Package, spec: Spec) -> str | None:
    """The first thing that differs, which is the one that the others follow from."""
    if locked.version != listed.version:
        return f"{locked.name} is locked as {locked.version} and listed as {listed.version}"
    if locked.sha256s != {file.sha256 for file in listed.files}:
        return f"{locked.name} {locked.version} is locked with other hashes than it is listed with"
    if (locked.index_url(spec), locked.beside_index) != (listed.index_url, listed.beside_index):
        return f"{locked.name} is locked from another place than it is listed from"
    if not locked.named <= {(file.name, file.sha256) for file in listed.files}:
        return f"{locked.name} {locked.version} is locked with other file names than it is listed with"
    return None
