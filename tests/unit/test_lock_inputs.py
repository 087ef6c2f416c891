"""When a lock is stale: the digest of what it was made from."""

from dataclasses import replace

import pytest
from support.clean_flavor import PROJECT

from factory.flavor.project import Project, parse_project
from factory.lock.lockset import inputs_digest

BASE = parse_project(PROJECT, where="pyproject.toml")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(BASE, dependencies=(*BASE.dependencies, "attrs")), id="dependencies"),
        pytest.param(replace(BASE, constraints=()), id="constraints"),
        pytest.param(replace(BASE, overrides=()), id="overrides"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, missing=())), id="missing"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, python="3.13")), id="python"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, platforms=("linux/amd64",))), id="platforms"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, glibc="2.28")), id="glibc"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, index_url=None)), id="index"),
    ],
)
def test_what_decides_the_lock_changes_the_digest(changed: Project) -> None:
    assert inputs_digest(changed) != inputs_digest(BASE)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(BASE, dependencies=BASE.dependencies[::-1]), id="order"),
        pytest.param(replace(BASE, spec=replace(BASE.spec, base_image="quay.io/other:1")), id="base image"),
        pytest.param(
            replace(
                BASE,
                spec=replace(
                    BASE.spec, missing=tuple(replace(item, reason="x") for item in BASE.spec.missing)
                ),
            ),
            id="reason",
        ),
    ],
)
def test_what_the_lock_cannot_depend_on_does_not(changed: Project) -> None:
    assert inputs_digest(changed) == inputs_digest(BASE)


def test_requirements_do_not_run_into_each_other() -> None:
    moved = replace(BASE, constraints=BASE.overrides, overrides=BASE.constraints)
    assert inputs_digest(moved) != inputs_digest(BASE)
