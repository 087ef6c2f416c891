"""Tests of a PyTorch base and what stands on it: the torch that was compiled, a trainer's entry point."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.subjects import made_context

from factory.errors import ImageTestError
from factory.flavor.repository import Repository
from factory.image_tests import running
from factory.image_tests.catalogue import TESTS
from factory.image_tests.container import Background
from factory.image_tests.context import Context
from factory.image_tests.definition import Status, inherited, is_for
from factory.image_tests.matching import named, torch_architectures, torch_version
from factory.image_tests.starting import torchrun
from factory.image_tests.subject import lineage_of

SETTINGS = """
[images.base]
kind = "pytorch-base"
parent = "quay.io/example/devel:1"
build-args.PYTORCH_VERSION = "2.11.0"
build-args.TORCH_CUDA_ARCH_LIST = "8.0;9.0+PTX"
[images.stack]
kind = "stack"
parent = "base"
[images.trainer]
kind = "trainer"
parent = "stack"
"""


def _of(tmp_path: Path, name: str, **labels: str) -> Context:
    (tmp_path / "flavors").mkdir()
    for image in ("base", "stack", "trainer"):
        (tmp_path / "images" / image).mkdir(parents=True)
        entry = 'ENTRYPOINT ["torchrun"]\n' if image == "trainer" else ""
        (tmp_path / "images" / image / "Dockerfile").write_text(
            f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{entry}"
        )
    (tmp_path / "factory.toml").write_text(SETTINGS)
    context = made_context(tmp_path)
    lineage = lineage_of(Repository(tmp_path), name) or context.subject.lineage
    configuration = replace(
        context.subject.configuration, labels=labels, entrypoint=("torchrun", "--standalone")
    )
    context.subject = replace(context.subject, lineage=lineage, configuration=configuration)
    return context


@pytest.mark.parametrize("name", ["base", "stack", "trainer"])
@pytest.mark.parametrize(
    ("versions", "status"),
    [(["2.11.0+cu128"], "passed"), (["2.10.0"], "failed"), ([], "failed"), (["2.11.0", "2.10.0"], "failed")],
)
def test_torch_is_the_one_of_the_build_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, versions: list[str], status: Status
) -> None:
    packages = [{"name": "torch", "version": version} for version in versions]
    monkeypatch.setattr(Context, "probe", lambda *_, **__: {"packages": packages})
    assert torch_version(_of(tmp_path, name)).status == status


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (["sm_80", "sm_90", "compute_90"], []),
        (["sm_80", "sm_90"], ["compute_90"]),
        ([], ["sm_80", "sm_90", "compute_90"]),
    ],
)
def test_torch_is_compiled_for_what_the_build_argument_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[str], missing: list[str]
) -> None:
    told = {"version": "2.11.0", "architectures": found}
    monkeypatch.setattr(Context, "probe", lambda *_, **__: told)
    result = torch_architectures(_of(tmp_path, "stack"))
    assert [finding.subject for finding in result.findings] == missing
    assert result.status == ("failed" if missing else "passed")


def test_an_image_of_somebody_else_says_it_by_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_architectures(made_context(tmp_path)).status == "skipped"
    assert torch_version(made_context(tmp_path)).status == "skipped"
    told = {"version": "2.11.0", "architectures": ["gfx942"]}
    monkeypatch.setattr(Context, "probe", lambda *_, **__: told)
    label = {"io.universal-image-factory.pytorch.arch-list": "gfx90a:xnack-;gfx942"}
    result = torch_architectures(_of(tmp_path, "elsewhere", **label))
    assert [finding.subject for finding in result.findings] == ["gfx90a"]


def test_architectures_as_torch_names_them() -> None:
    assert named("8.0 12.0+PTX;9.0a") == ("sm_80", "sm_120", "compute_120", "sm_90a")


def test_a_flavor_keeps_the_versions_of_its_spec_and_the_cpu_has_no_architectures() -> None:
    found = {test.name: test for test in inherited(TESTS, ["flavor", "pytorch-base"])}
    assert found["versions"].needs_flavor
    assert not is_for(found["architectures"], "cpu")
    assert is_for(found["architectures"], None)


def test_a_trainer_whose_entry_point_takes_arguments_is_given_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[tuple[str, ...], str | None]] = []

    @contextmanager
    def background(
        _self: Context, *command: str, entrypoint: str | None = None, **_more: object
    ) -> Iterator[Background]:
        started.append((command, entrypoint))
        if command:
            raise ImageTestError("seen", solution="x")
        yield Background(name="x", containers=_self.containers)

    monkeypatch.setattr(Context, "background", background)
    context = _of(tmp_path, "trainer")
    assert "sigterm-command" not in {test.name for test in running.tests_of(context.subject.lineage)}
    with pytest.raises(ImageTestError, match="seen"):
        torchrun(context)
    ((command, entrypoint),) = started
    assert entrypoint == "torchrun"
    assert "torchrun" not in command
    assert "--standalone" in command
