"""What `factory init --agent` writes: read by the agents, kept current, and a repository's own left alone."""

import datetime as dt
from pathlib import Path

import pytest
import yaml

from factory.check.check import check_flavors
from factory.init.agents import AGENTS, drifted_agent_files, sync_agent_files
from factory.init.repository import InitRequest, init_repository

TODAY = dt.date(2026, 12, 1)
COMMAND = ".claude/commands/images-build.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init_repository(tmp_path / "team", InitRequest(agents=tuple(AGENTS)))
    return tmp_path / "team"


def _found(root: Path) -> list[tuple[str, str]]:
    report = check_flavors((), root=root, today=TODAY, whole=True)
    return [(item.code, item.path) for item in report.findings]


@pytest.mark.parametrize("folder", AGENTS.values())
def test_each_file_begins_with_the_front_matter_that_its_agent_reads(root: Path, folder: str) -> None:
    skills = list((root / folder / "skills").glob("*/SKILL.md"))
    commands = sorted((root / folder / "commands").glob("*.md"))
    assert len(skills) == 1
    assert [path.stem for path in commands] == [
        f"images-{word}" for word in ("build", "check", "launch", "push", "test")
    ]
    for path in (*skills, *commands):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        matter = yaml.safe_load(front)
        assert 20 < len(matter["description"]) <= 1024
        assert "factory" in body
    front = skills[0].read_text(encoding="utf-8").split("---\n")[1]
    assert yaml.safe_load(front)["name"] == skills[0].parent.name
    assert all("$ARGUMENTS" in path.read_text(encoding="utf-8") for path in commands)
    catalogue = yaml.safe_load((skills[0].parent / "skill.yaml").read_text(encoding="utf-8"))
    assert set(catalogue["commands"]) == {path.stem for path in commands}


def test_an_edited_and_a_missing_file_are_found_and_written_again(root: Path) -> None:
    assert _found(root) == []
    before = (root / COMMAND).read_bytes()
    (root / COMMAND).write_bytes(before + b"More.\n")
    (root / ".opencode/skills/universal-images/skill.yaml").unlink()
    wrong = [COMMAND, ".opencode/skills/universal-images/skill.yaml"]
    assert _found(root) == [("FAC511", path) for path in wrong]
    assert sync_agent_files(root, dry_run=True) == tuple(wrong)
    assert _found(root) == [("FAC511", path) for path in wrong]
    assert sync_agent_files(root) == tuple(wrong)
    assert (root / COMMAND).read_bytes() == before
    assert sync_agent_files(root) == ()
    assert _found(root) == []


def test_a_file_of_the_repositorys_own_is_left_alone_and_said(root: Path) -> None:
    (root / COMMAND).write_text("Ours.\n", encoding="utf-8")
    assert _found(root) == []
    assert sync_agent_files(root) == ()
    report = init_repository(root, InitRequest(agents=("claude",)))
    notes = {file.path: file.note for file in report.files if file.change == "left alone"}
    assert notes[COMMAND] == "it is yours"
    assert (root / COMMAND).read_text(encoding="utf-8") == "Ours.\n"


def test_nothing_is_written_through_a_link_out_of_the_repository(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (root / ".claude" / "commands").rename(outside)
    (root / ".claude" / "commands").symlink_to(outside)
    (outside / "images-build.md").write_bytes((outside / "images-build.md").read_bytes() + b"Edited.\n")
    assert drifted_agent_files(root) == ()
    assert sync_agent_files(root) == ()
    assert (outside / "images-build.md").read_bytes().endswith(b"Edited.\n")


def test_a_repository_without_such_files_has_none_to_keep(tmp_path: Path) -> None:
    init_repository(tmp_path / "team", InitRequest())
    (tmp_path / "team" / ".claude").mkdir()
    assert _found(tmp_path / "team") == []
    assert sync_agent_files(tmp_path / "team") == ()
