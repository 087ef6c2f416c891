"""Changes of several files, whole and interrupted, for the tests of `factory.transaction`."""

import os
from pathlib import Path

import pytest

from factory.errors import JournalError
from factory.files import is_temporary
from factory.transaction import JOURNAL_FOLDER, Change, Replacement, open_transaction

NEW = {"flavors/a/x": (b"new x", False), "flavors/a/y": (b"new y", False)}
OLD = {"flavors/a/x": (b"old x", False), "flavors/a/y": (b"old y", False)}


class KilledError(BaseException):
    """What a test raises where a run is to end at once."""


def make(folder: Path, *names: str) -> list[Change]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"old " + name.encode())
    return [
        Replacement(path=folder / name, before=b"old " + name.encode(), content=b"new " + name.encode())
        for name in names
    ]


def commit(root: Path, changes: list[Change]) -> None:
    flavors = [folder for folder in (root / "flavors").iterdir() if folder.is_dir()]
    with open_transaction([root, *flavors]) as transaction:
        transaction.commit(changes)


def contents(root: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file but those of a transaction: its content, and whether it can be executed."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in root.rglob("*")
        if path.is_file() and not _is_of_a_transaction(path.relative_to(root))
    }


def _is_of_a_transaction(path: Path) -> bool:
    return path.parts[0] == JOURNAL_FOLDER or any(is_temporary(Path(part)) for part in path.parts)


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if _is_of_a_transaction(path.relative_to(root))]


def interrupted(root: Path, monkeypatch: pytest.MonkeyPatch, *, renamed: int = 1) -> Path:
    """The journal of a run over two files that was killed after so many renames of them."""
    changes = make(root / "flavors" / "a", "x", "y")
    real, count = os.replace, [0]

    def rename(source: Path, destination: Path) -> None:
        if Path(destination).name in {"x", "y"}:
            count[0] += 1
            if count[0] > renamed:
                raise KilledError
        real(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", rename)
        patch.setattr("factory.transaction._was_put_back", lambda *_: False)
        with pytest.raises(JournalError):
            commit(root, changes)
    (journal,) = (root / JOURNAL_FOLDER).glob("*.json")
    return journal
