"""What comes out of a builder stage to be installed: folders of files, and nothing that leads elsewhere."""

import os
from pathlib import Path

import pytest

from factory.build.oci_builder import copy_locks
from factory.errors import ImageError
from factory.tree import Tree


def _stage(root: Path) -> Path:
    (root / "layers" / "rest").mkdir(parents=True)
    (root / "layers" / "rest" / "requirements.txt").write_text("torch==1\n")
    return root / "layers"


def _copied(root: Path) -> None:
    (root / "out").mkdir()
    with Tree.opened(root) as stage, Tree.opened(root / "out") as out:
        copy_locks(stage, out)


def test_folders_of_files_are_copied(tmp_path: Path) -> None:
    _stage(tmp_path)
    _copied(tmp_path)
    assert (tmp_path / "out" / "layers" / "rest" / "requirements.txt").read_text() == "torch==1\n"


@pytest.mark.parametrize("name", ["big", "rest/linked.txt"])
def test_a_link_is_refused(tmp_path: Path, name: str) -> None:
    stage = _stage(tmp_path)
    (tmp_path / "host").mkdir()
    (stage / name).symlink_to(tmp_path / "host")
    with pytest.raises(ImageError, match=name):
        _copied(tmp_path)


def test_a_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    stage = _stage(tmp_path)
    os.mkfifo(stage / "rest" / "pipe")
    with pytest.raises(ImageError, match="rest/pipe"):
        _copied(tmp_path)
