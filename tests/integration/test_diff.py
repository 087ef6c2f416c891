"""factory diff on a real git repository: what is committed against what stands in the folder."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository

from factory.cli.main import main
from factory.flavor.repository import Flavor, Repository

pytestmark = pytest.mark.integration

LOCK, TOML = "requirements.txt", "pyproject.toml"


def _git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def flavor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flavor:
    """A clean flavor, committed; the repository of flavors stands below the top of the git repository."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = make_flavor(make_repository(tmp_path / "images"))
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "first")
    return made


def _edit(flavor: Flavor, path: str, old: str, new: str) -> None:
    text = (flavor.folder / path).read_text(encoding="utf-8")
    assert old in text
    (flavor.folder / path).write_text(text.replace(old, new), encoding="utf-8")


class Diff:
    """The command, on the repository of a flavor."""

    def __init__(self, flavor: Flavor, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = flavor.folder.parents[1]
        self._capsys = capsys

    def __call__(self, *arguments: str, command: str = "diff") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), command, *arguments])
        captured = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    def data(self, *arguments: str) -> dict[str, Any]:
        status, out, _ = self(*arguments, "--json")
        body = json.loads(out)
        assert (status, isinstance(body, dict)) == (0, True)
        return dict(body)


@pytest.fixture
def diff(flavor: Flavor, capsys: pytest.CaptureFixture[str]) -> Diff:
    return Diff(flavor, capsys)


def test_what_is_committed_does_not_differ(flavor: Flavor, diff: Diff) -> None:
    status, out, err = diff(NAME, "--exit-code")
    assert (status, err) == (0, "")
    assert out.endswith(f"-> {NAME}: no difference\n")


def test_an_edit_differs_from_head_and_decides_the_exit_code_where_asked(flavor: Flavor, diff: Diff) -> None:
    _edit(flavor, LOCK, "urllib3==2.6.2", "urllib3==2.6.3")
    _edit(flavor, TOML, "urllib3>=2.6", "urllib3>=2.6.3,<3")
    assert diff(NAME)[0] == 0
    assert diff(NAME, "--exit-code")[0] == 1
    found = diff.data(NAME)
    head = _git(diff.root, "rev-parse", "HEAD")
    assert (found["before"]["revision"], found["before"]["commit"]) == ("HEAD", head)
    assert (found["after"]["revision"], found["differs"]) == (None, True)
    assert [(item["name"], item["before"], item["after"]) for item in found["changed"]] == [
        ("urllib3", "2.6.2", "2.6.3")
    ]
    assert [item["key"] for item in found["requirements"]] == ["constraint-dependencies"]


@pytest.mark.parametrize("revision", ["HEAD~1", "first", "main@{1}", "HEAD"])
def test_a_revision_can_be_named_as_git_names_it(flavor: Flavor, diff: Diff, revision: str) -> None:
    _git(diff.root, "tag", "first")
    _edit(flavor, TOML, "quay.io/example/base:1", "quay.io/example/base:2")
    _git(diff.root, "commit", "--quiet", "-am", "second")
    settings = [(item["before"], item["after"]) for item in diff.data(f"{NAME}@{revision}")["settings"]]
    moved = [("quay.io/example/base:1", "quay.io/example/base:2")]
    assert settings == ([] if revision == "HEAD" else moved)


def test_two_revisions_are_compared_without_the_folder(flavor: Flavor, diff: Diff) -> None:
    _edit(flavor, TOML, "quay.io/example/base:1", "quay.io/example/base:2")
    _git(diff.root, "commit", "--quiet", "-am", "second")
    shutil.rmtree(flavor.folder)
    found = diff.data(f"{NAME}@HEAD", f"{NAME}@HEAD~1")
    (setting,) = found["settings"]
    assert (setting["key"], setting["after"]) == ("base-image", "quay.io/example/base:1")


def test_a_revision_alone_is_one_of_the_first_flavor(flavor: Flavor, diff: Diff) -> None:
    _edit(flavor, TOML, "quay.io/example/base:1", "quay.io/example/base:2")
    _git(diff.root, "commit", "--quiet", "-am", "second")
    _edit(flavor, TOML, "quay.io/example/base:2", "quay.io/example/base:3")

    def moved(*arguments: str) -> list[tuple[str, str]]:
        return [(item["before"][-1], item["after"][-1]) for item in diff.data(*arguments)["settings"]]

    assert moved(NAME, "HEAD") == [("2", "3")]
    assert moved(NAME, "HEAD~1") == [("1", "3")]
    assert moved(f"{NAME}@HEAD", "HEAD~1") == [("1", "2")]


def test_a_hook_of_another_git_repository_does_not_confuse_it(
    flavor: Flavor, diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert flavor.name == NAME
    assert diff.data(NAME)["differs"] is False


def test_two_flavors_are_compared_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    repository = make_repository(tmp_path)
    first = make_flavor(repository)
    project = (first.folder / TOML).read_text(encoding="utf-8").replace(NAME, "second")
    second = make_flavor(
        repository,
        name="second",
        project=project.replace("[tool.factory]", '[tool.factory]\nname = "second"'),
    )
    found = Diff(first, capsys).data(NAME, second.name)
    assert [item["key"] for item in found["settings"]] == ["name"]
    assert (found["changed"], found["rehashed"]) == ([], [])


def test_a_flavor_is_found_by_its_path_also_in_git(
    flavor: Flavor, diff: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(diff.root / "flavors")
    assert diff.data(f"../flavors/{NAME}/")["differs"] is False
    monkeypatch.chdir(flavor.folder)
    assert diff.data(".")["before"]["flavor"] == NAME


def test_markdown_is_what_a_pull_request_takes(flavor: Flavor, diff: Diff) -> None:
    _edit(flavor, LOCK, "urllib3==2.6.2", "urllib3==2.6.3")
    _, out, _ = diff(NAME, "--markdown")
    assert out.startswith(f"### `{NAME}` at `HEAD` (")
    assert "| urllib3 | 2.6.2 | 2.6.3 | patch |  |" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((f"{NAME}@no-such",), "git knows no revision 'no-such'"),
        ((f"{NAME}@--help",), "git knows no revision '--help'"),
        (("th99@HEAD", NAME), "there is no image 'th99' under flavors/ at revision HEAD"),
        (("th99", NAME), "there is no image 'th99'"),
        ((NAME, "th99"), "there is no image 'th99'"),
        ((NAME, "--", "-h"), "there is no image '-h'"),
        (("th99",), f"{NAME}. Or give the path of an image folder"),
        (("@HEAD",), "'@HEAD' names no image"),
        ((NAME, "@HEAD"), "'@HEAD' names no image"),
    ],
)
def test_what_is_not_there_is_an_error_that_says_so(
    diff: Diff, arguments: tuple[str, ...], said: str
) -> None:
    status, out, err = diff(*arguments)
    assert (status, out) == (13, "")
    assert said in err
    assert "what to do: " in err


def test_a_folder_that_is_no_git_repository_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    status, _, err = Diff(make_flavor(make_repository(tmp_path)), capsys)(NAME)
    assert status == 13
    assert "is no git repository" in err


def test_a_revision_whose_spec_cannot_be_read_is_named(flavor: Flavor, diff: Diff) -> None:
    _edit(flavor, TOML, 'torch = "2.11.0"\n', "")
    _git(diff.root, "commit", "--quiet", "-am", "broken")
    _edit(flavor, TOML, 'python = "3.12"', 'python = "3.12"\ntorch = "2.11.0"')
    status, _, err = diff(NAME)
    assert status == 11
    assert f"HEAD:flavors/{NAME}/pyproject.toml" in err


def test_drift_report_ends_with_1_on_drift_and_with_0_where_it_is_waived(flavor: Flavor, diff: Diff) -> None:
    project = (flavor.folder / TOML).read_text(encoding="utf-8").replace(NAME, "second")
    waiver = '\n[[tool.factory.waivers]]\nfinding = "drift"\nreason = "later"\nexpires = 2999-01-31\n'
    made = make_flavor(
        Repository(diff.root),
        name="second",
        project=project.replace("[tool.factory]", '[tool.factory]\nname = "second"'),
    )
    _edit(made, LOCK, "urllib3==2.6.2", "urllib3==2.6.1")
    status, out, _ = diff(command="drift-report")
    assert (status, "urllib3" in out) == (1, True)
    assert diff("--direct-only", command="drift-report")[0] == 0
    (made.folder / TOML).write_text(
        (made.folder / TOML).read_text(encoding="utf-8") + waiver, encoding="utf-8"
    )
    status, out, _ = diff("--json", command="drift-report")
    assert (status, [item["standing"] for item in json.loads(out)["drifts"]]) == (0, ["waived"])
