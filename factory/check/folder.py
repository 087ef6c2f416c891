"""Rules about the folder: every file that the templates make, as they make it, and nothing else."""

from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import FactoryError, MarkerError, TemplateError
from factory.flavor.project import PROJECT_FILE
from factory.render.drift import Difference, find_drift

_CODES = {"missing": "FAC101", "changed": "FAC102", "mode": "FAC103", "stray": "FAC104"}


def check_folder(subject: Subject) -> Iterator[Problem]:
    """FAC101 to FAC105. A folder whose spec cannot be read has nothing to be compared with."""
    if subject.project is None:
        return
    try:
        differences = find_drift(subject.flavor)
    except (TemplateError, MarkerError) as error:
        yield _not_renderable(error)
        return
    for difference in differences:
        yield _problem(difference, subject.flavor.name)


def _problem(difference: Difference, flavor: str) -> Problem:
    sync = f"Run `factory sync {flavor}`"
    message, solution = {
        "missing": ("a generated file is missing", f"{sync}."),
        "changed": (
            "a generated file differs from what its template gives",
            f"{sync}. If the change was meant, make it in the template, for every flavor.",
        ),
        "mode": ("a generated file has the wrong mode", f"{sync}; it sets whether the file is a program."),
        "stray": ("nothing in the factory makes this file", "Remove it, or add it to the template set."),
    }[difference.kind]
    return Problem(code=_CODES[difference.kind], path=difference.path, message=message, solution=solution)


def _not_renderable(error: FactoryError) -> Problem:
    return Problem(
        code="FAC105",
        path=PROJECT_FILE,
        message=f"cannot be rendered: {error.reason}",
        solution=error.solution,
    )
