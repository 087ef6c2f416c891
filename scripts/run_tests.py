"""Run every test, in three processes beside one another: `run_tests.py [PYTEST OPTION]...`.

Tests that run containers wait for disks and downloads much of the time, the others for a processor, so that
all together take much less than one after the other. What the tests without containers print comes as it
runs; what the others printed comes when all have ended, and then one line that counts. Reports in JUnit's
form go to ``.work/junit-NAME.xml``.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET

# Each takes about as long as the others, so that no processor waits for the last one. What is slow without
# containers (tests that kill programs, again and again) runs with those that have some.
_SLOW = "(slow and integration)"
SHOWN_LATER = {
    "containers": f"(container and not (tekton or beside)) or {_SLOW}",
    "tekton": "tekton or beside",
}
SHOWN = {"others": f"not (container or tekton or {_SLOW})"}
REPORTS = Path(".work")
NONE_RAN = 5  # pytest's: no test was selected


def main() -> int:
    """Run all, and return the status of the first that is not 0."""
    start = time.monotonic()
    REPORTS.mkdir(exist_ok=True)
    for old in REPORTS.glob("junit-*.xml"):
        old.unlink()
    with ExitStack() as stack:
        later = [_Later.begin(stack, name, marked) for name, marked in SHOWN_LATER.items()]
        statuses = [
            subprocess.run(_command(name, marked), check=False).returncode for name, marked in SHOWN.items()
        ]
        statuses += [run.wait() for run in later]
    print(_count(time.monotonic() - start))
    if set(statuses) == {NONE_RAN}:
        return NONE_RAN
    return next((status for status in statuses if status not in {0, NONE_RAN}), 0)


@dataclass(frozen=True, kw_only=True)
class _Later:
    """A run whose output is kept until it has ended, or all end since one was interrupted."""

    name: str
    process: "subprocess.Popen[bytes]"
    said: BinaryIO

    @staticmethod
    def begin(stack: ExitStack, name: str, marked: str) -> "_Later":
        said = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        process = subprocess.Popen(_command(name, marked), stdout=said, stderr=subprocess.STDOUT)
        run = _Later(name=name, process=process, said=said)
        stack.callback(run.show)
        return run

    def wait(self) -> int:
        return self.process.wait()

    def show(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        print(f"\nthe tests of {self.name}:", flush=True)
        self.said.seek(0)
        sys.stdout.buffer.write(self.said.read())
        sys.stdout.flush()


def _command(name: str, marked: str) -> list[str]:
    report = REPORTS / f"junit-{name}.xml"
    return [sys.executable, "-m", "pytest", "-m", marked, f"--junit-xml={report}", *sys.argv[1:]]


def _count(seconds: float) -> str:
    """All tests of both, as pytest counts those of one."""
    told: Counter[str] = Counter()
    for report in sorted(REPORTS.glob("junit-*.xml")):
        for case in ET.parse(report).getroot().iter("testcase"):
            told[
                next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "")
            ] += 1
    words = {"failure": "failed", "error": "errors", "skipped": "skipped", "": "passed"}
    counts = ", ".join(f"{told[kind]} {word}" for kind, word in words.items() if told[kind])
    return f"in all: {counts or 'no test ran'} in {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
