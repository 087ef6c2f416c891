"""What `factory new-image` makes is locked, clean and planned without an edit, whatever its kind."""

import pytest
from packaging.requirements import Requirement
from support.wheels import make_wheel
from support.workshop import Workshop

from factory.flavor.repository import Repository
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration
FLAVOR, STACK, TRAINER = "th09-cpu-torch2110-py312", "ml-stack", "tuner"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# What build requirements bring, by package.
BROUGHT = {
    "requests": ("certifi", "charset-normalizer", "idna", "urllib3"),
    "scikit-build-core": ("pathspec",),
    "mkl-static": ("intel-openmp", "tbb-devel", "tcmlib", "umf"),
}
_NEWER = {"requests": "2.32", "scikit-build-core": "1.0", "mkl-static": "2026"}
VERSIONS = {"fsspec": "2026.1.0", "numpy": "2.3", "setuptools": "79.0", "uv": "0.13"}


def _version(requirement: Requirement) -> str:
    """Return a version that a requirement of a template accepts: its floor, else one that is newer."""
    floors = [part.version for part in requirement.specifier if part.operator == ">="]
    return VERSIONS.get(requirement.name) or (floors or ["1.0"])[0]


def _serve(workshop: Workshop, name: str, *, but: tuple[str, ...] = ()) -> None:
    """Put a wheel of each package that an image asks for into the index."""
    for text in Repository(workshop.root).image(name).project.dependencies:
        requirement = Requirement(text)
        if requirement.name not in but:
            make_wheel(workshop.pushed, requirement.name, _version(requirement))


def _names(workshop: Workshop, name: str) -> set[str]:
    return set(require_lock(workshop.root / "images" / name).versions())


def _started(workshop: Workshop, *words: str) -> None:
    run = workshop.run("new-image", *words)
    assert run.status == 0, run.err


def test_a_stack_a_trainer_and_a_launcher_are_locked_clean_and_planned(workshop: Workshop) -> None:
    workshop.flavor("transformers<5", name=FLAVOR)
    make_wheel(workshop.pushed, "transformers", "4.60.0")
    make_wheel(workshop.pushed, "trl", "0.25")
    _started(workshop, STACK, "--kind", "stack", "--parent", FLAVOR, "--with", "cloud-storage")
    _started(workshop, TRAINER, "--kind", "trainer", "--parent", STACK, "--package", "trl>=0.24,<2")
    _started(workshop, "plain", "--kind", "trainer", "--parent", STACK)
    _started(workshop, "jobs", "--kind", "launcher", "--parent", "quay.io/x/agent:1", "--keep-entrypoint")
    _serve(workshop, STACK, but=("transformers",))
    run = workshop.lock("--all")
    assert run.status == 0, run.err
    # What the flavor has is not locked again.
    assert "wandb" in _names(workshop, STACK)
    assert "transformers" not in _names(workshop, STACK)
    assert _names(workshop, TRAINER) == {"trl"}
    checked = workshop.run("check", STACK, TRAINER, "--json")
    assert (checked.status, checked.data["findings"]) == (0, [])
    assert workshop.run("sync", FLAVOR).status == 0
    planned = workshop.run("plan", "--offline", "--json", STACK, TRAINER, "plain", "jobs")
    assert planned.status == 0, planned.err
    rows = planned.data["images"]
    assert isinstance(rows, list)
    assert {row["image"]: row["action"] for row in rows if row["image"] != FLAVOR} == {
        STACK: "build", TRAINER: "build", "plain": "build", "jobs": "build"
    }  # fmt: skip


def test_a_pytorch_base_is_locked_for_build_and_run_and_gives_images_on_it_what_it_runs_with(
    workshop: Workshop,
) -> None:
    _started(
        workshop, "torch-cu130", "--kind", "pytorch-base", "--accelerator", "cuda",
        "--accelerator-version", "13.0", "--pytorch-version", "2.11.0", "--pytorch-commit", COMMIT,
    )  # fmt: skip
    _started(workshop, STACK, "--kind", "stack", "--parent", "torch-cu130")
    # The one edit of this test: the index of these made wheels.
    for name in ("torch-cu130", STACK):
        project = workshop.root / "images" / name / "pyproject.toml"
        url = f'[tool.factory]\nindex-url = "{workshop.index.url}"\n'
        project.write_text(project.read_text().replace("[tool.factory]\n", url))
    _serve(workshop, "torch-cu130", but=tuple(BROUGHT))
    for name, requires in BROUGHT.items():
        make_wheel(workshop.pushed, name, _NEWER[name], requires=requires)
        for brought in requires:
            make_wheel(workshop.pushed, brought, "1.0")
    _serve(workshop, STACK, but=("accelerate",))
    make_wheel(workshop.pushed, "accelerate", "1.12", requires=["torch>=2", "numpy", "packaging>=20"])
    run = workshop.lock("--all")
    assert run.status == 0, run.err
    assert {"cmake", "mkl-static", "jinja2", "uv"} <= _names(workshop, "torch-cu130")
    assert "torch" not in _names(workshop, "torch-cu130") | _names(workshop, STACK)
    # packaging is in the base for its build alone; numpy is there when it runs.
    assert "packaging" in _names(workshop, STACK)
    assert "numpy" not in _names(workshop, STACK)
    checked = workshop.run("check", "torch-cu130", STACK, "--json")
    assert (checked.status, checked.data["findings"]) == (0, [])
