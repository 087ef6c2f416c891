"""The steps of factory-image-test start what the registry says of the image, and nothing else starts it."""

import os
from pathlib import Path

import pytest
from tekton.scripts import Ran, run_step
from tekton.semantic import Node
from tekton.sources import known


def _spec() -> Node:
    spec: Node = known().tasks["factory-image-test"]["spec"]
    return spec


def _training(folder: Path, words: list[str], **environment: str) -> Ran:
    """Run the step `training` of an image whose ENTRYPOINT is these words."""
    (folder / "entrypoint").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / "start").write_bytes(b"start\0")
    return run_step(_spec(), "training", folder / "run", {}, {}, {"WORK": str(folder), **environment})


def test_training_goes_through_the_entry_point_that_the_registry_told(tmp_path: Path) -> None:
    program = tmp_path / "an entry point"
    program.write_text('#!/bin/bash\nprintf "<%s>" "$@"\n')
    program.chmod(0o755)
    ran = _training(tmp_path, [str(program), "", "a\nb"])
    assert ran.status == 0, ran.stderr
    assert ran.stdout.startswith(
        "<><a\nb><timeout><--verbose><600><python><-c><\nimport torch, training_hub\n"
    )


def test_training_of_an_image_without_an_entry_point_is_the_command_alone(tmp_path: Path) -> None:
    program = tmp_path / "timeout"
    program.write_text('#!/bin/bash\nprintf "<%s>" "$@"\n')
    program.chmod(0o755)
    ran = _training(tmp_path, [], PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ran.status == 0, ran.stderr
    assert ran.stdout.startswith("<--verbose><600><python><-c>")


@pytest.mark.parametrize("step", ["training", "workbench"])
def test_nothing_starts_where_the_registry_was_not_read(step: str, tmp_path: Path) -> None:
    ran = run_step(_spec(), step, tmp_path / "run", {}, {}, {"WORK": str(tmp_path)})
    assert ran.status == 1
    assert "the step inspect says why" in ran.stderr
