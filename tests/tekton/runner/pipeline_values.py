"""What the tasks of a Pipeline that have run are to those after them: results and statuses."""

from collections.abc import Iterable, Mapping

from tekton.runner.outcome import FAILED, Ran, Skipped, TaskOutcome
from tekton.runner.variables import Value


class MissingError(Exception):
    """A result that a task names was not written."""


def results_layer(wanted: Iterable[tuple[str, str]], ran: Mapping[str, Ran]) -> dict[str, Value]:
    """The results that are wanted, as `tasks.NAME.results.RESULT`.

    Of a matrix it is the array of what its TaskRuns wrote, in the order of their names, which are compared
    as text (`-0`, `-1`, `-10`, `-2`); a TaskRun that wrote none is left out.

    Raises:
        MissingError: a task did not write it.
    """
    found: dict[str, Value] = {}
    for name, result in wanted:
        one = ran[name]
        value = _aggregated(one, result) if isinstance(one, list) else _of(one, result)
        if value is None:
            raise MissingError(f"the task {name} wrote no result {result}")
        found[f"tasks.{name}.results.{result}"] = value
    return found


def _of(ran: TaskOutcome | Skipped, result: str) -> Value | None:
    return None if isinstance(ran, Skipped) else ran.results.get(result)


def _aggregated(runs: list[TaskOutcome], result: str) -> list[str] | None:
    order = sorted(range(len(runs)), key=str)
    values = [runs[index].results.get(result) for index in order]
    # Only results that are strings are aggregated.
    return [value for value in values if isinstance(value, str)] or None


def status_layer(ran: Mapping[str, Ran]) -> dict[str, Value]:
    """The variables `tasks.NAME.status` and `tasks.status`, which tasks in `finally` have."""
    statuses = {name: _status(one) for name, one in ran.items()}
    found: dict[str, Value] = {f"tasks.{name}.status": status for name, status in statuses.items()}
    found["tasks.status"] = _aggregate(set(statuses.values()))
    return found


def _status(ran: Ran) -> str:
    if isinstance(ran, list):
        return "Failed" if any(one.status == FAILED for one in ran) else "Succeeded"
    return "None" if isinstance(ran, Skipped) else ran.status


def _aggregate(statuses: set[str]) -> str:
    if "Failed" in statuses:
        return "Failed"
    if "None" in statuses:
        return "Completed" if "Succeeded" in statuses else "None"
    return "Succeeded"
