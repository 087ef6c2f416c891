"""The pages: self-contained, nothing of an image's output gets out of its place, the chart adds up."""

import datetime as dt
import re
from html.parser import HTMLParser

import pytest

from factory.clock import age, duration
from factory.html import breakable, short_digests
from factory.image_tests.definition import ImageFinding
from factory.image_tests.report import (
    ImageLayer,
    ImagePackage,
    ImageTestReport,
    TestOutcome,
    layer_slices,
    report_page,
)

HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\"'&"
NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


class _Reader(HTMLParser):
    """The tags of a page, what they refer to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.open_tests: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.references += [given[key] or "" for key in ("src", "href", "action", "data") if key in given]
        if tag == "details" and "open" in given:
            self.open_tests.append(given["id"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def _layer(size: int, created_by: str = "RUN x") -> ImageLayer:
    return ImageLayer(digest=f"sha256:{size:064x}", size=size, created_by=created_by)


def _report(
    *outcomes: TestOutcome, layers: tuple[ImageLayer, ...] = (_layer(10), _layer(30))
) -> ImageTestReport:
    return ImageTestReport(
        image="localhost/image:latest",
        image_id="a" * 64,
        identity=None,
        flavor=None,
        level="full",
        engine="podman 4.3.1",
        started="2026-11-22T12:00:00Z",
        seconds=3.0,
        outcomes=outcomes,
        packages=(ImagePackage(name="torch", version="2.13.0", size=10, locked=True),),
        layers=layers,
    )


def _hostile_outcome() -> TestOutcome:
    return TestOutcome(
        name="broken",
        title=HOSTILE,
        level="quick",
        tags=("any",),
        status="failed",
        seconds=1.0,
        reason=HOSTILE,
        output=HOSTILE,
        findings=(ImageFinding(subject=HOSTILE, problem=HOSTILE, cause=HOSTILE, fix=HOSTILE),),
        advice=(ImageFinding(subject=HOSTILE, problem=HOSTILE),),
    )


def test_what_an_image_prints_stays_text() -> None:
    page = _read(report_page(_report(_hostile_outcome(), layers=(_layer(5, HOSTILE),))))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert HOSTILE in page.text


def test_page_needs_no_file_and_no_network() -> None:
    text = report_page(_report(_hostile_outcome()))
    assert [reference for reference in _read(text).references if not reference.startswith("#")] == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_failed_and_broken_tests_are_open_and_others_are_not() -> None:
    outcomes = [
        TestOutcome(name=status, title="t", level="quick", tags=(), status=status, seconds=0.0)
        for status in ("passed", "failed", "skipped", "error")
    ]
    assert _read(report_page(_report(*outcomes))).open_tests == ["failed", "error"]


def test_every_reference_on_the_page_leads_somewhere() -> None:
    text = report_page(_report(_hostile_outcome()))
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {reference.removeprefix("#") for reference in _read(text).references} <= targets


def test_report_of_nothing_is_a_page() -> None:
    assert "localhost/image:latest" in _read(report_page(_report(layers=()))).text


def test_slices_lie_side_by_side_and_fill_the_chart() -> None:
    slices = layer_slices([_layer(100), _layer(300), _layer(600)])
    assert [(one.number, one.start, one.width) for one in slices] == [
        (1, 0.0, 10.0),
        (2, 10.0, 30.0),
        (3, 40.0, 60.0),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/bin/sh -c /bin/sh /usr/share/factory/package-layers.sh install {}", True),
        # As images were built before there was the script.
        ("/bin/sh -c umask 002 && uv pip install -r {}requirements.txt", True),
        ("COPY dir:0123 in {}", False),
    ],
)
def test_only_the_layer_that_installs_packages_has_their_name(text: str, named: bool) -> None:  # noqa: FBT001
    text = text.format("/usr/share/factory/layers/large-1/")
    found = _read(report_page(_report(layers=(_layer(10), _layer(30, text)))))
    assert ("Packages: large-1" in found.text) == named


def test_layer_too_thin_to_be_seen_still_takes_its_place() -> None:
    slices = layer_slices([_layer(500), _layer(1), _layer(499)])
    assert [one.number for one in slices] == [1, 3]
    assert slices[1].start == pytest.approx(50.1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (dt.timedelta(seconds=61), "1 minute"),
        (dt.timedelta(minutes=59), "59 minutes"),
        (dt.timedelta(hours=1), "1 hour"),
        (dt.timedelta(hours=30), "30 hours"),
        (dt.timedelta(days=12, hours=3), "12 days"),
        (dt.timedelta(seconds=20), "1 minute"),
        (dt.timedelta(seconds=-5), "1 minute"),
    ],
)
def test_age_in_one_unit(before: dt.timedelta, said: str) -> None:
    assert age(NOW - before, now=NOW) == said


def test_an_address_breaks_behind_its_separators_and_a_name_nowhere() -> None:
    shown = str(breakable("see https://example.com/a-b/c and run `factory lock my-stack`"))
    assert shown == (
        'see https://<wbr>example.com/<wbr><span class="whole">a-b</span>/<wbr>c and run '
        "<code>factory lock my-stack</code>"
    )


def test_what_may_break_is_escaped() -> None:
    shown = str(breakable(f"{HOSTILE}/x-y\u202e"))
    assert "<script" not in shown
    assert "<img" not in shown
    assert "\u202e" not in shown


def test_a_digest_is_shown_as_an_engine_shows_it() -> None:
    digest = "sha256:" + "ab" * 32
    assert short_digests(f"quay.io/x@{digest}") == "quay.io/x@sha256:abababababab…"
    assert short_digests("sha256:abc") == "sha256:abc"


def test_each_layer_of_a_cycle_has_its_own_colour_and_the_next_cycle_a_pattern() -> None:
    """Okabe and Ito's palette without black and vermillion: seven colours, then the same with stripes."""
    page = report_page(_report(layers=tuple(_layer(100) for _ in range(15))))
    chart = page.partition('<svg class="chart"')[2].partition('<div class="box')[0]
    fills = re.findall(r'fill="(#[0-9A-F]{6})" stroke="var', chart)
    assert len(fills) == 15
    assert len(set(fills[:7])) == 7
    assert fills[7:14] == fills[:7]
    assert chart.count("url(#stripes)") == 7
    assert chart.count("url(#dots)") == 1


def test_nothing_of_a_page_breaks_within_words() -> None:
    assert "anywhere" not in report_page(_report())
    assert "break-all" not in report_page(_report())


def test_the_bar_of_a_time_has_a_place_of_its_own() -> None:
    """Whatever the label says, the bars of all tests stand below one another."""
    outcomes = [
        TestOutcome(name="a", title="t", level="quick", tags=(), status="passed", seconds=seconds)
        for seconds in (0.1, 7260.0)
    ]
    page = report_page(_report(*outcomes))
    assert "grid-template-columns: 90px 84px" in page
    assert "<span>2 h 1 min</span>" in page
