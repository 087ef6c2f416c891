"""From a lock to an inventory: each locked file is found by its digest, and asked for its licence."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from factory.console import Progress, Silent
from factory.errors import SbomError
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.lock.lockfile import Artifact
from factory.lock.prefetched import PrefetchedFolder, open_prefetched
from factory.sbom.inventory import File, Inventory, Package
from factory.sbom.licences import declared_licences
from factory.sbom.wanted import LockedFlavor, Wanted, wanted_packages
from factory.sbom.wheels import Found, find_in_folders, find_in_prefetched

_SHOWN = 10
Known = Mapping[tuple[str, str, frozenset[str]], Package]
"""Packages that need not be looked at again, by name, version and the digests of their files."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where locked files are: in folders of wheels, and then on the indexes.

    With a ``prefetched`` folder they are there or in ``find_links``, and no index is asked.
    ``public_find_links`` serve flavors of the public index alone, as for `factory lock`.
    """

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()
    prefetched: Path | None = None

    @property
    def offline(self) -> bool:
        """Whether no index is asked."""
        return self.prefetched is not None

    def folders(self, spec: Spec) -> tuple[Path, ...]:
        """The folders that serve a flavor."""
        return self.find_links + (self.public_find_links if spec.index_url is None else ())


def take_inventory(
    flavor: LockedFlavor, sources: Sources, *, known: Known | None = None, progress: Progress | None = None
) -> Inventory:
    """What a flavor's lock adds to its base image.

    Args:
        flavor: a flavor with its lock.
        sources: where the files of the lock are.
        known: packages that are taken as they are where the lock still names the same files.
        progress: told of each file.

    Raises:
        SbomError: the lock does not say what it installs, or its files are not where they are looked for.
        IndexAccessError, IndexContentError, RedirectError: the index did not give what it should.
        StorageError: the file system refused.
    """
    spec = flavor.spec
    wanted = wanted_packages(flavor)
    earlier = {item.name: package for item in wanted if (package := _earlier(item, known or {})) is not None}
    new = [item for item in wanted if item.name not in earlier]
    found = _find(flavor.name, spec, new, sources, progress or Silent())
    return Inventory(
        flavor=flavor.name,
        base_image=spec.base_image,
        downstream_base_image=spec.downstream_base_image,
        packages=tuple(
            _of_lock(earlier[item.name], item, spec) if item.name in earlier else _package(item, spec, found)
            for item in wanted
        ),
    )


def known_packages(inventory: Inventory) -> Known:
    """The packages of an earlier inventory, as `take_inventory` takes them."""
    return {
        (package.name, package.version, frozenset(file.sha256 for file in package.files)): package
        for package in inventory.packages
    }


def _earlier(wanted: Wanted, known: Known) -> Package | None:
    """What is known of exactly these files; None where the lock calls one of them otherwise."""
    package = known.get((wanted.name, wanted.version, wanted.sha256s))
    if package is None or not wanted.named <= {(file.name, file.sha256) for file in package.files}:
        return None
    return package


def _of_lock(package: Package, wanted: Wanted, spec: Spec) -> Package:
    """A package that is known, from where the lock has it now."""
    return replace(package, index_url=wanted.index_url(spec), beside_index=wanted.beside_index)


def _find(
    flavor: str, spec: Spec, wanted: Sequence[Wanted], sources: Sources, progress: Progress
) -> dict[Artifact, Found]:
    """Every file of the packages, wherever it is."""
    asked = [(item, artifact) for item in wanted for artifact in item.artifacts]
    progress.extend(len(asked))
    folders = sources.folders(spec)

    with _opened(sources.prefetched) as prefetched:

        def look(pair: tuple[Wanted, Artifact]) -> Found | None:
            found = None if prefetched is None else find_in_prefetched(*pair, prefetched.artifacts)
            found = found or find_in_folders(*pair, folders)
            if found is not None:
                progress.advance(message=found.file_name)
            return found

        jobs = os.cpu_count() or 1
        local = in_parallel(look, asked, jobs=jobs) if folders or prefetched else [None] * len(asked)
    found = {pair[1]: one for pair, one in zip(asked, local, strict=True) if one is not None}
    absent = [pair for pair in asked if pair[1] not in found]
    on_indexes = [] if sources.offline else [pair for pair in absent if not pair[0].beside_index]
    if on_indexes:
        found |= _find_on_indexes(spec, on_indexes, progress)
    missing = [pair for pair in absent if pair[1] not in found]
    if missing:
        raise _not_there(flavor, missing, sources)
    return found


@contextmanager
def _opened(prefetched: Path | None) -> Iterator[PrefetchedFolder | None]:
    if prefetched is None:
        yield None
    else:
        with open_prefetched(prefetched) as folder:
            yield folder


def _find_on_indexes(
    spec: Spec, asked: Sequence[tuple[Wanted, Artifact]], progress: Progress
) -> dict[Artifact, Found]:
    # Imported when an index is asked: httpx and the page parser take half a second.
    from factory.lock.clients import CONNECTIONS, open_clients  # noqa: PLC0415
    from factory.lock.pages import PinnedPages  # noqa: PLC0415
    from factory.sbom.indexes import find_on_page  # noqa: PLC0415

    with open_clients() as clients:
        pages = PinnedPages(clients)
        pages.read((spec, item.index, item.name, item.version) for item, _ in asked)

        def ask(pair: tuple[Wanted, Artifact]) -> Found | None:
            found = find_on_page(*pair, pages.of(spec, pair[0].index, pair[0].name))
            progress.advance(message=pair[0].name)
            return found

        answers = in_parallel(ask, asked, jobs=CONNECTIONS)
    return {pair[1]: found for pair, found in zip(asked, answers, strict=True) if found is not None}


def _package(wanted: Wanted, spec: Spec, found: Mapping[Artifact, Found]) -> Package:
    files = sorted(
        (File(name=found[artifact].file_name, sha256=artifact.sha256), found[artifact].metadata)
        for artifact in wanted.artifacts
    )
    licences = (
        licence
        for _, metadata in files
        for licence in (declared_licences(metadata) if metadata is not None else ())
    )
    return Package(
        name=wanted.name,
        version=wanted.version,
        index_url=wanted.index_url(spec),
        beside_index=wanted.beside_index,
        files=tuple(file for file, _ in files),
        licences=tuple(dict.fromkeys(licences)),
    )


def _not_there(flavor: str, missing: Sequence[tuple[Wanted, Artifact]], sources: Sources) -> SbomError:
    names = [artifact.file_name or f"{item.name}=={item.version}" for item, artifact in missing]
    lines = "".join(f"\n  - {name}" for name in names[:_SHOWN])
    more = f"\n  and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    if sources.offline:
        where, solution = "in the prefetched folder", f"Prefetch again: `factory prefetch {flavor}`."
    else:
        where = "on the index that the spec gives it, nor in a folder of wheels"
        solution = (
            "Name the folder that has it with --find-links, or all of the lock's wheels with --prefetched; "
            f"where the index has other files now, lock again: `factory lock {flavor}`."
        )
    return SbomError(
        f"the lock of {flavor} names what is not {where}, by the digest that it has there:{lines}{more}",
        solution=solution,
    )
