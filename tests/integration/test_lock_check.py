"""``factory lock --check``: whether a lock is what its index and pyproject.toml give; nothing is written."""

from pathlib import Path

import pytest
from support.wheels import make_wheel
from support.workshop import AMD, ARM, GAP, Workshop

from factory.lock.lockfile import LOCK_FILE

pytestmark = pytest.mark.integration


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_lock_that_is_what_its_index_gives_passes_and_is_left_alone(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "2.0")  # newer, and not asked for
    before = _content(folder)
    run = workshop.lock(folder.name, "--check")
    assert run.status == 0, run.err
    assert f"{folder.name}: is what its index and pyproject.toml give" in run.out
    assert _content(folder) == before


def test_a_lock_that_tells_no_sizes_is_no_other_and_gets_them_when_it_is_locked_again(
    workshop: Workshop,
) -> None:
    size = make_wheel(workshop.pushed, "aa", "1.0").stat().st_size
    folder = workshop.flavor("aa")
    workshop.index.sizes = False
    assert workshop.locked(folder).pins[0].artifacts[0].size is None
    workshop.index.sizes = True
    before = _content(folder)
    assert workshop.lock(folder.name, "--check").status == 0
    assert _content(folder) == before
    assert workshop.locked(folder).pins[0].artifacts[0].size == size

    # A mirror that does not tell them takes nothing away.
    workshop.index.sizes = False
    before = _content(folder)
    for words in (("lock", "--check"), ("lock",), ("rehash",)):
        assert workshop.run(words[0], folder.name, *words[1:]).status == 0
        assert _content(folder) == before


def test_a_version_that_has_to_move_is_a_difference(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", "bb")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "2.0")
    workshop.flavor("aa>1", "bb")
    before = _content(folder)
    run = workshop.lock(folder.name, "--check")
    assert run.status == 1
    assert "~ aa 1.0 -> 2.0" in run.out
    assert "requirements.txt was made from another pyproject.toml" in run.out
    assert _content(folder) == before


def test_a_hash_that_the_index_gives_no_more_is_a_difference(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", salt="first")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    pushed = make_wheel(workshop.pushed, "aa", "1.0", salt="second")
    before = _content(folder)
    run = workshop.lock(folder.name, "--check", "--json")
    assert run.status == 1
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    flavor = flavors[0]
    assert flavor["state"] == "changed"
    assert [change["files"] for change in flavor["changes"]["rehashed"]] == [[pushed.name]]
    assert _content(folder) == before


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda text: text.replace("--index-url", "# --index-url"), "names no index, and should name"),
        (
            lambda text: text.replace("# inputs: sha256:", "# inputs: sha256:00"),
            "does not say what it was made from",
        ),
        (lambda text: text + "# a remark\n", "was edited"),
    ],
    ids=["index line", "inputs", "remark"],
)
def test_a_difference_beside_the_pins_is_told_as_such(workshop: Workshop, edit: object, told: str) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    lock = folder / LOCK_FILE
    assert callable(edit)
    lock.write_text(edit(lock.read_text()))
    run = workshop.lock(folder.name, "--check")
    assert run.status == 1
    assert "no pin has changed" in run.out
    assert told in run.out


def test_a_platform_that_was_added_is_a_difference(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    workshop.flavor("aa", platforms=(AMD, ARM))
    assert workshop.lock(folder.name, "--check").status == 1


def test_several_flavors_are_checked_and_one_that_is_not_locked_differs(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.locked(workshop.flavor("aa", name="first"))
    second = workshop.flavor("aa", name="second")
    run = workshop.lock("--all", "--check", "--jobs", "2", "--json")
    assert run.status == 1
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert {flavor["flavor"]: flavor["state"] for flavor in flavors} == {
        "first": "unchanged",
        "second": "changed",
    }
    assert not (second / LOCK_FILE).exists()


def test_what_cannot_be_locked_is_an_error_and_not_a_difference(workshop: Workshop) -> None:
    run = workshop.lock(workshop.flavor("absent").name, "--check")
    assert run.status == GAP
    assert "could not be checked" in run.out


@pytest.mark.parametrize(
    "options",
    [
        ("--check", "--dry-run"),
        ("--check", "--verify"),
        ("--verify", "--dry-run"),
        ("--check", "--upgrade"),
        ("--verify", "--upgrade-package", "aa"),
    ],
    ids=" ".join,
)
def test_questions_that_exclude_each_other_are_wrong_usage(
    workshop: Workshop, options: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    assert workshop.lock(folder.name, *options).status == 2
    assert not (folder / LOCK_FILE).exists()
