"""What commands write into a git work tree and nobody is to commit hides itself from real git."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.prefetch_site import Site, prefetch_site
from support.transactions import interrupted

from factory.build.oci_layout import OciLayout
from factory.downstream.context import write_context
from factory.downstream.strip import strip_file
from factory.errors import StorageError
from factory.files import make_output_folder
from factory.flavor.repository import Flavor
from factory.image_tests.report import make_report_folder
from factory.prefetch.prefetch import prefetch_flavor
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.integration


def _git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Owner", "-c", "user.email=owner@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def _repository(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "as it was", "--allow-empty")
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with prefetch_site(tmp_path) as made:
        sync_flavor(made.flavor)
        _repository(made.flavor.folder.parents[1])
        yield made


@pytest.fixture
def root(site: Site) -> Path:
    return site.flavor.folder.parents[1]


def _prefetch(flavor: Flavor, folder: Path) -> None:
    prefetch_flavor(flavor, folder)


def _strip(flavor: Flavor, folder: Path) -> None:
    write_context(flavor, folder)


def _strip_file(flavor: Flavor, folder: Path) -> None:
    strip_file(flavor.folder / "Dockerfile", folder)


def _layout(_: Flavor, folder: Path) -> None:
    with OciLayout.prepared(folder):
        pass


def _reports(_: Flavor, folder: Path) -> None:
    make_report_folder(folder)
    (folder / "report.json").write_text("{}")


def _work(flavor: Flavor, _: Path) -> None:
    (make_output_folder(flavor.folder.parents[1] / ".work" / "images" / "one") / "record").write_text("")


@pytest.mark.parametrize("write", [_prefetch, _strip, _strip_file, _layout, _reports, _work])
@pytest.mark.parametrize("place", ["made", "in/made", "empty"])
def test_output_in_a_work_tree_is_not_added(
    site: Site, root: Path, write: Callable[[Flavor, Path], None], place: str
) -> None:
    if place == "empty":
        (root / place).mkdir()
    write(site.flavor, root / place)
    write(site.flavor, root / place)
    _git(root, "add", "--all")
    assert _git(root, "status", "--porcelain") == ""


@pytest.mark.parametrize("write", [_prefetch, _reports])
def test_folder_of_a_users_own_gets_no_ignore_file(
    site: Site, root: Path, write: Callable[[Flavor, Path], None]
) -> None:
    own = root / "own"
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    write(site.flavor, own)
    assert not (own / ".gitignore").exists()
    assert "own/notes.txt" in _git(root, "status", "--porcelain", "--untracked-files=all")


def test_artifacts_in_a_folder_of_a_users_own_are_not_added(site: Site, root: Path) -> None:
    _prefetch(site.flavor, root)
    _prefetch(site.flavor, root)
    assert (root / "output/deps/pip" / site.wheels[0].name).is_file()
    _git(root, "add", "--all")
    assert "output/" not in _git(root, "status", "--porcelain")


@pytest.mark.parametrize("write", [_strip, _strip_file])
def test_context_stripped_into_another_repository_can_be_committed_there(
    site: Site, tmp_path: Path, write: Callable[[Flavor, Path], None]
) -> None:
    downstream = _repository(tmp_path / "downstream")
    write(site.flavor, downstream / "image")
    _git(downstream, "add", "--all")
    assert "A  image/Dockerfile" in _git(downstream, "status", "--porcelain")
    assert not (downstream / "image" / ".gitignore").exists()


def test_output_outside_of_every_work_tree_is_only_what_was_asked_for(site: Site, tmp_path: Path) -> None:
    for number, write in enumerate((_prefetch, _strip, _layout, _reports)):
        write(site.flavor, tmp_path / f"out{number}")
        assert not (tmp_path / f"out{number}" / ".gitignore").exists()


def test_layout_is_still_one_after_a_run_that_was_killed_at_its_start(root: Path) -> None:
    make_output_folder(root / "layout")
    with OciLayout.prepared(root / "layout") as layout:
        assert layout.index()["manifests"] == []
    assert _git(root, "status", "--porcelain") == ""


def test_change_that_was_killed_in_between_adds_nothing_of_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, monkeypatch)
    _git(root, "add", "--all")
    assert _git(root, "status", "--porcelain").split() == ["A", "flavors/a/x", "A", "flavors/a/y"]


def test_ignore_file_of_somebody_else_is_a_stranger_in_a_context(site: Site, root: Path) -> None:
    (root / "context").mkdir()
    (root / "context" / ".gitignore").write_text("*.pyc\n")
    with pytest.raises(StorageError, match=r"no part of the context: \.gitignore"):
        write_context(site.flavor, root / "context")
    assert (root / "context" / ".gitignore").read_text() == "*.pyc\n"
