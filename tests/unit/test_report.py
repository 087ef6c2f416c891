"""Reports of findings: for people, and as GitHub's workflow commands."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.check.check import Report
from factory.check.finding import Problem, finding
from factory.check.report import as_github, as_text


def _report(*problems: Problem, flavor: str = "one") -> Report:
    found = tuple(finding(problem, flavor=flavor, folder=f"flavors/{flavor}") for problem in problems)
    return Report(
        flavors=(flavor,),
        errors=sum(item.severity == "error" for item in found),
        warnings=sum(item.severity == "warning" for item in found),
        waived=0,
        findings=found,
    )


def _problem(message: str = "it is so", *, path: str = "Dockerfile", line: int | None = 7) -> Problem:
    return Problem(code="FAC405", path=path, line=line, message=message, solution="Mend it.")


def test_the_text_groups_findings_under_their_flavor_and_counts_them() -> None:
    warning = Problem(code="FAC301", path="pyproject.toml", message="not locked", solution="Lock.")
    assert as_text(_report(_problem(), warning)).splitlines() == [
        "one",
        "  error FAC405 system-install  flavors/one/Dockerfile:7",
        "    it is so",
        "    why: Downstream, system packages come with the base image; there is no network.",
        "    what to do: Mend it.",
        "  warning FAC301 not-locked  flavors/one/pyproject.toml",
        "    not locked",
        "    why: Without a lock, nothing can be prefetched or built hermetically.",
        "    what to do: Lock.",
        "",
        "1 flavor checked, 1 error, 1 warning",
    ]


def test_an_annotation_has_file_line_and_title() -> None:
    first, _ = as_github(_report(_problem())).splitlines()
    assert first == (
        "::error file=flavors/one/Dockerfile,line=7,title=FAC405 system-install::it is so. "
        "Downstream, system packages come with the base image; there is no network. Mend it."
    )


def test_a_finding_without_a_line_has_no_line_property() -> None:
    assert "line=" not in as_github(_report(_problem(line=None)))


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [("100%", "100%25"), ("a\nb", "a%0Ab"), ("a\rb", "a%0Db"), ("%0A", "%250A"), ("a:b,c::d", "a:b,c::d")],
)
def test_a_message_is_escaped(raw: str, escaped: str) -> None:
    assert f"system-install::{escaped}. " in as_github(_report(_problem(raw)))


def test_a_property_is_escaped() -> None:
    assert "file=flavors/one/a%3Ab%2Cc%25d," in as_github(_report(_problem(path="a:b,c%d")))


@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_out_of_its_annotation(message: str, path: str) -> None:
    annotation = as_github(_report(_problem(message, path=path))).rpartition("\n")[0]
    assert not re.search(r"[\r\n]", annotation)
    properties = annotation.removeprefix("::error ").partition("::")[0]
    assert [item.partition("=")[0] for item in properties.split(",")] == ["file", "line", "title"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:s3@cret@e.com/a@b", "https://***@e.com/a@b"),
        ("git+ssh://git@e.com/a.git@v1", "git+ssh://***@e.com/a.git@v1"),
        ("--index-url u:s3@cret@e.com/simple", "--index-url ***@e.com/simple"),
        ("--index-url=u:p@e.com", "--index-url=***@e.com"),
        ("git+https://e.com/a.git@main", "git+https://e.com/a.git@main"),
        ("trl @ https://e.com:8443/a.whl", "trl @ https://e.com:8443/a.whl"),
        ("quay.io/a/b:1@sha256:00", "quay.io/a/b:1@sha256:00"),
        ("b:1@sha256:00", "b:1@sha256:00"),
        ("mail me@e.com: now", "mail me@e.com: now"),
    ],
)
def test_credentials_are_masked_in_messages_and_solutions(text: str, shown: str) -> None:
    problem = Problem(code="FAC405", path="Dockerfile", message=text, solution=f"Not {text} but this.")
    found = finding(problem, flavor="one", folder="flavors/one")
    assert (found.message, found.solution) == (shown, f"Not {shown} but this.")
