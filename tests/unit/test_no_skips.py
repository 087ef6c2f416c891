"""What CI does with the report of its tests: a skip, or a kind of test that never ran, is a failure."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "no_skips.py"
IMAGE = '<testcase classname="tests.image.test_a" name="b"/>'
CONTAINER = '<testcase classname="tests.container.test_a" name="b"/>'
TEKTON = '<testcase classname="tests.tekton.test_a" name="b"/>'
SKIPPED = '<testcase classname="tests.tekton.test_schema" name="c"><skipped message="no schema"/></testcase>'


@pytest.mark.parametrize(
    ("cases", "status", "says"),
    [
        (IMAGE + CONTAINER + TEKTON, 0, ""),
        (IMAGE + CONTAINER + TEKTON + SKIPPED, 1, "skipped: tests.tekton.test_schema::c"),
        (CONTAINER + TEKTON, 1, "no test of tests/image ran"),
        (IMAGE + TEKTON, 1, "no test of tests/container ran"),
        (IMAGE + CONTAINER, 1, "no test of tests/tekton ran"),
    ],
)
def test_a_report_that_proves_too_little_fails(tmp_path: Path, cases: str, status: int, says: str) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    done = subprocess.run([sys.executable, SCRIPT, report], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
