"""The bill in the folder: written when asked for, and kept current by what writes the lock."""

import json
from pathlib import Path

import pytest
from support.index_server import Fault
from support.wheels import make_wheel
from support.workshop import Workshop

from factory.render.drift import SBOM_FILE

pytestmark = pytest.mark.integration

_ACCESS, _LOCK = 19, 16
_CURRENT = f"{SBOM_FILE} is brought up to date"


@pytest.fixture
def folder(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rendered and locked flavor with a bill: app, which is of the spec's index, and own, which is not."""
    make_wheel(workshop.pushed, "app", "1.0", headers=["License-Expression: MIT"])
    make_wheel(workshop.pushed, "lib", "1.0", headers=["License-Expression: ISC"])
    make_wheel(tmp_path / "local", "own", "3.0", headers=["License-Expression: 0BSD"])
    folder = workshop.flavor("app>=1", "lib>=1", "own")
    for words in (
        ("sync", folder.name),
        ("lock", *_with_local(tmp_path), folder.name),
        _sbom(folder, tmp_path),
    ):
        run = workshop.run(*words)
        assert run.status == 0, run.err
    assert _versions(folder) == {"app": "1.0", "lib": "1.0", "own": "3.0"}
    # From here on nothing that was read before is at hand, but what the bill itself says.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-cache"))
    workshop.index.requests.clear()
    return folder


def _with_local(tmp_path: Path) -> tuple[str, str]:
    return "--find-links", str(tmp_path / "local")


def _sbom(folder: Path, tmp_path: Path) -> tuple[str, ...]:
    return "sbom", folder.name, "--write", *_with_local(tmp_path)


def _versions(folder: Path) -> dict[str, str]:
    document = json.loads((folder / SBOM_FILE).read_bytes())
    return {component["name"]: component["version"] for component in document["components"]}


def _licence(folder: Path, name: str) -> str:
    document = json.loads((folder / SBOM_FILE).read_bytes())
    (component,) = (item for item in document["components"] if item["name"] == name)
    licence = component["licenses"][0]["license"]["id"]
    assert isinstance(licence, str)
    return licence


def _is_current(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    """As it is after the command, it is what a new bill would be."""
    kept = (folder / SBOM_FILE).read_bytes()
    run = workshop.run("sbom", folder.name, *_with_local(tmp_path))
    assert run.status == 0, run.err
    assert run.out.encode() == kept
    assert "FAC336" not in workshop.run("check", folder.name).out


def _release(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "app", "1.1", headers=["License-Expression: Apache-2.0"])


def _push_again(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "app", "1.0", salt="again", headers=["License-Expression: Apache-2.0"])


def test_writing_again_changes_nothing(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    before = (folder / SBOM_FILE).stat().st_mtime_ns
    run = workshop.run(*_sbom(folder, tmp_path), "--json")
    (told,) = run.data["flavors"]  # type: ignore[misc]
    assert told == {  # type: ignore[has-type]
        "flavor": folder.name,
        "path": str(folder / SBOM_FILE),
        "packages": 3,
        "files": 3,
        "written": False,
    }
    assert (folder / SBOM_FILE).stat().st_mtime_ns == before


def test_a_flavor_without_a_lock_does_not_keep_the_others_from_theirs(
    workshop: Workshop, tmp_path: Path
) -> None:
    make_wheel(workshop.pushed, "app", "1.0")
    locked, unlocked = workshop.flavor("app", name="locked"), workshop.flavor("app", name="another")
    workshop.locked(locked)
    run = workshop.run("sbom", "--all", "--write", *_with_local_empty(tmp_path))
    assert run.status == _LOCK
    assert f"locked: {SBOM_FILE} written, 1 package in 1 file" in run.out
    assert "another: no SBOM was written (LockFileError)" in run.out
    assert "error: another is not locked" in run.err
    assert not (unlocked / SBOM_FILE).exists()


def _with_local_empty(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "empty").mkdir()
    return "--find-links", str(tmp_path / "empty")


def _lock(folder: Path, tmp_path: Path) -> tuple[str, ...]:
    return "lock", folder.name, "--upgrade", *_with_local(tmp_path)


def _rehash(folder: Path, tmp_path: Path) -> tuple[str, ...]:
    return "rehash", folder.name, *_with_local(tmp_path)


def _bump(folder: Path, tmp_path: Path) -> tuple[str, ...]:
    return "bump", "app>=1.1", "--flavor", folder.name, *_with_local(tmp_path)


@pytest.mark.parametrize(
    ("command", "change", "version"),
    [(_lock, _release, "1.1"), (_rehash, _push_again, "1.0"), (_bump, _release, "1.1")],
)
def test_what_writes_the_lock_brings_the_bill_up_to_date(
    workshop: Workshop, folder: Path, tmp_path: Path, command: object, change: object, version: str
) -> None:
    assert callable(change)
    assert callable(command)
    change(workshop)
    run = workshop.run(*command(folder, tmp_path))
    assert run.status == 0, run.err
    assert f"{folder.name}: {_CURRENT}" in run.err
    assert _versions(folder)["app"] == version
    assert _licence(folder, "app") == "Apache-2.0"
    _is_current(workshop, folder, tmp_path)


def test_a_promotion_takes_the_bill_along(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    moved = workshop.index.url.replace("127.0.0.1", "localhost")
    words = ("promote", folder.name, "--index-url", moved, "--base-image", "quay.io/x/b:2")
    run = workshop.run(*words, *_with_local(tmp_path))
    assert run.status == 0, run.err
    assert _CURRENT in run.err
    text = (folder / SBOM_FILE).read_text()
    assert "quay.io/x/b:2" in text
    assert "localhost" in text
    assert "127.0.0.1" not in text
    _is_current(workshop, folder, tmp_path)


def test_only_what_is_new_is_asked_for(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    """What is still locked is taken from the bill: the wheel in the folder is not looked at again."""
    _push_again(workshop)
    own = tmp_path / "local" / "own-3.0-py3-none-any.whl"
    own.unlink()
    run = workshop.run("rehash", folder.name)
    assert run.status == 0, run.err
    assert _licence(folder, "own") == "0BSD"
    assert _licence(folder, "app") == "Apache-2.0"


def test_a_bill_that_was_edited_vouches_for_nothing(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    path = folder / SBOM_FILE
    path.write_text(path.read_text().replace('"0BSD"', '"Zlib"'))
    run = workshop.run("lock", folder.name, *_with_local(tmp_path))
    assert run.status == 0, run.err
    assert _licence(folder, "own") == "0BSD"
    assert _CURRENT in run.err


def test_a_bill_that_agrees_is_left_alone_and_nothing_is_asked_for_it(
    workshop: Workshop, folder: Path, tmp_path: Path
) -> None:
    before = (folder / SBOM_FILE).stat().st_mtime_ns
    run = workshop.run("lock", folder.name, *_with_local(tmp_path))
    assert run.status == 0
    assert SBOM_FILE not in run.err
    assert (folder / SBOM_FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "words",
    [
        ("lock", "--upgrade", "--dry-run"),
        ("lock", "--check"),
        ("lock", "--verify"),
        ("rehash", "--dry-run"),
        ("bump", "app>=1.1", "--dry-run"),
    ],
)
def test_what_writes_no_lock_writes_no_bill(
    workshop: Workshop, folder: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    _release(workshop)
    before = (folder / SBOM_FILE).read_bytes()
    named = ("--flavor", folder.name) if words[0] == "bump" else (folder.name,)
    local = () if "--verify" in words else _with_local(tmp_path)
    run = workshop.run(*words, *named, *local)
    assert run.status in {0, 1}, run.err
    assert (folder / SBOM_FILE).read_bytes() == before


def test_a_flavor_without_a_bill_gets_none(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    (folder / SBOM_FILE).unlink()
    _release(workshop)
    assert workshop.run(*_lock(folder, tmp_path)).status == 0
    assert not (folder / SBOM_FILE).exists()


def test_bill_that_cannot_follow_leaves_lock_and_bill_as_they_were(
    workshop: Workshop, folder: Path, tmp_path: Path
) -> None:
    """An edited bill says nothing of the wheel that came from a folder, and the folder has lost it."""
    path = folder / SBOM_FILE
    lock = (folder / "requirements.txt").read_bytes()
    path.write_text(path.read_text().replace('"0BSD"', '"Zlib"'))
    edited = path.read_bytes()
    _push_again(workshop)
    (tmp_path / "local" / "own-3.0-py3-none-any.whl").unlink()
    run = workshop.run("rehash", folder.name, "--json")
    assert run.status == 30
    assert list(run.data["errors"]) == [folder.name]  # type: ignore[call-overload]
    assert path.read_bytes() == edited
    assert (folder / "requirements.txt").read_bytes() == lock
    assert f"the {SBOM_FILE} of {folder.name} cannot follow its lock; nothing was written" in run.err
    assert f"To go on without it, remove {SBOM_FILE}." in run.err
    path.unlink()
    assert workshop.run("rehash", folder.name).status == 0
    assert (folder / "requirements.txt").read_bytes() != lock


def test_index_that_fails_after_the_resolution_changes_nothing(
    workshop: Workshop, folder: Path, tmp_path: Path
) -> None:
    """`factory rehash` needs the pages alone, and a bill that is to be made anew the files as well."""
    (folder / SBOM_FILE).write_text("{}")
    workshop.index.fault("/files/app-1.0-py3-none-any.whl", Fault(status=403))
    run = workshop.run("rehash", folder.name, *_with_local(tmp_path))
    assert run.status == _ACCESS
    assert f"the {SBOM_FILE} of {folder.name} cannot follow its lock" in run.err
    assert (folder / SBOM_FILE).read_text() == "{}"


def test_a_lock_that_failed_has_its_bill_left_alone(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    (folder / SBOM_FILE).write_text("{}")
    workshop.index.fault("/simple/app/", Fault(status=403))
    run = workshop.run("lock", folder.name, *_with_local(tmp_path))
    assert run.status == _ACCESS
    assert SBOM_FILE not in run.err
    assert (folder / SBOM_FILE).read_text() == "{}"


def test_the_bill_is_part_of_the_downstream_context(workshop: Workshop, folder: Path, tmp_path: Path) -> None:
    run = workshop.run("strip", folder.name, "--output", str(tmp_path / "context"))
    assert run.status == 0, run.err
    assert (tmp_path / "context" / SBOM_FILE).read_bytes() == (folder / SBOM_FILE).read_bytes()
    assert "sbom.cdx.jso[n]" in (tmp_path / "context" / "Dockerfile").read_text()
