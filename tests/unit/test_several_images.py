"""Several images in one command: the order of the plan, what a failure stops, the joined reports."""

import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from factory.cli.main import main
from factory.console import Silent
from factory.errors import ImageTestError, NotFoundError
from factory.flavor.repository import Repository
from factory.image_tests.report import ImageTestReport, TestOutcome, Untested, joined_junit
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.several import ancestors, take_turns
from factory.publish.push import PushRequest
from factory.publish.several import push_images

# child and sibling are built on base, grandchild on child.
_SETTINGS = """
[images.base]
kind = "stack"
parent = "quay.io/team/base:1"
[images.child]
kind = "stack"
parent = "base"
[images.sibling]
kind = "stack"
parent = "base"
[images.grandchild]
kind = "trainer"
parent = "child"
[images.another]
kind = "stack"
parent = "quay.io/team/base:1"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "flavors").mkdir()
    for name in ("base", "child", "sibling", "grandchild", "another"):
        (tmp_path / "images" / name).mkdir(parents=True)
    (tmp_path / "factory.toml").write_text(_SETTINGS)
    return Repository(tmp_path)


@pytest.fixture
def catalogue(repository: Repository) -> Catalogue:
    return read_catalogue(repository)


def test_parents_come_first_whatever_the_order_of_the_names(catalogue: Catalogue) -> None:
    order = ancestors(catalogue, catalogue.select(("grandchild", "child", "base")))
    assert order == {"base": (), "child": ("base",), "grandchild": ("base", "child")}


def test_an_image_waits_for_an_ancestor_whose_child_was_not_named(catalogue: Catalogue) -> None:
    order = ancestors(catalogue, catalogue.select(("grandchild", "base")))
    assert order == {"base": (), "grandchild": ("base",)}


def test_a_failed_parent_stops_its_children_and_the_rest_goes_on(catalogue: Catalogue) -> None:
    done: list[str] = []

    def work(name: str) -> str:
        if name == "child":
            raise ImageTestError("it is broken", solution="Fix it.")
        done.append(name)
        return name

    turns = {turn.name: turn for turn in take_turns(ancestors(catalogue, catalogue.select()), work)}
    assert turns["child"].reason == "it is broken"
    assert turns["grandchild"].stopped_by == "child"
    assert sorted(done) == ["another", "base", "sibling"]


def test_a_result_that_failed_stops_the_children_too(catalogue: Catalogue) -> None:
    order = ancestors(catalogue, catalogue.select(("base", "grandchild")))
    turns = take_turns(order, lambda name: name, failed=lambda name: name == "base")
    assert [turn.stopped_by for turn in turns] == [None, "base"]


def test_images_run_side_by_side_and_never_beside_their_parent() -> None:
    order = {"one": (), "two": (), "child": ("one", "two")}
    together = threading.Barrier(2, timeout=10)
    ended: list[str] = []

    def work(name: str) -> None:
        if name == "child":
            assert sorted(ended) == ["one", "two"]
        else:
            together.wait()
        ended.append(name)

    take_turns(order, work, jobs=2)
    assert ended[-1] == "child"


def test_what_is_not_the_factorys_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        take_turns({"one": (), "two": ("one",)}, lambda _: 1 // 0)


def test_an_unknown_image_is_refused_before_another_is_pushed(repository: Repository) -> None:
    with pytest.raises(NotFoundError, match="nothing-such"):
        push_images(repository, PushRequest(image=""), ("base", "nothing-such"), progress=Silent(), say=print)


def test_all_leaves_out_and_names_images_without_a_registry(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    report = push_images(repository, PushRequest(image=""), (), progress=Silent(), say=print)
    assert {image.state for image in report.images} == {"left out"}
    assert report.exit_code == 0
    assert list(report.describe())[-1] == "5 images: 0 pushed, 5 left out"
    assert all("--to REGISTRY names one" in image.reason for image in report.images)
    assert capsys.readouterr().out == ""


def test_the_joined_junit_has_a_suite_for_each_image_and_counts_all() -> None:
    outcome = TestOutcome(
        name="starts", title="It starts", level="quick", tags=(), status="passed", seconds=2
    )
    report = ImageTestReport(
        image="localhost/base:latest",
        image_id="1",
        identity=None,
        flavor=None,
        level="quick",
        engine="podman",
        started="2026-01-01T00:00:00+00:00",
        seconds=2,
        outcomes=(outcome,),
        packages=(),
        layers=(),
    )
    root = ET.fromstring(
        joined_junit(
            [
                report,
                Untested(image="child", reason="not built", stopped=False),
                Untested(image="grandchild", reason="its parent child failed", stopped=True),
            ]
        )
    )
    assert root.attrib == {"tests": "3", "failures": "0", "errors": "1", "skipped": "1", "time": "2.00"}
    assert [suite.get("name") for suite in root] == ["localhost/base:latest", "child", "grandchild"]
    assert root.find("testsuite[@name='child']/testcase/error") is not None
    assert root.find("testsuite[@name='grandchild']/testcase/skipped") is not None


@pytest.mark.parametrize("command", ["build", "test", "push"])
def test_all_and_the_name_of_an_image_are_refused_together(
    repository: Repository, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(repository.root), command, "--all", "trainer"])
    assert ended.value.code == 2
    assert "name images, or give --all: one of the two" in capsys.readouterr().err
