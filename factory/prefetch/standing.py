"""What is in the artifact folder, byte by byte against what the lock names."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from factory.console import Progress
from factory.files import is_temporary
from factory.http.parallel import in_parallel
from factory.lock.prefetched import digest_of
from factory.prefetch.wanted import Wanted
from factory.tree import Entry, Tree


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What was found, by file name.

    right: the wanted artifacts that are there, and the files that they are, as they were when they were read.
    wrong: files that have a wanted artifact's name, and other bytes.
    superseded: files of an earlier prefetch into this folder that the lock names no more.
    extra: everything else: links, folders and devices, whatever their names.
    not_files: what each of ``extra`` is that is no regular file, in words.
    """

    right: Mapping[Wanted, Entry]
    wrong: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    not_files: Mapping[str, str] = field(default_factory=dict)

    def is_complete(self, wanted: Iterable[Wanted]) -> bool:
        """Whether the folder is what the lock says: every wanted artifact, and nothing else."""
        return set(wanted) == set(self.right) and not (self.wrong or self.superseded or self.extra)


def look(
    artifacts: Tree, wanted: Iterable[Wanted], *, earlier: Mapping[str, str], progress: Progress
) -> Standing:
    """Hash every file in the folder, one thread for each processor. No link is followed.

    Args:
        artifacts: the artifact folder.
        wanted: what the lock names.
        earlier: file name to SHA-256 of what an earlier prefetch put there, by its bill.
        progress: told of the bytes to read and read.

    Raises:
        StorageError: a file cannot be read.
    """
    entries = [entry for entry in artifacts.entries() if not _is_temporary(entry)]
    # hashlib lets other threads run; the largest first, so that no processor is left alone with it.
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
    standing = _sort([entry.path for entry in entries], read_files, tuple(wanted), earlier)
    return replace(standing, not_files={entry.path: _kind(entry) for entry in entries if not entry.is_file})


def is_unchanged(entry: Entry, now: os.stat_result | None) -> bool:
    """Return whether a path has the file that was read, with the bytes that it had then."""
    before = entry.status
    return (
        now is not None
        and os.path.samestat(before, now)
        and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    )


def leftovers(artifacts: Tree) -> list[str]:
    """Return the names of files that an interrupted run left.

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
    wanted: tuple[Wanted, ...],
    earlier: Mapping[str, str],
) -> Standing:
    by_digest: dict[str, list[Wanted]] = {}
    for artifact in wanted:
        by_digest.setdefault(artifact.sha256, []).append(artifact)
    locked = {artifact.file_name for artifact in wanted}
    right: dict[Wanted, Entry] = {}
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
    return Standing(right=right, wrong=tuple(wrong), superseded=tuple(superseded), extra=tuple(extra))
