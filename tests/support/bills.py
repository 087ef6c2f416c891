"""Bills of materials of flavors whose lock tells every file's name, made without a network."""

from factory.flavor.repository import Flavor
from factory.render.drift import SBOM_FILE
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.inventory import File, Inventory, Package
from factory.sbom.licences import Licence
from factory.sbom.wanted import read_locked, wanted_packages

MIT = Licence(text="MIT", is_expression=True)


def inventory_of(flavor: Flavor, *, licence: Licence = MIT) -> Inventory:
    """What the lock of a flavor says, each package under the same licence."""
    spec = flavor.project.spec
    return Inventory(
        flavor=flavor.name,
        base_image=spec.base_image,
        downstream_base_image=spec.downstream_base_image,
        packages=tuple(
            Package(
                name=wanted.name,
                version=wanted.version,
                index_url=wanted.index_url(spec),
                beside_index=wanted.beside_index,
                files=tuple(sorted(File(name=name, sha256=digest) for name, digest in wanted.named)),
                licences=(licence,),
            )
            for wanted in wanted_packages(read_locked(flavor))
        ),
    )


def put_bill(flavor: Flavor, inventory: Inventory | None = None) -> None:
    """Write a bill into a flavor's folder, that of its lock where none is given."""
    (flavor.folder / SBOM_FILE).write_bytes(to_cyclonedx(inventory or inventory_of(flavor)))
