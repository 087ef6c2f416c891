"""Semantic checks of Tekton objects: what the schema of the CRDs does not see."""

from collections.abc import Iterator

from tekton.semantic.model import Interface, Known, Node, Parameter, Problem
from tekton.semantic.names import metadata, own
from tekton.semantic.pipeline import pipeline_problems
from tekton.semantic.runs import run_problems
from tekton.semantic.task import task_problems

__all__ = ["Interface", "Known", "Node", "Parameter", "Problem", "problems"]


def problems(document: Node, known: Known | None = None) -> Iterator[Problem]:
    """Everything wrong with a Task, Pipeline, TaskRun or PipelineRun that keeps to the schema.

    Args:
        document: the object.
        known: what its references can find: our other Tasks and Pipelines, the catalogue's interfaces.
    """
    known = known or Known()
    yield from metadata(document)
    match document["kind"]:
        case "Task":
            yield from own(document)
            yield from task_problems(document["spec"])
        case "Pipeline":
            yield from own(document)
            yield from pipeline_problems(document["spec"], known)
        case "TaskRun" | "PipelineRun":
            yield from run_problems(document, known)
        case kind:
            yield Problem(path="kind", message=f"nothing here knows how to check a {kind}")
