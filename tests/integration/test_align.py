"""``factory align``: Training Hub's requirements against flavor, lock and index."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel
from support.workshop import ACCESS, SPEC, Run, Workshop

from factory.cli.main import main
from factory.errors import IndexContentError

pytestmark = pytest.mark.integration


def align(workshop: Workshop, *arguments: str) -> Run:
    """Run ``factory align``."""
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(workshop.root), "align", *arguments])
    captured = workshop.capsys.readouterr()
    status = ended.value.code
    assert isinstance(status, int)
    return Run(status=status, out=captured.out, err=captured.err)


def only(run: Run) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(run.out)
    (flavor,) = body["flavors"]
    assert isinstance(flavor, dict)
    return flavor


def found(run: Run) -> set[tuple[str, str]]:
    return {(finding["kind"], finding["requirement"]) for finding in only(run)["findings"]}


def push_hub(
    workshop: Workshop,
    *requires: str,
    version: str = "0.9.2",
    extras: Mapping[str, Sequence[str]] | None = None,
    requires_python: str | None = None,
) -> None:
    make_wheel(
        workshop.pushed,
        "training-hub",
        version,
        requires=requires,
        extras=extras,
        requires_python=requires_python,
    )


def for_cuda(folder: Path) -> None:
    """Make a flavor one for CUDA, whose template uses the extras cuda and lora."""
    path = folder / "pyproject.toml"
    text = path.read_text().replace('"cpu"', '"cuda"\naccelerator-version = "13.0"', 1)
    path.write_text(text)


@pytest.fixture(autouse=True)
def public(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """A public index with a newer Training Hub, which nothing may ask for."""
    folder = tmp_path / "public"
    make_wheel(folder, "training-hub", "99.0")
    with IndexServer(folder=folder) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.url)
        yield server
        assert server.requests == []


def test_a_flavor_that_meets_everything_is_said_to(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=1,<2", "windows; sys_platform == 'win32'", extras={"slow": ["absent"]})
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("training-hub==0.9.2")
    workshop.locked(folder)
    run = align(workshop, folder.name)
    assert run.status == 0
    assert run.out == (
        f"th09-cpu-torch2110-py312: training-hub 0.9.2 on {workshop.index.url}: "
        "flavor, lock and index meet all 1 requirements\n"
    )


def test_what_the_flavor_asks_for_may_contradict_it(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=2", "bb>=2", "cc>=2", "dd>=2", "ee>=2", "ff>=2", "gg>=2")
    for name in ("aa", "bb", "cc", "dd", "ee", "ff", "gg"):
        make_wheel(workshop.pushed, name, "1.0")
        make_wheel(workshop.pushed, name, "2.0")
    folder = workshop.flavor(
        "training-hub==0.9.2",
        "aa<2",
        "ff<2; sys_platform == 'win32'",
        constraints=["bb<2", "gg<3"],
        overrides=["cc==1.0", "dd; sys_platform == 'never'"],
        missing=["ee<2"],
    )
    run = align(workshop, folder.name, "--json")
    assert run.status == 1
    assert found(run) == {
        ("contradiction", "aa>=2"),
        ("contradiction", "bb>=2"),
        ("contradiction", "cc>=2"),
        ("taken-out", "dd>=2"),
        ("contradiction", "ee>=2"),
    }
    there = {finding["package"]: finding["there"] for finding in only(run)["findings"]}
    assert there["aa"] == "dependencies has 'aa<2'"
    assert there["bb"] == "constraint-dependencies has 'bb<2'"
    assert there["cc"] == "override-dependencies has 'cc==1.0'"
    assert there["ee"] == "[[tool.factory.missing]] has 'ee<2'"


def test_a_lock_may_be_behind_and_may_lack_what_an_extra_brings(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    push_hub(workshop, "aa")
    folder = workshop.flavor("training-hub[all]==0.9.2")
    workshop.locked(folder)
    push_hub(
        workshop,
        "aa>=2",
        extras={"all": ["training_hub[lora]", "bb"], "lora": ["cc"], "other": ["absent"]},
    )
    make_wheel(workshop.pushed, "aa", "2.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "cc", "1.0")
    run = align(workshop, folder.name, "--json")
    assert run.status == 1
    assert found(run) == {("unmet", "aa>=2"), ("lacks", "bb (extra all)"), ("lacks", "cc (extra lora)")}
    assert only(run)["extras"] == ["all", "lora"]
    assert {finding["to_do"] for finding in only(run)["findings"]} == {f"factory lock {folder.name}"}
    workshop.locked(folder)
    assert align(workshop, folder.name).status == 0


def test_what_nothing_on_the_index_satisfies_is_found(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=2", "bb", "cc>=1")
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "cc", "1.0")
    folder = workshop.flavor("training-hub==0.9.2", "cc<1.5,!=1.0")
    run = align(workshop, folder.name)
    assert run.status == 1
    assert "aa>=2: nothing on the index satisfies: for linux/amd64 the index has 1.0" in run.out
    assert "bb: nothing on the index satisfies: for linux/amd64 the index has no such project" in run.out
    assert "cc>=1: nothing on the index satisfies" in run.out
    assert "and >=1,!=1.0,<1.5 is wanted in all" in run.out
    assert run.out.count(f"what to do: factory index-gaps {folder.name}") == 3
    assert "it is not locked" in run.out


def test_what_is_recorded_as_missing_is_excused(workshop: Workshop) -> None:
    push_hub(workshop, "flash-attn>=2.8", "mamba-ssm>=2")
    make_wheel(workshop.pushed, "mamba-ssm", "2.2")
    folder = workshop.flavor("training-hub==0.9.2", missing=["flash-attn>=2.8,<3", "mamba-ssm>=2"])
    run = align(workshop, folder.name, "--json")
    assert run.status == 0
    assert {item["package"]: item["there_now"] for item in only(run)["excused"]} == {
        "flash-attn": False,
        "mamba-ssm": True,
    }


def test_an_extra_that_the_template_uses_and_the_flavor_does_not_is_found(workshop: Workshop) -> None:
    push_hub(workshop, extras={"cuda": ["aa"], "lora": ["bb", "cc"]})
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("training-hub[cuda]==0.9.2", "bb")
    for_cuda(folder)
    workshop.locked(folder)
    run = align(workshop, folder.name, "--json")
    assert run.status == 1
    (finding,) = only(run)["findings"]
    assert (finding["kind"], finding["requirement"]) == ("extra-not-used", "training-hub[lora]")
    assert finding["there"].endswith("the lock has no cc")
    assert "training-hub[cuda,lora]" in finding["to_do"]


def test_how_the_flavor_takes_training_hub_itself_is_looked_at(workshop: Workshop) -> None:
    push_hub(workshop, extras={"lora": []}, requires_python=">=3.13")
    run = align(workshop, workshop.flavor("training-hub[nice]==0.9.2").name, "--json")
    assert {finding["kind"] for finding in only(run)["findings"]} == {"no-such-extra", "python"}
    run = align(workshop, workshop.flavor("aa").name, "--json")
    assert {finding["kind"] for finding in only(run)["findings"]} == {"not-required", "python"}


def test_a_lock_of_another_training_hub_is_found(workshop: Workshop) -> None:
    push_hub(workshop)
    push_hub(workshop, version="0.8.0")
    folder = workshop.flavor("training-hub")
    workshop.locked(folder)
    lock = folder / "requirements.txt"
    lock.write_text(lock.read_text().replace("training-hub==0.9.2", "training-hub==0.8.0"))
    run = align(workshop, folder.name)
    assert run.status == 1
    assert "training-hub==0.9.2: the lock does not meet it: the lock has 0.8.0" in run.out


def test_a_version_to_come_is_asked_about(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=1")
    push_hub(workshop, "aa>=2", "bb>=1", version="0.10.0")
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("training-hub==0.9.2")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "2.0")
    assert align(workshop, folder.name).status == 0
    run = align(workshop, folder.name, "--training-hub", "0.10.0", "--json")
    assert run.status == 1
    assert found(run) == {("unmet", "aa>=2"), ("lacks", "bb>=1"), ("index-gap", "bb>=1")}
    to_do = {finding["kind"]: finding["to_do"] for finding in only(run)["findings"]}
    assert to_do["unmet"] == f"factory lock {folder.name}, once Training Hub is 0.10.0 there"
    assert to_do["lacks"] == f"factory index-gaps {folder.name}: the index comes first"
    assert "0.9.2" in (folder / "pyproject.toml").read_text()


def test_a_version_that_the_index_does_not_have_is_said_with_the_nearest(workshop: Workshop) -> None:
    push_hub(workshop, version="0.9.1+vendor.1")
    push_hub(workshop, version="0.8.0")
    folder = workshop.flavor("training-hub==0.9.2")
    run = align(workshop, folder.name)
    assert run.status == 1
    assert "training-hub==0.9.2: the index does not have this Training Hub" in run.out
    assert "the nearest is 0.9.1+vendor.1" in run.out
    assert "99.0" not in run.out
    # A version is there under any local label of whoever built it (PEP 440).
    run = align(workshop, folder.name, "--training-hub", "0.9.1", "--json")
    assert (run.status, only(run)["training_hub"]) == (0, "0.9.1+vendor.1")


def test_requirements_without_an_upper_bound_are_noted(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=1", "bb>=1,<2", "cc>=1", "dd~=1.0", "ee>=1")
    for name in ("aa", "bb", "cc", "dd", "ee"):
        make_wheel(workshop.pushed, name, "1.0")
    run = align(workshop, workshop.flavor("training-hub==0.9.2", "cc<3", constraints=["ee!=1.5"]).name)
    assert run.status == 0
    assert "2 requirements float" in run.out
    assert run.out.rstrip().endswith(": aa, ee")


def test_findings_are_a_table_in_markdown(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=2")
    run = align(workshop, workshop.flavor("training-hub==0.9.2").name, "--markdown")
    assert run.status == 1
    rows = [line for line in run.out.splitlines() if line.startswith("| th09")]
    assert len(rows) == 1
    assert "| `aa>=2` | nothing on the index satisfies |" in rows[0]


def test_an_index_that_refuses_is_an_error_and_the_other_flavors_are_told(workshop: Workshop) -> None:
    push_hub(workshop, "aa>=2")
    workshop.flavor("training-hub==0.9.2", name="one")
    workshop.flavor("training-hub==0.9.2", name="two", index_url="http://127.0.0.1:9/simple/")
    run = align(workshop, "one", "two")
    assert run.status == ACCESS
    assert "one: training-hub 0.9.2" in run.out
    assert "two: cannot be compared (IndexAccessError)" in run.out
    assert "error: two: " in run.err


def test_what_cannot_be_meant_is_refused(workshop: Workshop) -> None:
    folder = workshop.flavor("training-hub==0.9.2")
    assert align(workshop).status == 2
    assert align(workshop, folder.name, "--all").status == 2
    assert align(workshop, folder.name, "--training-hub", "next").status == SPEC


def test_metadata_that_is_not_what_the_index_says_is_refused(workshop: Workshop) -> None:
    workshop.index.metadata = True
    push_hub(workshop, "aa>=2")
    workshop.index.fault(
        "/files/training_hub-0.9.2-py3-none-any.whl.metadata",
        Fault(body=b"Metadata-Version: 2.1\nName: training-hub\nVersion: 0.9.2\n"),
    )
    run = align(workshop, workshop.flavor("training-hub==0.9.2").name, "--json")
    assert run.status == IndexContentError.exit_code
    assert only(run)["findings"] == []


@pytest.fixture
def hub_with_extras(workshop: Workshop) -> Workshop:
    """Training Hub wants an extra of another package, which brings two more."""
    push_hub(workshop, "mamba-ssm[causal-conv1d]>=2.2.5")
    make_wheel(
        workshop.pushed,
        "mamba-ssm",
        "2.2.5",
        requires=["einops"],
        extras={"causal-conv1d": ["causal-conv1d>=1.5"], "other": ["absent"]},
    )
    make_wheel(workshop.pushed, "einops", "1.0")
    make_wheel(workshop.pushed, "causal-conv1d", "1.6")
    return workshop


def test_what_the_extras_of_its_requirements_bring_is_wanted_as_well(hub_with_extras: Workshop) -> None:
    workshop = hub_with_extras
    folder = workshop.flavor("training-hub==0.9.2")
    workshop.locked(folder)
    assert align(workshop, folder.name).status == 0
    folder = workshop.flavor("training-hub==0.9.2", overrides=["mamba-ssm>=2.2.5"], name="dropped")
    workshop.locked(folder)
    assert found(align(workshop, "dropped", "--json")) == {
        ("taken-out", "mamba-ssm[causal-conv1d]>=2.2.5"),
        ("lacks", "causal-conv1d>=1.5 (extra causal-conv1d of mamba-ssm)"),
    }


def test_what_those_extras_bring_may_contradict_or_be_recorded(hub_with_extras: Workshop) -> None:
    workshop = hub_with_extras
    text = "causal-conv1d>=1.5 (extra causal-conv1d of mamba-ssm)"
    workshop.flavor("training-hub==0.9.2", "causal-conv1d<1.5", name="direct")
    assert found(align(workshop, "direct", "--json")) == {("contradiction", text)}
    workshop.flavor("training-hub==0.9.2", missing=["causal-conv1d"], name="recorded")
    run = align(workshop, "recorded", "--json")
    assert (run.status, [item["requirement"] for item in only(run)["excused"]]) == (0, [text])


def test_a_lock_of_another_pyproject_is_noted(hub_with_extras: Workshop) -> None:
    folder = hub_with_extras.flavor("training-hub==0.9.2")
    hub_with_extras.locked(folder)
    path = folder / "pyproject.toml"
    path.write_text(path.read_text().replace('"training-hub==0.9.2"', '"training-hub==0.9.2", "einops"'))
    run = align(hub_with_extras, folder.name)
    assert (run.status, "note: the lock was made from another pyproject.toml" in run.out) == (0, True)
