"""HTML pages of a package index (PEP 503), read as they come, in time and memory that a page cannot choose.

A page's parts go through `html.parser` a few thousand characters at a time; a tag or a comment that does not
end within a few thousand more makes it no page of an index, so that nothing is searched twice. Only the links
that are wanted are kept.

A gateway answers for an index with a page to sign in, and answers it with 200. Read as PEP 503 reads a page,
it is a project without a file, and would be reported as a gap of the index. So a page that lists no file has
to look like one of an index: it has nothing to fill in, to press or to run, and it says that it is one by its
``<meta>``, or names its project in its title or a heading, or shows nothing at all.
"""

import codecs
import re
from collections.abc import Callable
from html.parser import HTMLParser

from packaging.utils import canonicalize_name
from pypi_simple import Link
from pypi_simple.util import basejoin, check_repo_version

from factory.index.file_names import project_of

_CHUNK_BYTES = 8 << 10
# Python knows others that are no encodings of text, or take a time of their own choosing.
_ENCODINGS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
# A link of the public index has some 500 characters; styles and scripts that stand in a page have more.
_MOST_OPEN_CHARACTERS = 32 << 10
# The largest page of the public index has 150,000 links and as many line breaks.
_MOST_TAGS = 1_000_000
_MOST_TEXT = 4_000
_ACTING = frozenset({"form", "input", "button", "script", "iframe", "object", "embed"})
_HEADINGS = frozenset({"title", "h1", "h2", "h3", "h4", "h5", "h6"})
_UNSEEN = frozenset({"title", "style"})
_MARKUP = frozenset({"html", "head", "body"})
# PyPI's own, and the one of PEP 503's predecessors that Artifactory, Nexus and Pulp still write.
_INDEX_NAMES = frozenset({"pypi:repository-version", "api-version"})


class HtmlPage(HTMLParser):
    """What a page says: ``links`` are those whose text ``keep`` takes, ``lists_files`` whether any is a file.

    Args:
        url: where the page came from; its relative links start there.
        keep: which links, by their text, are wanted.
    """

    def __init__(self, url: str, keep: Callable[[str], bool]) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[Link] = []
        self.lists_files = False
        self._base, self._has_base = url, False
        self._keep = keep
        self._tags = 0
        self._link: dict[str, str | list[str]] | None = None
        self._text = ""
        self._heading = ""
        self._within: set[str] = set()
        self._acts = self._says_so = self._is_markup = self._shows_something = False

    def read(self, content: bytes, encoding: str | None) -> None:
        """Read a page, once.

        Raises:
            ValueError: it is none of an index: a tag that does not end, too many of them, or a page of a
                version to come.
            LookupError: it is in no encoding that pages are in.
            UnsupportedRepoVersionError: as its name says (PEP 629).
        """
        name = codecs.lookup(encoding or "utf-8").name
        if name not in _ENCODINGS:
            raise LookupError(f"no page is in {name}")
        decoder = codecs.getincrementaldecoder(name)("replace")
        for start in range(0, len(content), _CHUNK_BYTES):
            self.feed(decoder.decode(content[start : start + _CHUNK_BYTES]))
            if len(self.rawdata) > _MOST_OPEN_CHARACTERS or self._tags > _MOST_TAGS:
                raise ValueError("a tag does not end, or there are too many")
        # Not `close`, which searches what is left from every character of it on.
        self.handle_data(self.rawdata.partition("<")[0])
        self._end_link()

    def may_be_of_index(self, name: str) -> bool:
        """Whether a page that lists no file may be that of a project, by its normalized name."""
        if self._acts:
            return False
        words = re.split(r"[^A-Za-z0-9._-]+", self._heading)
        return (
            self._says_so
            or any(canonicalize_name(word) == name for word in words)
            or (self._is_markup and not self._shows_something)
        )

    def handle_decl(self, decl: str) -> None:
        """Take a declaration, such as the document's type."""
        self._is_markup = self._is_markup or decl.lower().startswith("doctype")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag that begins something."""
        self._tags += 1
        given = {key: value or "" for key, value in attrs}
        self._is_markup = self._is_markup or tag in _MARKUP
        self._acts = self._acts or tag in _ACTING
        if tag in _UNSEEN or tag in _HEADINGS:
            self._within.add(tag)
            self._add_heading(" ")
        if tag == "a":
            self._end_link()
            self._link, self._text = ({**given} if "href" in given else None), ""
        elif tag == "base" and "href" in given and not self._has_base:
            self._base, self._has_base = basejoin(self._base, given["href"]), True
        elif tag == "meta":
            self._take_meta(given)

    def handle_endtag(self, tag: str) -> None:
        """Take a tag that ends something."""
        self._tags += 1
        self._within.discard(tag)
        if tag == "a":
            self._end_link()

    def handle_data(self, data: str) -> None:
        """Take text."""
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
            check_repo_version(given.get("content", ""))

    def _end_link(self) -> None:
        if self._link is None:
            return
        attributes, text = self._link, self._text.strip()
        self._link = None
        self.lists_files = self.lists_files or project_of(text) is not None
        if self._keep(text):
            self.links.append(
                Link(text=text, url=basejoin(self._base, str(attributes["href"])), attrs=attributes)
            )
