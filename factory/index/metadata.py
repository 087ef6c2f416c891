"""What a package says of itself: core metadata, as METADATA in a wheel or a file beside it holds it."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from zlib import error as deflate_error

from packaging.metadata import InvalidMetadata, parse_email
from packaging.metadata import Metadata as CoreMetadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.errors import IndexContentError
from factory.index.file_names import project_of

_Result = TypeVar("_Result")
# The largest METADATA that is known is that of a package whose description is a handbook: 1 MB.
MOST_METADATA_BYTES = 16 << 20


class ReadableFile(Protocol):
    """What zipfile asks of a file: to be read from any place."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Let the next read begin elsewhere."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, all up to the end without a size."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The core metadata that a resolution needs: names are normalized (PEP 503), as are the extras.

    ``version`` is normalized too (PEP 440). ``requires_python`` is as it was written, which for some
    old packages is no specifier that PEP 440 knows.
    """

    name: str
    version: str
    requires: tuple[Requirement, ...]
    extras: frozenset[str]
    requires_python: str | None


def parse_metadata(content: bytes, *, of: str) -> Metadata:
    """Read core metadata (PEP 566 and its successors) of the file whose name is ``of``.

    Raises:
        IndexContentError: it cannot be read, or it names another package or version than the file.
    """
    check_identity(content, of=of)
    raw, _ = parse_email(content)
    given = CoreMetadata.from_raw(raw, validate=False)
    try:
        return Metadata(
            name=canonicalize_name(given.name),
            version=str(given.version),
            requires=tuple(given.requires_dist or ()),
            extras=frozenset(canonicalize_name(extra) for extra in given.provides_extra or ()),
            requires_python=raw.get("requires_python"),
        )
    except InvalidMetadata as error:
        raise _unreadable(of, error) from error


def check_identity(content: bytes, *, of: str) -> None:
    """That core metadata is that of the file whose name is ``of``; what else it says may be as it is.

    Raises:
        IndexContentError: it names no package, or another package or version than the file.
    """
    given = CoreMetadata.from_raw(parse_email(content)[0], validate=False)
    try:
        found = canonicalize_name(given.name), given.version
    except InvalidMetadata as error:
        raise _unreadable(of, error) from error
    if project_of(of) not in {None, found}:
        raise IndexContentError(
            f"{of} holds the metadata of {found[0]} {found[1]}, not that of its name",
            solution="Do not use that file until the owners of the index have said what it is.",
        )


def wheel_metadata(wheel: ReadableFile, *, of: str) -> bytes:
    """The METADATA of an open wheel (PEP 427), which may be one that is read over the network.

    Raises:
        IndexContentError: the file is no whole wheel: cut short, no zip, or without one METADATA.
    """
    with _read(lambda: zipfile.ZipFile(wheel), of) as archive:
        names = [name for name in archive.namelist() if _is_metadata(name)]
        if len(names) != 1:
            raise _not_whole(of, f"it holds {len(names)} METADATA files")
        if archive.getinfo(names[0]).file_size > MOST_METADATA_BYTES:
            raise _not_whole(of, "its METADATA is larger than any package's")
        return _read(lambda: archive.read(names[0]), of)


def _read(work: Callable[[], _Result], of: str) -> _Result:
    """What zipfile does with a file that is no whole zip, as one error."""
    try:
        return work()
    except (
        zipfile.BadZipFile,
        EOFError,
        deflate_error,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise _not_whole(of, str(error) or "it ends too early") from error


def _unreadable(of: str, error: InvalidMetadata) -> IndexContentError:
    return IndexContentError(
        f"the metadata of {of} cannot be read: {error}",
        solution="Ask the owners of the index to have the package built again.",
    )


def _not_whole(of: str, why: str) -> IndexContentError:
    return IndexContentError(
        f"{of} is no whole wheel: {why}",
        solution="Ask the owners of the index to push the file again; it may have been cut short.",
    )


def _is_metadata(name: str) -> bool:
    folder, _, file_name = name.partition("/")
    return folder.endswith(".dist-info") and file_name == "METADATA"
