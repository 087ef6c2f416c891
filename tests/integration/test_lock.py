"""``factory lock`` with real uv against a real index on loopback."""

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_sdist, make_wheel, sha256

from factory.cli.main import main
from factory.lock.lockfile import LockFile, require_lock

pytestmark = pytest.mark.integration

AMD, ARM = "linux/amd64", "linux/arm64"
GAP, CONFLICT, ACCESS, SPEC = 18, 17, 19, 11


@dataclass(frozen=True)
class Run:
    """What a run of the command gave."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, object]:
        body = json.loads(self.out)
        assert isinstance(body, dict)
        return body


@dataclass(frozen=True)
class Workshop:
    """A repository, an index that serves the folder ``pushed``, and the command."""

    root: Path
    pushed: Path
    index: IndexServer
    capsys: pytest.CaptureFixture[str]

    def flavor(
        self,
        *dependencies: str,
        name: str = "th09-cpu-torch2110-py312",
        index_url: str | None = None,
        platforms: Sequence[str] = (AMD,),
        constraints: Sequence[str] = (),
        overrides: Sequence[str] = (),
        missing: Sequence[str] = (),
    ) -> Path:
        """Write a flavor's project; its lock, where it has one, stays."""
        folder = self.root / "flavors" / name
        folder.mkdir(parents=True, exist_ok=True)
        url = self.index.url if index_url is None else index_url
        entries = [
            f'[[tool.factory.missing]]\nrequirement = "{item}"\nreason = "not built"\n' for item in missing
        ]
        text = (
            f"[project]\ndependencies = {json.dumps(dependencies)}\n"
            f"[tool.uv]\nconstraint-dependencies = {json.dumps(constraints)}\n"
            f"override-dependencies = {json.dumps(overrides)}\n"
            '[tool.factory]\naccelerator = "cpu"\ntorch = "2.11.0"\npython = "3.12"\ntraining-hub = "0.9.2"\n'
            + (f'index-url = "{url}"\n' if url else "")
            + f'platforms = {json.dumps(platforms)}\nname = "{name}"\n'
            'base-image = "quay.io/x/b:1"\ndownstream-base-image = "quay.io/x/p:1"\n' + "".join(entries)
        )
        (folder / "pyproject.toml").write_text(text)
        return folder

    def lock(self, *arguments: str) -> Run:
        """Run ``factory lock``."""
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), "lock", *arguments])
        captured = self.capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Run(status=status, out=captured.out, err=captured.err)

    def locked(self, folder: Path, *arguments: str) -> LockFile:
        """Lock a flavor that can be locked, and read its lock."""
        run = self.lock(folder.name, *arguments)
        assert run.status == 0, run.err
        return require_lock(folder)


@pytest.fixture
def workshop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Workshop]:
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    pushed = tmp_path / "pushed"
    pushed.mkdir()
    (tmp_path / "repository" / "flavors").mkdir(parents=True)
    with IndexServer(folder=pushed) as index:
        yield Workshop(root=tmp_path / "repository", pushed=pushed, index=index, capsys=capsys)


def hashes(lock: LockFile, name: str) -> set[str]:
    return {artifact.sha256 for pin in lock.pins if pin.name == name for artifact in pin.artifacts}


def test_a_lock_names_the_index_and_pins_everything_with_a_hash(workshop: Workshop) -> None:
    aa = make_wheel(
        workshop.pushed, "aa", "1.0", requires=["bb>=1; sys_platform == 'linux'", "win>1; os_name == 'nt'"]
    )
    bb = make_wheel(workshop.pushed, "bb", "1.5")
    folder = workshop.flavor("aa")
    lock = workshop.locked(folder)
    assert lock.index_urls == (workshop.index.url,)
    assert lock.versions() == {"aa": "1.0", "bb": "1.5"}
    assert hashes(lock, "aa") == {sha256(aa)}
    assert hashes(lock, "bb") == {sha256(bb)}
    assert all(pin.marker is None for pin in lock.pins)
    assert not lock.unreadable


def test_a_second_run_changes_no_byte(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    first = (folder / "requirements.txt").read_bytes()
    run = workshop.lock(folder.name)
    assert (folder / "requirements.txt").read_bytes() == first
    assert "no pin has changed" in run.out


def test_versions_are_kept_where_they_are_valid(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", "bb")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "1.1")
    make_wheel(workshop.pushed, "bb", "1.1")
    workshop.flavor("aa", "bb>1.0")
    assert workshop.locked(folder).versions() == {"aa": "1.0", "bb": "1.1"}


def test_upgrade_takes_the_newest_and_upgrade_package_one_of_them(workshop: Workshop) -> None:
    for name in ("aa", "bb"):
        make_wheel(workshop.pushed, name, "1.0")
    folder = workshop.flavor("aa", "bb")
    workshop.locked(folder)
    for name in ("aa", "bb"):
        make_wheel(workshop.pushed, name, "1.1")
    run = workshop.lock(folder.name, "--upgrade-package", "AA")
    assert require_lock(folder).versions() == {"aa": "1.1", "bb": "1.0"}
    assert "~ aa 1.0 -> 1.1" in run.out
    assert workshop.locked(folder, "--upgrade").versions() == {"aa": "1.1", "bb": "1.1"}


@pytest.mark.parametrize("name", ["zz", "no name at all"])
def test_upgrading_a_package_that_is_not_locked_is_said(workshop: Workshop, name: str) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    run = workshop.lock(folder.name, "--upgrade-package", name)
    assert run.status == 0
    assert f"--upgrade-package {name}: it was not in the lock" in run.err


def test_hashes_are_fresh_after_a_push_under_the_same_version(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", salt="first")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    again = make_wheel(workshop.pushed, "aa", "1.0", salt="second")
    run = workshop.lock(folder.name, "--json")
    assert hashes(require_lock(folder), "aa") == {sha256(again)}
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert flavors[0]["changes"]["rehashed"] == [
        {"name": "aa", "before": "1.0", "after": "1.0", "files": [again.name]}
    ]


def test_a_broken_lock_serves_for_what_can_be_read_of_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "aa", "1.1")
    folder = workshop.flavor("aa")
    (folder / "requirements.txt").write_text("aa==1.0 --hash=sha256:" + "0" * 64 + "\n???\n")
    lock = workshop.locked(folder)
    assert lock.versions() == {"aa": "1.0"}
    assert "0" * 64 not in hashes(lock, "aa")


def test_each_platform_gets_its_best_wheel_and_nothing_else(workshop: Workshop) -> None:
    kept = {
        sha256(make_wheel(workshop.pushed, "nn", "1.0", tag=f"cp312-cp312-manylinux_2_28_{machine}"))
        for machine in ("x86_64", "aarch64")
    }
    for tag in (
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_35_x86_64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp312-cp312-macosx_11_0_arm64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "py3-none-any",
    ):
        make_wheel(workshop.pushed, "nn", "1.0", tag=tag)
    make_sdist(workshop.pushed, "nn", "1.0")
    pure = make_wheel(workshop.pushed, "pp", "1.0")
    lock = workshop.locked(workshop.flavor("nn", "pp", platforms=(AMD, ARM)))
    assert hashes(lock, "nn") == kept
    assert hashes(lock, "pp") == {sha256(pure)}


def test_what_one_platform_needs_is_locked_for_all_since_there_are_no_markers(workshop: Workshop) -> None:
    make_wheel(
        workshop.pushed,
        "aa",
        "1.0",
        requires=["arm; platform_machine == 'aarch64'", "amd; platform_machine == 'x86_64'"],
    )
    kept = {
        name: {
            sha256(make_wheel(workshop.pushed, name, "1.0", tag=f"cp312-cp312-linux_{machine}"))
            for machine in ("x86_64", "aarch64")
        }
        for name in ("arm", "amd")
    }
    lock = workshop.locked(workshop.flavor("aa", platforms=(AMD, ARM)))
    assert {name: hashes(lock, name) for name in kept} == kept


def test_a_package_without_a_wheel_for_one_platform_is_named_at_lock_time(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["nn"])
    make_wheel(workshop.pushed, "nn", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    folder = workshop.flavor("aa", platforms=(AMD, ARM))
    run = workshop.lock(folder.name)
    assert run.status == GAP
    assert "nn for linux/arm64: the index has 1.0 with wheels for linux/amd64" in run.err
    assert "needed by aa" in run.err
    assert not (folder / "requirements.txt").exists()


def gaps_of(run: Run) -> dict[str, dict[str, object]]:
    error = run.data["error"]
    assert isinstance(error, dict)
    return {gap["package"]: gap for gap in error["gaps"]}


def test_every_gap_is_in_one_report_with_who_needs_it_and_nothing_is_written(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["deep", "old>=2"])
    make_wheel(workshop.pushed, "bb", "1.0", requires=["old>=1.5", "sourceonly>=2"])
    make_wheel(workshop.pushed, "deep", "1.0", requires=["nowhere[x]>=3", "newpython"])
    make_wheel(workshop.pushed, "old", "1.0")
    make_sdist(workshop.pushed, "sourceonly", "2.1")
    make_wheel(workshop.pushed, "newpython", "1.0", requires_python=">=3.13")
    make_wheel(workshop.pushed, "otherabi", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    folder = workshop.flavor("aa", "bb", "otherabi", "absent>=1", "win; sys_platform == 'win32'")
    (folder / "requirements.txt").write_bytes(b"what was there before")
    run = workshop.lock(folder.name, "--json")
    assert run.status == GAP
    gaps = gaps_of(run)
    assert set(gaps) == {"absent", "nowhere", "old", "sourceonly", "newpython", "otherabi"}
    assert gaps["absent"]["found"] == "the index has no such project"
    assert gaps["absent"]["needed_by"] == ["pyproject.toml (absent>=1)"]
    assert gaps["sourceonly"]["found"] == "the index has 2.1 as sdist only"
    who = {name: " ".join(map(str, gap["needed_by"])) for name, gap in gaps.items()}  # type: ignore[call-overload]
    assert "deep" in who["nowhere"]
    assert "deep" in who["newpython"]
    assert "aa" in who["old"]
    assert "bb" in who["old"]
    assert "bb" in who["sourceonly"]
    assert (folder / "requirements.txt").read_bytes() == b"what was there before"
    assert not [path for path in folder.iterdir() if path.name not in {"requirements.txt", "pyproject.toml"}]


def test_words_of_an_explanation_are_never_looked_up_on_the_index(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    workshop.lock(workshop.flavor("aa", "absent").name)
    asked = {request.path.split("/")[2] for request in workshop.index.requests if "/simple/" in request.path}
    assert asked == {"aa", "bb", "absent"}


def test_a_floor_in_the_constraints_that_the_index_lacks_is_a_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    run = workshop.lock(workshop.flavor("aa", constraints=["aa>=1.0.1"]).name)
    assert run.status == GAP
    assert "aa>=1.0.1 for linux/amd64: the index has 1.0" in run.err


def test_what_the_spec_records_as_missing_is_left_out(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["flash-attn>=2.8"])
    make_sdist(workshop.pushed, "flash-attn", "2.8")
    folder = workshop.flavor("aa", missing=["flash_attn>=2.8"])
    assert workshop.locked(folder).versions() == {"aa": "1.0"}


def test_a_conflict_is_told_in_uvs_words_and_is_no_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "bb", "2.0")
    run = workshop.lock(workshop.flavor("aa", "bb>=2").name)
    assert run.status == CONFLICT
    assert "all versions of aa depend on bb<2" in run.err


def test_gaps_and_a_conflict_are_told_together(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "bb", "2.0")
    run = workshop.lock(workshop.flavor("aa", "bb>=2", "absent").name)
    assert run.status == GAP
    assert "absent for linux/amd64" in run.err
    assert "all versions of aa depend on bb<2" in run.err


@pytest.mark.parametrize(
    "variable", ["UV_EXTRA_INDEX_URL", "UV_INDEX", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"]
)
def test_no_other_index_of_the_environment_leaks_in(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    ours = make_wheel(workshop.pushed, "private", "1.0")
    make_wheel(tmp_path / "public", "private", "9.0")
    with IndexServer(folder=tmp_path / "public") as public:
        monkeypatch.setenv(variable, public.url)
        monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
        lock = workshop.locked(workshop.flavor("private"))
        assert not public.requests
    assert lock.versions() == {"private": "1.0"}
    assert hashes(lock, "private") == {sha256(ours)}


def test_a_configuration_file_does_not_leak_into_a_private_lock(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "aa", "2.0")
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text(
        'constraint-dependencies = ["aa<2"]\n[pip]\nresolution = "lowest"\n'
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert workshop.locked(workshop.flavor("aa")).versions() == {"aa": "2.0"}


def test_a_flavor_of_the_public_index_has_no_index_line(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", workshop.index.url)
    lock = workshop.locked(workshop.flavor("aa", index_url=""))
    assert lock.versions() == {"aa": "1.0"}
    assert not lock.options


def test_a_folder_of_wheels_serves_beside_the_index(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["tt"])
    local = make_wheel(tmp_path / "wheels", "tt", "2.0+cpu")
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name, "--find-links", str(tmp_path / "wheels"))
    assert run.status == 0, run.err
    lock = require_lock(folder)
    assert lock.versions() == {"aa": "1.0", "tt": "2.0+cpu"}
    assert hashes(lock, "tt") == {sha256(local)}
    assert f"tt comes from {tmp_path / 'wheels'}" in run.err


@pytest.mark.parametrize(("index_url", "status"), [("", 0), (None, GAP)])
def test_folders_of_the_environment_serve_the_public_index_only(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index_url: str | None, status: int
) -> None:
    make_wheel(tmp_path / "wheels", "tt", "2.0+cpu")
    monkeypatch.setenv("UV_DEFAULT_INDEX", workshop.index.url)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    assert workshop.lock(workshop.flavor("tt", index_url=index_url).name).status == status


def test_credentials_come_from_netrc_and_are_shown_nowhere(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.index.credentials = ("me", "s3cret")
    folder = workshop.flavor("aa", "absent")
    refused = workshop.lock(folder.name)
    assert refused.status == ACCESS
    assert "~/.netrc" in refused.err
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    lacking = workshop.lock(folder.name)
    assert lacking.status == GAP
    workshop.flavor("aa")
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    shown = refused.out + refused.err + lacking.out + lacking.err + run.out + run.err
    assert "s3cret" not in shown + (folder / "requirements.txt").read_text()


def test_an_index_url_with_credentials_is_refused(workshop: Workshop) -> None:
    folder = workshop.flavor("aa", index_url="https://me:s3cret@packages.example.com/simple/")
    run = workshop.lock(folder.name)
    assert run.status == 11
    assert "s3cret" not in run.out + run.err
    assert not (folder / "requirements.txt").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=500), Fault(hang=True), Fault(status=401), Fault(status=403)],
    ids=["503", "500", "hang", "401", "403"],
)
def test_an_index_that_does_not_answer_is_no_gap(workshop: Workshop, fault: Fault) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb"])
    make_wheel(workshop.pushed, "bb", "1.0")
    workshop.index.fault("/simple/bb/", fault)
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name)
    assert run.status == ACCESS
    assert workshop.index.url in run.err
    assert not (folder / "requirements.txt").exists()


def test_an_index_that_is_down_is_no_gap(workshop: Workshop) -> None:
    run = workshop.lock(workshop.flavor("aa", index_url="http://127.0.0.1:9/simple/").name)
    assert run.status == ACCESS


def test_a_requirement_from_a_url_is_refused(workshop: Workshop) -> None:
    run = workshop.lock(workshop.flavor("aa @ git+https://example.com/aa.git").name)
    assert run.status == 11
    assert "required from a URL" in run.err


def test_a_requirement_from_a_url_further_down_is_refused(workshop: Workshop) -> None:
    local = make_wheel(workshop.root / "elsewhere", "bb", "1.0")
    make_wheel(workshop.pushed, "aa", "1.0", requires=[f"bb @ {local.as_uri()}"])
    run = workshop.lock(workshop.flavor("aa").name)
    assert run.status == CONFLICT
    assert "bb" in run.err


def test_one_flavor_that_fails_does_not_hide_the_others(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    first = workshop.flavor("aa", name="first")
    workshop.flavor("absent", name="second")
    third = workshop.flavor("aa", name="third")
    run = workshop.lock("--all")
    assert run.status == GAP
    assert require_lock(first).versions() == require_lock(third).versions() == {"aa": "1.0"}
    assert "second: not locked, nothing was written" in run.out
    assert "1 of 3 flavors could not be locked" in run.out
    assert "absent for linux/amd64" in run.err


def test_jobs_bound_how_many_run_at_a_time_and_give_the_same(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folders = [workshop.flavor("aa", name=f"flavor{number}") for number in range(3)]
    assert workshop.lock("--all", "--jobs", "1").status == 0
    texts = [(folder / "requirements.txt").read_bytes() for folder in folders]
    for folder in folders:
        (folder / "requirements.txt").unlink()
    assert workshop.lock("--all", "--jobs", "3").status == 0
    assert [(folder / "requirements.txt").read_bytes() for folder in folders] == texts


def test_two_runs_at_once_both_succeed(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.index.fault("/simple/aa/", Fault(delay=0.5))
    statuses: list[object] = []

    def run() -> None:
        try:
            main(["--root", str(workshop.root), "lock", folder.name])
        except SystemExit as ended:
            statuses.append(ended.code)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    assert require_lock(folder).versions() == {"aa": "1.0"}


def test_a_dry_run_says_what_would_change_and_writes_nothing(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name, "--dry-run")
    assert run.status == 0
    assert "would change" in run.out
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize("arguments", [(), ("--all", "some-flavor"), ("--all", "--jobs", "0")])
def test_wrong_usage_is_refused(workshop: Workshop, arguments: tuple[str, ...]) -> None:
    assert workshop.lock(*arguments).status == 2


def test_a_constraint_on_what_others_need_is_told_as_the_constraint(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=1"])
    make_wheel(workshop.pushed, "bb", "1.0")
    run = workshop.lock(workshop.flavor("aa", constraints=["bb>=1.0.1", "unused>=9"]).name, "--json")
    assert run.status == GAP
    gaps = gaps_of(run)
    assert set(gaps) == {"bb"}
    assert gaps["bb"]["needed_by"] == ["the constraints in pyproject.toml (bb>=1.0.1)", "aa"]


def test_everybody_who_needs_a_gap_is_named_with_the_range_where_the_index_tells(workshop: Workshop) -> None:
    workshop.index.metadata = True
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent>=2.8"])
    make_wheel(workshop.pushed, "bb", "1.0", extras={"gpu": ["absent[fast]>=2.8.2"]})
    make_wheel(workshop.pushed, "cc", "1.0", requires=["absent"])
    run = workshop.lock(workshop.flavor("aa", "bb[gpu]", "cc").name, "--json")
    gap = gaps_of(run)["absent"]
    needed_by = gap["needed_by"]
    assert isinstance(needed_by, list)
    assert sorted(re.sub(r"[\[=>].*? \(", " (", str(who)) for who in needed_by) == [
        "aa (absent>=2.8)",
        "bb (absent[fast]>=2.8.2)",
        "cc (absent)",
    ]
    assert gap["requirement"] == "absent>=2.8,>=2.8.2"


def test_a_url_that_is_no_index_is_doubted_before_its_owners_are_asked(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    wrong = f"{workshop.index.root}/elsewhere/simple/"
    run = workshop.lock(workshop.flavor("aa", "bb", index_url=wrong).name)
    assert run.status == GAP
    assert f"{wrong} lacks 2 requirements" in run.err
    assert "Look first whether this is an index" in run.err
    run = workshop.lock(workshop.flavor("aa", "bb").name)
    assert "Look first" not in run.err


def test_a_log_tells_which_flavor_is_at_work_before_how_it_ended(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.flavor("aa", name="first")
    workshop.flavor("absent", name="second")
    run = workshop.lock("--all", "--jobs", "1")
    lines = [line for line in run.err.splitlines() if line.startswith(("locking ", "error: "))]
    assert [line.partition(":")[0] for line in lines] == ["locking first", "locking second", "error"]
    assert "locking" not in workshop.lock("--all", "--json").err


def test_a_package_that_is_required_and_recorded_as_missing_is_refused(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", "Bb>=1", missing=["bb"])
    run = workshop.lock(folder.name)
    assert run.status == SPEC
    assert "bb stands in [project] dependencies and under [[tool.factory.missing]]" in run.err
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize("dependencies", [(), ("aa; sys_platform == 'win32'",)], ids=["none", "none here"])
def test_a_flavor_that_would_add_nothing_is_refused(
    workshop: Workshop, dependencies: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor(*dependencies)
    run = workshop.lock(folder.name)
    assert run.status == SPEC
    assert "nothing to lock" in run.err
    assert not (folder / "requirements.txt").exists()


def test_a_contradiction_that_the_index_could_not_cure_is_no_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca", "pre>=1").name)
    assert run.status == CONFLICT
    assert "all versions of ca depend on pre<1" in run.err
    assert "pre<1: wanted by ca" in run.err
    assert "pre>=1: wanted by pyproject.toml" in run.err
    make_wheel(workshop.pushed, "cb", "1.0", requires=["pre>=2"])
    run = workshop.lock(workshop.flavor("ca", "cb").name)
    assert run.status == CONFLICT
    assert "all versions of cb depend on pre>=2" in run.err


def test_a_contradiction_beside_a_gap_is_told_beside_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca", "pre>=1", "absent").name, "--json")
    assert run.status == GAP
    assert set(gaps_of(run)) == {"absent"}
    assert "all versions of ca depend on pre<1" in run.err


def test_a_need_that_another_version_of_its_owner_does_not_have_contradicts_nothing(
    workshop: Workshop,
) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "ca", "2.0", requires=["pre>=2"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca").name, "--json")
    assert run.status == GAP
    assert set(gaps_of(run)) == {"pre"}


_X86, _AARCH64 = "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_aarch64"
_ORDERS = pytest.mark.parametrize("platforms", [(AMD, ARM), (ARM, AMD)], ids=["amd64 first", "arm64 first"])


@_ORDERS
def test_versions_that_serve_all_platforms_are_found_in_either_order(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    for name in ("plat", "other"):
        for tag in (_X86, _AARCH64):
            make_wheel(workshop.pushed, name, "1.0", tag=tag)
    make_wheel(workshop.pushed, "plat", "2.0", tag=_X86)
    make_wheel(workshop.pushed, "other", "2.0", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("plat", "other", platforms=platforms))
    assert lock.versions() == {"plat": "1.0", "other": "1.0"}
    assert all(len(hashes(lock, name)) == 2 for name in ("plat", "other"))


@_ORDERS
def test_what_one_platform_needs_is_locked_at_a_version_that_the_other_can_have(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["armdep; platform_machine == 'aarch64'"])
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "armdep", "1.0", tag=tag)
    make_wheel(workshop.pushed, "armdep", "2.0", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("mk", platforms=platforms))
    assert lock.versions() == {"armdep": "1.0", "mk": "1.0"}


@_ORDERS
def test_a_package_for_one_platform_only_cannot_be_locked_without_markers(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["armdep; platform_machine == 'aarch64'"])
    make_wheel(workshop.pushed, "armdep", "1.0", tag=_AARCH64)
    folder = workshop.flavor("mk", platforms=platforms)
    run = workshop.lock(folder.name)
    assert run.status == CONFLICT
    assert "armdep: only linux/arm64 needs it (1.0), and it is not to be had on linux/amd64" in run.err
    assert "a lock has no markers" in run.err
    assert "needed by" not in run.err
    assert not (folder / "requirements.txt").exists()


@_ORDERS
def test_versions_that_share_no_platform_are_told_by_platform(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "plat", "1.0", tag=_AARCH64)
    make_wheel(workshop.pushed, "plat", "2.0", tag=_X86)
    run = workshop.lock(workshop.flavor("plat", platforms=platforms).name)
    assert run.status == CONFLICT
    assert "plat: 2.0 on linux/amd64, 1.0 on linux/arm64" in run.err
