"""Define a test of an image and its findings, and select the tests to run."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from factory.console import did_you_mean
from factory.errors import ImageTestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from factory.image_tests.context import Context

Level = Literal["quick", "standard", "full"]
Status = Literal["passed", "failed", "skipped", "error"]
LEVELS: tuple[Level, ...] = ("quick", "standard", "full")
ACCELERATOR_TAGS = frozenset({"cpu", "cuda", "rocm"})
GPU_TAG = "gpu"
TAGS = (*sorted(ACCELERATOR_TAGS), GPU_TAG)
DEFAULT_SECONDS = 120.0
_OUTPUT_CHARACTERS = 12_000
# Tabs and line ends stay: an image's output must not overwrite a terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class ImageFinding:
    """One finding of a test: what, its cause if known, and the fix."""

    subject: str
    problem: str
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a test returns, from `judged`, `failed`, `skipped` or `passed`."""

    status: Status
    reason: str = ""
    output: str = ""
    findings: tuple[ImageFinding, ...] = ()
    advice: tuple[ImageFinding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageTest:
    """One test of an image.

    ``name`` is in lower case with dashes; ``title`` says what is true if it passes. With an accelerator
    among the ``tags`` (cpu, cuda, rocm) it is for images of that one, without one for all; ``gpu``: it needs
    such a device. A test that ``needs_flavor`` compares with a spec, and is skipped if the flavor is not
    known. A test ``of_entrypoint`` is about a workbench's, and not for a trainer or launcher with one of its
    own. ``seconds`` is how long it may take: what still runs in a container then is removed, and the test
    has failed. ``origin`` is the file of a drop-in test, and empty for the factory's own.
    """

    name: str
    title: str
    level: Level
    function: "Callable[[Context], Result]"
    tags: tuple[str, ...] = ()
    needs_flavor: bool = False
    of_entrypoint: bool = False
    seconds: float = DEFAULT_SECONDS
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to run: a level with those below it, and names to run alone or to leave out."""

    level: Level = "quick"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def passed(output: str = "", *, advice: tuple[ImageFinding, ...] = ()) -> Result:
    return Result(status="passed", output=output, advice=advice)


def failed(
    reason: str,
    *findings: ImageFinding,
    output: str = "",
    advice: tuple[ImageFinding, ...] = (),
) -> Result:
    return Result(status="failed", reason=reason, output=output, findings=findings, advice=advice)


def skipped(reason: str) -> Result:
    return Result(status="skipped", reason=reason)


def judged(
    findings: tuple[ImageFinding, ...],
    reason: str,
    *,
    output: str = "",
    advice: tuple[ImageFinding, ...] = (),
) -> Result:
    """Return `failed` for ``reason`` if there are findings, else `passed`."""
    if findings:
        return failed(reason, *findings, output=output, advice=advice)
    return passed(output, advice=advice)


def shortened(text: str, limit: int = _OUTPUT_CHARACTERS) -> str:
    """Return a text without terminal controls, cut in the middle if it is longer than ``limit``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters are left out ...\n{text[-half:]}"


def inherited(catalogue: Mapping[str, tuple[ImageTest, ...]], kinds: Iterable[str]) -> tuple[ImageTest, ...]:
    """Return the tests of an image by level: of "any", its kind, and its parents' kinds.

    A test of one kind replaces one of the same name of a parent's kind.
    """
    found: dict[str, ImageTest] = {}
    for kind in reversed((*kinds, "any")):
        found |= {test.name: test for test in catalogue.get(kind, ())}
    return tuple(sorted(found.values(), key=lambda test: LEVELS.index(test.level)))


def is_for(test: ImageTest, accelerator: str | None) -> bool:
    """Return whether a test is for images of this accelerator; if that is None, every test is."""
    meant = ACCELERATOR_TAGS.intersection(test.tags)
    return not meant or accelerator is None or accelerator in meant


def select(tests: Iterable[ImageTest], selection: Selection) -> tuple[ImageTest, ...]:
    """Return the selected tests in their order; one that is named in ``only``, whatever its level.

    Raises:
        ImageTestError: there is no test of a given name, or none is left.
    """
    there = tuple(tests)
    names = [test.name for test in there]
    for name in (*selection.only, *selection.skip):
        if name not in names:
            raise ImageTestError(
                f"the image has no test {name!r}",
                solution=did_you_mean(name, names, listing="factory test --list"),
            )
    levels = LEVELS[: LEVELS.index(selection.level) + 1]
    left = tuple(
        test
        for test in there
        if (test.name in selection.only if selection.only else test.level in levels)
        and test.name not in selection.skip
    )
    if not left:
        raise ImageTestError(
            "no test is left to be run", solution="Leave out fewer with --skip, or choose a higher --level."
        )
    return left
