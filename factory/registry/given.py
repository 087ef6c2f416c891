"""The registries that a repository pushed to by their addresses: `factory status` asks them too.

Nothing in ``factory.toml`` names them, so each is noted in ``.work/registries``, in a file of its own.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from factory.documents import read_json
from factory.errors import FactoryError
from factory.files import make_output_folder, write_whole
from factory.registry.declared import Registry, given_registry

_FOLDER = "registries"
_MOST = 20


class _Note(TypedDict):
    url: str


def note_given_registry(work: Path, registry: Registry) -> None:
    """Note in the work folder that an image is in a registry that was given by its address.

    Raises:
        StorageError: the file system refused.
    """
    folder = make_output_folder(work / _FOLDER)
    name = hashlib.sha256(registry.url.encode()).hexdigest()[:16]
    write_whole(folder / f"{name}.json", json.dumps({"url": registry.url}).encode())


def given_registries(work: Path, declared: Iterable[Registry]) -> dict[str, Registry]:
    """Return the noted registries by address, without those that are declared by now or cannot be read."""
    known = {registry.url for registry in declared}
    found = {}
    for path in sorted((work / _FOLDER).glob("*.json"))[:_MOST]:
        with suppress(FactoryError, OSError):
            registry = given_registry(read_json(path, _Note)["url"], of=path.name)
            if registry.url not in known:
                found[registry.url] = registry
    return found
