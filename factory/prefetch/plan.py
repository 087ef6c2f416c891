"""Plan a prefetch: what the folder has, what local folders have, and what the index has."""

import os
import shutil
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from factory.console import Progress
from factory.errors import IndexAccessError
from factory.files import is_temporary, open_regular, storage_error, temporary_sibling
from factory.flavor.repository import Flavor
from factory.http.parallel import in_parallel
from factory.index.cache import MetadataCache
from factory.index.client import IndexClient, RetryPolicy, client_for
from factory.index.pages import IndexFile
from factory.lock.prefetched import digest_of
from factory.prefetch.artifacts import LockedArtifact, PrefetchProblem, prefetch_error, wrong_identity
from factory.prefetch.layout import FILE_MODE
from factory.tree import Entry, Tree


@dataclass(frozen=True, kw_only=True)
class FolderStatus:
    """The content of a folder, by file name.

    right: the wanted artifacts, with the state of their files when they were read.
    wrong: files that have a wanted artifact's name, and other bytes.
    superseded: files of an earlier prefetch into this folder that the lock no longer names.
    extra: everything else: links, folders and devices, whatever their names.
    not_files: a description of each of ``extra`` that is not a regular file.
    """

    right: Mapping[LockedArtifact, Entry]
    wrong: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    not_files: Mapping[str, str] = field(default_factory=dict)

    def is_complete(self, wanted: Iterable[LockedArtifact]) -> bool:
        """Return whether the folder has every wanted artifact, and nothing else."""
        return set(wanted) == set(self.right) and not (self.wrong or self.superseded or self.extra)


def read_status(
    artifacts: Tree, wanted: Iterable[LockedArtifact], *, earlier: Mapping[str, str], progress: Progress
) -> FolderStatus:
    """Hash every file in the folder, one thread for each processor. No link is followed.

    Args:
        artifacts: the artifact folder.
        wanted: what the lock names.
        earlier: file name to SHA-256 of what an earlier prefetch put there, by its SBOM.
        progress: advanced with the bytes read.

    Raises:
        StorageError: a file cannot be read.
    """
    entries = [entry for entry in artifacts.entries() if not _is_temporary(entry)]
    # hashlib releases the GIL; the largest first, so that no processor ends alone with it.
    plain = sorted(
        (entry for entry in entries if entry.is_file), key=lambda entry: entry.status.st_size, reverse=True
    )
    progress.extend(sum(entry.status.st_size for entry in plain))

    def read(entry: Entry) -> tuple[str, tuple[Entry, str]]:
        with artifacts.open(entry.path) as file:
            found = Entry(path=entry.path, status=os.fstat(file.fileno()))
            digest = digest_of(file, artifacts.root / entry.path)
        progress.advance(entry.status.st_size, message=entry.path)
        return entry.path, (found, digest)

    read_files = dict(in_parallel(read, plain, jobs=os.cpu_count() or 1))
    status = _sort([entry.path for entry in entries], read_files, tuple(wanted), earlier)
    return replace(status, not_files={entry.path: _kind(entry) for entry in entries if not entry.is_file})


def is_unchanged(entry: Entry, now: os.stat_result | None) -> bool:
    """Return whether a path still has the file that was read, unchanged."""
    before = entry.status
    return (
        now is not None
        and os.path.samestat(before, now)
        and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    )


def leftovers(artifacts: Tree) -> list[str]:
    """Return the names of partial files that an interrupted run left.

    Raises:
        StorageError: the folder cannot be read.
    """
    return [entry.path for entry in artifacts.entries() if _is_temporary(entry)]


def _is_temporary(entry: Entry) -> bool:
    return not entry.is_folder and is_temporary(Path(entry.path))


def _kind(entry: Entry) -> str:
    if entry.is_link:
        return "a symbolic link"
    return "a folder" if entry.is_folder else "no regular file"


def _sort(
    names: list[str],
    read_files: Mapping[str, tuple[Entry, str]],
    wanted: tuple[LockedArtifact, ...],
    earlier: Mapping[str, str],
) -> FolderStatus:
    by_digest: dict[str, list[LockedArtifact]] = {}
    for artifact in wanted:
        by_digest.setdefault(artifact.sha256, []).append(artifact)
    locked = {artifact.file_name for artifact in wanted}
    right: dict[LockedArtifact, Entry] = {}
    wrong, superseded, extra = [], [], []
    for name in names:
        entry, digest = read_files.get(name, (None, None))
        matching = [
            artifact
            for artifact in by_digest.get(digest or "", [])
            if artifact not in right and artifact.may_be_called(name)
        ]
        if matching and entry is not None:
            right[matching[0]] = entry
        elif digest is not None and name in locked:
            wrong.append(name)
        elif digest is not None and earlier.get(name) == digest:
            superseded.append(name)
        else:
            extra.append(name)
    return FolderStatus(right=right, wrong=tuple(wrong), superseded=tuple(superseded), extra=tuple(extra))


@dataclass(frozen=True, kw_only=True)
class LocatedArtifact:
    """A wanted artifact, its file name and URL, and its size in bytes if the index has it."""

    wanted: LockedArtifact
    file_name: str
    url: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """How to fetch artifacts: folders to use before the index, parallel requests, read timeout.

    ``public_find_links`` serve flavors without an index URL, ``find_links`` all of them.
    """

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()
    jobs: int = 8
    timeout_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class PrefetchPlan:
    """What the folder has, what a local folder has, and what the index has of the rest."""

    status: FolderStatus
    local: Mapping[LockedArtifact, Path]
    located: tuple[LocatedArtifact, ...]

    @property
    def file_names(self) -> dict[LockedArtifact, str]:
        """Return each artifact's file name in the folder after the plan."""
        return (
            {artifact: entry.path for artifact, entry in self.status.right.items()}
            | {artifact: path.name for artifact, path in self.local.items()}
            | {one.wanted: one.file_name for one in self.located}
        )


def make_plan(
    flavor: Flavor,
    wanted: tuple[LockedArtifact, ...],
    status: FolderStatus,
    fetching: Fetching,
    *,
    folder: Path,
) -> PrefetchPlan:
    """Find missing artifacts in local folders, then on each artifact's own index.

    ``folder`` is the artifact folder, for messages.

    Raises:
        PrefetchError: everything that is wrong, in one message.
        IndexAccessError: the index refused, failed or did not answer.
    """
    problems = [
        PrefetchProblem(kind="extra", text=f"{folder / name} is {_why_extra(status, name)}")
        for name in status.extra
    ]
    missing = [artifact for artifact in wanted if artifact not in status.right]
    spec = flavor.project.spec
    public = fetching.public_find_links if spec.index_url is None else ()
    local = _find_all_locally(missing, fetching.find_links + public)
    absent = [artifact for artifact in missing if artifact not in local]
    located: list[LocatedArtifact] = []
    if absent:
        policy = RetryPolicy.with_timeout(fetching.timeout_seconds)
        for index, of_index in by_index(absent).items():
            with client_for(spec, index, connections=fetching.jobs, policy=policy) as client:
                found, not_found = locate(client, of_index, jobs=fetching.jobs)
            located += found
            problems += not_found
    plan = PrefetchPlan(status=status, local=local, located=tuple(located))
    problems += _clashes(plan)
    if problems:
        raise prefetch_error(flavor.name, problems)
    return plan


def _why_extra(status: FolderStatus, name: str) -> str:
    if (kind := status.not_files.get(name)) is not None:
        return f"{kind}: a prefetched folder holds the files themselves, whatever their names"
    return "not in the lock, and no prefetch of ours put it there"


def by_index(wanted: Iterable[LockedArtifact]) -> dict[str, list[LockedArtifact]]:
    """Group artifacts by the name of their index."""
    found: dict[str, list[LockedArtifact]] = {}
    for artifact in wanted:
        found.setdefault(artifact.index, []).append(artifact)
    return found


def _find_all_locally(
    missing: Sequence[LockedArtifact], folders: Sequence[Path]
) -> dict[LockedArtifact, Path]:
    if not folders:
        return {}
    found = in_parallel(lambda artifact: find_locally(artifact, folders), missing, jobs=os.cpu_count() or 1)
    return {artifact: path for artifact, path in zip(missing, found, strict=True) if path is not None}


def _clashes(plan: PrefetchPlan) -> list[PrefetchProblem]:
    counted = Counter(plan.file_names.values())
    return [
        PrefetchProblem(
            kind="lock", text=f"{name} is the name of {count} locked artifacts with different hashes"
        )
        for name, count in counted.items()
        if count > 1
    ]


_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def find_locally(wanted: LockedArtifact, folders: Sequence[Path]) -> Path | None:
    """Return the first file in the folders that is the artifact, by its name and bytes.

    Raises:
        StorageError: a file cannot be read.
    """
    for candidate in _candidates(wanted, folders):
        with _opened(candidate) as file:
            if digest_of(file, candidate) == wanted.sha256:
                return candidate
    return None


def take(
    source: Path, artifacts: Tree, wanted: LockedArtifact, *, cache: MetadataCache
) -> PrefetchProblem | None:
    """Link or copy a file, and give it its final name if it is the locked artifact.

    Returns:
        The problem of its bytes, which may have changed since it was found, or of the package.

    Raises:
        StorageError: the file system refused.
    """
    # A name that no download uses: a run that is killed here leaves a link to the source.
    by_way_of = temporary_sibling(artifacts.root / source.name).name
    try:
        with _opened(source) as file:
            if not _link(file, artifacts, by_way_of):
                with artifacts.create(by_way_of, mode=FILE_MODE) as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
        # Read under the temporary name: exactly the bytes that were read get the final name.
        with artifacts.open(by_way_of) as file:
            if digest_of(file, source) != wanted.sha256:
                return PrefetchProblem(kind="bytes", text=f"{source} changed while it was taken")
            wrong = wrong_identity(file, file_name=source.name, sha256=wanted.sha256, cache=cache)
            if wrong is not None:
                return wrong
            artifacts.rename(by_way_of, source.name)
            named = artifacts.status(source.name)
            if named is None or not os.path.samestat(named, os.fstat(file.fileno())):
                artifacts.remove(source.name)
                return PrefetchProblem(kind="bytes", text=f"{source} was exchanged while it was taken")
    except OSError as error:
        raise storage_error(artifacts.root / source.name, error) from error
    finally:
        artifacts.remove(by_way_of)
    return None


def _candidates(wanted: LockedArtifact, folders: Sequence[Path]) -> list[Path]:
    if wanted.file_name is not None:
        named = [folder / wanted.file_name for folder in folders]
    else:
        named = [
            path
            for folder in folders
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if wanted.may_be_called(path.name)
        ]
    return [path for path in named if path.is_file()]


def _opened(path: Path) -> BinaryIO:
    """Open a file of a folder that the user named, which may be a link."""
    try:
        return open_regular(path)
    except OSError as error:
        raise storage_error(path, error) from error


def _link(file: BinaryIO, artifacts: Tree, name: str) -> bool:
    """Make a hard link, unless the file's mode keeps a build, another user, from reading it."""
    if os.fstat(file.fileno()).st_mode & _READABLE_BY_ALL != _READABLE_BY_ALL:
        return False
    return artifacts.link(file, name)


def locate(
    client: IndexClient, wanted: Iterable[LockedArtifact], *, jobs: int
) -> tuple[list[LocatedArtifact], list[PrefetchProblem]]:
    """Find artifacts on the pages of their projects; say why each missing one is not found.

    The first page that the index refuses or fails to return stops the search: the others would wait as long
    for the same failure.
    """
    projects: dict[str, list[LockedArtifact]] = {}
    for artifact in wanted:
        projects.setdefault(artifact.name, []).append(artifact)
    refused: list[PrefetchProblem] = []

    def ask(name: str) -> tuple[list[LocatedArtifact], list[PrefetchProblem]]:
        if refused:
            return [], []
        try:
            files = client.project(
                name, keep=lambda file: any(artifact.may_be_called(file) for artifact in projects[name])
            )
        except IndexAccessError as error:
            refused.append(PrefetchProblem(kind="access", text=error.reason))
            return [], []
        return _match(projects[name], files, client.url)

    located: list[LocatedArtifact] = []
    problems: list[PrefetchProblem] = []
    for found, wrong in in_parallel(ask, projects, jobs=jobs, stop=client.stop):
        located += found
        problems += wrong
    # Pages that were requested at the same time fail for the same reason: report one.
    return located, problems + refused[:1]


def _match(
    wanted: list[LockedArtifact], files: tuple[IndexFile, ...] | None, index_url: str
) -> tuple[list[LocatedArtifact], list[PrefetchProblem]]:
    located: list[LocatedArtifact] = []
    problems: list[PrefetchProblem] = []
    digests = {artifact.sha256 for artifact in wanted}
    for artifact in wanted:
        if files is None:
            text = f"{artifact.label}: {index_url} has no project {artifact.name}"
            problems.append(PrefetchProblem(kind="gone", text=text))
            continue
        named = [file for file in files if artifact.may_be_called(file.file_name)]
        chosen = [file for file in named if file.sha256 == artifact.sha256] or [
            # If the page has no digest, take the file that the lock names; its bytes decide.
            file
            for file in named
            if file.sha256 is None and artifact.file_name is not None
        ]
        if chosen:
            file = chosen[0]
            located.append(
                LocatedArtifact(wanted=artifact, file_name=file.file_name, url=file.url, size=file.size)
            )
        else:
            problems.append(_absent(artifact, named, digests, index_url))
    return located, problems


def _absent(
    artifact: LockedArtifact, named: list[IndexFile], digests: Collection[str], index_url: str
) -> PrefetchProblem:
    """Return why no file of that name or version is the locked artifact with these ``digests``."""
    with_digest = [file for file in named if file.sha256 is not None]
    if with_digest and all(file.sha256 in digests for file in with_digest):
        text = (
            f"{artifact.label}: the lock has sha256:{artifact.sha256}, which no file on {index_url} has, and "
            "the hash of each that is there beside it: it was added to the lock"
        )
        return PrefetchProblem(kind="lock", text=text)
    repushed = [file for file in named if file.sha256 is not None]
    if repushed and (artifact.file_name is not None or len(repushed) == 1):
        text = (
            f"{repushed[0].file_name}: the index was pushed again: {index_url} has it now with "
            f"sha256:{repushed[0].sha256}, and the lock says sha256:{artifact.sha256}"
        )
        return PrefetchProblem(kind="re-pushed", text=text)
    if repushed:
        text = (
            f"{artifact.label}: none of its {len(repushed)} files on {index_url} has "
            f"sha256:{artifact.sha256}: it was added to the lock, or a file was pushed again"
        )
        return PrefetchProblem(kind="unknown", text=text)
    if named:
        text = f"{artifact.label}: {index_url} gives no digests, and the lock no file name"
        return PrefetchProblem(kind="gone", text=text)
    return PrefetchProblem(kind="gone", text=f"{artifact.label} is not on {index_url}")
