"""What the last tests of an image on this machine said."""

from dataclasses import dataclass
from pathlib import Path

from factory.documents import read_json
from factory.errors import DocumentError
from factory.files import WORK_FOLDER
from factory.image_tests.outcome import LEVELS
from factory.image_tests.report import TESTED_FILE
from factory.image_tests.report import Tested as Recorded

REPORTS = Path(WORK_FOLDER) / "reports"
_SELECTED = "selected"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """The tests of an image: the highest level that was run, whether all passed, when, and of which identity.

    ``level`` is "selected" if only tests chosen by name were run. ``current``: of the identity now.
    """

    __test__ = False  # not a test of ours, whatever pytest makes of its name

    level: str
    passed: bool
    started: str
    current: bool


def last_test(root: Path, name: str, tag: str | None) -> Tested | None:
    """Return what an image's tests came to: of its identity now, else of any; None if it was not tested.

    A record that cannot be read is none: the next run of the tests writes it.
    """
    folder = root / REPORTS / name
    if tag is not None and (found := _read(folder / tag / TESTED_FILE, current=True)) is not None:
        return found
    others = [_read(path, current=False) for path in folder.glob(f"*/{TESTED_FILE}")]
    return max((one for one in others if one is not None), key=lambda one: one.started, default=None)


def _read(path: Path, *, current: bool) -> Tested | None:
    try:
        recorded = read_json(path, Recorded)
    except (OSError, DocumentError):
        return None
    level = next((level for level in reversed(LEVELS) if level in recorded["levels"]), _SELECTED)
    statuses = {outcome["status"] for outcome in recorded["tests"].values()}
    has_failed = bool({"failed", "error"} & statuses)
    if level == _SELECTED and not has_failed:
        # Tests that were chosen by name do not speak for a level, but for themselves where they fail.
        return None
    return Tested(
        level=level,
        passed=not has_failed and "passed" in statuses,
        started=max(outcome["started"] for outcome in recorded["tests"].values()) if statuses else "",
        current=current,
    )
