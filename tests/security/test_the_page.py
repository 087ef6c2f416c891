"""SECURITY.md names tests, and each is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert named
    assert named - there == set()


def test_every_file_of_attacks_is_named_on_the_page() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    attacks = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert {name for name in attacks if name not in text} == set()
