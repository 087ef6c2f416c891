"""Render flavors again: write what has drifted, and only that, together."""

from collections.abc import Iterable
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.render.drift import Difference, find_drift
from factory.render.render import render_flavor
from factory.transaction import Replacement, open_transaction, read_before


@dataclass(frozen=True, kw_only=True)
class Synced:
    """A flavor that was rendered again: what was not as rendered, or why it could not be."""

    flavor: str
    differences: tuple[Difference, ...] = ()
    error: FactoryError | None = None


def sync_flavors(flavors: Iterable[Flavor], *, dry_run: bool = False) -> tuple[Synced, ...]:
    """Bring flavors up to date together; one that cannot be rendered does not stop the others.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    chosen = tuple(flavors)
    outcomes: dict[Flavor, Synced] = {}
    changes: list[Replacement] = []
    with open_transaction() as transaction:
        for flavor in sorted(chosen, key=lambda flavor: flavor.folder.resolve()):
            try:
                if not dry_run:
                    transaction.take(flavor.folder)
                differences = find_drift(flavor)
                changes += rendering_changes(flavor, flavor.project, differences)
                outcomes[flavor] = Synced(flavor=flavor.name, differences=differences)
            except FactoryError as error:
                outcomes[flavor] = Synced(flavor=flavor.name, error=error)
        if not dry_run:
            transaction.commit(changes)
    return tuple(outcomes[flavor] for flavor in chosen)


def sync_flavor(flavor: Flavor, *, dry_run: bool = False) -> tuple[Difference, ...]:
    """Bring the generated files up to date and return what was not.

    Stray files are returned as well and left alone: they may be somebody's work. So are files of the
    flavor's own that are not there, which no template makes.

    Raises:
        SpecError, TemplateError, MarkerError: the flavor cannot be rendered; nothing was written.
        BusyError, JournalError, StorageError: as for `sync_flavors`.
    """
    (outcome,) = sync_flavors((flavor,), dry_run=dry_run)
    if outcome.error is not None:
        raise outcome.error
    return outcome.differences


def rendering_changes(
    flavor: Flavor, project: Project, differences: Iterable[Difference]
) -> tuple[Replacement, ...]:
    """Return the changes that bring the generated files of a flavor to what a project gives.

    Raises:
        TemplateError, MarkerError: the flavor cannot be rendered.
        StorageError: a file cannot be read.
    """
    rendered = {file.path: file for file in render_flavor(project, name=flavor.name)}
    drifted = [rendered[item.path] for item in differences if item.path in rendered]
    return tuple(
        Replacement(
            path=flavor.folder / file.path,
            before=read_before(flavor.folder / file.path),
            content=file.content,
            executable=file.executable,
        )
        for file in drifted
    )
