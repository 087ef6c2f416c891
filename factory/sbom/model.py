"""What an SBOM lists, in no format: packages, where each is from, its files, its licences."""

from dataclasses import dataclass

from packageurl import PackageURL

from factory.sbom.document import TOOL
from factory.sbom.licences import Licence

# Without the version of the tool: equal locks make equal bytes whatever it is.
CONTENTS = f"{TOOL}:contents"
BASE_IMAGE = f"{TOOL}:base-image"
DOWNSTREAM_BASE_IMAGE = f"{TOOL}:downstream-base-image"
BESIDE_INDEX = f"{TOOL}:not-from-the-index"


@dataclass(frozen=True, kw_only=True, order=True)
class SbomFile:
    """A file that the lock names, and its SHA-256 in hex."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SbomPackage:
    """One pin of a lock. ``name`` is normalized (PEP 503).

    ``index_url`` is without credentials, and None for the public index. A package that is ``beside_index``
    came from a folder of wheels, and no index is said to have these files: None too. ``files`` are in the
    order of their names, ``licences`` in that of the files that declare them.
    """

    name: str
    version: str
    index_url: str | None
    beside_index: bool
    files: tuple[SbomFile, ...]
    licences: tuple[Licence, ...] = ()

    @property
    def purl(self) -> PackageURL:
        """The package URL (purl-spec, type ``pypi``): without qualifiers it is that of the public index.

        One from a folder of wheels has the ``checksum`` of each file: an index may have others under its name
        and version. There is no qualifier for "on no index", and another type than ``pypi`` would hide it
        from scanners.
        """
        qualifiers = {}
        if self.index_url is not None:
            qualifiers["repository_url"] = self.index_url
        if self.beside_index:
            qualifiers["checksum"] = ",".join(sorted(f"sha256:{file.sha256}" for file in self.files))
        return PackageURL(type="pypi", name=self.name, version=self.version, qualifiers=qualifiers)


@dataclass(frozen=True, kw_only=True)
class Sbom:
    """A flavor's packages by name, and the base images that they are added to."""

    flavor: str
    base_image: str
    downstream_base_image: str
    packages: tuple[SbomPackage, ...]
