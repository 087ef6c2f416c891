"""A small Tekton: runs Tasks and Pipelines with podman, by the rules of Tekton's documentation."""

from tekton.runner.cluster import Cluster, Mount
from tekton.runner.errors import RefusedError, UnknownFieldError
from tekton.runner.outcome import PipelineOutcome, Skipped, StepOutcome, TaskOutcome
from tekton.runner.pipeline import run_pipeline
from tekton.runner.task import Run, run_task

__all__ = [
    "Cluster",
    "Mount",
    "PipelineOutcome",
    "RefusedError",
    "Run",
    "Skipped",
    "StepOutcome",
    "TaskOutcome",
    "UnknownFieldError",
    "run_pipeline",
    "run_task",
]
