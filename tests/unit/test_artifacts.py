"""What a build makes beside its image takes the place of the earlier whole, or not at all."""

from pathlib import Path

import pytest

from factory.build.engine_builder import keep_artifacts
from factory.engine.engine import Engine
from factory.engine.leftovers import ContainerOwner
from factory.errors import EngineError, StorageError

OWNER = ContainerOwner(repository="r", notes=Path("image"))


def _engine(folder: Path, copy: str) -> Engine:
    """A program in an engine's place, since a real one cannot be made to fail in the middle of a copy."""
    program = folder / "engine"
    program.write_text(f'#!/bin/sh\ncase "$1" in\ncreate) echo c ;;\ncp) {copy} ;;\nesac\n')
    program.chmod(0o755)
    return Engine(kind="podman", program=program)


def _old(tmp_path: Path) -> Path:
    folder = tmp_path / "wheel"
    folder.mkdir()
    (folder / "old.whl").write_text("hours of work")
    return folder


def test_the_new_files_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    folder = _old(tmp_path)
    keep_artifacts(_engine(tmp_path, 'echo new >"$4/new.whl"'), "image", folder, owner=OWNER)
    assert [path.name for path in folder.iterdir()] == ["new.whl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine", "wheel"]


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = _old(tmp_path)
    with pytest.raises(EngineError, match="no space"):
        keep_artifacts(_engine(tmp_path, "echo no space >&2; exit 1"), "image", folder, owner=OWNER)
    assert [path.name for path in folder.iterdir()] == ["old.whl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine", "wheel"]


def test_a_link_that_a_stage_makes_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    folder = _old(tmp_path)
    with pytest.raises(EngineError, match="leak of the stage wheel is no file"):
        keep_artifacts(_engine(tmp_path, 'ln -s /etc/shadow "$4/leak"'), "image", folder, owner=OWNER)
    assert [path.name for path in folder.iterdir()] == ["old.whl"]


def test_a_folder_that_cannot_be_put_in_place_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _old(tmp_path)
    rename, moves = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError):
        keep_artifacts(_engine(tmp_path, 'echo new >"$4/new.whl"'), "image", folder, owner=OWNER)
    assert [path.name for path in folder.iterdir()] == ["old.whl"]
