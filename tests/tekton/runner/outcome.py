"""How steps, TaskRuns and PipelineRuns ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tekton.runner.variables import Value

SUCCEEDED, FAILED, SKIPPED = "Succeeded", "Failed", "Skipped"


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """A step: its status, exit code (None where it did not run), outputs together, and duration."""

    name: str
    status: str
    exit_code: int | None = None
    output: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """A TaskRun: its results by name, its steps by name in their order, its status, and why it failed."""

    results: Mapping[str, Value] = field(default_factory=dict)
    steps: Mapping[str, StepOutcome] = field(default_factory=dict)
    status: str
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the TaskRun did."""
        return self.status == SUCCEEDED

    @property
    def log(self) -> str:
        """What the steps said, and how they and the run ended: for the message of an assert."""
        parts = [
            f"--- step {step.name}: {step.status} {step.reason} "
            f"(exit code {step.exit_code}, {step.seconds:.1f} s)\n{step.output}"
            for step in self.steps.values()
        ]
        return "\n".join([*parts, f"--- task: {self.status} {self.reason}"])


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A task of a Pipeline that did not run, and why."""

    reason: str
    status: str = SKIPPED

    @property
    def succeeded(self) -> bool:
        """A task that did not run did not succeed."""
        return False

    @property
    def log(self) -> str:
        """Why it did not run."""
        return f"--- task: {self.status}: {self.reason}"


Ran = TaskOutcome | Skipped | list[TaskOutcome]


@dataclass(frozen=True, kw_only=True)
class PipelineOutcome:
    """A PipelineRun: its tasks by name, those of `finally` among them, and its results.

    A task with a matrix is a list, in the order of its combinations. ``failed_task`` is the first that
    failed; ``reason`` says why a run failed.
    """

    tasks: Mapping[str, Ran]
    results: Mapping[str, Value]
    status: str
    failed_task: str | None = None
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the PipelineRun did."""
        return self.status == SUCCEEDED

    @property
    def log(self) -> str:
        """What all tasks said."""
        parts = []
        for name, ran in self.tasks.items():
            for index, one in enumerate(ran if isinstance(ran, list) else [ran]):
                parts.append(f"===== {name}{f'-{index}' if isinstance(ran, list) else ''}\n{one.log}")
        return "\n".join([*parts, f"===== pipeline: {self.status} {self.reason}"])
