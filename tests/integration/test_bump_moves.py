"""``factory bump`` where other packages would have to move: which, whose requirement it is, and who may."""

from pathlib import Path

import pytest
from support.upkeep import FIRST, make_three, outcome, tree
from support.wheels import make_wheel
from support.workshop import AMD, Workshop

from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration

MOVES = 29


@pytest.fixture
def three(workshop: Workshop) -> Workshop:
    make_three(workshop)
    return workshop


@pytest.fixture
def coupled(workshop: Workshop) -> Path:
    """A locked flavor in which model 5 needs a newer tokens, as transformers does of its tokenizers."""
    make_wheel(workshop.pushed, "tokens", "1.0")
    make_wheel(workshop.pushed, "tokens", "2.0", requires=["words"])
    make_wheel(workshop.pushed, "words", "1.0")
    make_wheel(workshop.pushed, "model", "4.0", requires=["tokens<2"])
    make_wheel(workshop.pushed, "hub", "1.0", requires=["model<5"])
    folder = workshop.flavor("model", "hub", "tokens<3")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "model", "5.0", requires=["tokens>=2"], extras={"tests": ["hub>=9"]})
    make_wheel(workshop.pushed, "hub", "2.0", requires=["model>=5"])
    return folder


def test_packages_that_have_to_move_are_named_with_whose_requirement_it_is(
    workshop: Workshop, coupled: Path
) -> None:
    before = tree(workshop.root)
    run = workshop.run("bump", "model>=5", "--json")
    assert run.status == MOVES
    assert tree(workshop.root) == before
    assert outcome(run, coupled.name)["moves"] == [
        {"package": "hub", "before": "1.0", "after": "2.0", "why": ["hub 1.0 requires model<5"]},
        {"package": "tokens", "before": "1.0", "after": "2.0", "why": ["model 5.0 requires tokens>=2"]},
    ]
    text = workshop.run("bump", "model>=5")
    assert "tokens 1.0 -> 2.0\n    since model 5.0 requires tokens>=2" in text.err
    assert "--allow-moves" in text.err


def test_packages_move_where_it_is_allowed(workshop: Workshop, coupled: Path) -> None:
    run = workshop.run("bump", "model>=5", "--allow-moves")
    assert run.status == 0, run.err
    assert "tokens has to move: model 5.0 requires tokens>=2" in run.out
    assert "+ words 1.0" in run.out
    assert require_lock(coupled).versions() == {"hub": "2.0", "model": "5.0", "tokens": "2.0", "words": "1.0"}


def test_several_packages_that_need_each_other_go_up_in_one_run(workshop: Workshop, coupled: Path) -> None:
    run = workshop.run("bump", "model>=5", "tokens>=2", "hub>=2")
    assert run.status == 0, run.err
    assert require_lock(coupled).versions()["tokens"] == "2.0"


def test_the_version_that_moves_nothing_else_is_taken_before_a_newer_one(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "base", "1.0")
    make_wheel(workshop.pushed, "lib", "1.0")
    folder = workshop.flavor("lib", "base")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "base", "2.0")
    make_wheel(workshop.pushed, "lib", "1.1.0")
    make_wheel(workshop.pushed, "lib", "1.1.9", requires=["base>=2"])
    assert workshop.run("bump", "lib>=1.1").status == 0
    assert require_lock(folder).versions() == {"base": "1.0", "lib": "1.1.0"}


def test_a_locked_version_that_the_index_has_lost_is_named_as_such(three: Workshop) -> None:
    for path in three.pushed.glob("other-1.0-*"):
        path.unlink()
    before = tree(three.root)
    run = three.run("bump", "lib>=1.1", "--flavor", FIRST)
    assert run.status == MOVES
    assert f"other 1.0 -> 2.0\n    since {three.index.url} has no other 1.0 for {AMD}" in run.err
    assert tree(three.root) == before


def test_what_the_project_asks_for_by_now_is_named_as_such(three: Workshop) -> None:
    project = three.root / "flavors" / FIRST / "pyproject.toml"
    project.write_text(project.read_text().replace('"other"', '"other>=2"'))
    run = three.run("bump", "lib>=1.1", "--flavor", FIRST)
    assert run.status == MOVES
    assert "other 1.0 -> 2.0\n    since pyproject.toml asks for other>=2" in run.err
    assert "uv's words" not in run.err
    allowed = three.run("bump", "lib>=1.1", "--flavor", FIRST, "--allow-moves")
    assert allowed.status == 0
    assert "its lock was not made from its pyproject.toml" in allowed.out
    assert require_lock(project.parent).versions() == {"lib": "1.1.2", "other": "2.0"}
