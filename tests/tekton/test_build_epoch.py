"""factory-build gives buildah the time that `factory build` takes, whatever the clock says."""

from pathlib import Path

import pytest
from support.built import factory
from support.clean_flavor import NAME, make_flavor, make_repository
from tekton.scripts import Ran, run_step
from tekton.sources import known

from factory.lock.lockfile import LOCK_FILE

pytestmark = pytest.mark.integration

UPLOADED = "2026-01-31T12:00:01Z"
SECONDS = "1769860801\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository whose lock tells when one of its wheels was uploaded."""
    repository = make_repository(tmp_path / "source")
    path = make_flavor(repository).folder / LOCK_FILE
    text = path.read_text(encoding="utf-8")
    wheel = "urllib3-2.6.2-py3-none-any.whl"
    assert wheel in text
    path.write_text(text.replace(wheel, f"{wheel}, 1000 bytes, {UPLOADED}"), encoding="utf-8")
    return repository.root


def _prepared(source: Path, folder: Path, **params: str) -> Ran:
    context, prefetched = folder / "context", folder / "prefetched"
    for made in (context, prefetched):
        made.mkdir()
    (context / "Dockerfile").write_text("FROM registry.example.com/base:1\n")
    # A flavor that carries its bill of materials: none has to be made from the packages.
    (context / "sbom.cdx.json").write_text("{}")
    (prefetched / "cachi2.env").write_text("")
    return run_step(
        known().tasks["factory-build"]["spec"],
        "prepare",
        folder / "run",
        {"image": "registry.example.com/team/image:1", "flavor": NAME, **params},
        {"source": source, "context": context, "prefetched": prefetched},
        {"WORK": str(folder / "work")},
    )


def test_the_time_is_that_of_the_lock_as_factory_build_says(source: Path, tmp_path: Path) -> None:
    ran = _prepared(source, tmp_path)
    assert ran.status == 0, ran.stderr
    assert (tmp_path / "work" / "epoch").read_text() == SECONDS
    assert factory("--root", source, "build", "--epoch", NAME) == SECONDS


def test_the_parameter_comes_first(source: Path, tmp_path: Path) -> None:
    ran = _prepared(source, tmp_path, **{"source-date-epoch": "17"})
    assert ran.status == 0, ran.stderr
    assert (tmp_path / "work" / "epoch").read_text() == "17\n"
