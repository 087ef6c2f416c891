"""``factory konflux`` on the command line: what it prints, and which errors it ends with."""

import json
from pathlib import Path

import pytest
from support.konflux_site import contents, make_site
from support.small_flavors import make_flavor, write_lock
from support.workshop import Run

from factory.cli.main import main
from factory.lock.lockfile import format_lock

OPTIONS = ("--application", "images", "--output-image", "quay.io/example/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    repository = make_site(tmp_path, "th09", "th10", settings=None)
    for flavor in repository.flavors():
        write_lock(flavor, [], index_url=None)
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> Run:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), "konflux", *words])
    captured = capsys.readouterr()
    status = ended.value.code
    assert isinstance(status, int)
    return Run(status=status, out=captured.out, err=captured.err)


def test_it_says_what_it_wrote_into_which_file(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run = _run(capsys, root, "--all", *OPTIONS)
    assert (run.status, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[:2] == [
        "factory.toml: application is now 'images'",
        "factory.toml: output-image is now 'quay.io/example/'",
    ]
    assert ".tekton/th09-push.yaml: written" in lines
    assert lines[-1] == "2 images, 12 files"
    again = _run(capsys, root, "--all", *OPTIONS)
    assert again.out == "2 images, 12 files, unchanged\n"


def test_a_dry_run_says_what_would_be(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    before = contents(root)
    run = _run(capsys, root, "th09", *OPTIONS, "--target-branch", "next", "--dry-run")
    assert run.status == 0
    assert "factory.toml: target-branch would be 'next' (was 'main')" in run.out
    assert ".tekton/th09-push.yaml: would be written" in run.out
    assert "th10-push" not in run.out
    assert contents(root) == before


def test_new_settings_for_some_flavors_say_that_the_others_need_them_too(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    run = _run(capsys, root, "th09", *OPTIONS)
    assert run.status == 0
    assert "run `factory konflux --all`" in run.err
    assert _run(capsys, root, "th10").err == ""


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_flavor_that_konflux_cannot_build_is_warned_of(
    capsys: pytest.CaptureFixture[str], root: Path, words: tuple[str, ...]
) -> None:
    (root / "flavors" / "th09" / "requirements.txt").unlink()
    lock = root / "flavors" / "th10" / "requirements.txt"
    lock.write_text(
        format_lock(
            [], index_url=None, inputs="", command="", platforms=["linux/amd64"], beside_index=["torch"]
        ),
        encoding="utf-8",
    )
    run = _run(capsys, root, "--all", *OPTIONS, *words)
    assert run.status == 0
    first, second = run.err.splitlines()
    assert first.startswith(
        "warning: th09 is not locked: it has no requirements.txt; its build in Konflux will"
    )
    assert first.endswith("fail until `factory lock th09` has locked it")
    assert second.startswith(
        "warning: th10 has torch from a folder of wheels; its build in Konflux will fail"
    )
    told = json.loads(_run(capsys, root, "--all", *OPTIONS, *words, "--json").out)["unbuildable"]
    assert told == [
        {"flavor": "th09", "missing": "requirements.txt", "beside_index": []},
        {"flavor": "th10", "missing": None, "beside_index": ["torch"]},
    ]


def test_the_result_is_data_with_json(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run = _run(capsys, root, "--all", *OPTIONS, "--json")
    document = json.loads(run.out)
    assert document["flavors"] == ["th09", "th10"]
    assert document["out"] == ".tekton"
    assert document["dry_run"] is False
    assert document["settings"][0] == {"key": "application", "old": None, "new": "images"}
    assert {"path": ".tekton/th10-push.yaml", "change": "added"} in document["files"]


@pytest.mark.parametrize("words", [("--prefetch-input", "th09"), ("th09", "--prefetch-input", "--json")])
def test_the_prefetch_input_is_printed_alone(
    capsys: pytest.CaptureFixture[str], root: Path, words: tuple[str, ...]
) -> None:
    before = contents(root)
    run = _run(capsys, root, *words)
    assert (run.status, run.err, run.out.count("\n")) == (0, "", 1)
    assert json.loads(run.out) == [
        {
            "type": "pip",
            "path": "flavors/th09",
            "requirements_files": ["requirements.txt"],
            "binary": {"arch": "x86_64", "os": "linux", "py_version": 311},
        }
    ]
    assert contents(root) == before


def test_the_prefetch_input_of_a_flavor_that_is_not_in_the_repository_is_refused(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = make_flavor(tmp_path_factory.mktemp("other"), name="th11", index_url=None).folder
    run = _run(capsys, root, "--prefetch-input", str(elsewhere))
    assert (run.status, run.out) == (31, "")
    assert "is not in" in run.err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((), 2, "give images or --all"),
        (("--all", "th09"), 2, "give images or --all"),
        (("--all", "--prefetch-input"), 2, "takes one image"),
        (("th09", "th10", "--prefetch-input"), 2, "takes one image"),
        (("th09", "--prefetch-input", "--dry-run"), 2, "give no other option"),
        (("th09", "--prefetch-input", "--out", "x"), 2, "give no other option"),
        (("th09", "--prefetch-input", "--application", ""), 2, "give no other option"),
        (("th11", *OPTIONS), 13, "there is no image 'th11'"),
        (("--all",), 31, "--application NAME"),
        (("--all", *OPTIONS, "--target-branch", "a b"), 31, "not the name of a branch"),
        (("--all", *OPTIONS, "--out", "../x"), 31, "not a folder for PipelineRuns"),
    ],
)
def test_a_wrong_call_ends_with_its_own_code_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], root: Path, words: tuple[str, ...], status: int, says: str
) -> None:
    before = contents(root)
    run = _run(capsys, root, *words)
    assert run.status == status
    assert says in run.err
    assert contents(root) == before
