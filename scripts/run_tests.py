"""Run the tests, several lanes beside one another: ``run_tests.py [LANE]... [-- PYTEST OPTION...]``.

A lane is one pytest process for some folders of ``tests/``, or the linters. Without names all lanes run, the
longest first, as many at a time as ``FACTORY_TEST_LANES`` says: tests with containers wait for disks much of
the time, the others for a processor. A lane's output is printed when it has ended, with how long it took and
the processor time of what it started, containers aside; then one line that counts. Reports in JUnit's form go
to ``.work/junit-LANE.xml``. ``FACTORY_TEST_CPU=FILE`` says what each test takes, containers included.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET

LINT = "lint"
# The shipped CPU flavor through the whole pipeline: as long as a lane.
_LONGEST = "tests/tekton/test_universal_image_cpu.py"
# In the order in which they begin. Tests of one lane share images.
LANES = {
    "tekton": ("tests/tekton", f"--ignore={_LONGEST}"),
    "container": ("tests/container",),
    "image": ("tests/image",),
    "pipeline": (_LONGEST,),
    "integration": ("tests/integration",),
    "unit": ("tests/unit", "tests/seen"),
    "security": ("tests/security",),
    LINT: ("make", "--no-print-directory", "lint"),
}
REPORTS = Path(".work")
NO_TEST_RAN = 5  # pytest's exit status
POLL_SECONDS = 0.1


@dataclass(kw_only=True)
class Run:
    """A lane that runs, the file that its output goes to, and once it has ended its processor time."""

    lane: str
    process: "subprocess.Popen[bytes]"
    output: BinaryIO
    start: float
    processor_seconds: float = 0.0


def main(arguments: list[str]) -> int:
    """Run the lanes, and return the status of the first that failed."""
    names, options = _parsed(arguments)
    start = time.monotonic()
    untagged = _untagged_images()
    _compile()
    REPORTS.mkdir(exist_ok=True)
    for report in REPORTS.glob("junit-*.xml"):
        report.unlink()
    waiting, running, statuses = list(names), list[Run](), dict[str, int]()
    most = int(os.environ.get("FACTORY_TEST_LANES") or (os.cpu_count() or 1) + 2)
    try:
        while waiting or running:
            while waiting and len(running) < most:
                running.append(_begin(waiting.pop(0), options))
            ended = [run for run in running if _has_ended(run)]
            for run in ended:
                running.remove(run)
                statuses[run.lane] = _end(run)
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        for run in running:
            run.process.terminate()
            _end(run)
        _remove_untagged_images(but=untagged)
    print(_count(time.monotonic() - start))
    if {statuses[lane] for lane in statuses if lane != LINT} == {NO_TEST_RAN}:
        return NO_TEST_RAN
    return next((status for status in statuses.values() if status not in {0, NO_TEST_RAN}), 0)


def _parsed(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:at], arguments[at + 1 :]
    unknown = [name for name in names if name not in LANES]
    if unknown:
        sys.exit(
            f"error: there is no lane {', '.join(unknown)}\n  what to do: name some of {', '.join(LANES)}"
        )
    return names or list(LANES), options


def _compile() -> None:
    """Compile the factory once, and not at each of the thousands of times that tests start it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "factory"], check=False)


def _begin(lane: str, options: list[str]) -> Run:
    print(f"{lane}: begun", flush=True)
    output = tempfile.TemporaryFile()  # noqa: SIM115 - _end closes it
    pytest = (sys.executable, "-m", "pytest", f"--junit-xml={REPORTS}/junit-{lane}.xml", *options)
    command = LANES[lane] if lane == LINT else (*pytest, *LANES[lane])
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    return Run(lane=lane, process=process, output=output, start=time.monotonic())


def _has_ended(run: Run) -> bool:
    before = _processor_seconds()
    if run.process.poll() is None:
        return False
    run.processor_seconds = _processor_seconds() - before
    return True


def _processor_seconds() -> float:
    """The time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end(run: Run) -> int:
    status = run.process.wait()
    run.output.seek(0)
    print(f"\n{run.lane}:", flush=True)
    sys.stdout.buffer.write(run.output.read())
    run.output.close()
    word = {0: "passed", NO_TEST_RAN: "no test"}.get(status, f"failed with status {status}")
    took = f"{time.monotonic() - run.start:.0f} s, {run.processor_seconds:.0f} s of a processor"
    print(f"{run.lane}: {word} after {took}", flush=True)
    return status


def _untagged_images() -> set[str]:
    """Return the ids of the images that no name and no other image holds; none without podman."""
    if shutil.which("podman") is None:
        return set()
    command = ["podman", "images", "--filter", "dangling=true", "--quiet", "--no-trunc"]
    return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())


def _remove_untagged_images(*, but: set[str]) -> None:
    """Remove what builds of the tests left behind: an image that is in use stays, and so does ``but``."""
    seen = set(but)
    # Under a removed image its parent appears.
    while new := _untagged_images() - seen:
        seen |= new
        subprocess.run(["podman", "rmi", *sorted(new)], capture_output=True, check=False)


def _count(seconds: float) -> str:
    counted: Counter[str] = Counter()
    for report in sorted(REPORTS.glob("junit-*.xml")):
        for case in ET.parse(report).getroot().iter("testcase"):
            kinds = ("failure", "error", "skipped")
            counted[next((kind for kind in kinds if case.find(kind) is not None), "")] += 1
    words = {"failure": "failed", "error": "errors", "skipped": "skipped", "": "passed"}
    counts = ", ".join(f"{counted[kind]} {word}" for kind, word in words.items() if counted[kind])
    return f"in all: {counts or 'no test ran'} in {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
