"""A flavor of more than one index: one resolution, a lock file for each, no package looked for elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_wheel, sha256
from support.workshop import AMD, ARM, GAP, SPEC, Workshop

from factory.lock.lockfile import LOCK_FILE
from factory.lock.lockset import LockSet, parse_lock_set

pytestmark = pytest.mark.integration

_EXTRA_FILE = "requirements-extra.txt"


@pytest.fixture
def extra(tmp_path: Path) -> Iterator[IndexServer]:
    """A second index; it has flash and mamba, and packages of the main one at higher versions."""
    folder = tmp_path / "extra"
    make_wheel(folder, "flash", "1.0", requires=["numeric<2"])
    make_wheel(folder, "flash", "2.0", requires=["numeric<2"])
    make_wheel(folder, "mamba", "1.0", requires=["helper"])
    make_wheel(folder, "numeric", "99.0")
    make_wheel(folder, "app", "99.0")
    with IndexServer(folder=folder) as server:
        yield server


@pytest.fixture
def main_index(workshop: Workshop) -> IndexServer:
    """The main index; whoever wrote there has taken the names of the extra one, at higher versions."""
    make_wheel(workshop.pushed, "app", "1.0", requires=["flash>=1", "numeric"])
    make_wheel(workshop.pushed, "numeric", "1.0")
    make_wheel(workshop.pushed, "numeric", "2.0")
    make_wheel(workshop.pushed, "helper", "1.0")
    make_wheel(workshop.pushed, "flash", "99.0")
    make_wheel(workshop.pushed, "mamba", "99.0")
    return workshop.index


def _read(folder: Path) -> LockSet:
    names = [LOCK_FILE, *sorted(path.name for path in folder.glob("requirements-*.txt"))]
    return parse_lock_set({name: (folder / name).read_text() for name in names})


def _asked(index: IndexServer) -> set[str]:
    return {request.path.split("/")[2] for request in index.requests if request.path.startswith("/simple/")}


def test_each_index_has_a_file_with_its_own_line_and_its_own_packages(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash"])})
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    locks = _read(folder)
    assert list(locks.files) == [LOCK_FILE, _EXTRA_FILE]
    assert locks.files[LOCK_FILE].index_urls == (main_index.url,)
    assert locks.files[_EXTRA_FILE].index_urls == (extra.url,)
    assert locks.files[LOCK_FILE].versions() == {"app": "1.0", "numeric": "1.0"}
    assert locks.files[_EXTRA_FILE].versions() == {"flash": "2.0"}
    assert locks.belongs_together
    assert locks.as_locked
    assert locks.files[_EXTRA_FILE].index == "extra"
    (flash,) = (pin for pin in locks.pins if pin.name == "flash")
    assert [item.sha256 for item in flash.artifacts] == [sha256(extra.folder / "flash-2.0-py3-none-any.whl")]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert workshop.lock(folder.name, "--check").status == 0
    assert workshop.lock(folder.name).status == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "dependencies",
    [("app",), ("app", "flash"), ("app", "flash<2"), ("mamba",), ("app", "mamba ; sys_platform == 'win32'")],
    ids=" ".join,
)
@pytest.mark.parametrize("platforms", [(AMD,), (AMD, ARM)], ids=["one platform", "two"])
def test_no_package_is_looked_for_on_an_index_that_the_spec_does_not_give_it(
    workshop: Workshop,
    main_index: IndexServer,
    extra: IndexServer,
    dependencies: tuple[str, ...],
    platforms: tuple[str, ...],
) -> None:
    folder = workshop.flavor(
        *dependencies, platforms=platforms, indexes={"extra": (extra.url, ["flash", "mamba"])}
    )
    for arguments in ((), ("--check",), ("--upgrade",), ("--verify",)):
        run = workshop.lock(folder.name, *arguments)
        assert run.status == 0, run.err
    assert workshop.run("rehash", folder.name).status == 0
    assert not {"flash", "mamba"} & _asked(main_index)
    assert _asked(extra) <= {"flash", "mamba"}


def test_a_package_of_an_index_that_nobody_requires_is_not_locked_nor_what_it_requires(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash", "mamba"])})
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    assert _read(folder).versions() == {"app": "1.0", "flash": "2.0", "numeric": "1.0"}
    assert "mamba" not in _asked(main_index)


def test_an_index_from_which_nothing_comes_has_an_empty_file_and_is_told(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("numeric", indexes={"extra": (extra.url, ["mamba"])})
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    assert "nothing that is required comes from the index 'extra'" in run.err
    locks = _read(folder)
    assert locks.files[_EXTRA_FILE].pins == ()
    assert locks.belongs_together
    assert _asked(main_index) == {"numeric", "helper"}


def test_versions_are_kept_and_upgraded_on_a_further_index_too(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    indexes = {"extra": (extra.url, ["flash"])}
    folder = workshop.flavor("app", "flash<2", indexes=indexes)
    assert workshop.lock(folder.name).status == 0
    workshop.flavor("app", indexes=indexes)
    assert workshop.lock(folder.name).status == 0
    assert _read(folder).versions()["flash"] == "1.0"
    assert workshop.lock(folder.name, "--upgrade-package", "flash").status == 0
    assert _read(folder).versions()["flash"] == "2.0"
    assert "flash" not in _asked(main_index)


def test_a_constraint_holds_for_a_package_of_a_further_index(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", constraints=["flash<2"], indexes={"extra": (extra.url, ["flash"])})
    assert workshop.lock(folder.name).status == 0
    assert _read(folder).versions()["flash"] == "1.0"
    assert "flash" not in _asked(main_index)


def test_an_override_on_a_package_of_a_further_index_is_refused(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", overrides=["flash==1.0"], indexes={"extra": (extra.url, ["flash"])})
    run = workshop.lock(folder.name)
    assert run.status == SPEC
    assert "flash comes from the index 'extra'" in run.err
    assert not main_index.requests
    assert not (folder / LOCK_FILE).exists()


def test_what_is_recorded_as_missing_is_looked_for_nowhere(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", missing=["flash"], indexes={"extra": (extra.url, ["flash"])})
    assert workshop.lock(folder.name).status == 0
    assert _read(folder).versions() == {"app": "1.0", "numeric": "2.0"}
    assert "flash" not in _asked(main_index) | _asked(extra)


def test_what_a_further_index_lacks_is_a_gap_there_and_not_taken_from_the_main_one(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    make_wheel(workshop.pushed, "needy", "1.0", requires=["flash>=3"])
    folder = workshop.flavor("needy", indexes={"extra": (extra.url, ["flash"])})
    run = workshop.lock(folder.name)
    assert run.status == GAP
    assert "flash>=3" in run.err
    assert "flash" not in _asked(main_index)
    assert not (folder / LOCK_FILE).exists()


def test_the_credentials_of_each_index_are_its_own(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra.credentials = ("them", "s3cret")
    folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash"])})
    refused = workshop.lock(folder.name)
    assert refused.status == 19, refused.err
    monkeypatch.setenv("UV_INDEX_EXTRA_USERNAME", "them")
    monkeypatch.setenv("UV_INDEX_EXTRA_PASSWORD", "s3cret")
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    assert not [request for request in main_index.requests if "Authorization" in request.headers]
    assert "s3cret" not in refused.err + run.out + run.err + (folder / _EXTRA_FILE).read_text()


def test_a_lock_file_of_an_index_that_is_no_more_goes_with_the_next_lock(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("numeric", "mamba", indexes={"extra": (extra.url, ["mamba"])})
    assert workshop.lock(folder.name).status == 0
    assert main_index.requests
    (folder / "requirements-notes.txt").write_text("a person's own\n")
    workshop.flavor("numeric")
    checked = workshop.lock(folder.name, "--check")
    assert checked.status == 1
    assert f"{_EXTRA_FILE} is of an index that the spec does not name" in checked.out
    assert workshop.lock(folder.name).status == 0
    assert sorted(path.name for path in folder.glob("requirements*")) == [
        "requirements-notes.txt",
        LOCK_FILE,
    ]


def test_files_of_two_runs_are_seen_and_mended(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    indexes = {"extra": (extra.url, ["flash"])}
    folder = workshop.flavor("app", "flash<2", indexes=indexes)
    assert workshop.lock(folder.name).status == 0
    old = (folder / _EXTRA_FILE).read_bytes()
    workshop.flavor("app", "flash>1", indexes=indexes)
    assert workshop.lock(folder.name).status == 0
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / _EXTRA_FILE).write_bytes(old)
    assert not _read(folder).belongs_together
    for arguments in (("lock", "--verify"), ("rehash",)):
        run = workshop.run(*arguments, folder.name)
        assert run.status == 16
        assert "are not the files of one lock" in run.err
    assert workshop.lock(folder.name, "--check").status == 1
    assert workshop.lock(folder.name).status == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert main_index.requests


def test_a_re_push_on_a_further_index_is_verified_and_rehashed_there(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash"])})
    assert workshop.lock(folder.name).status == 0
    pushed = make_wheel(extra.folder, "flash", "2.0", requires=["numeric<2"], salt="again")
    run = workshop.lock(folder.name, "--verify")
    assert run.status == 1
    assert f"re-pushed: {pushed.name} has other bytes on {extra.url}" in run.out
    assert workshop.run("rehash", folder.name).status == 0
    locks = _read(folder)
    assert locks.belongs_together
    assert sha256(pushed) in {item.sha256 for pin in locks.files[_EXTRA_FILE].pins for item in pin.artifacts}
    assert workshop.lock(folder.name, "--verify").status == 0
    assert workshop.lock(folder.name, "--check").status == 0
    assert "flash" not in _asked(main_index)


def test_a_folder_of_wheels_serves_beside_the_main_index_alone(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "wheels", "flash", "3.0+cpu")
    local = make_wheel(tmp_path / "wheels", "numeric", "1.0+cpu")
    folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash"])})
    run = workshop.lock(folder.name, "--find-links", str(tmp_path / "wheels"))
    assert run.status == 0, run.err
    locks = _read(folder)
    assert locks.versions() == {"app": "1.0", "flash": "2.0", "numeric": "1.0+cpu"}
    assert locks.files[LOCK_FILE].beside_index == ("numeric",)
    assert locks.files[_EXTRA_FILE].beside_index == ()
    assert sha256(local) in {item.sha256 for pin in locks.files[LOCK_FILE].pins for item in pin.artifacts}
    assert "flash" not in _asked(main_index)


_X86, _AARCH64 = "cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"


def test_a_package_of_a_further_index_serves_both_platforms_with_one_version(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    both = {sha256(make_wheel(extra.folder, "kernel", "1.0", tag=tag)) for tag in (_X86, _AARCH64)}
    make_wheel(extra.folder, "kernel", "2.0", tag=_X86)
    make_wheel(workshop.pushed, "kernel", "9.0")
    folder = workshop.flavor("kernel", platforms=(AMD, ARM), indexes={"extra": (extra.url, ["kernel"])})
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    (pin,) = _read(folder).files[_EXTRA_FILE].pins
    assert (pin.version, {item.sha256 for item in pin.artifacts}) == ("1.0", both)
    assert "kernel" not in _asked(main_index)


def test_a_package_of_a_further_index_that_cannot_serve_both_is_named_with_the_platforms_it_has(
    workshop: Workshop, main_index: IndexServer, extra: IndexServer
) -> None:
    make_wheel(extra.folder, "kernel", "1.0", tag=_X86)
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "kernel", "1.0", tag=tag)
    make_wheel(workshop.pushed, "user", "1.0", requires=["kernel"])
    folder = workshop.flavor("user", platforms=(AMD, ARM), indexes={"extra": (extra.url, ["kernel"])})
    run = workshop.lock(folder.name)
    assert run.status == GAP
    assert "kernel for linux/arm64: the index has 1.0 with wheels for linux/amd64" in run.err
    assert "kernel" not in _asked(main_index)
    assert not (folder / LOCK_FILE).exists()


def test_a_lock_of_one_index_says_nothing_of_others(workshop: Workshop, main_index: IndexServer) -> None:
    folder = workshop.flavor("numeric")
    lock = workshop.locked(folder)
    assert main_index.requests
    text = (folder / LOCK_FILE).read_text()
    assert "# index:" not in text
    assert "# together:" not in text
    assert (lock.index, lock.together) == (None, None)
