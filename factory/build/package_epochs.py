"""The times of an image and of its package layers: a fix in one layer leaves the others as they are."""

from collections.abc import Mapping

from factory.build.epoch import choose_epoch, said_epoch
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import ImageDefinition
from factory.images.inputs import read_inputs
from factory.layers.contents import layer_epochs, newest_upload
from factory.lock.lockset import require_lock_set


def image_epoch(repository: Repository, name: str, environment: Mapping[str, str]) -> int:
    """Return the time that `factory build` gives an image, in seconds since 1970.

    Another builder that is given it, such as buildah in a Tekton Task, builds one commit to one digest.

    Raises:
        NotFoundError, SpecError: there is no such image, or its definition is not acceptable.
        LockFileError: the flavor is not locked.
        ImageError: an input is missing, or SOURCE_DATE_EPOCH is no time.
    """
    definition = read_catalogue(repository).definition(name)
    newest, _ = package_epochs(definition, environment)
    inputs = read_inputs(definition)
    return choose_epoch(environment, newest_upload=newest, folder=definition.folder, inputs=inputs)


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
