"""The gate before anything costly also looks at where the run is going to push."""

import json
from pathlib import Path

import pytest
import yaml
from tekton.scripts import Ran, run_step
from tekton.sources import ROOT, known

COUNTS = {"successes": 1, "failures": 0, "warnings": 0, "namespace": "default"}
PASSED = "check=" + json.dumps(
    {"result": "SUCCESS", "timestamp": "2026-01-01T00:00:00Z", "note": "x", **COUNTS}
)


def _gate(folder: Path, image: str | None) -> Ran:
    spec = yaml.safe_load((ROOT / "tekton" / "tasks" / "factory-gate" / "factory-gate.yaml").read_text())[
        "spec"
    ]
    given: dict[str, str | list[str]] = {"test-outputs": [PASSED]}
    return run_step(spec, "gate", folder, given | ({} if image is None else {"image": image}), {})


@pytest.mark.parametrize(
    "image", [None, "registry.example.com:5000/team/image:cpu", "localhost/i:" + "t" * 128]
)
def test_a_place_to_push_to_passes(image: str | None, tmp_path: Path) -> None:
    ran = _gate(tmp_path / "run", image)
    assert ran.status == 0, ran.stderr


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.com/team/image",
        "registry.example.com:5000/team/image",
        "registry.example.com/team/image@sha256:" + "0" * 64,
        "registry.example.com/Team/image:1",
        "image:1",
        "localhost/i:" + "t" * 129,
        "localhost/i:1\n",
    ],
)
def test_what_is_no_place_to_push_to_fails(image: str, tmp_path: Path) -> None:
    ran = _gate(tmp_path / "run", image)
    assert ran.status == 1
    assert "the parameter image is no place to push to" in ran.stderr


@pytest.mark.parametrize("name", ["universal-image", "universal-image-oci-ta"])
def test_the_first_gate_of_a_pipeline_is_told_the_image(name: str) -> None:
    tasks = {task["name"]: task for task in known().pipelines[name]["spec"]["tasks"]}
    told = {each["name"]: each["value"] for each in tasks["gate-source"]["params"]}
    assert told["image"] == "$(params.image)"
