"""A repository in which somebody put what is no file, or no project, beside a flavor that is well."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository

from factory.cli.main import main
from factory.errors import StorageError
from factory.flavor.repository import Flavor, Repository
from factory.lock.lockset import require_lock_set
from factory.render.drift import SBOM_FILE
from factory.sbom.write import SbomUpdater

BROKEN = "broken"


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


BROKEN_PROJECTS: dict[str, Callable[[Path], object]] = {
    "50,000 brackets": _text("a = " + "[" * 50_000),
    "a number of 5,000 digits": _text("a = 1" + "0" * 5_000),
    "a key of 50,000 parts": _text(".".join("a" * 50_000) + " = 1"),
    "a FIFO": os.mkfifo,
    "a link to a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "half a character": lambda path: path.write_bytes(b"\xff"),
    "a link to itself": lambda path: path.symlink_to(path),
}
NO_FILES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = make_repository(tmp_path)
    make_flavor(found)
    return found


@dataclass(frozen=True)
class Run:
    """What a command ended with, and what it printed."""

    status: object
    out: str
    err: str


@pytest.fixture
def factory(repository: Repository, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run a command in this process: there are many, and a defect of one is a traceback all the same."""

    def run(*arguments: str) -> Run:
        command, *others = arguments
        with pytest.raises(SystemExit) as ended:
            main([command, "--root", str(repository.root), *others])
        return Run(ended.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("write", BROKEN_PROJECTS.values(), ids=BROKEN_PROJECTS)
def test_a_broken_project_is_a_row_of_its_own_and_hides_no_other(
    repository: Repository, factory: Callable[..., Run], write: Callable[[Path], object]
) -> None:
    alone = json.loads(factory("check", "--json").out)["findings"]
    folder = repository.flavors_folder / BROKEN
    folder.mkdir()
    write(folder / "pyproject.toml")
    listed = {row["name"]: row for row in json.loads(factory("list", "--json").out)}
    assert listed[BROKEN]["rendering"] == "broken"
    assert listed[NAME]["rendering"] == "rendered"
    planned = {
        row["image"]: row["action"]
        for row in json.loads(factory("plan", "--offline", "--json").out)["images"]
    }
    assert planned.get(BROKEN, "blocked") == "blocked"
    assert planned[NAME] == "build"
    standing = {
        row["name"]: row for row in json.loads(factory("status", "--offline", "--json").out)["images"]
    }
    assert standing[NAME]["problem"] == ""
    found = [(row["flavor"], row["code"]) for row in json.loads(factory("check", "--json").out)["findings"]]
    assert (BROKEN, "FAC201") in found
    assert [code for flavor, code in found if flavor == NAME] == [row["code"] for row in alone]


@pytest.mark.parametrize("write", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", ["requirements.txt", "Dockerfile", "sbom.cdx.json"])
def test_what_is_no_file_in_a_flavor_hangs_nothing(
    repository: Repository, factory: Callable[..., Run], name: str, write: Callable[[Path], object]
) -> None:
    place = repository.flavors_folder / NAME / name
    place.unlink(missing_ok=True)
    write(place)
    for command in (["list"], ["plan", "--offline"], ["status", "--offline"], ["check"], ["show", NAME]):
        done = factory(*command)
        assert done.status in {0, 1, 24}, (command, done.err)


@pytest.mark.parametrize("write", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", ["factory.toml", "parents.json"])
def test_settings_that_are_no_file_are_refused(
    repository: Repository, factory: Callable[..., Run], name: str, write: Callable[[Path], object]
) -> None:
    (repository.root / name).unlink(missing_ok=True)
    write(repository.root / name)
    done = factory("plan", "--offline")
    assert done.status == 24
    assert "not a regular file" in done.err


def test_a_lock_of_a_device_without_an_end_is_refused(
    repository: Repository, factory: Callable[..., Run]
) -> None:
    lock = repository.flavors_folder / NAME / "requirements.txt"
    lock.unlink()
    lock.symlink_to("/dev/zero")
    done = factory("sbom", NAME)
    assert done.status == 24
    assert "not a regular file" in done.err


def test_a_file_that_is_too_large_is_a_finding_and_hides_no_other(
    repository: Repository, factory: Callable[..., Run]
) -> None:
    large = repository.flavors_folder / "large"
    shutil.copytree(repository.flavors_folder / NAME, large)
    # Sparse: it takes no room on the disk.
    os.truncate(large / "Dockerfile", 100_000_000)
    alone = json.loads(factory("check", NAME, "--json").out)["findings"]
    found = json.loads(factory("check", "--json").out)["findings"]
    assert [(row["code"], Path(row["path"]).name) for row in found if row["flavor"] == "large"] == [
        ("FAC107", "Dockerfile")
    ]
    assert [row["code"] for row in found if row["flavor"] == NAME] == [row["code"] for row in alone]


@pytest.mark.parametrize("write", [*NO_FILES.values(), Path.mkdir], ids=[*NO_FILES, "a folder"])
def test_a_bill_that_is_no_file_is_not_taken_for_none(
    repository: Repository, factory: Callable[..., Run], tmp_path: Path, write: Callable[[Path], object]
) -> None:
    flavor = Flavor(repository.flavors_folder / NAME)
    write(flavor.folder / SBOM_FILE)
    found = json.loads(factory("check", "--json").out)["findings"]
    assert ("FAC107", SBOM_FILE) in [(row["code"], Path(row["path"]).name) for row in found]
    assert factory("strip", NAME, "--output", str(tmp_path / "context")).status == 24
    with pytest.raises(StorageError):
        SbomUpdater()(flavor, flavor.project, require_lock_set(flavor.folder, flavor.project.spec))
