"""The times of a flavor's package layers, so that a fix in one layer leaves the others as they are."""

from collections.abc import Mapping

from factory.image.definitions import ImageDefinition
from factory.image.epoch import said_epoch
from factory.layers.epochs import layer_epochs, newest_upload
from factory.lock.lockset import require_lock_set


def package_epochs(
    definition: ImageDefinition, environment: Mapping[str, str]
) -> tuple[int | None, dict[str, int | None]]:
    """The newest upload time in the lock of an image's flavor, and that of each package layer, in seconds.

    None where the lock does not tell. Where ``SOURCE_DATE_EPOCH`` is set, it is the time of all of them.

    Raises:
        LockFileError: the flavor is not locked.
        ImageError: the variable is no time.
    """
    if definition.flavor is None or said_epoch(environment) is not None:
        return None, {}
    spec = definition.flavor.project.spec
    locks = require_lock_set(definition.flavor.folder, spec)
    return newest_upload(locks), layer_epochs(locks, spec.package_layers)
