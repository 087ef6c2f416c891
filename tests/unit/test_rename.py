"""`factory rename`: an image's folder, tables, children and PipelineRuns, in one step or not at all."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import NAME, make_flavor, make_pin, make_repository

from factory.cli.main import main
from factory.errors import SpecError
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.konflux.writing import write_runs
from factory.lock.given import given_packages, is_stale
from factory.lock.lockset import format_lock_set, inputs_digest, require_lock_set
from factory.rename.rename import renamed_settings
from factory.render.drift import find_drift, sync_flavor
from factory.settings import read_document

_SPEC, _EXISTS, _NOT_FOUND = 11, 12, 13
_SETTINGS = f"""\
# {NAME} is the one to build on.
[konflux]
application = "training"
output-image = "quay.io/team/"

[konflux.parents]
{NAME} = "quay.io/built/one@sha256:{"1" * 64}"
ml-stack = "quay.io/built/two@sha256:{"2" * 64}"

[images.ml-stack] # what all need
kind = "stack"
parent = "{NAME}"

[images.trainer]
kind = "trainer"
parents.BASE_IMAGE = "ml-stack"
parents.TOOLS = "{NAME}"

[images.{NAME}]
tests = "full"

[images.{NAME}.build-args]
COLOUR = "{NAME}"
"""
_STACK = """\
# Packages on top of th09-cuda130-torch2110-py312; `factory lock ml-stack` pins them.
[project]
name = "ml-stack"
version = "1"
dependencies = ["wandb"]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    for name in ("ml-stack", "trainer"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(
            f'# On ml-stack\nARG BASE_IMAGE\nFROM $BASE_IMAGE\nLABEL name="{name}"\n'
        )
    (tmp_path / "images" / "ml-stack" / "pyproject.toml").write_text(_STACK)
    (tmp_path / "factory.toml").write_text(_SETTINGS)
    stack = repository.image("ml-stack")
    locks = format_lock_set(
        "ml-stack",
        stack.project.spec,
        [make_pin("wandb", "1.0", ["wandb-1.0-py3-none-any.whl"])],
        inputs=inputs_digest(stack.project),
        parent=given_packages(stack.project).recorded,
    )
    for name, content in locks.items():
        (stack.folder / name).write_bytes(content)
    sync_flavor(stack)
    write_runs(repository, repository.images(), options={}, every=True)
    return repository


def _contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".factory-journal" not in path.parts
    }


def _run(
    repository: Repository, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0
) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(repository.root), "rename", *words, "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == status, out + err
    document: dict[str, Any] = json.loads(out)
    return document


def test_a_flavor_is_renamed_with_all_that_is_named_after_it(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _run(repository, capsys, NAME, "main-cuda")
    assert (report["former"], report["folder"]) == (f"flavors/{NAME}", "flavors/main-cuda")
    assert report["rebuilt"] == ["main-cuda", "ml-stack", "trainer"]
    flavor = repository.flavor("main-cuda")
    assert flavor.project.spec.name == "main-cuda"
    assert find_drift(flavor) == ()
    catalogue = read_catalogue(repository)
    assert catalogue.definition("ml-stack").parents[0].image == "main-cuda"
    assert [parent.image for parent in catalogue.definition("trainer").parents] == ["ml-stack", "main-cuda"]
    assert catalogue.definition("main-cuda").tests == "full"
    runs = {path.name for path in (repository.root / ".tekton").iterdir()}
    assert {f"{name}-push.yaml" for name in ("main-cuda", "ml-stack", "trainer")} < runs
    assert not any(NAME in path for path in _contents(repository.root))
    # What only looks like the name stays: the value of a build argument.
    named = {path for path, content in _contents(repository.root).items() if NAME.encode() in content}
    assert named == {"factory.toml"}
    assert catalogue.definition("main-cuda").build_args == (("COLOUR", NAME),)


def test_konflux_and_locks_are_as_if_they_had_been_made_under_the_new_name(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(repository, capsys, NAME, "main-cuda")
    report = write_runs(repository, repository.images(), options={}, every=True, dry_run=True)
    assert {file.change for file in report.files} == {"same"}
    for name in ("main-cuda", "ml-stack"):
        image = repository.image(name)
        locks = require_lock_set(image.folder, image.project.spec)
        assert not is_stale(locks, image.project)
        assert all(lock.as_locked for lock in locks.files.values())


def test_there_and_back_every_byte_is_as_it_was(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _contents(repository.root)
    _run(repository, capsys, "ml-stack", "other-stack")
    _run(repository, capsys, NAME, "main-cuda")
    assert _contents(repository.root).keys() != before.keys()
    # The derived name needs no key of its own.
    _run(repository, capsys, "main-cuda", NAME)
    _run(repository, capsys, "other-stack", "ml-stack")
    assert _contents(repository.root) == before


def test_an_image_of_another_kind_is_renamed_in_its_files_and_in_its_childrens(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _run(repository, capsys, "ml-stack", "big-stack")
    assert report["rebuilt"] == ["big-stack", "trainer"]
    folder = repository.root / "images" / "big-stack"
    assert 'LABEL name="big-stack"' in (folder / "Dockerfile").read_text()
    assert 'name = "big-stack"' in (folder / "pyproject.toml").read_text()
    assert (folder / "requirements.txt").read_text().startswith("# Locked by `factory lock big-stack`")
    assert (repository.root / "images" / "trainer" / "Dockerfile").read_text().startswith("# On big-stack\n")
    assert "[images.big-stack] # what all need" in (repository.root / "factory.toml").read_text()


def test_labels_are_renamed_and_what_only_contains_the_name_is_not(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        "FROM x",
        'LABEL name="trainer" \\',
        '      com.redhat.component="trainer-container" \\',
        '      summary="The trainer, or my-trainer. A trainer."',
        'ENV TRAINER="trainer"',
        "COPY requirements.txt /usr/share/factory/trainer/",
        "",
    )
    dockerfile = repository.root / "images" / "trainer" / "Dockerfile"
    dockerfile.write_text("\n".join(lines))
    _run(repository, capsys, "trainer", "tuner")
    assert (repository.root / "images" / "tuner" / "Dockerfile").read_text().splitlines() == [
        "FROM x",
        'LABEL name="tuner" \\',
        '      com.redhat.component="tuner-container" \\',
        '      summary="The tuner, or my-trainer. A tuner."',
        'ENV TRAINER="trainer"',
        "COPY requirements.txt /usr/share/factory/tuner/",
    ]


def test_what_else_lies_in_the_folder_comes_along(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = repository.root / "images" / "trainer"
    (folder / "data").mkdir()
    # Larger than what is looked at for the old name.
    with (folder / "data" / "large").open("wb") as file:
        file.truncate(20 << 20)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("data/large")
    (folder / "empty").mkdir()
    _run(repository, capsys, "trainer", "finetuner")
    moved = repository.root / "images" / "finetuner"
    assert (moved / "data" / "large").stat().st_size == 20 << 20
    assert os.access(moved / "run.sh", os.X_OK)
    assert (moved / "link").readlink() == Path("data/large")
    assert (moved / "empty").is_dir()
    assert not folder.exists()


def test_a_dry_run_says_the_same_and_changes_nothing(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _contents(repository.root)
    planned = _run(repository, capsys, NAME, "main-cuda", "--dry-run")
    assert _contents(repository.root) == before
    assert not (repository.root / ".work").exists()
    assert _run(repository, capsys, NAME, "main-cuda") == planned | {"dry_run": False}


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("nothing-such", "x", _NOT_FOUND),
        (NAME, "trainer", _EXISTS),
        (NAME, NAME, _EXISTS),
        (NAME, "../escaped", _SPEC),
        (NAME, "Upper", _SPEC),
        (NAME, "a\nb", _SPEC),
        (NAME, "n" * 64, _SPEC),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    repository: Repository, capsys: pytest.CaptureFixture[str], old: str, new: str, status: int
) -> None:
    before = _contents(repository.root)
    _run(repository, capsys, old, new, status=status)
    assert _contents(repository.root) == before


def test_a_folder_that_is_no_image_is_in_the_way_too(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.root / "images" / "left-over").mkdir()
    _run(repository, capsys, "trainer", "left-over", status=_EXISTS)


@pytest.mark.parametrize(
    "text",
    [
        '[images.old]\nkind = "stack"\nparent = "x:1"\n',
        '[images."old"] # why\r\nkind = "stack"\r\nparent = "x:1"\r\n',
        '[ images . \'old\' ]\nkind = "stack"\nparent = "x:1"\n[images.old.build-args]\nA = "old"\n',
        '[images.child]\nkind = "stack"\nparents = { A = "old", B = "x:1" }\n[images.old]\nkind = "stack"\n',
        '[images.old]\nkind = "stack"\n[konflux]\n# of "old"\nparents.old = "x:1"\nparents.b = "old:1"\n',
        '[images.old]\nkind = "stack"\n[konflux.parents]\na = "old:1"\n"old" = "x:1" # old\n[konflux.old]\n',
        '[images.child]\nkind = "stack"\nparent = "old" # the old one\n[images.older]\nkind = "stack"\n',
    ],
)
def test_every_way_to_write_a_table_is_renamed_and_nothing_else(text: str) -> None:
    after = renamed_settings(text, "old", "new.er")
    document = read_document(after)
    assert "old" not in document["images"]
    assert "old" not in document.get("konflux", {}).get("parents", {})
    back = renamed_settings(after, "new.er", "old")
    quotes = str.maketrans("", "", "\"'")
    assert back.translate(quotes) == text.translate(quotes)


def test_a_table_that_cannot_be_renamed_is_refused_with_what_to_write() -> None:
    with pytest.raises(SpecError, match="in which it cannot be renamed") as raised:
        renamed_settings('images = { old = { kind = "stack", parent = "x:1" } }\n', "old", "new")
    assert "[images.old]" in raised.value.solution


def test_what_still_has_the_old_name_is_listed(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(repository.root)], check=True)
    (repository.root / "README.md").write_text("Start with `factory build trainer`; see trainers.md.\n")
    (repository.root / "OTHER.md").write_text("my-trainer, trainers and trainer-2\n")
    report = _run(repository, capsys, "trainer", "finetuner")
    assert report["mentions"] == ["README.md"]
