"""What no error of the family says is a defect, and never has the exit code of findings."""

import json
import subprocess
import sys

import pytest

# A command that fails by what the factory does not know, as one with a defect would.
_BROKEN = """
import sys, types, click
import factory.cli.main as main
from factory.cli.options import common
def deep(n): return deep(n + 1)
@click.command("list")
@common
def command(invocation): {failure}
sys.modules["factory.cli.broken"] = types.SimpleNamespace(command=command)
main.COMMANDS["list"] = ("broken", "Fail.")
main.main(sys.argv[1:])
"""
FAILURES = {
    "RecursionError": "deep(0)",
    "MemoryError": "bytearray(1 << 62)",
    "KeyError": "{}['digest']",
    "UnicodeEncodeError": "'\\udcff'.encode()",
    "ZeroDivisionError": "1 // 0",
}


def _run(failure: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BROKEN.format(failure=failure), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("kind", "failure"), FAILURES.items(), ids=FAILURES)
def test_an_unknown_exception_is_named_as_a_defect_with_its_own_exit_code(kind: str, failure: str) -> None:
    done = _run(failure, "list")
    assert done.returncode == 70
    assert done.stdout == ""
    assert f"error: this is a defect of the factory: {kind}" in done.stderr
    assert "Open an issue" in done.stderr
    # Short enough to be read, with the place that failed.
    assert "in command" in done.stderr or "in deep" in done.stderr
    assert len(done.stderr.splitlines()) < 40


def test_a_defect_is_a_document_where_json_was_asked_for() -> None:
    done = _run("{}['digest']", "list", "--json")
    assert done.returncode == 70
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("DefectError", 70)
    assert "KeyError: 'digest'" in error["reason"]
