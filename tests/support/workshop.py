"""A repository, an index on loopback and ``factory lock``, for tests with real uv."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import IndexServer

from factory.cli.main import main
from factory.lock.lockfile import LockFile, require_lock

AMD, ARM = "linux/amd64", "linux/arm64"
GAP, CONFLICT, ACCESS, SPEC = 18, 17, 19, 11


@dataclass(frozen=True)
class Run:
    """What a run of the command gave."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, object]:
        body = json.loads(self.out)
        assert isinstance(body, dict)
        return body


@dataclass(frozen=True)
class Workshop:
    """A repository, an index that serves the folder ``pushed``, and the command."""

    root: Path
    pushed: Path
    index: IndexServer
    capsys: pytest.CaptureFixture[str]

    def flavor(
        self,
        *dependencies: str,
        name: str = "th09-cpu-torch2110-py312",
        index_url: str | None = None,
        platforms: Sequence[str] = (AMD,),
        constraints: Sequence[str] = (),
        overrides: Sequence[str] = (),
        missing: Sequence[str] = (),
        indexes: Mapping[str, tuple[str, Sequence[str]]] | None = None,
    ) -> Path:
        """Write a flavor's project; its lock, where it has one, stays.

        ``indexes`` are further ones: their names, URLs and packages.
        """
        folder = self.root / "flavors" / name
        folder.mkdir(parents=True, exist_ok=True)
        url = self.index.url if index_url is None else index_url
        entries = [
            f'[[tool.factory.missing]]\nrequirement = "{item}"\nreason = "not built"\n' for item in missing
        ]
        entries += [
            f'[[tool.factory.indexes]]\nname = "{other}"\nurl = "{at}"\npackages = {json.dumps(packages)}\n'
            for other, (at, packages) in (indexes or {}).items()
        ]
        text = (
            f"[project]\ndependencies = {json.dumps(dependencies)}\n"
            f"[tool.uv]\nconstraint-dependencies = {json.dumps(constraints)}\n"
            f"override-dependencies = {json.dumps(overrides)}\n"
            '[tool.factory]\naccelerator = "cpu"\ntorch = "2.11.0"\npython = "3.12"\ntraining-hub = "0.9.2"\n'
            + (f'index-url = "{url}"\n' if url else "")
            + f'platforms = {json.dumps(platforms)}\nname = "{name}"\n'
            'base-image = "quay.io/x/b:1"\ndownstream-base-image = "quay.io/x/p:1"\n' + "".join(entries)
        )
        (folder / "pyproject.toml").write_text(text)
        return folder

    def child(
        self, *dependencies: str, name: str, parent: str, kind: str = "stack", settings: str = ""
    ) -> Path:
        """Write the project of an image that is no flavor, and its table in ``factory.toml``.

        ``settings`` are the lines of its ``[tool.factory]``. Its lock, where it has one, stays.
        """
        folder = self.root / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1"\ndependencies = {json.dumps(dependencies)}\n'
            f"[tool.factory]\n{settings}"
        )
        (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
        settings_file = self.root / "factory.toml"
        known = settings_file.read_text() if settings_file.exists() else ""
        if f"[images.{name}]" not in known:
            table = f'[images.{name}]\nkind = "{kind}"\nparent = "{parent}"\n'
            settings_file.write_text(f"{known}{table}")
        return folder

    def lock(self, *arguments: str) -> Run:
        """Run ``factory lock``."""
        return self.run("lock", *arguments)

    def run(self, *arguments: str) -> Run:
        """Run the command ``factory``."""
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), *arguments])
        captured = self.capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Run(status=status, out=captured.out, err=captured.err)

    def locked(self, folder: Path, *arguments: str) -> LockFile:
        """Lock a flavor that can be locked, and read its lock."""
        run = self.lock(folder.name, *arguments)
        assert run.status == 0, run.err
        return require_lock(folder)


def hashes(lock: LockFile, name: str) -> set[str]:
    return {artifact.sha256 for pin in lock.pins if pin.name == name for artifact in pin.artifacts}


def gaps_of(run: Run) -> dict[str, dict[str, object]]:
    error = run.data["error"]
    assert isinstance(error, dict)
    return {gap["package"]: gap for gap in error["gaps"]}
