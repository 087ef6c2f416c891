"""Tests of images, the frame: which are selected, what is inherited, drop-in files, outcomes, reports."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.subjects import made_context

from factory.clock import now
from factory.errors import ImageTestError, ProgramError
from factory.flavor.repository import Repository
from factory.image_tests import catalogue
from factory.image_tests.container import Ran
from factory.image_tests.context import Context, document, documents
from factory.image_tests.definition import (
    ImageFinding,
    ImageTest,
    Level,
    Result,
    Selection,
    Status,
    failed,
    inherited,
    is_for,
    passed,
    select,
    shortened,
    skipped,
)
from factory.image_tests.dropin import drop_in_tests, read_header, read_test, verdict
from factory.image_tests.report import ImageTestReport, TestOutcome, junit, outcome_line, write_reports
from factory.image_tests.running import run_test
from factory.image_tests.subject import foreign_lineage, lineage_of


def _test(
    name: str,
    level: Level = "quick",
    tags: tuple[str, ...] = (),
    function: Callable[[Context], Result] = lambda context: passed(),
    *,
    needs_flavor: bool = False,
) -> ImageTest:
    return ImageTest(
        name=name, title=name, level=level, tags=tags, function=function, needs_flavor=needs_flavor
    )


ALL = (
    _test("one"),
    _test("two", "standard", ("cuda",)),
    _test("three", "full"),
    _test("four", "full", ("rocm", "gpu")),
)


@pytest.mark.parametrize(
    ("selection", "accelerator", "names"),
    [
        (Selection(), "cpu", ["one"]),
        (Selection(level="standard"), "cuda", ["one", "two"]),
        (Selection(level="standard"), "rocm", ["one"]),
        (Selection(level="full"), None, ["one", "two", "three", "four"]),
        (Selection(level="full"), "cpu", ["one", "three"]),
        (Selection(only=("three",)), "cpu", ["three"]),
        (Selection(level="full", skip=("one",)), "cpu", ["three"]),
    ],
)
def test_what_is_selected(selection: Selection, accelerator: str | None, names: list[str]) -> None:
    there = [test for test in ALL if is_for(test, accelerator)]
    assert [test.name for test in select(there, selection)] == names


@pytest.mark.parametrize("selection", [Selection(only=("ones",)), Selection(skip=("ones",))])
def test_a_name_that_no_test_has_is_refused_and_the_likely_one_named(selection: Selection) -> None:
    with pytest.raises(ImageTestError, match="ones") as caught:
        select(ALL, selection)
    assert "one" in caught.value.solution


def test_tests_come_from_the_kinds_of_the_parents_and_the_nearest_wins() -> None:
    nearer, further = _test("same"), _test("same")
    kinds = {
        "any": (_test("always"),),
        "pytorch-base": (further, _test("base")),
        "trainer": (nearer,),
        "launcher": (_test("launch"),),
    }
    found = {test.name: test for test in inherited(kinds, ["trainer", "stack", "pytorch-base"])}
    assert set(found) == {"always", "base", "same"}
    assert found["same"] is nearer


def test_lower_levels_are_run_first() -> None:
    kinds = {"any": (_test("late", "full"), _test("soon")), "stack": (_test("between", "standard"),)}
    assert [test.name for test in inherited(kinds, ["stack"])] == ["soon", "between", "late"]


def test_names_of_the_factory_s_own_tests_are_unique_in_each_kind_s_line() -> None:
    for kind in catalogue.TESTS:
        names = [test.name for one in {"any", kind} for test in catalogue.TESTS[one]]
        assert len(set(names)) == len(names)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Base -> stack -> trainer, and a launcher beside them."""
    (tmp_path / "flavors").mkdir()
    for name in ("base", "stack", "trainer", "launcher"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    (tmp_path / "factory.toml").write_text(
        """
        [images.base]
        kind = "pytorch-base"
        parent = "quay.io/example/devel:1"
        [images.stack]
        kind = "stack"
        parent = "base"
        [images.trainer]
        kind = "trainer"
        parent = "stack"
        [images.launcher]
        kind = "launcher"
        parent = "quay.io/example/minimal:1"
        """
    )
    return Repository(tmp_path)


def test_an_image_s_line_goes_up_to_the_last_parent_of_the_repository(repository: Repository) -> None:
    line = lineage_of(repository, "trainer")
    assert line is not None
    assert [definition.name for definition in line.definitions] == ["trainer", "stack", "base"]
    assert line.kinds == ("trainer", "stack", "pytorch-base")
    assert line.folders == (
        *(repository.root / "images" / name / "tests" for name in ("trainer", "stack", "base")),
        repository.root / "tests" / "images",
    )


def test_a_lineage_of_its_own_inherits_nothing(repository: Repository) -> None:
    line = lineage_of(repository, "launcher")
    assert line is not None
    assert line.kinds == ("launcher",)
    assert lineage_of(repository, "elsewhere") is None


def test_an_image_of_somebody_else_is_tested_as_a_universal_one() -> None:
    assert foreign_lineage().kinds[0] == "flavor"
    assert "pytorch-base" in foreign_lineage().kinds


def test_what_a_repository_has_for_every_image_is_for_somebody_else_s_too(repository: Repository) -> None:
    assert foreign_lineage(repository).folders == (repository.root / "tests" / "images",)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("#!/bin/sh\n# level: standard\n# tags: cuda gpu\n\n# title: It runs\necho\n# seconds: 3\n",
         {"level": "standard", "tags": "cuda gpu", "title": "It runs"}),
        ("#Level:full\n#  TAGS:  cpu  \n", {"level": "full", "tags": "cpu"}),
        ("# level: quick\n# level: full\n", {"level": "quick"}),
        ('"""Docs."""\n# level: full\n', {}),
        ("", {}),
    ],
)  # fmt: skip
def test_the_headers_of_a_drop_in_test(text: str, header: dict[str, str]) -> None:
    assert read_header(text) == header


def _drop_in(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_drop_in_test_is_what_its_file_says(tmp_path: Path) -> None:
    headers = "# title: Data\n# level: full\n# tags: cuda, gpu\n# seconds: 7.5\n"
    path = _drop_in(tmp_path, "check-data.sh", headers)
    test = read_test(path)
    assert (test.name, test.title, test.level, test.tags) == ("check-data", "Data", "full", ("cuda", "gpu"))
    assert (test.seconds, test.origin) == (7.5, str(path))


def test_without_headers_a_drop_in_test_is_quick_and_for_every_accelerator(tmp_path: Path) -> None:
    test = read_test(_drop_in(tmp_path, "a.py", "# tags: any\nprint()\n"))
    assert (test.level, test.tags) == ("quick", ())


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.py", "# level: slow\n", "slow"),
        ("a.py", "# tags: tpu\n", "tpu"),
        ("a.py", "# seconds: soon\n", "soon"),
        ("a.py", "# seconds: 0\n", "above 0"),
        ("A b.sh", "", "file's name"),
    ],
)
def test_a_header_that_says_nothing_known_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(ImageTestError, match=says):
        read_test(_drop_in(tmp_path, name, text))


def test_the_nearest_drop_in_test_of_a_name_is_run(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    _drop_in(near, "one.sh")
    _drop_in(far, "one.py")
    _drop_in(far, "two.py")
    _drop_in(far, "_helper.py")
    _drop_in(far, "README.md")
    found = drop_in_tests([near, tmp_path / "nowhere", far], taken=["labels"])
    assert {test.name: Path(test.origin).parent.name for test in found} == {"one": "near", "two": "far"}


@pytest.mark.parametrize("names", [["labels.py"], ["one.py", "one.sh"]])
def test_two_tests_of_one_name_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        _drop_in(tmp_path, name)
    with pytest.raises(ImageTestError, match="another test"):
        drop_in_tests([tmp_path], taken=["labels"])


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "outcome", "reason"),
    [
        (0, "fine\n", "", "passed", ""),
        (77, "trying\nno data here\n", "", "skipped", "no data here"),
        (1, "trying\n", "it broke\n", "failed", "it ended with status 1: it broke"),
        (3, "", "", "failed", "it ended with status 3: it printed nothing"),
    ],
)
def test_the_exit_status_of_a_drop_in_test(
    status: int, stdout: str, stderr: str, outcome: Status, reason: str
) -> None:
    result = verdict(Ran(status=status, stdout=stdout, stderr=stderr, seconds=0.1), Path("a.sh"))
    assert (result.status, result.reason) == (outcome, reason)


def _raising(error: Exception) -> Callable[[Context], Result]:
    def function(context: Context) -> Result:
        raise error

    return function


@pytest.mark.parametrize(
    ("test", "status", "reason"),
    [
        (_test("a"), "passed", ""),
        (_test("a", needs_flavor=True), "skipped", "--flavor NAME"),
        (_test("a", function=lambda context: skipped("none here")), "skipped", "none here"),
        (_test("a", function=lambda context: failed("bad")), "failed", "bad"),
        (_test("a", function=_raising(ProgramError("no engine", solution="x"))), "error", "no engine"),
        (
            _test("a", function=_raising(ImageTestError("long", solution="x", out_of_time=True))),
            "failed",
            "more than 120 seconds",
        ),
        (_test("a", function=_raising(KeyError("python"))), "error", "KeyError: 'python'"),
        (_test("a", function=_raising(TypeError("None"))), "error", "TypeError: None"),
    ],
)
def test_what_comes_of_a_test(tmp_path: Path, test: ImageTest, status: Status, reason: str) -> None:
    outcome = run_test(test, made_context(tmp_path))
    assert outcome.status == status
    assert reason in outcome.reason


def test_a_test_whose_time_is_over_starts_nothing_more(tmp_path: Path) -> None:
    late = ImageTest(name="late", title="late", level="quick", seconds=-1, function=_ran)
    outcome = run_test(late, made_context(tmp_path))
    assert outcome.status == "failed"


def _ran(context: Context) -> Result:
    context.run("true")
    return passed()


@pytest.mark.parametrize("text", ["", "a" * 20, "b" * 21, "c" * 5000])
def test_long_output_is_cut_in_the_middle(text: str) -> None:
    cut = shortened(text, 20)
    assert (cut == text) == (len(text) <= 20)
    assert cut.startswith(text[:10])
    assert cut.endswith(text[-10:])
    assert len(cut) < 80


@pytest.mark.parametrize(
    ("status", "stdout"), [(0, "not JSON"), (0, ""), (1, '{"a": 1}'), (127, ""), (0, "[]"), (0, "[" * 9999)]
)
def test_a_script_that_does_not_tell_is_an_error(status: int, stdout: str) -> None:
    with pytest.raises(ImageTestError, match=r"user\.py"):
        document(Ran(status=status, stdout=stdout, stderr="", seconds=0), what="user.py")


def test_a_document_is_the_last_line_of_what_a_script_prints() -> None:
    ran = Ran(status=0, stdout='a warning\n{"a": [1]}\n', stderr="", seconds=0)
    assert document(ran, what="x") == {"a": [1]}


def test_what_several_processes_print_is_told_apart() -> None:
    told = documents('w{"rank": 0, "a": 1}{"rank": 1}\nno\n', key="rank")
    assert told == [{"rank": 0, "a": 1}, {"rank": 1}]
    assert documents("", key="rank") == []


def test_lines_that_processes_printed_into_each_other_are_an_error() -> None:
    with pytest.raises(ImageTestError, match="not a JSON object"):
        documents('{"rank": 0, "si{"rank": 1}\nze": 2}', key="rank")


def _outcome(name: str, status: Status, **more: object) -> TestOutcome:
    values = {"title": name, "level": "quick", "tags": (), "seconds": 1.5} | more
    return TestOutcome(name=name, status=status, **values)  # type: ignore[arg-type]


def _report(*outcomes: TestOutcome) -> ImageTestReport:
    return ImageTestReport(
        image="localhost/x:1", image_id="b" * 64, identity="c" * 64, flavor="f", level="quick",
        engine="podman 4", started=now().isoformat(), seconds=2.0, outcomes=outcomes, packages=(), layers=(),
    )  # fmt: skip


NASTY = 'a\x00b\x1b[31m<&>"\ud800]]>'
FINDING = ImageFinding(subject="/a", problem=f"has {NASTY}", cause="why", fix="mend it")
MIXED = (
    _outcome("good", "passed", output="said", advice=(FINDING,)),
    _outcome("bad", "failed", reason=NASTY, findings=(FINDING,), output=NASTY),
    _outcome("none", "skipped", reason="no GPU"),
    _outcome("broke", "error", reason="no engine"),
)


def test_junit_counts_and_names_what_happened_and_survives_any_output() -> None:
    suite = ET.fromstring(junit(_report(*MIXED))).find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert {name: [child.tag for child in case] for name, case in cases.items()} == {
        "good": ["system-out"],
        "bad": ["failure", "system-out"],
        "none": ["skipped"],
        "broke": ["error"],
    }
    failure = cases["bad"].find("failure")
    assert failure is not None
    assert "mend it" in (failure.text or "")
    assert "<&>" in (failure.get("message") or "")


def test_junit_survives_what_an_image_says_of_itself() -> None:
    facts = replace(_report(*MIXED), image=NASTY, identity=NASTY, flavor=NASTY, engine=NASTY)
    suite = ET.fromstring(junit(facts)).find("testsuite")
    assert suite is not None
    assert "<&>" in suite.attrib["name"]
    assert all("<&>" in one.attrib["value"] for one in suite.iter("property") if one.get("name") == "flavor")


def test_reports_are_written_together_and_the_json_has_it_all(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "reports"
    written = write_reports(_report(*MIXED), folder)
    assert {path.name for path in written} == {path.name for path in folder.iterdir()}
    data = json.loads((folder / "report.json").read_text())
    assert [outcome["status"] for outcome in data["outcomes"]] == ["passed", "failed", "skipped", "error"]
    assert data["outcomes"][1]["findings"][0]["fix"] == "mend it"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], 0),
        (["passed", "skipped"], 0),
        (["passed", "failed"], 1),
        (["passed", "error"], 33),
        (["error", "failed"], 1),
    ],
)
def test_the_exit_code_follows_from_the_outcomes(statuses: list[Status], code: int) -> None:
    assert _report(*(_outcome(status, status) for status in statuses)).exit_code == code


def test_the_terminal_tells_what_to_do_about_a_failure() -> None:
    texts = [part for part in _report(*MIXED).describe() if isinstance(part, str)]
    assert any("what to do: mend it" in text for text in texts)
    assert "1 passed, 1 failed, 1 could not be run, 1 skipped, 1 worth knowing" in texts[-1]
    assert outcome_line(MIXED[2]) == "skipped none (1.5 s): no GPU"
