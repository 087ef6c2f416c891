"""Stub wheels for packages that an index lacks: empty wheels with the packages' requirements.

The requirements are read, in this order, from the nearest version on the package's own index, from the
flavor's current index if another one is examined, and from the public index if that is allowed. The public
index is never asked about a name that an index of the flavor's own has in any version, nor about one that the
spec assigns to an index of its own: a stranger may have published a package of that name.
"""

import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.errors import IndexAccessError, IndexContentError
from factory.flavor.project import Project
from factory.flavor.spec import MAIN_INDEX, Spec
from factory.index.client import IndexClient, client_for
from factory.index.metadata import Metadata
from factory.lock.package_finder import (
    Offer,
    PackageFinder,
    metadata_of,
    nearest_version,
    versions_with_wheels,
)
from factory.lock.resolution import package_of

_VERSION = "0+missing"
THE_INDEX = "the index"
PRESENT_INDEX = "the flavor's present index"
PUBLIC_INDEX = "the public index"


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What a missing package is assumed to require: as ``version`` on ``source`` does.

    ``version`` is None if that is unknown, or if its requirements led to a contradiction.
    """

    package: str
    version: str | None
    source: str | None


@dataclass(frozen=True, kw_only=True)
class _Stub:
    metadata: Metadata | None
    asked: frozenset[str]
    assumed: Assumed


@dataclass
class StubWheels:
    """The stub wheels of one search, in a folder of their own.

    ``present`` is the flavor's current spec, if ``spec`` names another index; ``public``: the public index's
    metadata may be read.
    """

    folder: Path
    spec: Spec
    finder: PackageFinder
    present: Spec
    public: bool = False
    _stubs: dict[str, _Stub] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)

    @property
    def assumed(self) -> tuple[Assumed, ...]:
        """Return the assumed requirements of each package."""
        return tuple(self._stubs[name].assumed for name in sorted(self._stubs))

    def put(self, requirement: Requirement, extras: Iterable[str]) -> None:
        """Make a stub for a missing package, with the extras that are required of it.

        Raises:
            IndexAccessError: an index did not answer, or refused.
        """
        name = canonicalize_name(requirement.name)
        try:
            metadata, assumed = self._would_be(name, requirement.specifier)
        except IndexContentError:
            # Skip invalid metadata here; installing the package reports the error.
            metadata, assumed = None, _assumed(name, None, None)
        self._write(name, _Stub(metadata=metadata, asked=frozenset(extras), assumed=assumed))

    def widen(self, name: str, extras: Iterable[str]) -> bool:
        """Add extras to a stub; return whether any was new and known to it."""
        stub = self._stubs[name]
        known = frozenset() if stub.metadata is None else stub.metadata.extras
        new = ({canonicalize_name(extra) for extra in extras} - stub.asked) & known
        if new:
            self._stubs[name] = replace(stub, asked=stub.asked | new)
        return bool(new)

    def loosen(self, names: Iterable[str]) -> bool:
        """Remove all requirements of stubs; return whether one of the names had any."""
        blamed = sorted({name for name in names if self.metadata(name) is not None})
        for name in blamed:
            stub = self._stubs[name]
            assumed = replace(stub.assumed, version=None, source=None)
            self._write(name, replace(stub, metadata=None, assumed=assumed))
        return bool(blamed)

    def metadata(self, name: str) -> Metadata | None:
        """Return what a stub says of the package that it replaces; None if it knows nothing."""
        return self._stubs[name].metadata if name in self._stubs else None

    def instead_of(self, project: Project) -> Project:
        """Return the project without its own lines on packages that have a stub."""
        return replace(
            project,
            overrides=tuple(line for line in project.overrides if package_of(line) not in self._stubs),
            constraints=tuple(line for line in project.constraints if package_of(line) not in self._stubs),
        )

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the overrides that install the stubs in place of every requirement on a package."""
        return tuple(
            f"{name}{_in_brackets(self._stubs[name].asked)} @ {self._paths[name].as_uri()}"
            for name in sorted(self._stubs)
        )

    def _write(self, name: str, stub: _Stub) -> None:
        # A requirement on a URL has no index; uv would refuse the whole wheel for it.
        known = stub.metadata
        requires = [] if known is None else [str(item) for item in known.requires if item.url is None]
        # A folder for each: uv caches by path, so a path must not get another wheel later.
        folder = self.folder / f"{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        self._paths[name] = _write_wheel(
            folder, name, requires=requires, extras=sorted(known.extras if known else ())
        )
        self._stubs[name] = stub

    def _would_be(self, name: str, wanted: SpecifierSet) -> tuple[Metadata | None, Assumed]:
        offers = self.finder.offers(name)
        if offers is not None:
            version = nearest_version(versions_with_wheels(offers), wanted)
            metadata = None if version is None else self.finder.metadata(name, str(version))
            return metadata, _assumed(name, metadata, THE_INDEX)
        if self._has_own_index(name):
            return None, _assumed(name, None, None)
        if self.present.index_url not in {self.spec.index_url, None}:
            try:
                metadata = self._read(client_for(self.present, MAIN_INDEX), name, wanted)
            except IndexAccessError:
                # The previous index may be unreachable. Then its packages are not known to be public.
                return None, _assumed(name, None, None)
            if metadata is not None:
                return metadata, _assumed(name, metadata, PRESENT_INDEX)
        if not self.public or self._is_own(name):
            return None, _assumed(name, None, None)
        metadata = self._read(IndexClient(None), name, wanted)
        return metadata, _assumed(name, metadata, PUBLIC_INDEX)

    def _has_own_index(self, name: str) -> bool:
        """Return whether the spec assigns a package to a further index, which alone is asked."""
        return any(spec.index_of(name) != MAIN_INDEX for spec in (self.spec, self.present))

    def _is_own(self, name: str) -> bool:
        """Return whether an index of the flavor's own has a project, or is the public index."""
        if self.spec.index_url is None:
            return True
        places = {
            url: (spec, index)
            for spec in (self.spec, self.present)
            for index in spec.index_names
            if (url := spec.url_of(index)) is not None
        }
        with ExitStack() as stack:
            clients = [stack.enter_context(client_for(spec, index)) for spec, index in places.values()]
            return any(client.project(name) is not None for client in clients)

    def _read(self, client: IndexClient, name: str, wanted: SpecifierSet) -> Metadata | None:
        """Return the metadata of the nearest version on an index; None if it has none."""
        with client:
            files = client.project(name) or ()
            offers = [Offer(file_name=file.file_name, yanked=file.yanked) for file in files]
            version = nearest_version(versions_with_wheels(offers), wanted)
            return None if version is None else metadata_of(client, files, str(version), self.spec)


def assumption_texts(assumed: Iterable[Assumed]) -> Mapping[str, str]:
    """Describe the assumed requirements of each package."""
    return {
        item.package: "what it requires itself is not known"
        if item.version is None
        else f"taken to require what {item.version} on {item.source} requires"
        for item in assumed
    }


def _write_wheel(folder: Path, package: str, *, requires: Iterable[str], extras: Iterable[str]) -> Path:
    """Write an empty wheel (PEP 427) with requirements, of a version that no index has."""
    stem = f"{package.replace('-', '_')}-{_VERSION}"
    metadata = [
        *("Metadata-Version: 2.1", f"Name: {package}", f"Version: {_VERSION}"),
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {requirement}" for requirement in requires),
    ]
    wheel = ("Wheel-Version: 1.0", "Generator: factory", "Root-Is-Purelib: true", "Tag: py3-none-any")
    names = [f"{stem}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")]
    contents = (metadata, wheel, [f"{name},," for name in names])
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in zip(names, contents, strict=True):
            archive.writestr(name, "".join(f"{line}\n" for line in lines))
    return path


def _assumed(name: str, metadata: Metadata | None, source: str | None) -> Assumed:
    version = None if metadata is None else metadata.version
    return Assumed(package=name, version=version, source=None if version is None else source)


def _in_brackets(extras: frozenset[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""
