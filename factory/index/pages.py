"""Project pages of a package index (PEP 503 HTML, PEP 691 JSON) as values."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pypi_simple

from factory.errors import IndexAccessError
from factory.index.credentials import shown


@dataclass(frozen=True, kw_only=True)
class IndexFile:
    """A file of a project: SHA-256 in hex and size in bytes are None where the index does not tell.

    ``metadata_url`` is where its metadata is served (PEP 658, PEP 714), None where it is not, and
    ``metadata_sha256`` is that file's digest.
    """

    file_name: str
    url: str
    sha256: str | None
    size: int | None
    yanked: bool
    requires_python: str | None = None
    metadata_url: str | None = None
    metadata_sha256: str | None = None


def every(file_name: str) -> bool:
    """Keep every file of a page."""
    del file_name
    return True


def parse_page(
    content: bytes,
    *,
    kind: str,
    encoding: str | None,
    url: str,
    name: str,
    keep: Callable[[str], bool] = every,
) -> tuple[IndexFile, ...]:
    """Read the page of a project.

    Args:
        content: the page.
        kind: its media type, without parameters, in lower case.
        encoding: the character set that the answer named, for HTML.
        url: where it came from in the end; relative links start there.
        name: the project.
        keep: which files, by name, are of interest.

    Raises:
        IndexAccessError: it is no such page.
    """
    try:
        if kind in {"application/vnd.pypi.simple.v1+json", "application/json"}:
            page = _from_json(content, url, keep)
        elif kind in {"application/vnd.pypi.simple.v1+html", "text/html"}:
            page = pypi_simple.ProjectPage.from_html(name, content, url, encoding)
        else:
            raise no_page(url, f"is no page of a package index, but {kind}")
    except (ValueError, LookupError, TypeError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise no_page(url, "is no page of a package index that can be read") from error
    # A name from outside becomes a file name here: it must stay in its folder.
    return tuple(
        _file(package)
        for package in page.packages
        if "/" not in package.filename and not package.filename.startswith(".") and keep(package.filename)
    )


def no_page(url: str, reason: str) -> IndexAccessError:
    """An error about what stands at a URL."""
    return IndexAccessError(
        f"{shown(url)} {reason}",
        solution="Look at the index URL, the network and the index itself, then run the command again.",
    )


def _from_json(content: bytes, url: str, keep: Callable[[str], bool]) -> pypi_simple.ProjectPage:
    document = json.loads(content)
    document["files"] = [file for file in document["files"] if keep(file["filename"])]
    return pypi_simple.ProjectPage.from_json_data(document, url)


def _file(package: pypi_simple.DistributionPackage) -> IndexFile:
    return IndexFile(
        file_name=package.filename,
        url=package.url,
        sha256=package.digests.get("sha256", "").lower() or None,
        size=package.size,
        yanked=package.is_yanked,
        requires_python=package.requires_python,
        metadata_url=package.metadata_url if package.has_metadata else None,
        metadata_sha256=(package.metadata_digests or {}).get("sha256", "").lower() or None,
    )
