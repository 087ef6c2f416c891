"""Run the tests of an image one by one, and collect the report's data about the image."""

import time
from collections.abc import Callable
from dataclasses import replace

from factory.clock import now, timed
from factory.engine.engine import Engine, call_engine
from factory.errors import FactoryError, ImageTestError
from factory.image_tests.catalogue import TESTS
from factory.image_tests.container import Containers, missing_gpu
from factory.image_tests.context import Context
from factory.image_tests.definition import (
    GPU_TAG,
    ImageFinding,
    ImageTest,
    Result,
    Selection,
    failed,
    inherited,
    is_for,
    select,
    shortened,
    skipped,
)
from factory.image_tests.dropin import drop_in_tests
from factory.image_tests.inventory import MALFORMED_ANSWER, installed_packages, match_layers
from factory.image_tests.report import ImageTestReport, TestOutcome
from factory.image_tests.subject import ImageUnderTest, Lineage, find_base


def tests_of(lineage: Lineage) -> tuple[ImageTest, ...]:
    """Return every test of an image: of its kind, its parents' kinds, and drop-in tests.

    Tests for another accelerator are left out, if the image's is known.

    Raises:
        ImageTestError: a drop-in test is not acceptable.
    """
    own = [
        test
        for test in inherited(TESTS, lineage.kinds)
        if not (test.of_entrypoint and lineage.own_entrypoint)
    ]
    found = (*own, *drop_in_tests(lineage.folders, taken=[test.name for test in own]))
    return tuple(test for test in found if is_for(test, lineage.accelerator))


def run_tests(
    engine: Engine,
    subject: ImageUnderTest,
    selection: Selection,
    *,
    ended: Callable[[TestOutcome], None],
) -> ImageTestReport:
    """Run the selected tests, call ``ended`` after each, and return the report.

    No container of theirs is left behind, however this ends.

    Raises:
        ImageTestError: there is no test of a given name, or a drop-in test is not acceptable.
        EngineError, ProgramError: the engine does not work.
    """
    tests = select(tests_of(subject.lineage), selection)
    started, start = now(), time.monotonic()
    with Containers(engine=engine, image=subject.image_id) as containers:
        containers.require_start()
        context = Context(subject=subject, containers=containers, base=find_base(engine, subject))
        outcomes = []
        for test in tests:
            outcomes.append(run_test(test, context))
            ended(outcomes[-1])
        packages = installed_packages(context)
    return ImageTestReport(
        image=subject.reference,
        image_id=subject.image_id,
        identity=subject.identity,
        kind=subject.lineage.kind,
        flavor=subject.flavor.name if subject.flavor else None,
        level=selection.level,
        engine=_engine_name(engine),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - start, 2),
        outcomes=tuple(outcomes),
        packages=packages,
        layers=match_layers(subject.layers, subject.history),
        selected=bool(selection.only or selection.skip),
    )


@timed("test")
def run_test(test: ImageTest, context: Context) -> TestOutcome:
    """Run one test; an error in it becomes its outcome."""
    start = time.monotonic()
    context.deadline = start + test.seconds
    result = _result(test, context)
    return TestOutcome(
        name=test.name,
        title=test.title,
        level=test.level,
        tags=test.tags,
        status=result.status,
        seconds=round(time.monotonic() - start, 2),
        reason=shortened(result.reason),
        output=shortened(result.output),
        findings=result.findings,
        advice=result.advice,
    )


def _result(test: ImageTest, context: Context) -> Result:
    if test.needs_flavor and context.subject.lineage.nearest_flavor is None:
        return skipped("it is not known which flavor this image is: say so with --flavor NAME")
    if GPU_TAG in test.tags and (reason := missing_gpu(context.subject.accelerator)):
        return skipped(reason)
    try:
        return test.function(context)
    except FactoryError as error:
        if isinstance(error, ImageTestError) and error.out_of_time:
            problem = f"took more than {test.seconds:.0f} seconds"
            return failed(
                f"it {problem}", ImageFinding(subject=test.name, problem=problem, fix=error.solution)
            )
        finding = ImageFinding(subject=test.name, problem="could not be run", fix=error.solution)
        return replace(failed(error.reason, finding), status="error")
    except MALFORMED_ANSWER as error:
        reason = f"the image's answer makes no sense: {type(error).__name__}: {error}"
        fix = f"See whether the image's python3 is whole; `--skip {test.name}` goes on without this test."
        finding = ImageFinding(subject=test.name, problem="could not be run", fix=fix)
        return replace(failed(reason, finding), status="error")


def _engine_name(engine: Engine) -> str:
    said = call_engine(engine, "--version").stdout.split(",")[0].split()
    return f"{engine.kind} {said[-1]}" if said else engine.kind
