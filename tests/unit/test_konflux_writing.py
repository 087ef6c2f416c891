"""Writing the PipelineRuns of a repository: what differs, whole, and nothing that is somebody else's."""

import threading
from pathlib import Path

import pytest
from support.konflux_site import NOTHING, SETTINGS, contents, make_site, parameters, read_run, write_all
from support.small_flavors import make_flavor

from factory.errors import FactoryError, KonfluxError, NotFoundError, SpecError
from factory.files import STAGED_SUFFIX, TEMPORARY_SUFFIX, exclusive
from factory.flavor.repository import Flavor, Repository
from factory.konflux.pipeline_run import MARK
from factory.konflux.writing import KonfluxReport, write_runs

OWN = {f"{name}-{word}.yaml" for name in ("th09", "th10") for word in ("pull-request", "push")}
SHARED = {
    "universal-image-konflux.yaml",
    "flavors-check.yaml",
    "flavors-check-pull-request.yaml",
    "flavors-check-push.yaml",
    "factory-check.yaml",
    "factory-clone.yaml",
    "factory-gate.yaml",
    "factory-lock-verify.yaml",
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_site(tmp_path, "th09", "th10")


def _changes(written: KonfluxReport) -> dict[str, str]:
    return {file.path: file.change for file in written.files if file.change != "same"}


def test_all_flavors_and_what_they_share_are_written(repository: Repository) -> None:
    written = write_all(repository)
    folder = repository.root / ".tekton"
    assert set(contents(folder)) == OWN | SHARED
    assert _changes(written) == {f".tekton/{name}": "added" for name in OWN | SHARED}
    assert all(content.startswith(MARK.encode()) for content in contents(folder).values())


def test_a_second_run_changes_nothing(repository: Repository) -> None:
    write_all(repository)
    stamps = {path: path.stat().st_mtime_ns for path in (repository.root / ".tekton").iterdir()}
    written = write_all(repository)
    assert {file.change for file in written.files} == {"same"}
    assert stamps == {path: path.stat().st_mtime_ns for path in (repository.root / ".tekton").iterdir()}


def test_the_pipelines_are_those_that_the_factory_ships(repository: Repository) -> None:
    write_all(repository)
    shipped = Path(__file__).parents[2] / "tekton"
    for kind, name in (("pipelines", "universal-image-konflux"), ("tasks", "factory-gate")):
        copied = (repository.root / ".tekton" / f"{name}.yaml").read_bytes()
        _, _, rest = copied.partition(b"\n")
        assert rest == (shipped / kind / name / f"{name}.yaml").read_bytes()


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(repository: Repository) -> None:
    before = contents(repository.root)
    options = {"application": "other"}
    dry = write_runs(repository, repository.flavors(), options=options, every=True, dry_run=True)
    assert contents(repository.root) == before
    assert not (repository.root / ".tekton").exists()
    wet = write_all(repository, application="other")
    assert (dry.files, dry.settings) == (wet.files, wet.settings)
    assert (dry.dry_run, wet.dry_run) == (True, False)


def test_named_flavors_alone_are_written_and_checked_with_those_written_before(
    repository: Repository,
) -> None:
    written = write_runs(repository, [repository.flavor("th09")], options=NOTHING, every=False)
    assert written.flavors == ("th09",)
    found = set(contents(repository.root / ".tekton"))
    assert found == SHARED | {name for name in OWN if name.startswith("th09")}
    assert parameters(read_run(repository, "flavors-check-push"))["flavors"] == ["th09"]
    write_runs(repository, [repository.flavor("th10")], options={"out": "ci"}, every=False)
    assert parameters(read_run(repository, "../ci/flavors-check-push"))["flavors"] == ["th09", "th10"]


def test_only_what_a_change_of_the_spec_touches_is_written_anew(repository: Repository) -> None:
    write_all(repository)
    project = repository.flavors_folder / "th09" / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace('["linux/amd64"]', '["linux/amd64", "linux/arm64"]'), encoding="utf-8")
    assert _changes(write_all(Repository(repository.root))) == {
        ".tekton/th09-pull-request.yaml": "changed",
        ".tekton/th09-push.yaml": "changed",
    }


def test_files_of_a_flavor_that_is_gone_are_removed_with_all_and_left_alone_without(
    repository: Repository,
) -> None:
    write_all(repository)
    folder = repository.root / ".tekton"
    for name in ("notes.yaml", "th10.txt"):
        (folder / name).write_text("kind: Mine\n", encoding="utf-8")
    (repository.flavors_folder / "th10" / "pyproject.toml").unlink()
    (repository.flavors_folder / "th10").rmdir()
    write_runs(repository, [repository.flavor("th09")], options=NOTHING, every=False)
    assert set(contents(folder)) >= OWN
    assert _changes(write_all(repository)) == {
        ".tekton/th10-pull-request.yaml": "removed",
        ".tekton/th10-push.yaml": "removed",
    }
    kept = {name for name in OWN if name.startswith("th09")}
    assert set(contents(folder)) == SHARED | kept | {"notes.yaml", "th10.txt"}


@pytest.mark.parametrize("kind", ["text", "empty", "link", "dangling", "folder"])
def test_what_somebody_else_put_there_is_not_replaced(repository: Repository, kind: str) -> None:
    folder = repository.root / ".tekton"
    folder.mkdir()
    place = folder / "th09-push.yaml"
    elsewhere = repository.root / "elsewhere.yaml"
    elsewhere.write_text(f"{MARK}\n", encoding="utf-8")
    if kind in {"link", "dangling"}:
        place.symlink_to(elsewhere if kind == "link" else repository.root / "nowhere")
    elif kind == "folder":
        place.mkdir()
    else:
        place.write_text("kind: PipelineRun\n" if kind == "text" else "", encoding="utf-8")
    before = contents(repository.root)
    with pytest.raises(KonfluxError, match=r"\.tekton/th09-push\.yaml: not written by") as refused:
        write_all(repository, application="other")
    assert "Move or remove" in refused.value.solution
    assert contents(repository.root) == before


def test_a_folder_that_leads_out_of_the_repository_is_refused(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (repository.root / ".tekton").symlink_to(outside)
    for dry_run in (True, False):
        with pytest.raises(KonfluxError, match="leads out of the repository"):
            write_runs(repository, repository.flavors(), options=NOTHING, every=True, dry_run=dry_run)
    assert contents(outside) == {}


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_folder_of_somebody_else_is_refused_unless_pipelines_as_code_reads_it(
    repository: Repository, *, dry_run: bool
) -> None:
    for name in ("docs", ".tekton", "empty"):
        (repository.root / name).mkdir()
    for name in ("docs", ".tekton"):
        (repository.root / name / "page.md").write_text("a page\n", encoding="utf-8")
    before = contents(repository.root)

    def write(out: str) -> KonfluxReport:
        return write_runs(repository, repository.flavors(), options={"out": out}, every=True, dry_run=dry_run)

    with pytest.raises(KonfluxError, match="docs holds what `factory konflux` did not write"):
        write("docs")
    assert contents(repository.root) == before
    for out in (".tekton", "docs/tekton", "empty"):
        write(out)
    (repository.root / "empty" / "page.md").write_text("beside ours\n", encoding="utf-8")
    if not dry_run:
        write("empty")


def test_a_flavor_outside_of_the_repository_is_refused(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_flavor(tmp_path_factory.mktemp("other"), name="th11", index_url=None)
    with pytest.raises(KonfluxError, match="is not in"):
        write_runs(repository, [other], options=NOTHING, every=False)


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("flavors/th10/pyproject.toml", "[project", SpecError),
        ("factory.toml", "[konflux]\n", KonfluxError),
        ("factory.toml", f'{SETTINGS}output-image = "x"\n', KonfluxError),
    ],
)
def test_one_thing_that_is_wrong_and_nothing_is_written(
    repository: Repository, file: str, text: str, error: type[FactoryError]
) -> None:
    (repository.root / file).write_text(text, encoding="utf-8")
    before = contents(repository.root)
    with pytest.raises(error):
        write_all(repository, target_branch="next")
    assert contents(repository.root) == before


def test_a_folder_without_a_spec_is_no_flavor_to_build(repository: Repository) -> None:
    (repository.flavors_folder / "notes").mkdir()
    with pytest.raises(NotFoundError):
        write_all(repository)
    write_runs(repository, [repository.flavor("th09")], options=NOTHING, every=False)
    assert parameters(read_run(repository, "flavors-check-push"))["flavors"] == ["th09"]


def test_options_are_kept_for_the_next_run(repository: Repository) -> None:
    write_all(repository, target_branch="release/1.10", out="ci/tekton", service_account="builder")
    assert set(contents(repository.root / "ci" / "tekton")) == OWN | SHARED
    assert {file.change for file in write_all(repository).files} == {"same"}
    run = (repository.root / "ci" / "tekton" / "th09-push.yaml").read_text(encoding="utf-8")
    assert "ci/tekton/th09-push.yaml" in run
    assert '"builder"' in run
    assert "release/1.10" in run


def test_what_a_killed_run_left_is_swept_away(repository: Repository) -> None:
    staged, half = repository.root / f".1{STAGED_SUFFIX}", repository.root / f".f.2{TEMPORARY_SUFFIX}"
    staged.mkdir()
    for path in (staged / "0.new", half):
        path.write_text("half", encoding="utf-8")
    write_all(repository)
    assert not staged.exists()
    assert not half.exists()


def test_two_runs_at_once_end_as_one_after_the_other(repository: Repository) -> None:
    branches = ["one", "two"] * 4
    failed: list[BaseException] = []

    def run(branch: str) -> None:
        try:
            write_all(Repository(repository.root), target_branch=branch)
        except FactoryError as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(branch,)) for branch in branches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    # Whichever was last: its settings, and every file by them.
    assert {file.change for file in write_all(repository).files} == {"same"}
    assert not list(repository.root.rglob(f"*{TEMPORARY_SUFFIX}"))


def test_a_run_waits_for_the_one_at_work(repository: Repository) -> None:
    done = threading.Event()

    def run() -> None:
        write_all(Repository(repository.root))
        done.set()

    thread = threading.Thread(target=run)
    with exclusive(repository.root):
        thread.start()
        assert not done.wait(0.3)
        assert not (repository.root / ".tekton").exists()
    thread.join()
    assert done.is_set()


def test_a_flavor_given_by_a_path_is_the_repositorys(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.flavors_folder / "th09")
    flavor = repository.flavor(".")
    assert flavor == Flavor(repository.flavors_folder / "th09")
    assert write_runs(repository, [flavor], options=NOTHING, every=False).flavors == ("th09",)
