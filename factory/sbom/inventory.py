"""What an image adds to its base, in no format: packages, where each is from, its files, its licences."""

from dataclasses import dataclass

from packageurl import PackageURL

from factory.sbom.licences import Licence

TOOL = "universal-image-factory"
"""What made a bill; its version is left out, since equal locks give equal bytes whatever it is."""
CONTENTS = f"{TOOL}:contents"
BASE_IMAGE = f"{TOOL}:base-image"
DOWNSTREAM_BASE_IMAGE = f"{TOOL}:downstream-base-image"
BESIDE_INDEX = f"{TOOL}:not-from-the-index"


@dataclass(frozen=True, kw_only=True, order=True)
class File:
    """A file that the lock names, and its SHA-256 in hex."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Package:
    """One pin of a lock. ``name`` is normalized (PEP 503).

    ``index_url`` is without credentials, and None for the public index. A package that is
    ``beside_index`` came from a folder of wheels, and no index is said to have these files: None too.
    ``files`` stand by name, ``licences`` in the order of the files that tell them.
    """

    name: str
    version: str
    index_url: str | None
    beside_index: bool
    files: tuple[File, ...]
    licences: tuple[Licence, ...] = ()

    @property
    def purl(self) -> PackageURL:
        """Its package URL (purl-spec, type ``pypi``): without qualifiers it is the public index's.

        One from a folder of wheels has the ``checksum`` of each file, which no index's file of its name
        and version has to have. There is no qualifier for "on no index", and another type than ``pypi``
        would hide it from scanners.
        """
        qualifiers = {}
        if self.index_url is not None:
            qualifiers["repository_url"] = self.index_url
        if self.beside_index:
            qualifiers["checksum"] = ",".join(sorted(f"sha256:{file.sha256}" for file in self.files))
        return PackageURL(type="pypi", name=self.name, version=self.version, qualifiers=qualifiers)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """A flavor's packages by name, and the images that they are added to."""

    flavor: str
    base_image: str
    downstream_base_image: str
    packages: tuple[Package, ...]
