"""FAC501 to FAC504: what `factory check` says of PipelineRuns, and where it looks."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from support.konflux_site import NOTHING, SETTINGS, make_site, write_all

from factory.check.check import check_flavors
from factory.check.finding import Finding
from factory.check.report import CheckReport, as_github, as_sarif, findings_text
from factory.flavor.repository import Repository
from factory.konflux.writing import write_runs

TODAY = dt.date(2026, 11, 22)
PUSH = ".tekton/th09-push.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_all(make_site(tmp_path, "th09", "th10"))
    return tmp_path


def _report(root: Path, *names: str) -> CheckReport:
    repository = Repository(root)
    return check_flavors(
        repository.select(names), root=root, today=TODAY, others=repository.flavors(), whole=not names
    )


def _found(root: Path, *names: str) -> list[Finding]:
    """The findings about PipelineRuns; the small flavors of the tests are not rendered, and have others."""
    return [item for item in _report(root, *names).findings if item.code.startswith("FAC5")]


def _told(root: Path, *names: str) -> set[tuple[str, str, str]]:
    return {(item.code, item.flavor, item.path) for item in _found(root, *names)}


def test_what_was_just_written_is_as_it_has_to_be(root: Path) -> None:
    assert _found(root) == []
    assert _found(root, "th09") == []


def test_a_reproducible_run_follows_the_lock(tmp_path: Path) -> None:
    repository = make_site(tmp_path, "th09", settings=f"{SETTINGS}reproducible = true\n")
    write_all(repository)
    assert _found(tmp_path) == []
    wheel = "small-1.0-py3-none-any.whl, 1 bytes, 2026-01-31T12:00:01Z"
    lock = f"small==1.0 \\\n    --hash=sha256:{'0' * 64}\n    # {wheel}\n"
    (tmp_path / "flavors" / "th09" / "requirements.txt").write_text(lock, encoding="utf-8")
    assert {(item.code, item.flavor) for item in _found(tmp_path)} == {("FAC502", "th09")}
    write_all(repository)
    assert _found(tmp_path) == []


def _remove(root: Path) -> None:
    (root / PUSH).unlink()


def _edit(root: Path) -> None:
    text = (root / PUSH).read_text(encoding="utf-8")
    (root / PUSH).write_text(text.replace('"true"', '"false"'), encoding="utf-8")


def _replace(root: Path) -> None:
    (root / PUSH).write_text("kind: PipelineRun\n", encoding="utf-8")


def _link(root: Path) -> None:
    (root / "copy.yaml").write_bytes((root / PUSH).read_bytes())
    (root / PUSH).unlink()
    (root / PUSH).symlink_to(root / "copy.yaml")


@pytest.mark.parametrize(
    ("breach", "code", "solution"),
    [
        (_remove, "FAC501", "Run `factory konflux th09`."),
        (_edit, "FAC502", "Run `factory konflux th09`. If the change was meant"),
        (_replace, "FAC502", "Move or remove it. Then run `factory konflux th09`."),
        (_link, "FAC502", "Move or remove it. Then run `factory konflux th09`."),
    ],
)
def test_a_file_of_a_flavor_that_is_not_right_is_found_with_that_flavor_alone(
    root: Path, breach: Callable[[Path], None], code: str, solution: str
) -> None:
    breach(root)
    assert _told(root) == _told(root, "th09") == {(code, "th09", PUSH)}
    assert _found(root)[0].solution.startswith(solution)
    assert _found(root)[0].severity == "error"
    assert _found(root, "th10") == []


def test_a_changed_spec_makes_its_files_stale(root: Path) -> None:
    project = root / "flavors" / "th09" / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace('python = "3.11"', 'python = "3.12"'), encoding="utf-8")
    files = {("FAC502", "th09", f".tekton/th09-{word}.yaml") for word in ("pull-request", "push")}
    assert _told(root) == files


def test_changed_settings_make_every_file_that_they_reach_stale(root: Path) -> None:
    (root / "factory.toml").write_text(f'{SETTINGS}target-branch = "next"\n', encoding="utf-8")
    names = [("th09", "th09"), ("th10", "th10"), ("", "flavors-check")]
    words = ("pull-request", "push")
    assert _told(root) == {
        ("FAC502", flavor, f".tekton/{name}-{word}.yaml") for flavor, name in names for word in words
    }


def test_new_flavor_asks_for_no_pipeline_run_before_it_has_one(root: Path) -> None:
    make_site(root, "th11")
    assert _found(root) == _found(root, "th11") == []
    write_runs(Repository(root), [Repository(root).flavor("th11")], options=NOTHING, every=False)
    assert _found(root) == []
    (root / ".tekton" / "th11-push.yaml").unlink()
    assert _told(root, "th11") == {("FAC501", "th11", ".tekton/th11-push.yaml")}


def test_flavor_whose_pipeline_runs_were_all_removed_is_found(root: Path) -> None:
    for word in ("pull-request", "push"):
        (root / ".tekton" / f"th10-{word}.yaml").unlink()
    missing = {("FAC501", "th10", f".tekton/th10-{word}.yaml") for word in ("pull-request", "push")}
    assert _told(root) == _told(root, "th10") == missing


def test_files_of_a_flavor_that_is_gone_are_the_repositorys(root: Path) -> None:
    (root / "flavors" / "th10" / "pyproject.toml").unlink()
    (root / "flavors" / "th10").rmdir()
    (root / ".tekton" / "mine.yaml").write_text("kind: Mine\n", encoding="utf-8")
    strays = {item for item in _told(root) if item[0] == "FAC503"}
    assert strays == {("FAC503", "", f".tekton/th10-{word}.yaml") for word in ("pull-request", "push")}
    assert _found(root, "th09") == []


@pytest.mark.parametrize("name", ["universal-image-konflux", "factory-gate", "flavors-check"])
def test_a_file_that_all_share_is_looked_at_with_all(root: Path, name: str) -> None:
    (root / ".tekton" / f"{name}.yaml").unlink()
    assert _told(root) == {("FAC501", "", f".tekton/{name}.yaml")}
    assert _found(root, "th09") == []


@pytest.mark.parametrize("names", [(), ("th09",)])
def test_settings_that_are_no_good_are_found_once(root: Path, names: tuple[str, ...]) -> None:
    (root / "factory.toml").write_text(f'{SETTINGS}aplication = "x"\n', encoding="utf-8")
    (found,) = _found(root, *names)
    assert (found.code, found.flavor, found.path) == ("FAC504", "", "factory.toml")
    assert "unknown keys: aplication" in found.message


def test_a_name_that_is_too_long_is_found_with_its_flavor(root: Path) -> None:
    make_site(root, "a" * 48)
    assert _told(root, "a" * 48) == {("FAC504", "a" * 48, f"flavors/{'a' * 48}/pyproject.toml")}


@pytest.mark.parametrize("settings", [None, ""])
def test_a_repository_that_does_not_use_konflux_has_none_of_these_rules(
    tmp_path: Path, settings: str | None
) -> None:
    make_site(tmp_path, "th09", settings=settings)
    (tmp_path / ".tekton").mkdir()
    (tmp_path / PUSH).write_text("# Generated by `factory konflux`\n", encoding="utf-8")
    assert _found(tmp_path) == []


def test_a_finding_of_the_repositorys_is_told_under_its_own_heading(root: Path) -> None:
    (root / ".tekton" / "flavors-check.yaml").unlink()
    report = _report(root)
    assert findings_text(report).startswith(
        "the repository\n  error FAC501 pipeline-run-missing  .tekton/flavors-check.yaml\n"
    )
    assert "::error file=.tekton/flavors-check.yaml,title=FAC501 pipeline-run-missing::" in as_github(report)
    assert '"uri": ".tekton/flavors-check.yaml"' in as_sarif(report)


def test_a_finding_can_be_waived_as_any_other(root: Path) -> None:
    (root / PUSH).unlink()
    project = root / "flavors" / "th09" / "pyproject.toml"
    waiver = (
        '[[tool.factory.waivers]]\nfinding = "FAC501"\nreason = "not in Konflux yet"\nexpires = 2026-12-31\n'
    )
    project.write_text(f"{project.read_text(encoding='utf-8')}\n{waiver}", encoding="utf-8")
    (found,) = _found(root, "th09")
    assert found.waiver is not None
    assert found.waiver.reason == "not in Konflux yet"
