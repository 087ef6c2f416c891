"""Render a flavor again: write what has drifted, and only that."""

from collections.abc import Iterable
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.files import exclusive, write_whole
from factory.flavor.repository import Flavor
from factory.render.drift import Difference, find_drift
from factory.render.render import render_flavor


@dataclass(frozen=True, kw_only=True)
class Synced:
    """A flavor that was rendered again: what was not as rendered, or why it could not be."""

    flavor: str
    differences: tuple[Difference, ...] = ()
    error: FactoryError | None = None


def sync_flavors(flavors: Iterable[Flavor], *, dry_run: bool = False) -> tuple[Synced, ...]:
    """Bring flavors up to date, each for itself: one that fails does not stop the others."""
    return tuple(_outcome(flavor, dry_run=dry_run) for flavor in flavors)


def sync_flavor(flavor: Flavor, *, dry_run: bool = False) -> tuple[Difference, ...]:
    """Bring the generated files up to date and return what was not.

    Stray files are returned as well and left alone: they may be somebody's work. So are files of the
    flavor's own that are not there, which no template makes.

    Raises:
        SpecError, TemplateError, MarkerError: the flavor cannot be rendered; nothing was written.
        StorageError: the file system refused; every file is whole, old or new.
        BusyError: another run is working on the flavor.
    """
    if dry_run:
        return find_drift(flavor)
    with exclusive(flavor.folder):
        differences = find_drift(flavor)
        rendered = {file.path: file for file in render_flavor(flavor.project, name=flavor.name)}
        for difference in differences:
            if difference.path in rendered:
                file = rendered[difference.path]
                write_whole(flavor.folder / file.path, file.content, executable=file.executable)
    return differences


def _outcome(flavor: Flavor, *, dry_run: bool) -> Synced:
    try:
        return Synced(flavor=flavor.name, differences=sync_flavor(flavor, dry_run=dry_run))
    except FactoryError as error:
        return Synced(flavor=flavor.name, error=error)
