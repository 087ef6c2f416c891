"""The tour of the README: from an empty folder to a chain in a registry, without an edit."""

import re
import urllib.error
import urllib.request

import pytest
from support.tour import FLAVOR, Tour, alike

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

CHAIN = (
    "factory init --example",
    "factory lock --all",
    "factory build --all --hermetic",
    "factory test --all",
    "factory push --all --to localhost:5000",
)
COUNTS = re.compile(r"^4 images: (\d) built, (\d) tested, (\d) pushed", re.MULTILINE)


def test_every_command_of_the_tour_ends_well_and_prints_what_the_readme_shows(tour: Tour) -> None:
    failed = [word for word, status in zip(tour.shell.ran, tour.shell.statuses, strict=True) if status]
    assert failed == [], tour.now
    assert alike(tour.now) == alike(tour.written)


def test_the_tour_is_the_whole_chain(tour: Tour) -> None:
    ran = [command.strip() for command in tour.shell.ran]
    assert [command for command in ran if command in CHAIN][: len(CHAIN)] == list(CHAIN)


def test_status_agrees_after_every_step(tour: Tour) -> None:
    """After the lock, the build, the tests, the push, and after a fix of the stack was built."""
    assert COUNTS.findall(tour.now) == [tuple(counts) for counts in ("000", "400", "440", "444", "422")]


def test_a_fix_in_the_stack_rebuilds_the_stack_and_the_trainer_and_nothing_else(tour: Tour) -> None:
    after = tour.now.partition("**A fix of one package**")[2].partition("$ factory plan\n")[2]
    built = re.findall(r"^(\S+) +built ", after, re.MULTILINE)
    assert built == ["ml-stack", "trainer"]
    untouched = re.findall(r"^(\S+) +nothing ", after, re.MULTILINE)
    assert sorted(set(untouched)) == ["launcher", "th011-cpu-torch2130-py311"]


def test_every_image_of_the_chain_was_tested_and_passed(tour: Tour) -> None:
    for image in (FLAVOR, "ml-stack", "trainer", "launcher"):
        assert {outcome["status"] for outcome in tour.outcomes(image)} <= {"passed", "skipped"}


def test_nothing_that_the_tour_started_is_left(tour: Tour) -> None:
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{tour.registry}/v2/", timeout=5)
