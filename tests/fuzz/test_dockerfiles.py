"""Dockerfiles against podman: what an image says is what the factory reads in its Dockerfile."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from fuzz.searching import searched
from hypothesis import strategies as st

from factory.dockerfile.model import read_dockerfile

WORD = st.text("abcXYZ019_-./#\\", min_size=1, max_size=6)
GLUE = st.sampled_from([" ", "\\\n", "\\\n# a comment\n", "\\ \n", "\\\n\n", "", " \\\n  ", "\t", "\\\r\n"])
VALUE = st.lists(st.tuples(WORD, GLUE), min_size=1, max_size=4).map(
    lambda parts: "".join(word + glue for word, glue in parts)
)
LINES = st.lists(
    st.one_of(
        VALUE.map(lambda value: f"LABEL a={value}x"),
        VALUE.map(lambda value: f"lab\\\nel b={value}y"),
        st.sampled_from(
            ["# a comment", "", "  # indented", "ARG X=1", "  LABEL c=1", "LABEL d=1 # no comment"]
        ),
    ),
    min_size=1,
    max_size=5,
)
HEADS = st.sampled_from(["", "\ufeff", "# escape=`\n", "# syntax=x\n# escape=`\n", "\n# escape=`\n"])
TEXTS = st.tuples(HEADS, LINES, st.sampled_from(["\n", "\r\n"])).map(
    lambda parts: parts[0] + parts[2].join(["FROM scratch", *parts[1], ""])
)


@searched(TEXTS, examples=30)
def test_the_instructions_are_those_that_podman_runs(text: str) -> None:
    """The labels of the image that podman builds stand as such in the instructions that were read."""
    steps = _built(text)
    if steps is None:
        return
    read = [f"{item.name} {item.text}" for item in read_dockerfile(text).instructions]
    assert [_words(line) for line in read if line.startswith("LABEL")] == [_words(line) for line in steps], (
        text
    )


def _words(line: str) -> list[str]:
    name, *rest = line.split()
    return [name.upper(), *rest]


def _built(text: str) -> list[str] | None:
    """The LABEL instructions as podman shows its steps; None where it refuses the Dockerfile."""
    podman = shutil.which("podman")
    if podman is None:
        pytest.fail("podman is not installed; scripts/engine.sh installs it")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Dockerfile")
        path.write_text(text, newline="")
        command = [
            podman,
            "build",
            "--layers=false",
            "--network",
            "none",
            "--iidfile",
            f"{folder}/id",
            folder,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None
        subprocess.run([podman, "rmi", Path(folder, "id").read_text()], capture_output=True, check=False)
    steps = [line.partition(": ")[2] for line in done.stdout.split("\n") if line.startswith("STEP ")]
    return [step for step in steps if step.upper().startswith("LABEL")]


def test_podman_shows_the_steps_that_the_comparison_reads() -> None:
    """The comparison would pass on everything if podman's output had another form."""
    assert _built("FROM scratch\nLABEL a=\\\n1\n") == ["LABEL a=1"]
    assert json.dumps(_built("FROM scratch\nNONSENSE\n")) == "null"
