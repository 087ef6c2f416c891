"""docs/konflux.md against what it tells of: settings, links, files and commands that are there."""

import re
from dataclasses import fields
from pathlib import Path

from factory.cli.main import COMMANDS
from factory.konflux.settings import Settings, parse_settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "konflux.md"
TEXT = PAGE.read_text(encoding="utf-8")
REQUIRED = '[konflux]\napplication = "a"\noutput-image = "quay.io/example/"\n'


def _anchor(heading: str) -> str:
    """The anchor of a heading as GitHub makes it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_the_table_of_settings_has_every_key_and_its_default() -> None:
    table = TEXT.partition("| key | default |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) \|", table, re.MULTILINE))
    keys = {field.name.replace("_", "-") for field in fields(Settings)}
    assert set(rows) == keys - {"platforms"} | {"build-platforms"}
    settings = parse_settings(REQUIRED)
    for key, cell in rows.items():
        shown = re.fullmatch(r"`([\"\[{0-9tf].*)`", cell)
        if shown:
            given = shown[1].replace(" = ", "=")
            assert parse_settings(f"{REQUIRED}{key} = {given}\n") == settings, key


def test_every_block_of_toml_is_accepted() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert blocks
    assert all(parse_settings(REQUIRED + block) != parse_settings(REQUIRED) for block in blocks)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        page = PAGE.parent / path if path else PAGE
        assert page.is_file(), target
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in map(_anchor, headings), target


def test_every_file_and_every_command_that_it_names_is_there() -> None:
    told = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    words = re.findall(r"`([^`\n]+)`", told)
    files = [word for word in words if word.startswith(("tekton/", "tests/", "docs/"))]
    commands = [word.split()[1] for word in words if word.startswith("factory ")]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert commands
    assert set(commands) <= set(COMMANDS)
