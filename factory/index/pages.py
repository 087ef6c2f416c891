"""Read the project pages of a package index: PEP 503's HTML and PEP 691's JSON."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.clock import parse_moment, seconds_since_1970
from factory.documents import Size, parse_json
from factory.errors import DocumentError, IndexAccessError, IndexContentError
from factory.index.metadata import project_of
from factory.masking import shown

UNREACHABLE = "Look at the index URL, the network and the index itself, then run the command again."
# The limit of file systems; it also keeps versions in names within Python's limit of digits.
_MAX_NAME = 255
_SHA256 = re.compile(r"[0-9a-f]{64}")
_METADATA_DIGEST = re.compile(r"(\w+)=([0-9A-Fa-f]+)")
# Of the pages that are read; minor versions add keys (PEP 629).
_MAJOR_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class IndexFile:
    """A file of a project; a value is None if the index's page does not have it.

    Attributes:
        sha256: In hex.
        size: In bytes.
        metadata_url: Where its metadata is served (PEP 658, PEP 714).
        metadata_sha256: The digest of that file.
        uploaded: When it was published (PEP 700), in seconds since 1970.
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

    Skips files that are not wheels or sdists, or that are another project's by their names: a page speaks
    for its own project.

    Args:
        content: The page.
        kind: Its media type, without parameters, in lower case.
        encoding: The character set that the response names, for HTML.
        url: Where it came from in the end; relative links start there.
        name: The project, normalized.
        keep: Which files, by name, are of interest.

    Raises:
        IndexAccessError: It is not such a page, but one to sign in on, for example.
        IndexContentError: It has a malformed digest.
    """

    def kept(file_name: str) -> bool:
        # The cheapest test first: it skips nearly everything on most pages.
        return keep(file_name) and _belongs(file_name, name)

    try:
        if kind in {"application/vnd.pypi.simple.v1+json", "application/json"}:
            return tuple(_from_json(content, url, kept))
        if kind in {"application/vnd.pypi.simple.v1+html", "text/html"}:
            return tuple(_from_html(content, url, encoding, kept, name))
    # html.parser asserts what a malformed declaration (`<![`) breaks.
    except (DocumentError, ValueError, LookupError, AssertionError) as error:
        raise _no_page(url, "is no page of a package index that can be read") from error
    raise _no_page(url, f"is no page of a package index, but {kind}")


def _no_page(url: str, reason: str) -> IndexAccessError:
    return IndexAccessError(f"{shown(url)} {reason}", solution=UNREACHABLE)


def _belongs(file_name: str, name: str) -> bool:
    """Return whether it is a wheel or an sdist of the project, mostly by the name's beginning."""
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
    """A file on a page (PEP 691, PEP 700), with only the keys that are read."""

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
    _check_version(page.meta.api_version)
    for listed in page.files:
        if not keep(listed.filename):
            continue
        # PEP 714: an index that knows only the older name means the same.
        metadata = listed.dist_info_metadata if listed.core_metadata is None else listed.core_metadata
        digest = metadata.sha256 if isinstance(metadata, _Hashes) else None
        place = urljoin(url, listed.url)
        uploaded = parse_moment(listed.upload_time or "")
        yield IndexFile(
            file_name=listed.filename,
            url=place,
            sha256=_sha256(listed.hashes.sha256, listed.filename, url),
            size=listed.size,
            yanked=listed.yanked is not False,
            requires_python=listed.requires_python,
            metadata_url=_metadata_url(place) if metadata else None,
            metadata_sha256=_sha256(digest, f"{listed.filename}.metadata", url),
            uploaded=None if uploaded is None else seconds_since_1970(uploaded),
        )


def _check_version(declared: str) -> None:
    """Raise ValueError if a page is of a newer major version (PEP 629)."""
    version = Version(declared)
    if (version.epoch, version.major) > (0, _MAJOR_VERSION):
        raise ValueError(f"it is of version {declared}")


def _from_html(
    content: bytes, url: str, encoding: str | None, keep: Callable[[str], bool], name: str
) -> Iterator[IndexFile]:
    page = _HtmlPage(url, keep)
    page.read(content, encoding)
    if not page.lists_files and not page.may_be_of_index(name):
        raise ValueError("it lists no file, and does not look like an index's")
    for link in page.links:
        place, fragment = urldefrag(link.url)
        algorithm, _, digest = fragment.partition("=")
        # As above.
        metadata = link.attributes.get("data-core-metadata", link.attributes.get("data-dist-info-metadata"))
        named = _METADATA_DIGEST.fullmatch(metadata or "")
        is_served = named is not None or (metadata or "").lower() == "true"
        yield IndexFile(
            file_name=link.text,
            url=place,
            # The fragment may say more after it.
            sha256=_sha256(
                digest.partition("&")[0] if algorithm == "sha256" and digest else None, link.text, url
            ),
            size=None,
            yanked="data-yanked" in link.attributes,
            requires_python=link.attributes.get("data-requires-python"),
            metadata_url=_metadata_url(place) if is_served else None,
            metadata_sha256=_sha256(
                named[2] if named and named[1] == "sha256" else None, f"{link.text}.metadata", url
            ),
        )


def _metadata_url(url: str) -> str:
    """Return the URL of a file's metadata (PEP 658): beside it, without its query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path}.metadata", query="", fragment=""))


def _sha256(given: str | None, of: str, page_url: str) -> str | None:
    """Return a digest in lower case; None if the page has none of this kind."""
    if given is None:
        return None
    digest = given.lower()
    if not _SHA256.fullmatch(digest):
        raise IndexContentError(
            f"{shown(page_url)} gives {of} a SHA-256 that is none: {given[:80]!r}",
            solution="Ask the owners of the index to generate the page again.",
        )
    return digest


_CHUNK_BYTES = 8 << 10
# Python has others that are not encodings of text, or are slow for crafted input.
_ENCODINGS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
# A link of the public index has some 500 characters; styles and scripts in a page have more.
_MOST_OPEN_CHARACTERS = 32 << 10
# The public index's largest page has 150,000 links and as many line breaks.
_MOST_TAGS = 1_000_000
_MOST_TEXT = 4_000
_ACTING = frozenset({"form", "input", "button", "script", "iframe", "object", "embed"})
_HEADINGS = frozenset({"title", "h1", "h2", "h3", "h4", "h5", "h6"})
_UNSEEN = frozenset({"title", "style"})
_MARKUP = frozenset({"html", "head", "body"})
# PyPI's own, and the one of PEP 503's predecessors that Artifactory, Nexus and Pulp still write.
_INDEX_NAMES = frozenset({"pypi:repository-version", "api-version"})


@dataclass(frozen=True, kw_only=True)
class _Link:
    text: str
    url: str
    attributes: Mapping[str, str]


class _HtmlPage(HTMLParser):
    """An HTML page: ``links`` are those whose text ``keep`` accepts; ``lists_files``: any link is a file.

    Reading takes time and memory that a page cannot choose. Its parts go through `html.parser` a few thousand
    characters at a time; a tag or a comment that does not end within a few thousand more makes it no page of
    an index, so that nothing is searched twice. Only the wanted links are kept.

    A gateway may answer for an index with a page to sign in, and with status 200. By PEP 503 such a page is a
    project without a file, and would be reported as a gap of the index. So a page without a file has to look
    like one of an index: nothing to fill in, to press or to run, and it says that it is one by a ``<meta>``,
    or names its project in its title or a heading, or shows nothing at all.

    Args:
        url: where the page came from; its relative links start there.
        keep: which links, by their text, are wanted.
    """

    def __init__(self, url: str, keep: Callable[[str], bool]) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[_Link] = []
        self.lists_files = False
        self._base, self._has_base = url, False
        self._keep = keep
        self._tags = 0
        self._link: dict[str, str] | None = None
        self._text = ""
        self._heading = ""
        self._within: set[str] = set()
        self._acts = self._says_so = self._is_markup = self._shows_something = False

    def read(self, content: bytes, encoding: str | None) -> None:
        """Read a page, once.

        Raises:
            ValueError: It is not a page of an index: a tag does not end, there are too many, or its version
                is newer (PEP 629).
            LookupError: Its encoding is unknown.
        """
        name = codecs.lookup(encoding or "utf-8").name
        if name not in _ENCODINGS:
            raise LookupError(f"no page is in {name}")
        decoder = codecs.getincrementaldecoder(name)("replace")
        for start in range(0, len(content), _CHUNK_BYTES):
            self.feed(decoder.decode(content[start : start + _CHUNK_BYTES]))
            if len(self.rawdata) > _MOST_OPEN_CHARACTERS or self._tags > _MOST_TAGS:
                raise ValueError("a tag does not end, or there are too many")
        # Not `close`, which would search the rest again from each of its characters.
        self.handle_data(self.rawdata.partition("<")[0])
        self._end_link()

    def may_be_of_index(self, name: str) -> bool:
        """Return whether a page without files may be a project's, by its normalized name."""
        if self._acts:
            return False
        words = re.split(r"[^A-Za-z0-9._-]+", self._heading)
        return (
            self._says_so
            or any(canonicalize_name(word) == name for word in words)
            or (self._is_markup and not self._shows_something)
        )

    def handle_decl(self, decl: str) -> None:
        """Handle a declaration, such as the document's type."""
        self._is_markup = self._is_markup or decl.lower().startswith("doctype")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Handle the start of an element."""
        self._tags += 1
        given = {key: value or "" for key, value in attrs}
        self._is_markup = self._is_markup or tag in _MARKUP
        self._acts = self._acts or tag in _ACTING
        if tag in _UNSEEN or tag in _HEADINGS:
            self._within.add(tag)
            self._add_heading(" ")
        if tag == "a":
            self._end_link()
            self._link, self._text = (given if "href" in given else None), ""
        elif tag == "base" and "href" in given and not self._has_base:
            self._base, self._has_base = urljoin(self._base, given["href"]), True
        elif tag == "meta":
            self._take_meta(given)

    def handle_endtag(self, tag: str) -> None:
        """Handle the end of an element."""
        self._tags += 1
        self._within.discard(tag)
        if tag == "a":
            self._end_link()

    def handle_data(self, data: str) -> None:
        """Handle text."""
        if self._link is not None and len(self._text) < _MOST_TEXT:
            self._text += data[:_MOST_TEXT]
        if self._within & _HEADINGS:
            self._add_heading(data)
        if not self._within & _UNSEEN and not self._shows_something:
            self._shows_something = bool(data.strip())

    def _add_heading(self, text: str) -> None:
        if len(self._heading) < _MOST_TEXT:
            self._heading += text[:_MOST_TEXT]

    def _take_meta(self, given: dict[str, str]) -> None:
        name = given.get("name", "").lower()
        self._says_so = self._says_so or name in _INDEX_NAMES
        self._acts = self._acts or given.get("http-equiv", "").lower() == "refresh"
        if name == "pypi:repository-version":
            _check_version(given.get("content", ""))

    def _end_link(self) -> None:
        if self._link is None:
            return
        attributes, text = self._link, self._text.strip()
        self._link = None
        self.lists_files = self.lists_files or project_of(text) is not None
        if self._keep(text):
            self.links.append(
                _Link(text=text, url=urljoin(self._base, attributes["href"]), attributes=attributes)
            )
