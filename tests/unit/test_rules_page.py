"""docs/rules.md and the registry of rules say the same."""

import re
from pathlib import Path

import pytest

from factory.check.rules import RULES
from factory.cli.main import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
SECTIONS = {
    match["code"]: match
    for match in re.finditer(
        r"^### (?P<code>FAC\d{3}) (?P<name>\S+)\n(?P<body>.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}


def test_the_page_has_a_section_for_each_rule_in_the_registrys_order() -> None:
    assert list(SECTIONS) == list(RULES)


def test_codes_are_stable_in_form_and_names_are_not_given_twice() -> None:
    assert all(re.fullmatch(r"FAC[1-5]\d\d", code) for code in RULES)
    assert len({rule.name for rule in RULES.values()}) == len(RULES)


@pytest.mark.parametrize("code", RULES)
def test_a_section_says_what_why_an_example_and_how_to_fix(code: str) -> None:
    rule, section = RULES[code], SECTIONS[code]
    assert section["name"] == rule.name
    what, rest = section["body"].strip().split("\n\nWhy: ", 1)
    assert len(what) > 30
    assert rest.startswith(f"{rule.why}\n")
    place = r"(flavors/|images/|\.tekton/|\.claude/|factory\.toml\n)"
    assert re.search(rf"\n{rule.severity} {code} {rule.name}  {place}", rest)
    assert "\n\nTo fix: " in rest


@pytest.mark.parametrize("code", RULES)
def test_the_table_at_the_top_lists_the_rule(code: str) -> None:
    rule = RULES[code]
    row = f"| [{code}](#{code.lower()}-{rule.name}) | {rule.name} | {rule.severity} | {rule.why} |\n"
    assert row in PAGE


def test_a_why_is_one_line() -> None:
    assert all(
        rule.why.endswith(".") and "\n" not in rule.why and len(rule.why) <= 90 for rule in RULES.values()
    )


def test_every_field_note_has_its_answer_and_each_answer_is_there() -> None:
    table = PAGE.partition("## Field notes and what answers them")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \| (.*) \|$", table, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 22))
    for number, _, found_by, done_by in rows:
        answers = f"{found_by} {done_by}"
        codes, commands = re.findall(r"FAC\d{3}", answers), re.findall(r"`factory ([a-z-]+)", answers)
        assert codes or commands, f"nothing answers field note {number}"
        assert set(codes) <= set(RULES)
        assert set(commands) <= set(COMMANDS)


def test_the_page_names_the_rules_that_cannot_be_waived() -> None:
    (said,) = re.findall(r"^These cannot be waived: (.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"FAC\d{3}", said)) == {code for code, rule in RULES.items() if not rule.waivable}
