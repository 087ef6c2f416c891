"""``factory docs``: the pages that travel with the package, and the messages that name them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory import pages
from factory.check.rules import RULES
from factory.errors import NotFoundError
from factory.pages import list_docs_pages, page_address, read_docs_page

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


def test_every_page_is_listed_with_its_title() -> None:
    found = dict(list_docs_pages().pages)
    assert sorted(found) == PAGES
    assert found["registries"] == "Publish images, and keep registries"


@pytest.mark.parametrize("wanted", ["images", "images.md", "docs/images.md"])
def test_a_page_is_found_by_its_name_and_by_its_path(wanted: str) -> None:
    assert read_docs_page(wanted).text == (ROOT / "docs" / "images.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", RULES)
def test_the_section_of_each_rule_is_found_by_its_code(code: str) -> None:
    page = read_docs_page(code.lower())
    assert page.text.startswith(f"### {code} {RULES[code].name}\n")
    assert page.text.count("\n### ") == 0
    assert page.section == f"{code.lower()}-{RULES[code].name}"


@pytest.mark.parametrize("wanted", ["imagse", "../README", "/etc/passwd", "images#nothing-here", ""])
def test_another_page_or_section_is_refused_with_those_that_are_there(wanted: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        read_docs_page(wanted)
    assert "images" in refused.value.solution or "add-a-flavor" in refused.value.solution


def test_a_heading_in_a_block_of_code_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# One\n\n```\n## no section\n```\n\n## Two\n\ntext\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(pages, "pages_folder", lambda: tmp_path)
    assert read_docs_page("page#two").text == "## Two\n\ntext\n"
    with pytest.raises(NotFoundError):
        read_docs_page("page#no-section")


def test_an_address_is_on_the_published_site_else_of_the_installed_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FACTORY_SITE_URL", raising=False)
    monkeypatch.setattr(pages, "_published_site", lambda: None)
    assert page_address("rules", "fac101") == f"{(ROOT / 'docs' / 'rules.md').as_uri()}#fac101"
    monkeypatch.setattr(pages, "_published_site", lambda: "https://docs.example.com/factory/")
    assert page_address("rules") == "https://docs.example.com/factory/docs/rules.html"
    monkeypatch.setenv("FACTORY_SITE_URL", "https://pages.example.com")
    assert page_address("rules", "fac101") == "https://pages.example.com/docs/rules.html#fac101"


def test_each_page_that_a_message_names_is_there() -> None:
    named = [
        match[1]
        for path in (ROOT / "factory").rglob("*.py")
        for match in re.finditer(
            r"(?:docs_command\(\"|docs_command\('|`factory docs )([a-z-]+)", path.read_text(encoding="utf-8")
        )
    ]
    assert len(named) > 10
    assert set(named) - {*PAGES} == set()


def test_no_message_names_the_path_of_a_page_in_the_repository() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in (ROOT / "factory").rglob("*.py")
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        if re.search(r"docs/[a-z-]+\.md", text)
    }
    assert found == set()


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield every text of a module that is not a docstring of its own; those of commands are help texts."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
        if not (isinstance(node, ast.FunctionDef) and node.name == "command")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
