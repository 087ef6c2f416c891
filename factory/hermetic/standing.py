"""What stands in the artifact folder, byte by byte against what the lock names."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.console import Progress
from factory.files import is_temporary
from factory.hermetic.wanted import Wanted
from factory.index.parallel import in_parallel


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What was found.

    right: the wanted artifacts that are there, and the files that they are.
    wrong: files that have a wanted artifact's name, and other bytes.
    superseded: files of an earlier prefetch into this folder that the lock names no more.
    extra: everything else.
    """

    right: Mapping[Wanted, Path]
    wrong: tuple[Path, ...]
    superseded: tuple[Path, ...]
    extra: tuple[Path, ...]

    def is_complete(self, wanted: Iterable[Wanted]) -> bool:
        """Whether the folder is what the lock says: every wanted artifact, and nothing else."""
        return set(wanted) == set(self.right) and not (self.wrong or self.superseded or self.extra)


def look(
    folder: Path, wanted: Iterable[Wanted], *, earlier: Mapping[str, str], progress: Progress
) -> Standing:
    """Hash every file in the folder, one thread for each processor.

    Args:
        folder: the artifact folder; it need not be there.
        wanted: what the lock names.
        earlier: file name to SHA-256 of what an earlier prefetch put there, by its bill.
        progress: told of the bytes to read and read.
    """
    paths = [path for path in _entries(folder) if not is_temporary(path)]
    # hashlib lets other threads run; the largest first, so that no processor is left alone with it.
    plain = sorted(
        (path for path in paths if path.is_file() and not path.is_symlink()),
        key=lambda path: path.stat().st_size,
        reverse=True,
    )
    progress.extend(sum(path.stat().st_size for path in plain))
    digests = dict(
        zip(
            plain,
            in_parallel(lambda path: _digest(path, progress), plain, jobs=os.cpu_count() or 1),
            strict=True,
        )
    )
    return _sort(paths, digests, tuple(wanted), earlier)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path, progress: Progress) -> str:
    digest = file_digest(path)
    progress.advance(path.stat().st_size, message=path.name)
    return digest


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _sort(
    paths: list[Path], digests: Mapping[Path, str], wanted: tuple[Wanted, ...], earlier: Mapping[str, str]
) -> Standing:
    by_digest: dict[str, list[Wanted]] = {}
    for artifact in wanted:
        by_digest.setdefault(artifact.sha256, []).append(artifact)
    names = {artifact.file_name for artifact in wanted}
    right: dict[Wanted, Path] = {}
    wrong, superseded, extra = [], [], []
    for path in paths:
        digest = digests.get(path)
        matching = [
            artifact
            for artifact in by_digest.get(digest or "", [])
            if artifact not in right and artifact.may_be_called(path.name)
        ]
        if matching:
            right[matching[0]] = path
        elif digest is not None and path.name in names:
            wrong.append(path)
        elif digest is not None and earlier.get(path.name) == digest:
            superseded.append(path)
        else:
            extra.append(path)
    return Standing(right=right, wrong=tuple(wrong), superseded=tuple(superseded), extra=tuple(extra))
