"""The golden folders: a flavor's ``pyproject.toml``, and the folder that is to come of it."""

import os
from collections.abc import Mapping
from pathlib import Path

from factory.flavor.project import read_project
from factory.render.render import render_flavor

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
CASES = tuple(sorted(path.parent.name for path in GOLDEN.glob("*/input")))


def rendered(case: str) -> Mapping[str, tuple[bytes, bool]]:
    """What the templates give today: path to content, and whether it is a program."""
    project = read_project(GOLDEN / case / "input")
    files = render_flavor(project, name=project.spec.folder_name)
    return {file.path: (file.content, file.executable) for file in files}


def expected(case: str) -> Mapping[str, tuple[bytes, bool]]:
    """What stands in the golden folder."""
    folder = GOLDEN / case / "expected"
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in folder.rglob("*")
        if path.is_file()
    }
