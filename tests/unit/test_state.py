"""The state of a flavor: rendered or drifted, locked, stale or not, and never a crash."""

from pathlib import Path

import pytest
from support.clean_flavor import INDEX, NAME, PROJECT, further_lock_texts, make_flavor, make_repository

from factory.check.state import FileState, PlainImageDetails, flavor_details, flavor_state, image_details
from factory.errors import SpecError
from factory.flavor.repository import Flavor, Repository


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _words(flavor: Flavor) -> str:
    return flavor_state(Flavor(flavor.folder)).words


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_whole_flavor_is_rendered_and_locked(flavor: Flavor) -> None:
    assert _words(flavor) == "rendered, locked"


def test_an_edited_file_is_drift(flavor: Flavor) -> None:
    _edit(flavor.folder / "Dockerfile", "USER 0", "USER 1")
    assert _words(flavor) == "drifted, locked"


def test_a_stray_file_is_no_drift(flavor: Flavor) -> None:
    (flavor.folder / "notes.txt").touch()
    assert _words(flavor) == "rendered, locked"


def test_a_changed_dependency_makes_the_lock_stale(flavor: Flavor) -> None:
    _edit(flavor.folder / "pyproject.toml", "numpy>=2.0,<3", "numpy>=2.1,<3")
    assert _words(flavor) == "rendered, stale"


def test_a_lock_that_does_not_tell_its_inputs_is_stale(flavor: Flavor) -> None:
    _edit(flavor.folder / "requirements.txt", "# inputs:", "# input:")
    assert _words(flavor) == "rendered, stale"


def test_a_comment_in_pyproject_makes_nothing_stale(flavor: Flavor) -> None:
    _edit(flavor.folder / "pyproject.toml", "[tool.uv]", "# why\n[tool.uv]")
    assert _words(flavor) == "rendered, locked"


def test_a_flavor_without_a_lock_is_not_locked(flavor: Flavor) -> None:
    (flavor.folder / "requirements.txt").unlink()
    assert _words(flavor) == "rendered, not locked"


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("pyproject.toml", b"\xff", "broken"),
        ("pyproject.toml", b"[tool.factory]\n", "broken"),
        ("requirements.txt", b"\xff", "rendered, broken"),
    ],
)
def test_what_cannot_be_read_is_broken_and_says_why(
    flavor: Flavor, path: str, content: bytes, words: str
) -> None:
    (flavor.folder / path).write_bytes(content)
    state = flavor_state(Flavor(flavor.folder))
    assert state.words == words
    assert state.problem


def test_a_template_set_that_is_not_there_is_broken(flavor: Flavor) -> None:
    _edit(flavor.folder / "pyproject.toml", 'python = "3.12"', 'python = "3.12"\ntemplate-set = "none"')
    state = flavor_state(Flavor(flavor.folder))
    assert (state.rendering, state.lock) == ("broken", "locked")
    assert "'none'" in (state.problem or "")


def test_details_hold_the_files_and_the_lock(flavor: Flavor) -> None:
    (flavor.folder / "cuda.repo").unlink()
    (flavor.folder / "notes.txt").touch()
    details = flavor_details(Flavor(flavor.folder))
    assert (details.name, details.derived_name) == (NAME, NAME)
    states = {file.path: file.state for file in details.files}
    assert states["pyproject.toml"] == "edited by people"
    assert states["requirements.txt"] == "locked"
    assert states["Dockerfile"] == "generated"
    assert FileState(path="cuda.repo", state="missing") in details.files
    assert FileState(path="notes.txt", state="stray") in details.files
    assert details.locked is not None
    assert (details.locked.packages, details.locked.artifacts) == (5, 7)
    assert details.locked.index_url == INDEX


def test_details_of_a_broken_spec_are_refused(flavor: Flavor) -> None:
    (flavor.folder / "pyproject.toml").write_text("[tool.factory]\n", encoding="utf-8")
    with pytest.raises(SpecError):
        flavor_details(Flavor(flavor.folder))


SPLIT = PROJECT.replace(
    "[[tool.factory.missing]]",
    '[[tool.factory.indexes]]\nname = "nums"\nurl = "https://nums.example.com/simple/"\n'
    'packages = ["numpy"]\n\n[[tool.factory.missing]]',
)


@pytest.fixture
def split(tmp_path: Path) -> Flavor:
    """A flavor of two indexes, with the two files of its lock."""
    made = make_flavor(make_repository(tmp_path), project=SPLIT)
    for name, text in further_lock_texts(SPLIT).items():
        (made.folder / name).write_text(text, encoding="utf-8")
    return made


def test_a_lock_of_two_files_is_locked_and_summed_up(split: Flavor) -> None:
    assert _words(split) == "rendered, locked"
    details = flavor_details(Flavor(split.folder))
    assert details.locked is not None
    assert details.locked.packages == 5
    assert details.locked.files == ("requirements.txt", "requirements-nums.txt")
    assert (details.locked.index_url, details.locked.further_index_urls) == (
        INDEX,
        ("https://nums.example.com/simple/",),
    )
    states = {file.path: file.state for file in details.files}
    assert states["requirements-nums.txt"] == "locked"
    text = "\n".join(part for part in details.describe() if isinstance(part, str))
    assert f"lock: 5 packages, 7 artifacts, from {INDEX} and https://nums.example.com/simple/" in text


@pytest.mark.parametrize(
    ("name", "words"), [("requirements-nums.txt", "stale"), ("requirements.txt", "not locked")]
)
def test_a_lock_that_lacks_a_file_is_not_whole(split: Flavor, name: str, words: str) -> None:
    (split.folder / name).unlink()
    assert _words(split) == f"rendered, {words}"


def test_files_of_two_runs_are_stale(split: Flavor) -> None:
    other = further_lock_texts(SPLIT, numpy="2.3.5")
    (split.folder / "requirements-nums.txt").write_text(other["requirements-nums.txt"], encoding="utf-8")
    assert _words(split) == "rendered, stale"


def test_details_show_the_waivers_of_a_flavor(flavor: Flavor) -> None:
    waiver = '\n[[tool.factory.waivers]]\nfinding = "drift"\npackage = "numpy"\nreason = "later"\n'
    path = flavor.folder / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8") + waiver + "expires = 2027-01-31\n", encoding="utf-8")
    parts = list(flavor_details(Flavor(flavor.folder)).describe())
    assert "waivers:\n  drift for numpy, until 2027-01-31: later\n" in parts


def test_an_image_without_packages_has_details_of_its_own(flavor: Flavor) -> None:
    root = flavor.folder.parent.parent
    (root / "images" / "trainer" / "src").mkdir(parents=True)
    (root / "images" / "trainer" / "Dockerfile").touch()
    (root / "images" / "trainer" / "src" / "train.py").touch()
    (root / "factory.toml").write_text(f'[images.trainer]\nkind = "trainer"\nparent = "{NAME}"\n')
    details = image_details(Repository(root).image("trainer"))
    assert isinstance(details, PlainImageDetails)
    assert (details.kind, details.parents) == ("trainer", (NAME,))
    assert details.files == ("Dockerfile", "src/train.py")
    assert next(iter(details.describe())) == "trainer: a trainer that adds no packages to its parent\n"
