"""Project pages of a package index (PEP 503 HTML, PEP 691 JSON) as values."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pypi_simple
from packaging.utils import canonicalize_name

from factory.errors import IndexContentError
from factory.index.credentials import shown
from factory.index.file_names import project_of
from factory.index.page_kind import is_index_page
from factory.index.patience import unreachable

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class IndexFile:
    """A file of a project: SHA-256 in hex and size in bytes are None where the index does not tell.

    ``uploaded`` is when it was published (PEP 700), in seconds since 1970; None likewise.

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
    uploaded: int | None = None


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

    Files that are no wheels or sdists, or another project's by their names, are passed over: a page
    speaks for its own project.

    Args:
        content: the page.
        kind: its media type, without parameters, in lower case.
        encoding: the character set that the answer named, for HTML.
        url: where it came from in the end; relative links start there.
        name: the project, normalized.
        keep: which files, by name, are of interest.

    Raises:
        IndexAccessError: it is no such page; one to sign in on is none.
        IndexContentError: it names a digest that is none.
    """

    def kept(file_name: str) -> bool:
        # What nobody wants first: of most pages it is nearly everything.
        return keep(file_name) and _belongs(file_name, name)

    try:
        if kind in {"application/vnd.pypi.simple.v1+json", "application/json"}:
            packages = _from_json(content, url, kept)
        elif kind in {"application/vnd.pypi.simple.v1+html", "text/html"}:
            packages = _from_html(content, url, encoding, kept, name)
        else:
            raise unreachable(url, f"is no page of a package index, but {kind}")
    except (
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        pypi_simple.UnsupportedRepoVersionError,
    ) as error:
        raise unreachable(url, "is no page of a package index that can be read") from error
    return tuple(_file(package, url) for package in packages)


def _belongs(file_name: str, name: str) -> bool:
    """Whether it is a wheel or an sdist of the project; most names are told by how they begin."""
    # A name from outside becomes a file name here: it must stay in its folder.
    if "/" in file_name or file_name.startswith("."):
        return False
    if file_name.endswith(".whl"):
        return canonicalize_name(file_name.partition("-")[0]) == name
    project = project_of(file_name)
    return project is not None and project[0] == name


def _from_json(
    content: bytes, url: str, keep: Callable[[str], bool]
) -> list[pypi_simple.DistributionPackage]:
    document = json.loads(content)
    document["files"] = [file for file in document["files"] if keep(file["filename"])]
    for file in document["files"]:
        # PEP 714: an index that knows only the older name means the same.
        file.setdefault("core-metadata", file.get("dist-info-metadata"))
    return pypi_simple.ProjectPage.from_json_data(document, url).packages


def _from_html(
    content: bytes, url: str, encoding: str | None, keep: Callable[[str], bool], name: str
) -> list[pypi_simple.DistributionPackage]:
    every_link = pypi_simple.RepositoryPage.from_html(content, url, encoding).links
    if not any(project_of(link.text) for link in every_link) and not is_index_page(content, name):
        raise ValueError("it lists no file, and does not look like an index's")
    links = [link for link in every_link if keep(link.text)]
    for link in links:
        # As above.
        if (older := link.attrs.get("data-dist-info-metadata")) is not None:
            link.attrs.setdefault("data-core-metadata", older)
    return [pypi_simple.DistributionPackage.from_link(link) for link in links]


def _file(package: pypi_simple.DistributionPackage, page_url: str) -> IndexFile:
    return IndexFile(
        file_name=package.filename,
        url=package.url,
        sha256=_sha256(package.digests, package.filename, page_url),
        size=package.size,
        uploaded=None if package.upload_time is None else int(package.upload_time.timestamp()),
        yanked=package.is_yanked,
        requires_python=package.requires_python,
        metadata_url=package.metadata_url if package.has_metadata else None,
        metadata_sha256=_sha256(package.metadata_digests or {}, f"{package.filename}.metadata", page_url),
    )


def _sha256(digests: Mapping[str, str], of: str, page_url: str) -> str | None:
    """The digest in lower case; None where the page tells none of this kind."""
    given = digests.get("sha256")
    if given is None:
        return None
    # In HTML it is a fragment of the link, which may say more after it.
    digest = given.partition("&")[0].lower()
    if not _SHA256.fullmatch(digest):
        raise IndexContentError(
            f"{shown(page_url)} gives {of} a SHA-256 that is none: {given[:80]!r}",
            solution="Ask the owners of the index to make the page anew.",
        )
    return digest
