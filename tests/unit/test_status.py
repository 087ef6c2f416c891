"""The status: what each cell says, the tree of images, and the page."""

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.clock import now
from factory.console import Table
from factory.image_tests.definition import Level, Status
from factory.image_tests.report import (
    PAGE_FILE,
    TESTED_FILE,
    ImageTestReport,
    TestOutcome,
    record_outcomes,
)
from factory.images.builds import ExistingBuild
from factory.images.definitions import Variant
from factory.status import status as words  # pytest would collect `tested_word` by its name
from factory.status.page import status_page
from factory.status.places import AskedRegistry, BuildStatus, PushStatus, TestStatus, last_test
from factory.status.status import (
    ImageStatus,
    RepositoryStatus,
    _as_tree,
    age_text,
    built_word,
    pushed_words,
)

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
BARE = ImageStatus(
    name="base",
    kind="stack",
    depth=0,
    parents=("quay.io/somebody/image:1",),
    lock="",
    rendering="",
    identity=None,
    tag=None,
    built=None,
    tested=None,
    pushed=(),
    problem="",
)


def _built(*, current: bool, created: str = "2026-11-20T12:00:00Z") -> BuildStatus:
    return BuildStatus(reference="localhost/base:x", current=current, size=1_500_000_000, created=created)


def _pushed(*, current: bool, registry: str = "release") -> PushStatus:
    return PushStatus(registry=registry, reference="r/base:x", current=current, size=500, created="")


def _tested(*, passed: bool = True, current: bool = True) -> TestStatus:
    return TestStatus(level="standard", passed=passed, started="2026-11-21T00:00:00Z", current=current)


@pytest.mark.parametrize(
    ("image", "said", "tone"),
    [
        (BARE, "no", "calm"),
        (replace(BARE, built=_built(current=True)), "current", "good"),
        (replace(BARE, built=_built(current=False)), "older", "warn"),
    ],
)
def test_built_says_whether_it_is_the_image_as_it_is_now(image: ImageStatus, said: str, tone: str) -> None:
    assert (built_word(image).text, built_word(image).tone) == (said, tone)


@pytest.mark.parametrize(
    ("tested", "said", "tone"),
    [
        (None, "no", "calm"),
        (_tested(), "standard passed", "good"),
        (_tested(passed=False), "standard failed", "bad"),
        (_tested(current=False), "standard passed, older", "warn"),
        (_tested(passed=False, current=False), "standard failed, older", "warn"),
    ],
)
def test_tests_of_an_older_image_never_count_as_passed(
    tested: TestStatus | None, said: str, tone: str
) -> None:
    word = words.tested_word(replace(BARE, tested=tested))
    assert (word.text, word.tone) == (said, tone)


def test_every_registry_that_has_it_is_named() -> None:
    image = replace(BARE, pushed=(_pushed(current=True), _pushed(current=False, registry="scratch")))
    assert [(word.text, word.tone) for word in pushed_words(image)] == [
        ("release", "good"),
        ("scratch, older", "warn"),
    ]
    assert [word.text for word in pushed_words(BARE)] == ["no"]


@pytest.mark.parametrize(
    ("created", "said"),
    [
        ("2026-11-20T12:00:00.123456789Z", "content 2 days old"),
        ("2026-11-22T11:30:00Z", "content 30 minutes old"),
        ("2026-11-22T12:00:00.5+01:00", "content 1 hour old"),
        ("1970-01-01T00:00:00Z", "—"),
        ("1980-01-01T00:00:00Z", "—"),
        ("nonsense", "—"),
        ("", "—"),
    ],
)
def test_age_reads_the_times_that_engines_write(created: str, said: str) -> None:
    image = replace(BARE, built=_built(current=True, created=created))
    # An hour before noon UTC is noon one zone further east; half a second takes nothing away.
    assert age_text(image, NOW + dt.timedelta(seconds=1)) == said


def test_age_is_that_of_the_build_where_it_is_recorded() -> None:
    built = replace(_built(current=True), built="2026-11-22T09:00:00+00:00")
    assert age_text(replace(BARE, built=built), NOW) == "built 3 hours ago"


def test_engine_size_counts_before_that_of_a_registry() -> None:
    assert replace(BARE, built=_built(current=True), pushed=(_pushed(current=True),)).size == 1_500_000_000
    assert replace(BARE, pushed=(_pushed(current=True),)).size == 500
    assert BARE.size is None


def _tree() -> list[ImageStatus]:
    return [
        replace(BARE, name="trainer", depth=2, parents=("stack",)),
        replace(BARE, name="launcher"),
        replace(BARE, name="stack", depth=1, parents=("base",)),
        BARE,
        replace(BARE, name="another", depth=1, parents=("base",)),
    ]


def test_each_image_stands_below_its_parent_and_none_is_lost() -> None:
    names = [image.name for image in _as_tree(_tree())]
    assert names == ["base", "another", "stack", "trainer", "launcher"]


def test_image_whose_parent_was_not_asked_for_is_still_there() -> None:
    assert [image.name for image in _as_tree(_tree()[:1])] == ["trainer"]


def _overview(*images: ImageStatus) -> RepositoryStatus:
    asked = AskedRegistry(name="scratch", url="127.0.0.1:1/x", kind="disposable", problem="nobody answers")
    return RepositoryStatus(repository="repo", images=images, registries=(asked,))


def test_table_counts_what_is_current_and_names_every_problem() -> None:
    done = replace(
        BARE, name="done", built=_built(current=True), tested=_tested(), pushed=(_pushed(current=True),)
    )
    old = replace(BARE, name="old", built=_built(current=False), pushed=(_pushed(current=False),))
    broken = replace(BARE, name="flavor", lock="stale", rendering="drifted", problem="it is not locked")
    status = _overview(done, old, broken)
    assert status.summary == {"images": 3, "built": 1, "tested": 1, "pushed": 1, "to fix": 1}
    table, *rest = status.describe()
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["done", "old", "flavor"]
    assert "flavor: it is not locked" in rest
    assert "scratch (127.0.0.1:1/x): nobody answers" in rest


@pytest.mark.parametrize(("number", "said"), [(1, "1 image: "), (2, "2 images: ")])
def test_the_count_of_images_is_in_plain_english(number: int, said: str) -> None:
    images = [replace(BARE, name=f"image-{index}") for index in range(number)]
    *_, last = _overview(*images).describe()
    assert isinstance(last, str)
    assert last.startswith(said)


def test_repository_without_images_says_how_to_begin() -> None:
    parts = [*RepositoryStatus(repository="repo", images=(), registries=()).describe()]
    assert parts == ["no images yet: make one with `factory new-flavor`"]


def test_page_shows_every_image_escapes_and_refers_to_nothing_outside() -> None:
    images = [replace(image, problem="<script>alert(1)</script>") for image in _tree()]
    page = status_page(_overview(*images), now=NOW)
    for image in images:
        assert image.name in page
    assert "<script" not in page
    assert "nobody answers" in page
    assert not re.search(r"(?:src|href)=|@import|url\(", page)


def test_page_links_a_test_to_its_report_from_wherever_the_page_is() -> None:
    tested = replace(_tested(passed=False), report=Path(".work/reports/a b/x/report.html"))
    image = replace(BARE, built=_built(current=True), tested=tested)
    page = status_page(_overview(image), now=NOW, root=Path("/repo"), place=Path("/repo/public"))
    links = re.findall(r'href="([^"]+)"', page)
    assert links == ["../.work/reports/a%20b/x/report.html"] * 2  # in the table, and in what needs attention
    assert "its standard tests failed" in page


def test_page_says_of_what_an_age_is() -> None:
    image = replace(BARE, built=_built(current=True), tested=_tested())
    page = status_page(_overview(image), now=NOW)
    assert "content 2 days old" in page
    assert "tested 36 hours ago" in page


def _run(
    *outcomes: tuple[str, Status], level: Level, started: str, selected: bool = False
) -> ImageTestReport:
    return ImageTestReport(
        image="localhost/image:1", image_id="b" * 64, identity="c" * 64, flavor=None, level=level,
        engine="podman 4", started=started, seconds=2.0, packages=(), layers=(), selected=selected,
        outcomes=tuple(
            TestOutcome(name=name, title=name, level=level, tags=(), status=status, seconds=1.0)
            for name, status in outcomes
        ),
    )  # fmt: skip


def test_last_test_is_that_of_the_identity_and_else_the_newest(tmp_path: Path) -> None:
    reports = tmp_path / ".work" / "reports" / "image"
    assert last_test(tmp_path, "image", "aaaa") is None
    first, second, third = (f"2026-11-2{day}T00:00:00Z" for day in (0, 1, 2))
    passed = _run(("a", "passed"), ("b", "skipped"), level="full", started=second)
    record_outcomes(passed, reports / "bbbb", written=reports / "bbbb")
    elsewhere = tmp_path / "elsewhere"
    record_outcomes(_run(("a", "error"), level="quick", started=first), reports / "cccc", written=elsewhere)
    chosen = _run(("a", "passed"), level="full", started=third, selected=True)
    record_outcomes(chosen, reports / "eeee", written=reports / "eeee" / "selected")
    for name, text in (("dddd", "cut sh"), ("ffff", "[]")):
        (reports / name).mkdir()
        (reports / name / TESTED_FILE).write_text(text)
    newest = last_test(tmp_path, "image", "aaaa")
    assert newest == TestStatus(level="full", passed=True, started=second, current=False)
    own = last_test(tmp_path, "image", "cccc")
    assert own == TestStatus(level="quick", passed=False, started=first, current=True, failed=("a",))
    (reports / "cccc" / PAGE_FILE).touch()
    own = last_test(tmp_path, "image", "cccc")
    assert own is not None
    assert own.report == Path(".work/reports/image/cccc", PAGE_FILE)
    elsewhere.mkdir()
    (elsewhere / PAGE_FILE).touch()
    own = last_test(tmp_path, "image", "cccc")
    assert own is not None
    assert own.report == Path("elsewhere", PAGE_FILE)


RUNS = ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z")


@pytest.mark.parametrize(
    ("runs", "level", "passed"),
    [
        # A lower level that passes later hides no failure of a higher one.
        (
            [(("a", "passed"), ("b", "failed"), "full", False), (("a", "passed"), "quick", False)],
            "full",
            False,
        ),
        # Nor does a run of other tests.
        ([(("a", "failed"), "quick", False), (("b", "passed"), "quick", True)], "quick", False),
        # A test that failed alone counts against the level that passed before.
        ([(("a", "passed"), "quick", False), (("a", "failed"), "quick", True)], "quick", False),
        # The same test, run again, makes up for it.
        ([(("a", "failed"), "quick", False), (("a", "passed"), "quick", True)], "quick", True),
        ([(("a", "failed"), "quick", True)], "selected", False),
        # Nothing was tried.
        ([(("a", "skipped"), "quick", False)], "quick", False),
    ],
)
def test_a_failed_test_stays_failed_until_it_is_run_again(
    tmp_path: Path, runs: list[tuple[Any, ...]], level: str, *, passed: bool
) -> None:
    folder = tmp_path / ".work" / "reports" / "image" / "aaaa"
    for started, (*outcomes, at, selected) in zip(RUNS, runs, strict=False):
        record_outcomes(_run(*outcomes, level=at, started=started, selected=selected), folder, written=folder)
    found = last_test(tmp_path, "image", "aaaa")
    assert found is not None
    assert (found.level, found.passed) == (level, passed)


def test_an_image_whose_tests_failed_is_not_counted_as_tested() -> None:
    failed = replace(BARE, tested=_tested(passed=False))
    assert _overview(failed).summary["tested"] == 0
    assert _overview(failed).summary["to fix"] == 1


def test_failed_tests_are_named_with_their_report_for_people_and_on_the_page() -> None:
    tested = replace(_tested(passed=False), failed=("torchrun",), report=Path(".work/reports/x/report.html"))
    failed = replace(BARE, name="stack", tested=tested)
    overview = _overview(failed)
    assert overview.summary["to fix"] == 1
    said = "its standard tests failed: torchrun"
    assert f"stack: {said}; see .work/reports/x/report.html" in overview.describe()
    assert said in status_page(overview, now=now(), root=Path("/x"), place=Path("/x"))


def test_other_builds_are_named_and_a_variant_that_nobody_declared_is_told() -> None:
    other = ExistingBuild(
        image="stack",
        reference="localhost/stack:downstream",
        identity="a" * 64,
        variant=Variant(downstream=True, base_image="localhost/x:1"),
        built=(now() - dt.timedelta(minutes=5)).isoformat(),
    )
    overview = _overview(replace(BARE, name="stack", variant="midstream", also_built=(other,)))
    said = "stack is also built: downstream on localhost/x:1, identity aaaaaaaaaaaa, 5 minutes ago"
    assert f"{said} (localhost/stack:downstream)" in overview.describe()
    page = status_page(overview, now=now(), root=Path("/x"), place=Path("/x"))
    assert "also downstream on localhost" in page
    alone = _overview(replace(BARE, name="stack", variant="downstream", only_one=True))
    assert "stack is shown as it was built: downstream" in alone.describe()
