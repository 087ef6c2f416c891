"""The timeouts of a run: of the whole, of its parts, and of the tasks that have to end within them."""

from collections.abc import Iterator
from fractions import Fraction

from tekton.durations import duration
from tekton.semantic.limits import timeout_problems
from tekton.semantic.model import Node, Problem, items

DEFAULT_TIMEOUT = Fraction(3600)  # default-timeout-minutes of Tekton's config-defaults


def run_timeouts(spec: Node, pipeline: Node | None) -> Iterator[Problem]:
    """Problems of a run's timeouts; ``pipeline`` is the spec that a PipelineRun runs, where it is known."""
    texts: Node = spec.get("timeouts") or {}
    given = {f"spec.timeouts.{name}": text for name, text in texts.items()}
    given["spec.timeout"] = spec.get("timeout")
    for place, each in enumerate(items(spec, "taskRunSpecs")):
        given[f"spec.taskRunSpecs[{place}].timeout"] = each.get("timeout")
    wrong = [problem for path, text in given.items() for problem in timeout_problems(text, path)]
    yield from wrong
    if wrong or (pipeline is None and not texts):
        return
    seconds = {name: duration(text) for name, text in texts.items()}
    whole = seconds.get("pipeline", DEFAULT_TIMEOUT)
    if not whole:
        return  # 0 is without an end, and so are the parts that have none of their own
    yield from _parts(seconds, whole)
    if pipeline is not None:
        yield from _tasks(spec, pipeline, seconds, whole)


def _parts(seconds: dict[str, Fraction], whole: Fraction) -> Iterator[Problem]:
    """Tekton refuses a run whose tasks and finally may take longer than the whole."""
    for name in ("tasks", "finally"):
        if seconds.get(name) == 0:
            yield Problem(
                path=f"spec.timeouts.{name}", message=f"0 is without an end, the whole run {float(whole):g} s"
            )
    parts = seconds.get("tasks", Fraction(0)) + seconds.get("finally", Fraction(0))
    if parts > whole:
        message = f"tasks and finally take {float(parts):g} s, the whole run {float(whole):g} s"
        yield Problem(path="spec.timeouts", message=message)


def _tasks(spec: Node, pipeline: Node, seconds: dict[str, Fraction], whole: Fraction) -> Iterator[Problem]:
    """A task whose own timeout the run would never let it reach."""
    own = {
        each["pipelineTaskName"]: each["timeout"] for each in items(spec, "taskRunSpecs") if "timeout" in each
    }
    for kind, other in (("tasks", "finally"), ("finally", "tasks")):
        left = seconds.get(kind, whole - seconds.get(other, Fraction(0)))
        for task in items(pipeline, kind):
            text = own.get(task["name"], task.get("timeout"))
            if text is None or any(timeout_problems(text, "")):
                continue
            if duration(text) > left:
                message = f"the task {task['name']!r} may take {text}, the run gives {kind} {float(left):g} s"
                yield Problem(path="spec.timeouts", message=message)
