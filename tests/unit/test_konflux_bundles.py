"""Bundles that a repository raised by tag and digest are its own; all else is the factory's."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.konflux_site import make_site, write_all

from factory.check.pipeline_runs import check_shared_runs
from factory.cli.main import main
from factory.errors import KonfluxError
from factory.flavor.repository import Repository
from factory.konflux.bundles import OtherBundle, keep_bundles
from factory.konflux.flavors_check import pipeline_file
from factory.konflux.settings import read_konflux_settings

COPY = ".tekton/universal-image-konflux.yaml"
CATALOGUE = "quay.io/konflux-ci/tekton-catalog/task"
OLD, NEW = "a" * 64, "b" * 64


def _pipeline(**bundles: str) -> bytes:
    """A Pipeline in the form of the shipped one, with these bundles by the names of its tasks."""
    tasks = "".join(
        f"    - name: {task}\n      taskRef:\n        resolver: bundles\n        params:\n"
        f"          - name: name\n            value: {task}\n"
        f"          - name: bundle\n            value: {bundle}\n"
        "          - name: kind\n            value: task\n"
        for task, bundle in bundles.items()
    )
    return f"---\n# A comment.\nspec:\n  tasks:\n{tasks}".encode()


def _bundle(name: str, tag: str = "0.1", digest: str = OLD) -> str:
    return f"{CATALOGUE}-{name}:{tag}@sha256:{digest}"


SHIPPED = _pipeline(init=_bundle("init"), scan=_bundle("scan"))


@pytest.mark.parametrize(
    "there",
    [
        _bundle("init", digest=NEW),
        _bundle("init", tag="0.2.1", digest=NEW),
        _bundle("init", tag="0.2"),
        _bundle("init", tag="0.0.9", digest=NEW),
    ],
    ids=["digest", "tag and digest", "tag", "older"],
)
def test_a_bundle_of_another_tag_or_digest_stays(there: str) -> None:
    content, kept = keep_bundles(SHIPPED, _pipeline(init=there, scan=_bundle("scan")))
    assert content == _pipeline(init=there, scan=_bundle("scan"))
    assert kept == (OtherBundle(task="init", bundle=there, shipped=_bundle("init")),)


@pytest.mark.parametrize(
    "there",
    [
        f"{CATALOGUE}-init:0.2",
        f"{CATALOGUE}-init@sha256:{NEW}",
        f"{CATALOGUE}-init:0.2@sha256:{NEW[:63]}",
        f"{CATALOGUE}-init:0.2@sha512:{NEW}",
        f"{CATALOGUE}-init:0.2@sha256:{NEW} # raised",
        f'"{CATALOGUE}-init:0.2@sha256:{NEW}"',
        f"quay.io/elsewhere/task-init:0.2@sha256:{NEW}",
        f"quay.io:8443/konflux-ci/tekton-catalog/task-init:0.2@sha256:{NEW}",
        f"{CATALOGUE}-init-more:0.2@sha256:{NEW}",
        f"{CATALOGUE}-scan:0.2@sha256:{NEW}",
        f"{CATALOGUE}-init/x:0.2@sha256:{NEW}",
        "",
    ],
)
def test_any_other_bundle_is_a_change(there: str) -> None:
    found = _pipeline(init=there, scan=_bundle("scan"))
    assert keep_bundles(SHIPPED, found) == (SHIPPED, ())


def test_the_registrys_port_is_of_the_repository() -> None:
    shipped, there = (f"quay.io:443/x/task:0.1@sha256:{digest}" for digest in (OLD, NEW))
    content, kept = keep_bundles(_pipeline(init=shipped), _pipeline(init=there))
    assert (content, len(kept)) == (_pipeline(init=there), 1)


def test_each_task_keeps_its_own_where_two_have_one_repository() -> None:
    shipped = _pipeline(one=_bundle("scan"), two=_bundle("scan"), three=_bundle("scan"))
    found = _pipeline(two=_bundle("scan", digest=NEW), one=_bundle("scan", tag="0.2"))
    content, kept = keep_bundles(shipped, found)
    raised = {"one": _bundle("scan", tag="0.2"), "two": _bundle("scan", digest=NEW), "three": _bundle("scan")}
    assert content == _pipeline(**raised)
    assert [item.task for item in kept] == ["one", "two"]


def test_of_two_bundles_for_one_task_none_is_kept() -> None:
    """As a merge leaves them."""
    twice = _pipeline(init=_bundle("init", digest=NEW)) + _pipeline(init=_bundle("init", tag="0.2"))
    assert keep_bundles(SHIPPED, twice) == (SHIPPED, ())


def test_bytes_that_are_no_text_are_no_hindrance() -> None:
    raised = _pipeline(init=_bundle("init", digest=NEW), scan=_bundle("scan"))
    content, kept = keep_bundles(SHIPPED, b"\xff\n" + raised)
    assert (content, len(kept)) == (raised, 1)


def test_a_file_without_bundles_takes_none() -> None:
    assert keep_bundles(b"kind: Task\n", SHIPPED) == (b"kind: Task\n", ())


def test_every_bundle_of_the_shipped_pipeline_is_one_that_can_be_kept() -> None:
    shipped = pipeline_file("universal-image-konflux")
    raised = re.sub(rb"@sha256:[0-9a-f]{64}", f"@sha256:{NEW}".encode(), shipped)
    spec = yaml.safe_load(shipped)["spec"]
    tasks = [task["name"] for task in [*spec["tasks"], *spec.get("finally", [])]]
    content, kept = keep_bundles(shipped, raised)
    assert content == raised
    assert [item.task for item in kept] == tasks


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = make_site(tmp_path, "th09")
    write_all(repository)
    return repository


def _replace(repository: Repository, pattern: str, new: str) -> str:
    """Edit the copy of the Pipeline at the first match; the text after it."""
    path = repository.root / COPY
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1)
    assert count == 1
    path.write_text(text, encoding="utf-8")
    return text


def _raise_init(repository: Repository) -> str:
    return _replace(repository, r"task-init:\S+", f"task-init:9.9@sha256:{NEW}")


def _codes(repository: Repository) -> list[tuple[str, str]]:
    settings = read_konflux_settings(repository.root)
    assert settings is not None
    return [(item.code, item.path) for item in check_shared_runs(repository, settings)]


def test_a_raised_bundle_is_no_finding_and_is_not_written_over(repository: Repository) -> None:
    raised = _raise_init(repository)
    assert _codes(repository) == []
    written = write_all(repository)
    assert {file.change for file in written.files} == {"same"}
    assert (repository.root / COPY).read_text(encoding="utf-8") == raised


def test_all_else_is_brought_up_to_date_around_it(repository: Repository) -> None:
    raised = _raise_init(repository)
    _replace(repository, r"default: \"docker\"", 'default: "oci"')
    assert _codes(repository) == [("FAC502", COPY)]
    written = write_all(repository)
    assert [file.path for file in written.files if file.change == "changed"] == [COPY]
    assert (repository.root / COPY).read_text(encoding="utf-8") == raised
    assert _codes(repository) == []


def _written_by_an_older_release(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The copy as a release wrote it that shipped another bundle for init; that bundle, and today's."""
    now = pipeline_file("universal-image-konflux")
    (shipped,) = re.findall(rb"\S+task-init:\S+", now)
    old = f"{CATALOGUE}-init:0.0.1@sha256:{OLD}".encode()
    with monkeypatch.context() as past:
        past.setattr("factory.konflux.flavors_check.pipeline_file", _then(now.replace(shipped, old)))
        write_all(repository)
    return old.decode(), shipped.decode()


def _then(pipeline: bytes) -> Callable[[str], bytes]:
    return lambda name: pipeline if name == "universal-image-konflux" else pipeline_file(name)


def test_bundles_of_an_older_release_of_the_factory_are_found_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are not MintMaker's: nobody raised them, and today's Pipeline passes what they do not know."""
    repository = make_site(tmp_path, "th09")
    old, shipped = _written_by_an_older_release(repository, monkeypatch)
    assert old in (repository.root / COPY).read_text(encoding="utf-8")
    assert _codes(repository) == [("FAC502", COPY)]
    with pytest.raises(SystemExit):
        main(["--root", str(repository.root), "konflux", "--all"])
    said = [line for line in capsys.readouterr().out.splitlines() if "the bundle of" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{COPY}: the bundle of init is the factory's ")
    assert said[0].endswith(f", and was 0.0.1@sha256:{OLD[:12]}")
    text = (repository.root / COPY).read_text(encoding="utf-8")
    assert shipped in text
    assert old not in text
    assert _codes(repository) == []


def test_bundles_raised_over_an_older_release_go_back_and_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_site(tmp_path, "th09")
    _, shipped = _written_by_an_older_release(repository, monkeypatch)
    _raise_init(repository)
    written = write_all(repository)
    assert written.kept == ()
    (replaced,) = written.replaced
    raised = f"{CATALOGUE}-init:9.9@sha256:{NEW}"
    assert replaced.bundles == (OtherBundle(task="init", bundle=raised, shipped=shipped),)
    assert shipped in (repository.root / COPY).read_text(encoding="utf-8")


def test_a_new_body_around_the_same_bundles_leaves_those_that_were_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_site(tmp_path, "th09")
    now = pipeline_file("universal-image-konflux")
    with monkeypatch.context() as past:
        past.setattr(
            "factory.konflux.flavors_check.pipeline_file",
            _then(now.replace(b'default: "docker"', b'default: "oci"')),
        )
        write_all(repository)
    _raise_init(repository)
    assert _codes(repository) == [("FAC502", COPY)]
    written = write_all(repository)
    assert (len(written.kept), written.replaced) == (1, ())


@pytest.mark.parametrize("new", ["task-init:9.9", f"task-init-x:9.9@sha256:{NEW}"])
def test_a_bundle_that_is_not_only_raised_is_found_and_put_back(repository: Repository, new: str) -> None:
    before = (repository.root / COPY).read_bytes()
    _replace(repository, r"task-init:\S+", new)
    assert _codes(repository) == [("FAC502", COPY)]
    assert write_all(repository).kept == ()
    assert (repository.root / COPY).read_bytes() == before


def test_what_somebody_else_put_there_is_not_ours_by_its_bundles(repository: Repository) -> None:
    raised = _raise_init(repository)
    (repository.root / COPY).write_text(raised.partition("\n")[2], encoding="utf-8")
    assert _codes(repository) == [("FAC502", COPY)]
    with pytest.raises(KonfluxError, match="not written by"):
        write_all(repository)


def test_a_link_to_a_raised_copy_is_found(repository: Repository) -> None:
    _raise_init(repository)
    (repository.root / COPY).rename(repository.root / "copy.yaml")
    (repository.root / COPY).symlink_to(repository.root / "copy.yaml")
    assert _codes(repository) == [("FAC502", COPY)]


def test_without_the_file_the_bundles_are_the_factorys_again(repository: Repository) -> None:
    before = (repository.root / COPY).read_bytes()
    _raise_init(repository)
    (repository.root / COPY).unlink()
    assert write_all(repository).kept == ()
    assert (repository.root / COPY).read_bytes() == before


@pytest.mark.parametrize("words", [("--all",), ("th09", "--dry-run")])
def test_the_command_says_what_it_kept(
    repository: Repository, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (shipped,) = re.findall(r"\S+task-init:\S+", (repository.root / COPY).read_text(encoding="utf-8"))
    _raise_init(repository)
    with pytest.raises(SystemExit):
        main(["--root", str(repository.root), "konflux", *words])
    told = f"{COPY}: 1 bundle stays as it is, by another tag or digest than the factory's"
    assert told in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit):
        main(["--root", str(repository.root), "konflux", *words, "--json"])
    assert json.loads(capsys.readouterr().out)["kept"] == [
        {
            "path": COPY,
            "bundles": [
                {"task": "init", "bundle": f"{CATALOGUE}-init:9.9@sha256:{NEW}", "shipped": shipped},
            ],
        }
    ]
