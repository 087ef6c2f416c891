"""The pages of ``docs/``, which travel with the package: list them, read them, and name them in messages."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import factory
from factory.console import Report, Table
from factory.errors import NotFoundError
from factory.files import read_text

_DISTRIBUTION = "universal-image-factory"
_ENDING = ".md"
# The address at which the pages are a site, for whoever publishes one (`make site` takes it too).
_SITE_VARIABLE = "FACTORY_SITE_URL"
_SITE_LABEL = "Documentation"
_HEADING = re.compile(r"(#{1,6}) +(.+?) *#*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"[A-Za-z]{3}[0-9]{3}")
_RULES = "rules"


def docs_command(page: str, section: str = "") -> str:
    """Return the command that shows a page, as messages name it: it needs neither a clone nor a network."""
    return f"`factory docs {page}{'#' if section else ''}{section}`"


def page_address(page: str, section: str = "") -> str:
    """Return the address of a page: on the published site, else of the installed file.

    The site is that of ``FACTORY_SITE_URL``, or the address "Documentation" of the installed package.
    """
    anchor = f"#{section}" if section else ""
    site = os.environ.get(_SITE_VARIABLE) or _published_site()
    if site:
        return f"{site.rstrip('/')}/docs/{page}.html{anchor}"
    return f"{(pages_folder() / page).with_suffix(_ENDING).as_uri()}{anchor}"


@cache
def _published_site() -> str | None:
    try:
        addresses = metadata(_DISTRIBUTION).get_all("Project-URL") or ()
    except PackageNotFoundError:
        return None
    labels = dict(address.split(", ", 1) for address in addresses if ", " in address)
    return labels.get(_SITE_LABEL)


@cache
def pages_folder() -> Path:
    """Return the folder of the pages: inside the package in a wheel, else beside it.

    Raises:
        NotFoundError: the installation lacks it.
    """
    package = Path(factory.__file__).resolve().parent
    for folder in (package / "docs", package.parent / "docs"):
        if folder.is_dir():
            return folder
    raise NotFoundError(
        f"no pages are installed beside {package}",
        solution="Install the factory again: the wheel has its pages.",
    )


@dataclass(frozen=True, kw_only=True)
class DocsPage(Report):
    """One page, or one section of it, as Markdown."""

    page: str
    section: str
    title: str
    address: str
    text: str

    def describe(self) -> Iterator[str]:
        yield self.text.rstrip("\n")


@dataclass(frozen=True, kw_only=True)
class DocsPages(Report):
    """The pages by name, each with its title; and the site on which they are, if one is known."""

    pages: tuple[tuple[str, str], ...]
    site: str | None

    def data(self) -> dict[str, object]:
        return {"pages": [{"page": page, "title": title} for page, title in self.pages], "site": self.site}

    def describe(self) -> Iterator[str | Table]:
        yield Table(headings=("PAGE", "ABOUT"), rows=self.pages)
        yield "`factory docs PAGE` shows one; `factory docs FAC331` shows the section of a rule."
        if self.site is not None:
            yield f"On the web: {self.site}"


def list_docs_pages() -> DocsPages:
    """Return every page that is installed.

    Raises:
        NotFoundError: the installation has none.
    """
    names = sorted(path.stem for path in pages_folder().glob(f"*{_ENDING}"))
    return DocsPages(
        pages=tuple((name, _title(_text(name))) for name in names),
        site=os.environ.get(_SITE_VARIABLE) or _published_site(),
    )


def read_docs_page(wanted: str) -> DocsPage:
    """Return a page by its name or path, a section of it (``PAGE#SECTION``), or that of a rule (``FAC331``).

    Raises:
        NotFoundError: there is no such page or section.
    """
    name, _, section = wanted.partition("#")
    if _CODE.fullmatch(name) and not section:
        name, section = _RULES, name.lower()
    name = name.removeprefix("docs/").removesuffix(_ENDING)
    names = [page for page, _ in list_docs_pages().pages]
    if name not in names:
        likely = get_close_matches(name, names, n=3) or names
        raise NotFoundError(
            f"there is no page {name!r}",
            solution=f"Name one of those that are there: {', '.join(likely)}.",
        )
    text = _text(name)
    anchor, part = _section(name, text, section) if section else ("", text)
    return DocsPage(
        page=name,
        section=anchor,
        title=_title(part),
        address=page_address(name, anchor),
        text=part,
    )


def _text(page: str) -> str:
    return read_text((pages_folder() / page).with_suffix(_ENDING))


def _title(text: str) -> str:
    return next((title for _, _, title in _headings(text)), "")


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the line number, the level and the text of each heading outside of a block of code."""
    fence = ""
    for number, line in enumerate(text.splitlines()):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.fullmatch(line)):
            yield number, len(heading[1]), heading[2]


def _section(page: str, text: str, wanted: str) -> tuple[str, str]:
    """Return a section's anchor and its text, with all below its heading. ``wanted`` may be its beginning."""
    headings = [(number, level, _anchor(title)) for number, level, title in _headings(text)]
    for number, level, anchor in headings:
        if anchor == wanted or anchor.startswith(f"{wanted}-"):
            ends = (line for line, other, _ in headings if line > number and other <= level)
            lines = text.splitlines(keepends=True)
            return anchor, "".join(lines[number : next(ends, len(lines))])
    anchors = [anchor for _, _, anchor in headings]
    raise NotFoundError(
        f"the page {page} has no section {wanted!r}",
        solution=f"Its sections: {', '.join(get_close_matches(wanted, anchors, n=3) or anchors[1:9])}; "
        f"{docs_command(page)} shows all of it.",
    )


def _anchor(title: str) -> str:
    """Return a heading's anchor, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
