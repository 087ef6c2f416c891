"""Parse core metadata of packages, from a wheel's METADATA or beside it, and file names."""

from dataclasses import dataclass

from packaging.metadata import Metadata as CoreMetadata
from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import (
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from factory.dockerfile.references import parse_requirement
from factory.errors import IndexContentError

# The largest known METADATA has a handbook for a description: 1 MB.
MOST_METADATA_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The core metadata that a resolution needs; names and extras are normalized (PEP 503).

    ``version`` is normalized too (PEP 440). ``requires_python`` is the original text, which for some
    old packages is not a specifier of PEP 440.
    """

    name: str
    version: str
    requires: tuple[Requirement, ...]
    extras: frozenset[str]
    requires_python: str | None


def parse_metadata(content: bytes, *, of: str) -> Metadata:
    """Read core metadata (PEP 566 and its successors) of the file whose name is ``of``.

    Raises:
        IndexContentError: It cannot be read, or it names another package or version than the file.
    """
    check_identity(content, of=of)
    try:
        raw, _ = parse_email(content)
        given = CoreMetadata.from_raw(raw, validate=False)
        return Metadata(
            name=canonicalize_name(given.name),
            version=str(given.version),
            requires=tuple(map(parse_requirement, raw.get("requires_dist") or ())),
            extras=frozenset(canonicalize_name(extra) for extra in given.provides_extra or ()),
            requires_python=raw.get("requires_python"),
        )
    except (ValueError, RecursionError) as error:
        raise _unreadable(of, error) from error


def check_identity(content: bytes, *, of: str) -> None:
    """Check that core metadata is that of the file ``of``; the rest of it does not matter.

    Raises:
        IndexContentError: It names no package, or another package or version than the file.
    """
    try:
        given = CoreMetadata.from_raw(parse_email(content)[0], validate=False)
        found = canonicalize_name(given.name), given.version
    except (ValueError, RecursionError) as error:
        raise _unreadable(of, error) from error
    if project_of(of) not in {None, found}:
        raise IndexContentError(
            f"{of} holds the metadata of {found[0]} {found[1]}, not that of its name",
            solution="Do not use that file until the owners of the index have said what it is.",
        )


def _unreadable(of: str, error: Exception) -> IndexContentError:
    return IndexContentError(
        f"the metadata of {of} cannot be read: {error}",
        solution="Ask the owners of the index to have the package built again.",
    )


def project_of(file_name: str) -> tuple[NormalizedName, Version] | None:
    """Return normalized name and version of a wheel's or an sdist's name; None for other files."""
    try:
        if file_name.endswith(".whl"):
            name, version, _build, _tags = parse_wheel_filename(file_name)
        else:
            name, version = parse_sdist_filename(file_name)
    except ValueError:
        return None
    return canonicalize_name(name), version
