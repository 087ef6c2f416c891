"""What is said of a doctored lock or folder: the cause, and not what merely looks like it."""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.built import factory
from support.clean_flavor import PROJECT, lock_text, make_flavor, make_repository
from support.locks import rewrite_lock
from support.prefetch_site import Site, prefetch_site
from support.wheels import make_wheel
from support.workshop import Workshop

from factory.check.check import check_flavors
from factory.check.report import FORMATS, CheckReport, as_github, findings_text
from factory.errors import PrefetchError
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, Artifact, require_lock

TODAY = dt.date(2026, 12, 1)
EVIL = "e" * 64


def _report(flavor: Flavor) -> CheckReport:
    return check_flavors([flavor], root=flavor.folder.parents[1], today=TODAY)


def _messages(flavor: Flavor, code: str) -> list[str]:
    return [f"{item.message} {item.solution}" for item in _report(flavor).findings if item.code == code]


@pytest.mark.parametrize(
    ("asked", "advised"),
    [("numpy>=1.20", "numpy>=1.20,<3"), ("numpy", "numpy>=2.4.1,<3"), ("numpy>=3", "numpy>=3,<4")],
)
def test_a_cap_that_is_advised_is_above_what_is_locked(tmp_path: Path, asked: str, advised: str) -> None:
    project = PROJECT.replace("numpy>=2.0,<3", asked)
    assert project != PROJECT
    flavor = make_flavor(make_repository(tmp_path), project=project)
    (message,) = _messages(flavor, "FAC217")
    assert message.endswith(f"such as {advised}.")


@pytest.mark.parametrize("name", ["torch", "training-hub"])
def test_what_the_spec_claims_has_to_be_in_the_lock(tmp_path: Path, name: str) -> None:
    project = re.sub(rf'    "{name}(?:\[lora\])?==.*",\n', "", PROJECT)
    assert project != PROJECT
    flavor = make_flavor(make_repository(tmp_path), project=project)
    assert not _messages(flavor, "FAC324")
    text = re.sub(rf"^{name}==(?:.|\n(?: |$))*\n", "", lock_text(project), flags=re.MULTILINE)
    assert f"{name}==" not in text
    (flavor.folder / LOCK_FILE).write_text(text)
    (message,) = _messages(flavor, "FAC324")
    assert f"and the lock has no {name}" in message


def _without_hashes(flavor: Flavor) -> None:
    lines = [f"package-{number}==1.0" for number in range(294)]
    path = flavor.folder / LOCK_FILE
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def test_findings_of_one_cause_are_a_few_lines_and_all_of_them_data(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path))
    _without_hashes(flavor)
    report = _report(flavor)
    assert sum(item.code == "FAC304" for item in report.findings) == 294
    text, github = findings_text(report), as_github(report)
    assert text.count("FAC304") == 4
    assert "and 291 more of the same in this file" in text
    assert github.count("FAC304") == 4
    assert "and 291 more" in github
    assert f"{report.errors} errors" in text.splitlines()[-1]
    results = json.loads(FORMATS["sarif"](report))["runs"][0]["results"]
    assert sum(result["ruleId"] == "FAC304" for result in results) == 294
    told = json.loads(factory("--root", tmp_path, "--json", "check", flavor.name, status=1))
    assert sum(item["code"] == "FAC304" for item in told["findings"]) == 294


def test_four_findings_of_one_cause_are_all_shown(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path))
    path = flavor.folder / LOCK_FILE
    path.write_text(path.read_text() + "a==1\nb==1\nc==1\nd==1\n")
    text = findings_text(_report(flavor))
    assert text.count("FAC304") == 4
    assert "more of the same" not in text


def test_findings_that_differ_in_what_to_do_are_all_shown(tmp_path: Path) -> None:
    floors = "".join(f'    "package-{number}>=1",\n' for number in range(9))
    project = PROJECT.replace("dependencies = [\n", f"dependencies = [\n{floors}", 1)
    flavor = make_flavor(make_repository(tmp_path), project=project)
    report = _report(flavor)
    for text in (findings_text(report), as_github(report)):
        assert [f"package-{number}>=1 has no upper bound" in text for number in range(9)] == [True] * 9


def test_what_is_not_shown_says_its_lines(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path))
    path = flavor.folder / LOCK_FILE
    before = path.read_text()
    line = len(before.splitlines()) + 1
    path.write_text(before + "a==1\nb==1\nc==1\nd==1\ne==1\n")
    text = findings_text(_report(flavor))
    assert f"and 2 more of the same in this file (lines {line + 3}, {line + 4});" in text
    _without_hashes(flavor)
    report = _report(flavor)
    last = len(path.read_text().splitlines())
    assert f"and 296 more of the same in this file (lines {line + 3} to {last});" in findings_text(report)
    assert f"(lines {line + 3} to {last});" in as_github(report).replace("%2C", ",")


def _added_to(lock: Path, *, name: str | None = None) -> None:
    """Add a hash to the first pin, and a comment with the name of a file if one is given."""
    text = lock.read_text()
    first = re.search(r"    --hash=sha256:[0-9a-f]{64}", text)
    assert first is not None
    text = text.replace(first[0], f"{first[0]} \\\n    --hash=sha256:{EVIL}", 1)
    if name is not None:
        comment = re.search(r"\n    # \S+\.whl.*", text)
        assert comment is not None
        text = text.replace(comment[0], f"{comment[0]}\n    # {name}", 1)
    lock.write_text(text)


@pytest.mark.integration
@pytest.mark.parametrize("names", [None, "aa-1.0-py3-none-any.whl"], ids=["without-name", "with-a-name"])
def test_a_hash_that_was_added_is_not_told_as_a_push(workshop: Workshop, names: str | None) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    _added_to(folder / LOCK_FILE, name=names)
    run = workshop.lock(folder.name, "--verify")
    assert run.status == 1
    assert f"has sha256:{EVIL}: it was added to the lock" in run.out
    assert "re-pushed" not in run.out
    assert f"lock again: `factory lock {folder.name}`" in run.out


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with prefetch_site(tmp_path) as made:
        yield made


@pytest.mark.integration
def test_a_prefetch_does_not_tell_an_added_hash_as_a_push(site: Site) -> None:
    site.lock(with_names=False)
    first, *others = require_lock(site.flavor.folder).pins
    added = replace(first, artifacts=(*first.artifacts, Artifact(sha256=EVIL)))
    rewrite_lock(site.flavor, (added, *others))
    reason = site.fails().reason
    assert EVIL in reason
    assert "it was added to the lock" in reason
    assert "pushed again" not in reason


def _link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def _folder(path: Path, _target: Path) -> None:
    path.mkdir()


@pytest.mark.integration
@pytest.mark.parametrize(("make", "told"), [(_link, "a symbolic link"), (_folder, "a folder")])
def test_what_is_no_file_in_a_prefetched_folder_is_told_as_that(
    site: Site, make: Callable[[Path, Path], None], told: str
) -> None:
    site.artifacts.mkdir(parents=True)
    wheel = site.wheels[1]
    make(site.artifacts / wheel.name, wheel)
    with pytest.raises(PrefetchError) as caught:
        site.prefetch()
    reason = caught.value.reason
    assert f"{site.artifacts / wheel.name} is {told}" in reason
    assert "not in the lock" not in reason
