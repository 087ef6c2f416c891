"""strip: one file, and the whole downstream context of a flavor."""

from pathlib import Path

import pytest
from support.clean_flavor import make_flavor, make_repository

from factory.downstream.context import write_context
from factory.downstream.strip import strip_file
from factory.errors import DriftError, LockFileError, MarkerError, NotFoundError, StorageError
from factory.flavor.repository import Flavor

BANNER = b"#" * 20
TEXT = b"\r\n".join(
    [
        b"FROM a",
        BANNER,
        b"# MIDSTREAM ONLY",
        BANNER,
        b"RUN dnf",
        BANNER,
        b"# END MIDSTREAM ONLY",
        BANNER,
        b"RUN b",
    ]
)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_context_has_the_downstream_dockerfile_and_no_repository_files(
    flavor: Flavor, tmp_path: Path
) -> None:
    output = tmp_path / "a context"
    context = write_context(flavor, output)
    tree = _tree(output)
    assert tree["Dockerfile"] == (flavor.folder / "Dockerfile.konflux").read_bytes()
    assert flavor.project.spec.downstream_base_image.encode() in tree["Dockerfile"]
    assert b"MIDSTREAM ONLY:" not in tree["Dockerfile"]
    assert not [name for name in tree if name.endswith(".repo")]
    assert context.left_out == ("cuda.repo", "mellanox.repo")
    same = set(tree) - {"Dockerfile"}
    generated = {"entrypoint-universal.sh", "package-layers.sh", "LICENSE.md"}
    assert {"requirements.txt", "pyproject.toml", *generated} == same
    assert all(tree[name] == (flavor.folder / name).read_bytes() for name in same)
    assert (output / "entrypoint-universal.sh").stat().st_mode & 0o111


def test_a_context_is_brought_up_to_date(flavor: Flavor, tmp_path: Path) -> None:
    output = tmp_path / "context"
    write_context(flavor, output)
    before = _tree(output)
    (output / "Dockerfile").write_text("FROM old")
    (output / "LICENSE.md").unlink()
    write_context(flavor, output)
    assert _tree(output) == before


def test_a_folder_with_something_else_in_it_is_left_alone(flavor: Flavor, tmp_path: Path) -> None:
    output = tmp_path / "context"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"thesis\.txt"):
        write_context(flavor, output)
    assert _tree(output) == {"thesis.txt": b"mine"}


def test_a_drifted_flavor_gives_no_context(flavor: Flavor, tmp_path: Path) -> None:
    (flavor.folder / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(DriftError, match="Dockerfile"):
        write_context(flavor, tmp_path / "context")
    assert not (tmp_path / "context").exists()


def test_a_flavor_that_is_not_locked_gives_no_context(flavor: Flavor, tmp_path: Path) -> None:
    (flavor.folder / "requirements.txt").unlink()
    with pytest.raises(LockFileError):
        write_context(flavor, tmp_path / "context")
    assert not (tmp_path / "context").exists()


def test_a_file_is_stripped_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "Dockerfile"
    source.write_bytes(TEXT)
    stripped = strip_file(source, tmp_path / "out")
    assert stripped.content == b"FROM a\r\nRUN b"
    assert (tmp_path / "out" / "Dockerfile").read_bytes() == stripped.content
    assert (stripped.report.blocks, stripped.report.lines_removed, stripped.report.lines) == (1, 7, 9)
    assert source.read_bytes() == TEXT


def test_a_file_is_not_stripped_onto_itself(tmp_path: Path) -> None:
    source = tmp_path / "Dockerfile"
    source.write_bytes(TEXT)
    with pytest.raises(StorageError):
        strip_file(source, tmp_path)
    assert source.read_bytes() == TEXT


def test_unbalanced_markers_write_nothing(tmp_path: Path) -> None:
    source = tmp_path / "Dockerfile"
    source.write_bytes(TEXT + b"\n" + BANNER + b"\n# END MIDSTREAM ONLY\n" + BANNER)
    with pytest.raises(MarkerError, match="Dockerfile: line"):
        strip_file(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        strip_file(tmp_path / "Dockerfile", None)
