"""Collect what an SBOM lists: find each locked file by its digest, and read its licences."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from factory.console import Progress, Silent
from factory.errors import SbomError
from factory.files import open_regular, storage_error
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.wheel import check_wheel
from factory.lock.lockfile import Artifact
from factory.lock.prefetched import digest_of, open_prefetched
from factory.sbom.licences import declared_licences
from factory.sbom.model import LockedFlavor, LockedPackage, Sbom, SbomFile, SbomPackage, packages_of
from factory.tree import Tree

_SHOWN = 10
Known = Mapping[tuple[str, str, frozenset[str]], SbomPackage]
"""Packages that need not be looked at again, by name, version and the digests of their files."""


@dataclass(frozen=True, kw_only=True)
class SbomSources:
    """Where locked files are: in folders of wheels, or else on the indexes.

    With a ``prefetched`` folder they are there or in ``find_links``, and no index is asked.
    ``public_find_links`` serve flavors of the public index alone, as for `factory lock`.
    """

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()
    prefetched: Path | None = None

    @property
    def offline(self) -> bool:
        """Return whether no index is asked."""
        return self.prefetched is not None

    def folders(self, spec: Spec) -> tuple[Path, ...]:
        """Return the folders that serve a flavor."""
        return self.find_links + (self.public_find_links if spec.index_url is None else ())


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A locked file: its name and its core metadata, None for an sdist."""

    file_name: str
    metadata: bytes | None


def collect_sbom(
    flavor: LockedFlavor,
    sources: SbomSources,
    *,
    known: Known | None = None,
    progress: Progress | None = None,
) -> Sbom:
    """Return what a flavor's lock adds to its base image.

    Args:
        flavor: a flavor with its lock.
        sources: where the files of the lock are.
        known: packages that are taken as they are if the lock still names the same files.
        progress: advanced with each file.

    Raises:
        SbomError: the lock does not say what it installs, or its files are not found.
        IndexAccessError, IndexContentError, RedirectError: the index did not return what it should.
        StorageError: the file system refused.
    """
    spec = flavor.spec
    wanted = packages_of(flavor)
    earlier = {item.name: package for item in wanted if (package := _earlier(item, known or {})) is not None}
    new = [item for item in wanted if item.name not in earlier]
    found = _find(flavor.name, spec, new, sources, progress or Silent())
    return Sbom(
        flavor=flavor.name,
        base_image=spec.base_image,
        downstream_base_image=spec.downstream_base_image,
        packages=tuple(
            _of_lock(earlier[item.name], item, spec) if item.name in earlier else _package(item, spec, found)
            for item in wanted
        ),
    )


def known_packages(sbom: Sbom) -> Known:
    """Return the packages of an earlier SBOM, as `collect_sbom` takes them."""
    return {
        (package.name, package.version, frozenset(file.sha256 for file in package.files)): package
        for package in sbom.packages
    }


def _earlier(wanted: LockedPackage, known: Known) -> SbomPackage | None:
    """Return the known package of exactly these files; None if the lock renames one of them."""
    package = known.get((wanted.name, wanted.version, wanted.sha256s))
    if package is None or not wanted.named <= {(file.name, file.sha256) for file in package.files}:
        return None
    return package


def _of_lock(package: SbomPackage, wanted: LockedPackage, spec: Spec) -> SbomPackage:
    """Return a known package from where the lock has it now."""
    return replace(package, index_url=wanted.index_url(spec), beside_index=wanted.beside_index)


def _find(
    flavor: str, spec: Spec, wanted: Sequence[LockedPackage], sources: SbomSources, progress: Progress
) -> dict[Artifact, FoundFile]:
    """Return every file of the packages, wherever it is."""
    asked = [(item, artifact) for item in wanted for artifact in item.artifacts]
    progress.extend(len(asked))
    folders = sources.folders(spec)

    with open_prefetched(sources.prefetched) if sources.prefetched else nullcontext() as prefetched:

        def look(pair: tuple[LockedPackage, Artifact]) -> FoundFile | None:
            found = None if prefetched is None else _find_in_prefetched(*pair, prefetched.artifacts)
            found = found or _find_in_folders(*pair, folders)
            if found is not None:
                progress.advance(message=found.file_name)
            return found

        jobs = os.cpu_count() or 1
        local = in_parallel(look, asked, jobs=jobs) if folders or prefetched else [None] * len(asked)
    found = {pair[1]: one for pair, one in zip(asked, local, strict=True) if one is not None}
    absent = [pair for pair in asked if pair[1] not in found]
    on_indexes = [] if sources.offline else [pair for pair in absent if not pair[0].beside_index]
    if on_indexes:
        # Imported when an index is asked: httpx and the page parser take half a second.
        from factory.sbom.indexes import find_on_indexes  # noqa: PLC0415

        found |= find_on_indexes(spec, on_indexes, progress)
    missing = [pair for pair in absent if pair[1] not in found]
    if missing:
        raise _not_there(flavor, missing, sources)
    return found


def _package(wanted: LockedPackage, spec: Spec, found: Mapping[Artifact, FoundFile]) -> SbomPackage:
    files = sorted(
        (SbomFile(name=found[artifact].file_name, sha256=artifact.sha256), found[artifact].metadata)
        for artifact in wanted.artifacts
    )
    licences = (
        licence
        for _, metadata in files
        for licence in (declared_licences(metadata) if metadata is not None else ())
    )
    return SbomPackage(
        name=wanted.name,
        version=wanted.version,
        index_url=wanted.index_url(spec),
        beside_index=wanted.beside_index,
        files=tuple(file for file, _ in files),
        licences=tuple(dict.fromkeys(licences)),
    )


def _not_there(
    flavor: str, missing: Sequence[tuple[LockedPackage, Artifact]], sources: SbomSources
) -> SbomError:
    names = [artifact.file_name or f"{item.name}=={item.version}" for item, artifact in missing]
    lines = "".join(f"\n  - {name}" for name in names[:_SHOWN])
    more = f"\n  and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    if sources.offline:
        where, solution = "in the prefetched folder", f"Prefetch again: `factory prefetch {flavor}`."
    else:
        where = "on the index of the spec, nor in a folder of wheels"
        solution = (
            "Name the folder that has it with --find-links, or all of the lock's wheels with --prefetched; "
            f"if the index has other files now, lock again: `factory lock {flavor}`."
        )
    return SbomError(
        f"the lock of {flavor} names files that are not {where}, by their digests:{lines}{more}",
        solution=solution,
    )


def _find_in_prefetched(wanted: LockedPackage, artifact: Artifact, artifacts: Tree) -> FoundFile | None:
    """Return a package's file in an open prefetched folder, by its bytes; None without one.

    Raises:
        SbomError, IndexContentError, StorageError: as for `_find_in_folders`; it is a link.
    """
    if artifact.file_name is not None:
        named = [artifact.file_name] if artifacts.status(artifact.file_name) is not None else []
    else:
        named = [entry.path for entry in artifacts.entries() if wanted.may_be_called(entry.path)]
    return _find_by_bytes(
        artifact, ((artifacts.root / name, partial(artifacts.open, name)) for name in named)
    )


def _find_in_folders(wanted: LockedPackage, artifact: Artifact, folders: Iterable[Path]) -> FoundFile | None:
    """Return a package's file in folders, by its bytes; None if none of them has it.

    Raises:
        SbomError: there is one of its name with other bytes.
        IndexContentError: it is not a valid wheel, or another package.
        StorageError: it cannot be read.
    """
    paths = _candidates(wanted, artifact, folders)
    return _find_by_bytes(artifact, ((path, partial(open_regular, path)) for path in paths))


def _find_by_bytes(
    artifact: Artifact, candidates: Iterable[tuple[Path, Callable[[], BinaryIO]]]
) -> FoundFile | None:
    wrong = []
    for path, opened in candidates:
        try:
            with opened() as file:
                digest = digest_of(file, path)
                if digest != artifact.sha256:
                    wrong.append(f"{path} has sha256:{digest}")
                elif path.name.endswith(".whl"):
                    # Of the same open file: what is read is what was hashed.
                    return FoundFile(file_name=path.name, metadata=check_wheel(file, of=path.name).metadata)
                else:
                    return FoundFile(file_name=path.name, metadata=None)
        except OSError as error:
            raise storage_error(path, error) from error
    if wrong and artifact.file_name is not None:
        raise SbomError(
            f"{wrong[0]}, and the lock says sha256:{artifact.sha256}",
            solution="Do not use that file until you know where it is from; prefetch it again.",
        )
    return None


def _candidates(wanted: LockedPackage, artifact: Artifact, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        given = folder.expanduser()
        if artifact.file_name is not None:
            paths = [given / artifact.file_name]
        else:
            named = sorted(given.iterdir()) if given.is_dir() else []
            paths = [path for path in named if wanted.may_be_called(path.name)]
        yield from (path for path in paths if path.is_file())
