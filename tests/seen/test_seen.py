"""What users see: help texts, JSON, exit codes and generated files, compared with what was written down.

`make seen` (or FACTORY_REFRESH_SEEN=1) writes it down again; read the difference before you commit it.
"""

import hashlib
import importlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from factory.cli.main import COMMANDS, group, main

ROOT = Path(__file__).parents[2]
WRITTEN = Path(__file__).parent / "written"
REFRESH = "FACTORY_REFRESH_SEEN" in os.environ
CPU, CUDA, ROCM = (path.name for path in sorted((ROOT / "flavors").iterdir()))

# Each runs on a copy of this repository's flavors with no engine, no index and no registry within reach.
RUNS: dict[str, tuple[str, ...]] = {
    "init": ("init", "new team", "--example", "--ci", "github", "--agent", "claude"),
    "init-again": ("init", "--pre-commit"),
    "init-json": ("--json", "init", "new", "--dry-run"),
    "docs-rule": ("docs", "FAC331"),
    "docs-unknown": ("docs", "imagse"),
    "list": ("list",),
    "list-json": ("--json", "list"),
    "show-json": ("--json", "show", CUDA),
    "show-unknown": ("show", "nothing-of-the-kind"),
    "sync": ("sync",),
    "sync-json": ("--json", "sync"),
    "check-json": ("--json", "check"),
    "check-text": ("check", "--all"),
    "check-drifted": ("check", "drifted"),
    "check-drifted-json": ("--json", "check", "drifted"),
    "check-drifted-github": ("check", "drifted", "--format", "github"),
    "check-drifted-sarif": ("check", "drifted", "--format", "sarif"),
    "check-unknown": ("check", "nothing-of-the-kind"),
    "strip-flavor": ("strip", CPU),
    "strip-dockerfile-json": ("--json", "strip", f"flavors/{CUDA}/Dockerfile"),
    "strip-unpaired": ("strip", "unpaired/Dockerfile"),
    "strip-context-json": ("--json", "strip", CPU, "--output", "downstream"),
    "diff": ("diff", CPU, CUDA),
    "diff-json": ("--json", "diff", CPU, CUDA),
    "drift-report-json": ("--json", "drift-report"),
    "drift-report": ("drift-report",),
    "layers": ("layers",),
    "layers-json": ("--json", "layers"),
    "lock-verify-unlocked": ("--json", "lock", "--verify", ROCM),
    "lock-unknown": ("--json", "lock", "nothing-of-the-kind"),
    "plan-unknown": ("plan", "nothing-of-the-kind"),
    "build-unknown": ("build", "nothing-of-the-kind"),
    "build-no-engine": ("--json", "build", CPU),
    "test-no-engine": ("--json", "test", CPU),
    "push-unknown": ("push", "nothing-of-the-kind", "--to", "localhost:1/x"),
    "registry-status": ("--json", "registry", "status"),
    "prefetch-unlocked": ("--json", "prefetch", ROCM, "--output", "prefetched"),
    "sbom-unlocked": ("sbom", ROCM),
    "rehash-unlocked": ("rehash", ROCM),
    "audit-unlocked": ("--json", "audit", ROCM),
    "bump-nonsense": ("bump", "pillow=="),
    "promote-nothing": ("promote", CPU),
    "adopt-unknown": ("adopt", "nothing-of-the-kind"),
    "new-flavor-exists": (
        "new-flavor", "--accelerator", "cpu", "--torch", "2.13.0", "--python", "3.11",
        "--training-hub", "0.11.2",
    ),
    "new-flavor-dry": (
        "--json", "new-flavor", "--accelerator", "cuda", "--accelerator-version", "12.8", "--torch", "2.10.0",
        "--python", "3.12", "--training-hub", "0.6.0",
    ),
    "new-flavor-wrong": (
        "new-flavor", "--accelerator", "cuda", "--torch", "2.13.0", "--python", "3.11",
        "--training-hub", "0.11.2",
    ),
    "new-image-stack": ("--json", "new-image", "my-stack", "--kind", "stack", "--parent", CPU),
    "rename-dry": ("--json", "rename", CPU, "main-cpu", "--dry-run"),
    "rename-taken": ("rename", CPU, CUDA),
    "new-image-kind": ("new-image", "my-stack", "--kind", "sauce"),
    "konflux-json": ("--json", "konflux", "--all"),
    "konflux-prefetch-input": ("konflux", CPU, "--prefetch-input"),
    "test-output": ("test-output", "--case", "a=0", "--case", "b=1"),
    "gate": ("gate", 'a={"result":"SUCCESS","timestamp":"1","successes":1,"failures":0,"warnings":0}'),
    "gate-nothing": ("gate", "a="),
    "help-command": ("help", "help"),
    "help-unknown": ("help", "lock", "chekc"),
    "completion": ("completion", "bash"),
    "no-command": (),
    "unknown-command": ("chekc",),
    "unknown-option": ("--json", "check", "--al"),
}  # fmt: skip
# Where a run is looked at again for what it wrote.
WRITES = {"init-again", "strip-context-json", "new-flavor-dry", "new-image-stack", "konflux-json"}


def _commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group) and words:
        for name in sorted(command.commands):
            yield from _commands(command.commands[name], (*words, name))


def _all_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {"factory": group}
    for name, (module, _) in COMMANDS.items():
        command: click.Command = importlib.import_module(f"factory.cli.{module}").command
        found |= {" ".join(words): item for words, item in _commands(command, (name,))}
    return found


@pytest.mark.parametrize("name", _all_commands())
def test_the_help_is_what_was_written_down(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    # click keeps the option that a command was first asked for its help with, by another test perhaps.
    monkeypatch.setattr(_all_commands()[name], "_help_option", None, raising=False)
    with pytest.raises(SystemExit):
        main([*name.removeprefix("factory").split(), "--help"])
    _compare(f"help/{name.replace(' ', '-')}.txt", capsys.readouterr().out)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_prints_and_ends_as_was_written_down(
    name: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(RUNS[name]))
    printed = capsys.readouterr()
    seen = {
        "exit": ended.value.code,
        "stdout": _normal(printed.out, repository),
        "stderr": _normal(printed.err, repository),
    }
    lines = [f"exit: {seen['exit']}", "--- stdout", seen["stdout"], "--- stderr", seen["stderr"]]
    if name in WRITES:
        lines += ["--- files", *_digests(repository)]
    _compare(f"runs/{name}.txt", "\n".join(map(str, lines)) + "\n")


def test_the_files_of_the_repository_are_generated_as_was_written_down() -> None:
    """Flavor folders, PipelineRuns, Tekton's files and bills of materials, by digest."""
    folders = ("flavors", ".tekton", "tekton")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    lines = [f"{_sha256(path)}  {path.relative_to(ROOT)}" for path in paths]
    _compare("files.txt", "\n".join(lines) + "\n")


def test_every_command_has_a_run() -> None:
    without = {"align", "index-gaps", "status"}  # nothing of theirs comes without an index or an engine
    ran = {next((word for word in words if word in COMMANDS), "") for words in RUNS.values()}
    assert set(COMMANDS) - ran == without


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this repository's flavors and settings, and one flavor that has drifted."""
    root = tmp_path / "repository"
    # Else the addresses of pages are of files on this machine.
    monkeypatch.setenv("FACTORY_SITE_URL", "https://pages.example.com/")
    for folder in ("flavors", ".tekton"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copy(ROOT / "factory.toml", root)
    shutil.copytree(root / "flavors" / CPU, root / "flavors" / "drifted")
    with (root / "flavors" / "drifted" / "Dockerfile").open("a") as file:
        file.write("RUN pip install left-pad\n")
    (root / "flavors" / "drifted" / "requirements.txt").write_text("torch\n--extra-index-url x\n")
    (root / "unpaired").mkdir()
    (root / "unpaired" / "Dockerfile").write_text("########\n# MIDSTREAM ONLY\n########\nRUN true\n")
    (tmp_path / "nothing").mkdir()
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "XDG_", "CONTAINER"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    monkeypatch.chdir(root)
    return root


def _normal(text: str, repository: Path) -> str:
    text = text.replace(str(repository), "ROOT").replace(str(repository.parent), "ELSEWHERE")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?", "TIME", text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def _digests(repository: Path) -> list[str]:
    paths = sorted(path for path in repository.rglob("*") if path.is_file() and "drifted" not in path.parts)
    return [f"{_sha256(path)}  {path.relative_to(repository)}" for path in paths]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compare(name: str, seen: str) -> None:
    path = WRITTEN / name
    if REFRESH:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(seen, encoding="utf-8")
    assert path.is_file(), f"{name} was never written down: `make seen`"
    assert seen == path.read_text(encoding="utf-8")


def test_nothing_is_written_down_that_is_not_seen_any_more() -> None:
    wanted = {f"help/{name.replace(' ', '-')}.txt" for name in _all_commands()}
    wanted |= {f"runs/{name}.txt" for name in RUNS} | {"files.txt"}
    assert {path.relative_to(WRITTEN).as_posix() for path in WRITTEN.rglob("*") if path.is_file()} == wanted
