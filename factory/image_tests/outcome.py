"""What came of the tests of an image, as data: the one source of every report."""

import re
from dataclasses import dataclass
from typing import Literal

Level = Literal["quick", "standard", "full"]
Status = Literal["passed", "failed", "skipped", "error"]
LEVELS: tuple[Level, ...] = ("quick", "standard", "full")
# How a flavor's Dockerfile installs a layer of packages; -r is how it did before package-layers.sh.
_PACKAGE_LAYER = re.compile(r"(?:package-layers\.sh install|-r) /usr/share/factory/layers/([a-z0-9-]+)/")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a test found: what, why where that is known, and what would mend it."""

    subject: str
    problem: str
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """One test that was run, or why it was not.

    ``reason`` says why it failed or was skipped; ``output`` is what it printed, cut in the middle where it is
    long; ``advice`` are findings that do not fail it, such as what a FIPS host would object to.
    """

    __test__ = False  # not a test of ours, whatever pytest makes of its name

    name: str
    title: str
    level: Level
    tags: tuple[str, ...]
    status: Status
    seconds: float
    reason: str = ""
    output: str = ""
    findings: tuple[Finding, ...] = ()
    advice: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Python package of the image; ``size`` is that of its files in bytes; ``locked``: the lock has it."""

    name: str
    version: str
    size: int
    locked: bool


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the image, from the bottom up; ``size`` is uncompressed, in bytes."""

    digest: str
    size: int
    created_by: str

    @property
    def packages(self) -> str:
        """The name of the flavor's layer of packages that this is; empty where it is none."""
        found = _PACKAGE_LAYER.search(self.created_by)
        return found[1] if found else ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that is known of one run of the tests of one image. ``started`` is ISO 8601 in UTC.

    ``selected``: tests were chosen by name (``--only``, ``--skip``), and so it does not speak for the level.
    """

    image: str
    image_id: str
    identity: str | None
    flavor: str | None
    level: Level
    engine: str
    started: str
    seconds: float
    outcomes: tuple[TestOutcome, ...]
    packages: tuple[Package, ...]
    layers: tuple[Layer, ...]
    selected: bool = False

    def count(self, status: Status) -> int:
        """How many tests ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        """Whether no test failed or broke; a skipped one does neither."""
        return not self.count("failed") and not self.count("error")
