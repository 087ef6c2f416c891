"""Why a resolution failed, as an error that names every gap of the index."""

from collections.abc import Mapping

from factory.errors import FactoryError
from factory.flavor.project import Project
from factory.lock.find_links import WheelFolder
from factory.lock.resolution import Disagreement, Refused


def explain_failure(
    project: Project,
    refused: Refused | Disagreement,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
) -> FactoryError:
    """Return the error for a resolution that failed: the gaps, and the conflict if there is one.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    # Imported when a resolution has failed: the index client takes as long to import as all the rest.
    from factory.gaps.gaps import find_gaps, gap_error  # noqa: PLC0415

    found = find_gaps(project, preferences=preferences, folders=folders, refused=refused)
    if found.conflict is not None and not found.gaps:
        return found.conflict
    return gap_error(found)
