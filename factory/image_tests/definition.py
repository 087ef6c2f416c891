"""What a test of an image is: a value with a name, a level, tags, and the function that tries it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from factory.image_tests.outcome import Finding, Level, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from factory.image_tests.context import Context

ACCELERATOR_TAGS = frozenset({"cpu", "cuda", "rocm"})
GPU_TAG = "gpu"
TAGS = (*sorted(ACCELERATOR_TAGS), GPU_TAG)
DEFAULT_SECONDS = 120.0
_OUTPUT_CHARACTERS = 12_000
# But for tabs and ends of lines: what an image prints is not to write over what a terminal shows.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a test gives back. `judged`, `failed`, `skipped` and `passed` make one."""

    status: Status
    reason: str = ""
    output: str = ""
    findings: tuple[Finding, ...] = ()
    advice: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageTest:
    """One test of an image.

    ``name`` is in lower case with dashes; ``title`` says what holds where it passes. With an accelerator
    among the ``tags`` (cpu, cuda, rocm) it is for images of that one alone, with none for all; ``gpu``: it
    needs such a device. ``needs_flavor``: it compares with a spec, and is skipped where it is not known
    which flavor the image is. ``seconds`` is how long it may take: what still runs in a container then
    is removed, and the test has failed.
    """

    name: str
    title: str
    level: Level
    function: "Callable[[Context], Result]"
    tags: tuple[str, ...] = ()
    needs_flavor: bool = False
    seconds: float = DEFAULT_SECONDS
    # Where a drop-in test comes from, as people name it; empty for the factory's own.
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is to be run: the level with those below it, and names to keep or to leave out."""

    level: Level = "quick"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def passed(output: str = "", *, advice: tuple[Finding, ...] = ()) -> Result:
    """It holds."""
    return Result(status="passed", output=output, advice=advice)


def failed(
    reason: str,
    *findings: Finding,
    output: str = "",
    advice: tuple[Finding, ...] = (),
) -> Result:
    """It does not hold; each finding says what to mend."""
    return Result(status="failed", reason=reason, output=output, findings=findings, advice=advice)


def skipped(reason: str) -> Result:
    """It could not be tried here, for this reason."""
    return Result(status="skipped", reason=reason)


def judged(
    findings: tuple[Finding, ...], reason: str, *, output: str = "", advice: tuple[Finding, ...] = ()
) -> Result:
    """Failed for ``reason`` where there are findings, else passed."""
    if findings:
        return failed(reason, *findings, output=output, advice=advice)
    return passed(output, advice=advice)


def shortened(text: str, limit: int = _OUTPUT_CHARACTERS) -> str:
    """A text, cut in the middle where it is longer than ``limit``, without what controls a terminal."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters are left out ...\n{text[-half:]}"
