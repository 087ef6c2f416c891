"""What the last tests of an image on this machine said."""

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.documents import read_json
from factory.errors import DocumentError
from factory.files import WORK_FOLDER

REPORTS = Path(WORK_FOLDER) / "reports"
_REPORT = "report.json"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A run of the tests: the level, whether all passed, when, and whether of the identity now."""

    __test__ = False  # not a test of ours, whatever pytest makes of its name

    level: str
    passed: bool
    started: str
    current: bool


class _Outcome(TypedDict):
    status: str


class _Report(TypedDict):
    level: str
    started: str
    outcomes: list[_Outcome]
    selected: NotRequired[bool]


def last_test(root: Path, name: str, tag: str | None) -> Tested | None:
    """The last report of an image: of its identity now, else of any; None where there is none.

    A report that cannot be read is none: the next run of the tests writes it anew.
    """
    folder = root / REPORTS / name
    if tag is not None and (found := _read(folder / tag / _REPORT, current=True)) is not None:
        return found
    others = [_read(path, current=False) for path in folder.glob(f"*/{_REPORT}")]
    return max((one for one in others if one is not None), key=lambda one: one.started, default=None)


def _read(path: Path, *, current: bool) -> Tested | None:
    try:
        report = read_json(path, _Report)
    except (OSError, DocumentError):
        return None
    # A run of tests that were chosen by name does not speak for its level.
    if report.get("selected"):
        return None
    outcomes = {outcome["status"] for outcome in report["outcomes"]}
    return Tested(
        level=report["level"],
        passed=not {"failed", "error"} & outcomes,
        started=report["started"],
        current=current,
    )
