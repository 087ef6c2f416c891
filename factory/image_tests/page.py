"""The page that shows one run of the tests of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.html import render_page
from factory.image_tests.outcome import LEVELS, Finding, Layer, Report, TestOutcome

_TEMPLATE = "report.html.j2"
# A layer narrower than this is no more than a line in the chart; the table below has it.
_NARROWEST_PERCENT = 0.4
_LABELLED_PERCENT = 9.0


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A layer in the chart: where it begins and how wide it is, in percent of the image."""

    layer: Layer
    number: int
    start: float
    width: float
    labelled: bool


def report_page(report: Report) -> str:
    """The report as one self-contained HTML page.

    It has a summary, what to do about each failure, every test with its time and output, the packages, and a
    chart of the sizes of the layers.
    """
    tested = [
        (level, tuple(outcome for outcome in report.outcomes if outcome.level == level)) for level in LEVELS
    ]
    return render_page(
        Path(__file__).parent,
        _TEMPLATE,
        {
            "report": report,
            "levels": [(level, outcomes) for level, outcomes in tested if outcomes],
            "to_mend": _findings(report.outcomes, failed=True),
            "advice": _findings(report.outcomes, failed=False),
            "slowest": max((outcome.seconds for outcome in report.outcomes), default=0) or 1,
            "slices": layer_slices(report.layers),
            "packages": sorted(report.packages, key=lambda package: (-package.size, package.name)),
            "largest": max((package.size for package in report.packages), default=0) or 1,
            "size": sum(layer.size for layer in report.layers),
        },
    )


def layer_slices(layers: Sequence[Layer]) -> tuple[Slice, ...]:
    """Where each layer stands in a bar that is the whole image, from the bottom layer on."""
    whole = sum(layer.size for layer in layers)
    slices: list[Slice] = []
    start = 0.0
    for number, layer in enumerate(layers, start=1):
        width = 100 * layer.size / whole if whole else 0.0
        if width >= _NARROWEST_PERCENT:
            labelled = width >= _LABELLED_PERCENT
            slices.append(Slice(layer=layer, number=number, start=start, width=width, labelled=labelled))
        start += width
    return tuple(slices)


def _findings(outcomes: Sequence[TestOutcome], *, failed: bool) -> list[tuple[TestOutcome, Finding]]:
    """What failed tests found, or what the others advise, each with the test that says so."""
    return [
        (outcome, finding)
        for outcome in outcomes
        for finding in (outcome.findings if failed else outcome.advice)
    ]
