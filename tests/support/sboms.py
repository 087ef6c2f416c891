"""SBOMs of flavors whose lock has the name of every file, made without a network."""

from factory.flavor.repository import Flavor
from factory.render.drift import SBOM_FILE
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.licences import Licence
from factory.sbom.model import Sbom, SbomFile, SbomPackage, packages_of, read_locked

MIT = Licence(text="MIT", is_expression=True)


def sbom_of(flavor: Flavor, *, licence: Licence = MIT) -> Sbom:
    """Return what the lock of a flavor says, each package under the same licence."""
    spec = flavor.project.spec
    return Sbom(
        flavor=flavor.name,
        base_image=spec.base_image,
        downstream_base_image=spec.downstream_base_image,
        packages=tuple(
            SbomPackage(
                name=wanted.name,
                version=wanted.version,
                index_url=wanted.index_url(spec),
                beside_index=wanted.beside_index,
                files=tuple(sorted(SbomFile(name=name, sha256=digest) for name, digest in wanted.named)),
                licences=(licence,),
            )
            for wanted in packages_of(read_locked(flavor))
        ),
    )


def put_sbom(flavor: Flavor, sbom: Sbom | None = None) -> None:
    """Write an SBOM into a flavor's folder, that of its lock if none is given."""
    (flavor.folder / SBOM_FILE).write_bytes(to_cyclonedx(sbom or sbom_of(flavor)))
