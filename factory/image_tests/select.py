"""Which tests an image has, and which of them are to be run."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from factory.errors import ImageTestError
from factory.image_tests.definition import ACCELERATOR_TAGS, ImageTest, Selection
from factory.image_tests.outcome import LEVELS, Level


def levels_up_to(level: Level) -> tuple[Level, ...]:
    """The level and those below it."""
    return LEVELS[: LEVELS.index(level) + 1]


def inherited(catalogue: Mapping[str, tuple[ImageTest, ...]], kinds: Iterable[str]) -> tuple[ImageTest, ...]:
    """The tests of an image by its kind and those of its parents; those of every image ("any") first.

    A test of one kind takes the place of one of the same name that a parent's kind has.
    """
    found: dict[str, ImageTest] = {}
    for kind in reversed((*kinds, "any")):
        found |= {test.name: test for test in catalogue.get(kind, ())}
    return tuple(sorted(found.values(), key=lambda test: LEVELS.index(test.level)))


def select(tests: Iterable[ImageTest], selection: Selection) -> tuple[ImageTest, ...]:
    """The tests that are to be run, in their order; a name that is asked for, whatever its level.

    Raises:
        ImageTestError: there is no test of a name that was given, or none is left.
    """
    there = tuple(tests)
    names = [test.name for test in there]
    for name in (*selection.only, *selection.skip):
        if name not in names:
            near = ", ".join(get_close_matches(name, names, n=3)) or ", ".join(names)
            raise ImageTestError(
                f"the image has no test {name!r}",
                solution=f"Name one that `factory test --list` shows, such as {near}.",
            )
    wanted = (
        [test for test in there if test.name in selection.only]
        if selection.only
        else [test for test in there if test.level in levels_up_to(selection.level)]
    )
    left = tuple(test for test in wanted if test.name not in selection.skip)
    if not left:
        raise ImageTestError(
            "no test is left to be run", solution="Leave out fewer with --skip, or choose a higher --level."
        )
    return left


def applies(test: ImageTest, accelerator: str | None) -> bool:
    """Whether it is for images of this accelerator."""
    meant = ACCELERATOR_TAGS.intersection(test.tags)
    return not meant or accelerator is None or accelerator in meant
