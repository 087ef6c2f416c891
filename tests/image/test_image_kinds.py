"""Unedited images of `factory new-image` on the CPU flavor pass the tests of their kind."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import BuiltFlavor, factory
from support.podman import podman

pytestmark = pytest.mark.container

TRAINER, LAUNCHER = "kinds-trainer", "kinds-launcher"


@pytest.fixture(scope="module")
def root(cpu_flavor: BuiltFlavor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository of the flavor, a trainer and a launcher on it, each built with the labels of a build."""
    root = tmp_path_factory.mktemp("kinds")
    shutil.copytree(cpu_flavor.folder, root / "flavors" / cpu_flavor.folder.name)
    for name, kind in ((TRAINER, "trainer"), (LAUNCHER, "launcher")):
        factory("--root", root, "new-image", name, "--kind", kind, "--parent", cpu_flavor.folder.name)
        labels = {"image": name, f"kind.{kind}": name}
        options = [f"--label=io.universal-image-factory.{key}={value}" for key, value in labels.items()]
        podman(
            "build", "--network", "none", "--pull=never", "--tag", f"localhost/{name}:test", *options,
            "--build-arg", f"BASE_IMAGE={cpu_flavor.tag}", root / "images" / name,
        )  # fmt: skip
    yield root
    podman("image", "rm", "--force", *(f"localhost/{name}:test" for name in (TRAINER, LAUNCHER)))


@pytest.mark.parametrize(
    ("name", "kind", "own", "options"),
    [
        (TRAINER, "trainer", {"entrypoint-torchrun", "trainer-script", "versions"}, ()),
        # What the two have in common is tested with the trainer.
        (LAUNCHER, "launcher", {"launch-script", "labels"}, ("--only", "launch-script", "--only", "labels")),
    ],
)
def test_an_unedited_image_passes_the_tests_of_its_kind(
    root: Path, tmp_path: Path, name: str, kind: str, own: set[str], options: tuple[str, ...]
) -> None:
    words: tuple[str | Path, ...] = (
        "--root",
        root,
        "--json",
        "test",
        f"localhost/{name}:test",
        "--report",
        tmp_path,
        *options,
    )
    report = json.loads(factory(*words))
    outcomes = {outcome["name"]: outcome["status"] for outcome in report["outcomes"]}
    assert report["kind"] == kind
    assert {test for test in own if outcomes[test] == "passed"} == own
    assert "entrypoint-notebook" not in outcomes
