"""Every requirement that an index lacks, found in one run."""

from factory.errors import FactoryError, ResolutionError
from factory.flavor.project import Project
from factory.lock.resolution import Refused


def explain(project: Project, refused: Refused) -> FactoryError:
    """The error for a resolution that failed."""
    del project
    return ResolutionError(
        f"the requirements have no solution for {refused.request.platform}:\n{refused.explanation}",
        solution="Change what contradicts in pyproject.toml, and lock again.",
    )
