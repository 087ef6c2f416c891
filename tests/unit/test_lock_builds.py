"""Other builds of a package in a new lock: which are refused, and which are what was asked for."""

from dataclasses import replace

import pytest
from support.adopted import SPEC

from factory.errors import OtherBuildError
from factory.flavor.spec import Spec
from factory.lock.judgement import built_for, refuse_other_builds
from factory.lock.lockfile import Pin

CPU = replace(SPEC, accelerator="cpu", accelerator_version=None)
ROCM = replace(SPEC, accelerator="rocm", accelerator_version="7.14")


def _pins(*pinned: str) -> list[Pin]:
    return [
        Pin(line=0, text=text, name=name, version=version, marker=None, artifacts=())
        for text in pinned
        for name, _, version in [text.partition("==")]
    ]


@pytest.mark.parametrize(
    ("version", "build"),
    [
        ("2.13.0+cpu", ("cpu", "")),
        ("2.13.0+cu130", ("cuda", "130")),
        ("2.13.0+cuda13.0", ("cuda", "130")),
        ("2.13.0+rocm7.14", ("rocm", "714")),
        ("2.13.0+cpu.cxx11.abi", ("cpu", "")),
        ("2.13.0+git1a2b", None),
        ("2.13.0", None),
    ],
)
def test_a_local_version_tells_its_accelerator(version: str, build: tuple[str, str] | None) -> None:
    assert built_for(version) == build


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        (CPU, "torch==2.13.0+cpu", "torch==2.13.0"),
        (CPU, "torch==2.13.0+cpu", "torch==2.14.0"),
        (CPU, "torch==2.13.0+cpu", "torch==2.13.0+cu130"),
        (SPEC, "torch==2.11.0+cu130", "torch==2.11.0+cu128"),
        (SPEC, "torch==2.11.0+cu130", "torch==2.11.0+cpu"),
        (SPEC, "torch==2.11.0", "torch==2.11.0+cpu"),
        (ROCM, "flash-attn==2.8.3+rocm7.14", "flash-attn==2.8.3"),
        (SPEC, "torch==2.11.0+build.4", "torch==2.11.0"),
        (SPEC, "torch==2.11.0+build.4", "torch==2.11.0+build.5"),
    ],
)
def test_another_build_is_refused_and_named(spec: Spec, before: str, after: str) -> None:
    with pytest.raises(OtherBuildError) as refused:
        refuse_other_builds(spec, _pins(before), _pins(after), upgraded=frozenset())
    old, new = before.partition("==")[2], after.partition("==")[2]
    assert f"{old} -> {new}" in refused.value.reason
    assert "--allow-other-build" in refused.value.solution


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        (CPU, "torch==2.13.0", "torch==2.13.0+cpu"),
        (SPEC, "torch==2.11.0+cu128", "torch==2.11.0+cu130"),
        (SPEC, "torch==2.11.0+cu130", "torch==2.12.0+cu130"),
        (SPEC, "torch==2.11.0", "torch==2.12.0"),
        (SPEC, "trl==0.24", "trl==0.25"),
        (SPEC, "trl==0.24", "torch==2.11.0+cpu"),
    ],
)
def test_a_build_for_the_flavors_accelerator_is_not_asked_about(spec: Spec, before: str, after: str) -> None:
    refuse_other_builds(spec, _pins(before), _pins(after), upgraded=frozenset())


def test_an_upgrade_may_take_what_the_owners_of_the_index_built_again() -> None:
    before, after = _pins("torch==2.11.0+build.4"), _pins("torch==2.11.0+build.5")
    refuse_other_builds(SPEC, before, after, upgraded=frozenset({"torch"}))
    refuse_other_builds(SPEC, before, after, upgraded=None)
    with pytest.raises(OtherBuildError):
        refuse_other_builds(SPEC, before, _pins("torch==2.11.0+cpu"), upgraded=None)


def test_packages_for_gpus_do_not_come_into_a_cpu_flavor_unasked() -> None:
    before = _pins("torch==2.13.0")
    after = [*before, *_pins("nvidia-cublas==13.1", "cuda-bindings==13.0")]
    with pytest.raises(OtherBuildError, match=r"2 packages for GPUs .* nvidia-cublas the first"):
        refuse_other_builds(CPU, before, after, upgraded=None)
    refuse_other_builds(SPEC, before, after, upgraded=None)
    refuse_other_builds(CPU, after, after, upgraded=None)
    refuse_other_builds(CPU, [], after, upgraded=None)
