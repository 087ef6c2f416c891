"""The pages as a site, as `make site` makes it."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from command_reference import reference

from factory.cli.main import COMMANDS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """What a page links to, what it loads by itself, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif tag in _LOADED and _LOADED[tag] in values:
            self.loaded.add(values[_LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words: list[str | Path] = [sys.executable, ROOT / "scripts" / "site.py", folder]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path) for path in site.rglob("*.html")}


def test_every_link_leads_to_a_page_and_a_place_in_it(pages: dict[Path, _Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            exists = target.is_file() and (
                not parts.fragment or unquote(parts.fragment) in _anchors(target, pages)
            )
            dead += [] if exists else [f"{path.name}: {link}"]
    assert dead == []


def _anchors(target: Path, pages: dict[Path, _Page]) -> set[str]:
    return pages[target].anchors | {"__top"} if target in pages else set()


def test_nothing_is_loaded_from_another_host(pages: dict[Path, _Page]) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert {address for address in loaded if urlsplit(address).netloc} == set()


def test_every_page_of_docs_is_on_the_site_and_is_found_by_a_search(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"]}
    expected = {f"docs/{page.stem}.html" for page in (ROOT / "docs").glob("*.md")}
    assert expected - found == set()
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    names = {page.name for page in (ROOT / "docs").glob("*.md")}
    unreachable = {name for name in names if f": docs/{name}\n" not in navigation}
    assert unreachable == set()


def test_a_dead_link_fails(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "index.md").write_text("# A page\n\n[Elsewhere](elsewhere.md)\n", encoding="utf-8")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:\n  - Start")[0]
    settings = settings.replace(".work/site/pages", "docs").replace("docs/site.css", "site.css")
    (tmp_path / "mkdocs.yml").write_text(settings, encoding="utf-8")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "'elsewhere.md', but the target is not found" in done.stderr


def test_the_reference_has_every_command_and_says_what_its_help_says() -> None:
    page = reference()
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings[1:] == [f"## factory {name}" for name in COMMANDS]
    section = page.partition("## factory lock\n")[2].partition("\n## ")[0]
    assert "| <code>--upgrade-package NAME</code> | Do so for one package. |" in section
    assert "--json" not in section, "said once, for all commands"
