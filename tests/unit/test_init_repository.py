"""``factory init``: a repository from nothing, whole or not at all, and nothing overwritten."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from factory import __version__
from factory.check.check import check_flavors
from factory.cli.main import main
from factory.clock import today
from factory.documents import read_toml
from factory.errors import KonfluxError, StorageError
from factory.flavor.repository import find_repository
from factory.images.catalogue import read_catalogue
from factory.init import repository as init_module
from factory.init.ci import CI_SYSTEMS
from factory.init.repository import InitRequest, init_repository
from factory.settings import read_settings
from factory.transaction import Transaction

ROOT = Path(__file__).parents[2]
ALL = InitRequest(
    ci=CI_SYSTEMS, pre_commit=True, example=True, agents=("claude", "opencode"), output_image="quay.io/team/"
)


def _files(root: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".factory-journal" not in path.parts
    }


def test_a_plain_repository_has_settings_folders_and_a_readme(tmp_path: Path) -> None:
    report = init_repository(tmp_path / "new team" / "images", InitRequest())
    root = tmp_path / "new team" / "images"
    assert sorted(_files(root)) == [
        ".gitignore",
        "README.md",
        "factory.toml",
        "flavors/.gitkeep",
        "images/.gitkeep",
    ]
    assert {file.change for file in report.files} == {"added"}
    assert read_settings(root)["factory-version"] == __version__
    assert find_repository(None, start=root / "images").root == root
    assert read_catalogue(find_repository(root, start=root)).names == ()
    ignored = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/.work/", "/prefetched*/", "/downstream*/", "/factory.local.toml"} <= set(ignored)


def test_everything_at_once_is_a_chain_of_images_that_check_accepts(tmp_path: Path) -> None:
    root = tmp_path / "a b"
    report = init_repository(root, ALL)
    assert report.example == ("th011-cpu-torch2130-py311", "ml-stack", "trainer", "launcher")
    repository = find_repository(root, start=root)
    catalogue = read_catalogue(repository)
    assert set(catalogue.names) == set(report.example)
    assert [parent.image for parent in catalogue.definition("trainer").parents] == ["ml-stack"]
    found = check_flavors(
        repository.flavors(), root=root, today=today(), others=repository.flavors(), whole=True
    ).findings
    # Locking is the next step; the images that are no flavors need the locks of their parents first.
    assert {item.code for item in found} <= {"FAC301"}
    assert (root / "tekton/kustomization.yaml").is_file()
    assert not (root / "tekton/image").exists()
    assert (root / ".tekton/th011-cpu-torch2130-py311-push.yaml").is_file()


def test_a_second_run_writes_nothing_and_says_what_it_left_alone(tmp_path: Path) -> None:
    init_repository(tmp_path, ALL)
    (tmp_path / "README.md").write_text("Ours.\n", encoding="utf-8")
    (tmp_path / ".github/workflows/images.yml").write_text("name: ours\n", encoding="utf-8")
    before = _files(tmp_path)
    report = init_repository(tmp_path, ALL)
    assert _files(tmp_path) == before
    assert {file.change for file in report.files} == {"same", "left alone"}
    said = "\n".join(map(str, report.describe()))
    assert "has all of it already: nothing was written" in said
    images = ("flavors/th011-cpu-torch2130-py311/", "images/trainer/")
    for path in ("README.md", ".github/workflows/images.yml", *images):
        assert f"{path}: left alone" in said


def test_what_is_there_is_added_to_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "flavors").mkdir()
    (tmp_path / "factory.toml").write_text('[flavors]\ntests = "full"\n', encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/.work\n", encoding="utf-8")
    report = init_repository(tmp_path, InitRequest(example=True))
    settings = (tmp_path / "factory.toml").read_text(encoding="utf-8")
    assert settings.startswith('[flavors]\ntests = "full"\n')
    assert "[images.trainer]" in settings
    changes = {file.path: (file.change, file.note) for file in report.files}
    assert changes["factory.toml"][0] == "changed"
    assert changes[".gitignore"][0] == "left alone"
    assert "/factory.local.toml" in changes[".gitignore"][1]
    assert "/.work/" not in changes[".gitignore"][1]


def test_a_dry_run_and_a_run_say_the_same_and_only_one_writes(tmp_path: Path) -> None:
    dry = init_repository(tmp_path / "new", ALL, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert "would be written" in str(list(dry.describe())[1])
    assert init_repository(tmp_path / "new", ALL).files == dry.files


def test_a_failure_at_any_moment_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("no space is left", solution="Make room.")

    for owner, name in ((Transaction, "commit"), (init_module, "make_example")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(StorageError, match="no space is left"):
                init_repository(tmp_path / "new" / "team", ALL)
        assert list(tmp_path.iterdir()) == []


def test_konflux_without_a_place_for_the_images_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(KonfluxError) as refused:
        init_repository(tmp_path / "team", InitRequest(ci=("konflux",)))
    assert "--output-image" in refused.value.solution
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "team").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="not a folder"):
        init_repository(tmp_path / "team", InitRequest())


def test_any_command_outside_of_a_repository_names_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["list"], ["check"], ["plan"], ["status"], ["--root", "x y", "list"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 13
        assert "`factory init" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--json", "init", "--dry-run"])
    assert json.loads(capsys.readouterr().out)["files"][0] == {
        "path": ".gitignore",
        "change": "added",
        "note": "",
    }


def test_everything_that_the_wheel_is_made_of_is_in_the_context_of_the_image_of_the_factory() -> None:
    """The build of tekton/image/Containerfile would fail at the wheel without one of them."""
    wheel = read_toml(ROOT / "pyproject.toml", dict[str, Any])["tool"]["hatch"]["build"]["targets"]["wheel"]
    containerfile = (ROOT / "tekton/image/Containerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    for folder in (*wheel["packages"], *wheel["force-include"]):
        assert f"COPY {folder}/ /src/{folder}/\n" in containerfile
        assert f"!/{folder}/" in ignored
