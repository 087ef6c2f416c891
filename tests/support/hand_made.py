"""The hand-made folders under tests/adopt: what they are called, and copies to adopt."""

import shutil
from pathlib import Path

FOLDERS = Path(__file__).resolve().parent.parent / "adopt"
NAMES = {
    "cuda": "th06-cuda130-torch291-py312",
    "rocm": "th04-rocm64-torch280-py312",
    "cpu": "universal-cpu",
    "torch-line": "training-cpu",
    "suffixed": "th011-cuda133-torch2120-py312",
}


def lay_out(case: str, parent: Path) -> Path:
    """A copy of a hand-made folder, under the name that it would have."""
    return Path(shutil.copytree(FOLDERS / case / "folder", parent / NAMES[case]))


def expected_project(case: str) -> str:
    """The ``pyproject.toml`` that is to come of it."""
    return (FOLDERS / case / "expected" / "pyproject.toml").read_text(encoding="utf-8")
