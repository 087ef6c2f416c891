"""Which flavors Konflux cannot build as they are: what it would fetch is not said, or is on no index."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from factory.files import read_text, storage_error
from factory.flavor.repository import Flavor
from factory.lock.lockfile import named_beside_index
from factory.lock.lockset import lock_file_names


@dataclass(frozen=True, kw_only=True)
class Unbuildable:
    """A flavor whose build fails: a lock file is ``missing``, or packages came from a folder of wheels."""

    flavor: str
    missing: str | None = None
    beside_index: tuple[str, ...] = ()


def unbuildable(flavors: Iterable[Flavor]) -> tuple[Unbuildable, ...]:
    """Those of flavors that Konflux cannot build as they are.

    Raises:
        SpecError, NotFoundError: a flavor's spec cannot be read.
        StorageError: the file system refused.
    """
    return tuple(item for flavor in flavors if (item := _unbuildable(flavor)) is not None)


def describe_unbuildable(items: Iterable[Unbuildable]) -> Iterator[str]:
    """What a person is to know of each, in a line."""
    for item in items:
        if item.missing is not None:
            why = f"{item.flavor} is not locked: it has no {item.missing}"
            until = f"`factory lock {item.flavor}` has locked it"
        else:
            why = f"{item.flavor} has {', '.join(item.beside_index)} from a folder of wheels"
            until = f"its index has that, and `factory lock {item.flavor}` takes it from there"
        yield f"{why}; its build in Konflux will fail until {until}"


def _unbuildable(flavor: Flavor) -> Unbuildable | None:
    """Not by reading the whole lock: of some hundred flavors that would take seconds."""
    beside: set[str] = set()
    for name in lock_file_names(flavor.project.spec):
        path = flavor.folder / name
        try:
            beside.update(named_beside_index(read_text(path, errors="replace")))
        except FileNotFoundError:
            return Unbuildable(flavor=flavor.name, missing=name)
        except OSError as error:
            raise storage_error(path, error) from error
    return Unbuildable(flavor=flavor.name, beside_index=tuple(sorted(beside))) if beside else None
