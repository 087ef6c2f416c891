"""The context of an image: the same whoever builds it."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from factory.build.prepare import build_context
from factory.images.inputs import InputFile


@pytest.mark.parametrize("umask", [0o077, 0o002, 0o022])
def test_modes_follow_from_the_inputs_and_not_from_the_umask(tmp_path: Path, umask: int) -> None:
    folder, work = tmp_path / "a folder", tmp_path / "work"
    (folder / "src" / "deep").mkdir(parents=True)
    work.mkdir()
    (folder / "src" / "deep" / "x.py").write_text("x\n")
    digest = hashlib.sha256(b"x\n").hexdigest()
    before = os.umask(umask)
    try:
        with build_context(
            folder, {"src/deep/x.py": InputFile(sha256=digest, executable=False)}, work
        ) as context:
            modes = {
                path.relative_to(context).as_posix(): stat.S_IMODE(path.stat().st_mode)
                for path in (context, *context.rglob("*"))
            }
    finally:
        os.umask(before)
    assert modes == {".": 0o755, "src": 0o755, "src/deep": 0o755, "src/deep/x.py": 0o644}
