"""What stands beside PipelineRuns: those of another folder, copies, a bad name, a file in the way."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from support.konflux_site import NOTHING, contents, make_site, parameters, read_run, write_all

from factory.check.check import check_flavors
from factory.cli.main import main
from factory.errors import KonfluxError
from factory.flavor.repository import Repository
from factory.konflux.writing import write_runs

TODAY = dt.date(2026, 11, 22)
PUSH = ".tekton/th09-push.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = make_site(tmp_path, "th09", "th10")
    write_all(repository)
    return repository


def _told(repository: Repository, *names: str) -> set[tuple[str, str, str]]:
    """The findings about PipelineRuns: code, flavor and path."""
    root = repository.root
    report = check_flavors(
        repository.select(names), root=root, today=TODAY, others=repository.flavors(), whole=not names
    )
    return {(item.code, item.flavor, item.path) for item in report.findings if item.code.startswith("FAC5")}


def test_another_folder_takes_the_place_of_the_one_before(repository: Repository) -> None:
    """Pipelines as Code would go on reading the old one."""
    (repository.root / ".tekton" / "mine.yaml").write_text("kind: PipelineRun\n", encoding="utf-8")
    before = set(contents(repository.root / ".tekton")) - {"mine.yaml"}
    written = write_all(repository, out="ci/tekton")
    assert {file.path for file in written.files if file.change == "removed"} == {
        f".tekton/{name}" for name in before
    }
    assert set(contents(repository.root / ".tekton")) == {"mine.yaml"}
    assert set(contents(repository.root / "ci" / "tekton")) == before
    write_all(repository, out=".tekton")
    assert contents(repository.root / "ci" / "tekton") == {}
    assert _told(repository) == set()


def test_one_flavor_in_another_folder_leaves_nothing_in_the_one_before(repository: Repository) -> None:
    write_runs(repository, [repository.flavor("th09")], options={"out": "ci"}, every=False)
    assert contents(repository.root / ".tekton") == {}
    assert (repository.root / "ci" / "th09-push.yaml").is_file()


def test_a_dry_run_of_another_folder_removes_nothing(repository: Repository) -> None:
    before = contents(repository.root)
    written = write_runs(
        repository, repository.flavors(), options={"out": "ci/tekton"}, every=True, dry_run=True
    )
    assert PUSH in {file.path for file in written.files if file.change == "removed"}
    assert contents(repository.root) == before


def test_what_is_left_in_tekton_is_found_where_the_settings_name_another_folder(
    repository: Repository,
) -> None:
    kept = (repository.root / PUSH).read_bytes()
    write_all(repository, out="ci/tekton")
    (repository.root / PUSH).write_bytes(kept)
    assert _told(repository) == {("FAC503", "", PUSH)}
    write_all(repository)
    assert _told(repository) == set()
    assert not (repository.root / PUSH).exists()


def test_a_folder_that_is_a_link_to_the_one_before_loses_nothing(repository: Repository) -> None:
    (repository.root / "ci").mkdir()
    (repository.root / "ci" / "tekton").symlink_to("../.tekton")
    before = set(contents(repository.root / ".tekton"))
    write_all(repository, out="ci/tekton")
    assert set(contents(repository.root / ".tekton")) == before
    assert _told(repository) == set()


def test_a_former_folder_outside_of_the_repository_is_not_touched(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    shutil.copytree(repository.root / ".tekton", outside, dirs_exist_ok=True)
    before = contents(outside)
    shutil.rmtree(repository.root / ".tekton")
    (repository.root / ".tekton").symlink_to(outside)
    write_all(repository, out="ci/tekton")
    assert contents(outside) == before


@pytest.mark.parametrize(
    ("source", "copy"),
    [
        ("th09-push", "my-nightly"),
        ("th09-push", "nightly-push"),
        ("th09-push", "th11-pull-request"),
        ("flavors-check-push", "nightly-push"),
        ("universal-image-konflux", "my-pipeline"),
        ("flavors-check", "flavors-check-2"),
        ("factory-check", "factory-mine"),
        ("th09-push", "factory-mine"),
    ],
)
def test_a_file_that_somebody_copied_from_one_of_ours_is_theirs(
    repository: Repository, source: str, copy: str
) -> None:
    folder = repository.root / ".tekton"
    shutil.copy(folder / f"{source}.yaml", folder / f"{copy}.yaml")
    assert _told(repository) == set()
    assert {file.change for file in write_all(repository).files} == {"same"}
    assert (folder / f"{copy}.yaml").is_file()


def test_without_a_flavor_what_checked_them_is_removed(repository: Repository) -> None:
    for name in ("th09", "th10"):
        shutil.rmtree(repository.flavors_folder / name)
    write_runs(repository, (), options=NOTHING, every=True)
    assert set(contents(repository.root / ".tekton")) == {"universal-image-konflux.yaml"}


@pytest.mark.parametrize("name", ["UP", "a" * 48, "flavors-check"])
def test_a_name_that_cannot_be_used_hinders_no_other_flavor(
    repository: Repository, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(repository.flavors_folder / "th10", repository.flavors_folder / name)
    (repository.root / ".tekton" / "factory-gate.yaml").unlink()
    told = _told(repository)
    assert ("FAC501", "", ".tekton/factory-gate.yaml") in told
    assert {(code, flavor) for code, flavor, _ in told} == {("FAC501", ""), ("FAC504", name)}
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(repository.root), "konflux", "th09"])
    assert ended.value.code == 0
    assert f"{name} is left out of the check of every flavor: " in capsys.readouterr().out
    assert parameters(read_run(repository, "flavors-check-push"))["flavors"] == ["th09", "th10"]
    assert {code for code, _, _ in _told(repository)} == {"FAC504"}


def test_all_is_refused_with_a_name_that_cannot_be_used(repository: Repository) -> None:
    shutil.copytree(repository.flavors_folder / "th10", repository.flavors_folder / "UP")
    before = contents(repository.root)
    with pytest.raises(KonfluxError, match="'UP' cannot have a PipelineRun"):
        write_all(repository)
    assert contents(repository.root) == before


@pytest.mark.parametrize(("out", "place"), [(".tekton", ".tekton"), ("ci/tekton", "ci")])
@pytest.mark.parametrize("kind", ["file", "dangling", "loop"])
def test_what_stands_in_the_folders_place_is_a_finding(
    tmp_path: Path, out: str, place: str, kind: str
) -> None:
    repository = make_site(tmp_path, "th09")
    settings = tmp_path / "factory.toml"
    settings.write_text(f'{settings.read_text(encoding="utf-8")}out = "{out}"\n', encoding="utf-8")
    if kind == "file":
        (tmp_path / place).write_text("x", encoding="utf-8")
    else:
        (tmp_path / place).symlink_to("nowhere" if kind == "dangling" else place)
    assert _told(repository) == {("FAC502", "", place), ("FAC502", "th09", place)}
    assert _told(repository, "th09") == {("FAC502", "th09", place)}
    with pytest.raises(KonfluxError, match=f"{place} is not a folder"):
        write_all(repository)
