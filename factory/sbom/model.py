"""What an SBOM lists, in no format, and what of a lock it is made from."""

from dataclasses import dataclass

from packageurl import PackageURL

from factory.errors import SbomError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.lock.judgement import is_file_of, require_sound_lock
from factory.lock.lockfile import Artifact
from factory.lock.lockset import LockSet
from factory.masking import shown
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


@dataclass(frozen=True, kw_only=True)
class LockedPackage:
    """A pinned package: the name of its index, and its files, whose names the lock need not have."""

    name: str
    version: str
    index: str
    beside_index: bool
    artifacts: tuple[Artifact, ...]

    @property
    def sha256s(self) -> frozenset[str]:
        """The digests of its files, in hex."""
        return frozenset(artifact.sha256 for artifact in self.artifacts)

    @property
    def named(self) -> frozenset[tuple[str, str]]:
        """The names and digests of those files whose names are in the lock."""
        return frozenset((item.file_name, item.sha256) for item in self.artifacts if item.file_name)

    def index_url(self, spec: Spec) -> str | None:
        """Return its index's URL without credentials; None for the public index, or without one."""
        url = None if self.beside_index else spec.url_of(self.index)
        return None if url is None else shown(url)

    def may_be_called(self, file_name: str) -> bool:
        """Return whether a file of that name can be one of this package's, by project and version."""
        return is_file_of(file_name, self.name, self.version)


@dataclass(frozen=True, kw_only=True)
class LockedFlavor:
    """A flavor with its lock, as they are or as they are going to be."""

    name: str
    spec: Spec
    locks: LockSet


def read_locked(flavor: Flavor) -> LockedFlavor:
    """Return a flavor as it is in its folder.

    Raises:
        LockFileError: there is no lock, or its files are not of one run.
        SbomError: check has an error about the lock.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    locks = require_sound_lock(flavor, error=SbomError)
    return LockedFlavor(name=flavor.name, spec=flavor.project.spec, locks=locks)


def packages_of(flavor: LockedFlavor) -> tuple[LockedPackage, ...]:
    """Return every package of the image that a lock pins, in all of its files, by name."""
    spec, locks = flavor.spec, flavor.locks
    return tuple(
        LockedPackage(
            name=pin.name,
            version=pin.version,
            index=spec.index_of(pin.name),
            beside_index=pin.name in locks.beside_index,
            artifacts=pin.artifacts,
        )
        for pin in sorted(locks.pins, key=lambda pin: pin.name)
        if pin.version is not None and not spec.for_build_alone(pin.name)
    )
