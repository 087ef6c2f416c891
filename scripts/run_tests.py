"""Run every test, in two processes beside one another: `run_tests.py [PYTEST OPTION]...`.

Tests that run containers wait for disks and downloads most of the time, the others for a processor, so the
two together take little longer than the slower one. What the first prints comes as it runs; what the
second printed comes when both have ended, and then one line that counts. Reports in JUnit's form go
to ``.work/junit-containers.xml`` and ``.work/junit-others.xml``.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

CONTAINERS = "container or tekton"
REPORTS = Path(".work")


def main() -> int:
    """Run both, and return the status of the first that is not 0."""
    start = time.monotonic()
    REPORTS.mkdir(exist_ok=True)
    with tempfile.TemporaryFile() as shown_later:
        containers = subprocess.Popen(
            _command("containers", CONTAINERS), stdout=shown_later, stderr=subprocess.STDOUT
        )
        try:
            others = subprocess.run(_command("others", f"not ({CONTAINERS})"), check=False)
            print("\nthe tests that run containers:", flush=True)
            containers.wait()
        finally:
            if containers.poll() is None:
                containers.terminate()
                containers.wait()
            shown_later.seek(0)
            sys.stdout.buffer.write(shown_later.read())
    print(_count(time.monotonic() - start))
    return others.returncode or containers.returncode


def _command(name: str, marked: str) -> list[str]:
    report = REPORTS / f"junit-{name}.xml"
    report.unlink(missing_ok=True)
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
