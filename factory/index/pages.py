"""Project pages of a package index (PEP 503 HTML, PEP 691 JSON) as values."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
import pypi_simple
from packaging.utils import canonicalize_name
from pypi_simple.util import check_repo_version

from factory.clock import parse_moment, seconds_since_1970
from factory.documents import Size, parse_json
from factory.errors import DocumentError, IndexContentError
from factory.index.file_names import project_of
from factory.index.html_page import HtmlPage
from factory.index.patience import unreachable
from factory.masking import shown

# What a file system takes; with it, no version in a name has more digits than Python reads.
_MAX_NAME = 255
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
            return tuple(_from_json(content, url, kept))
        if kind in {"application/vnd.pypi.simple.v1+html", "text/html"}:
            return tuple(_from_html(content, url, encoding, kept, name))
    except (DocumentError, ValueError, LookupError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise unreachable(url, "is no page of a package index that can be read") from error
    raise unreachable(url, f"is no page of a package index, but {kind}")


def _belongs(file_name: str, name: str) -> bool:
    """Whether it is a wheel or an sdist of the project; most names are told by how they begin."""
    # A name from outside becomes a file name here: it must stay in its folder.
    if "/" in file_name or file_name.startswith(".") or len(file_name) > _MAX_NAME:
        return False
    if file_name.endswith(".whl"):
        return canonicalize_name(file_name.partition("-")[0]) == name
    project = project_of(file_name)
    return project is not None and project[0] == name


class _Hashes(msgspec.Struct, gc=False):
    sha256: str | None = None


class _ListedFile(msgspec.Struct, gc=False, rename=lambda name: name.replace("_", "-")):
    """A file on a page (PEP 691, PEP 700), with what is read of it; other keys take no memory."""

    filename: str
    url: str
    hashes: _Hashes
    requires_python: str | None = None
    core_metadata: bool | _Hashes | None = None
    dist_info_metadata: bool | _Hashes | None = None
    yanked: bool | str = False
    size: Size | None = None
    upload_time: str | None = None


class _Meta(msgspec.Struct, rename=lambda name: name.replace("_", "-")):
    api_version: str


class _Page(msgspec.Struct):
    meta: _Meta
    name: str
    files: list[_ListedFile]


def _from_json(content: bytes, url: str, keep: Callable[[str], bool]) -> Iterator[IndexFile]:
    page = parse_json(content, _Page, source="the page")
    check_repo_version(page.meta.api_version)
    for listed in page.files:
        if not keep(listed.filename):
            continue
        # PEP 714: an index that knows only the older name means the same.
        metadata = listed.dist_info_metadata if listed.core_metadata is None else listed.core_metadata
        said = {
            "filename": listed.filename,
            "url": listed.url,
            "hashes": _digests(listed.hashes),
            "requires-python": listed.requires_python,
            "core-metadata": _digests(metadata) if isinstance(metadata, _Hashes) else metadata,
            "yanked": listed.yanked,
        }
        package = pypi_simple.DistributionPackage.from_json_data(said, page.name, url)
        uploaded = parse_moment(listed.upload_time or "")
        yield replace(
            _file(package, url),
            size=listed.size,
            uploaded=None if uploaded is None else seconds_since_1970(uploaded),
        )


def _digests(hashes: _Hashes) -> dict[str, str]:
    return {} if hashes.sha256 is None else {"sha256": hashes.sha256}


def _from_html(
    content: bytes, url: str, encoding: str | None, keep: Callable[[str], bool], name: str
) -> Iterator[IndexFile]:
    page = HtmlPage(url, keep)
    page.read(content, encoding)
    if not page.lists_files and not page.may_be_of_index(name):
        raise ValueError("it lists no file, and does not look like an index's")
    for link in page.links:
        # As above.
        if (older := link.attrs.get("data-dist-info-metadata")) is not None:
            link.attrs.setdefault("data-core-metadata", older)
        yield _file(pypi_simple.DistributionPackage.from_link(link), url)


def _file(package: pypi_simple.DistributionPackage, page_url: str) -> IndexFile:
    return IndexFile(
        file_name=package.filename,
        url=package.url,
        sha256=_sha256(package.digests, package.filename, page_url),
        size=None,
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
