"""``factory registry``: set up, show, prune and tear down container registries."""

import click

from factory.cli.names import complete_registries
from factory.cli.options import Invocation, common
from factory.images.registries import read_maintenance
from factory.registry.maintenance import (
    Cleanup,
    RegistryStatusReport,
    SetupReport,
    clean_up,
    collect_registry_status,
    set_up,
)
from factory.registry.retention import Purpose

_names = click.argument("registries", metavar="[REGISTRY]...", nargs=-1, shell_complete=complete_registries)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Show what would be deleted; delete nothing. This is the default."
)
_yes = click.option("--yes", is_flag=True, help="Delete it.")


@click.group(short_help="Set up, look at, prune or empty container registries.")
@common
def command(invocation: Invocation) -> None:
    """Set up, look at, prune or empty container registries.

    A REGISTRY is declared in factory.toml, as [registries.NAME] with its url and its class. Nothing is ever
    deleted from a persistent one; a disposable one may be pruned and torn down.
    """
    del invocation


@command.command(short_help="Create what images need, and check it.")
@_names
@click.option("--dry-run", is_flag=True, help="Only read: create nothing, and try nothing out.")
@common
def setup(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool) -> int:
    """Create what the images need in registries, and check what exists.

    All registries if none is named. Checked are the login, the format, the location, and whether
    tags can move. Without --dry-run it is tried out whether a registry takes an upload, which is
    cancelled, and whether a disposable one deletes, with a digest that nothing has. A second run, even
    at the same time, finds what the first has created. Exit codes: 0 all well, 1 something is wrong, 32
    no answer.
    """
    maintenance = read_maintenance(invocation.repository, registries)
    report = set_up(maintenance.chosen, maintenance.images, maintenance.opener, dry_run=dry_run)
    return _show(invocation, report)


@command.command(short_help="Show what registries hold, and what a prune would take.")
@_names
@common
def status(invocation: Invocation, *, registries: tuple[str, ...]) -> int:
    """Show whether registries answer, what they hold, and what a prune would take.

    All registries if none is named; they are only read. Exit codes: 0, or 32 if one does not answer.
    """
    maintenance = read_maintenance(invocation.repository, registries)
    report = collect_registry_status(
        maintenance.registries, maintenance.names, maintenance.policy, maintenance.opener
    )
    return _show(invocation, report)


@command.command(short_help="Delete old images from disposable registries.")
@_names
@_dry_run
@_yes
@common
def prune(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool, yes: bool) -> int:
    """Delete old images of this repository from disposable registries; without --yes only show which.

    Without a name, ALL disposable registries are pruned. These stay: the newest of each image (keep), all
    young ones (keep-days), what has a moving tag, a version or a name in this repository's files, what
    anything that stays is built on, and what the factory did not make or cannot read. Bills of materials
    and signatures stay and go with their image.
    """
    return _clean_up(invocation, "prune", registries, delete=_may_delete(dry_run=dry_run, yes=yes))


@command.command(short_help="Delete this repository's images from disposable registries.")
@_names
@_dry_run
@_yes
@common
def teardown(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool, yes: bool) -> int:
    """Delete this repository's images from disposable registries; without --yes only show which.

    Without a name, ALL disposable registries are emptied. What stays is listed, with the reason and the
    command that deletes it by hand: everything in persistent registries, what that is built on, and what
    the factory did not make for this repository.
    """
    return _clean_up(invocation, "teardown", registries, delete=_may_delete(dry_run=dry_run, yes=yes))


def _may_delete(*, dry_run: bool, yes: bool) -> bool:
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes say the opposite.")
    return yes


def _clean_up(invocation: Invocation, purpose: Purpose, registries: tuple[str, ...], *, delete: bool) -> int:
    maintenance = read_maintenance(invocation.repository, registries)
    with invocation.console.progress(purpose, total=0) as progress:
        report = clean_up(
            purpose,
            maintenance.registries,
            maintenance.names,
            maintenance.policy,
            maintenance.opener,
            dry_run=not delete,
            progress=progress,
        )
    return _show(invocation, report)


def _show(invocation: Invocation, report: SetupReport | RegistryStatusReport | Cleanup) -> int:
    status = invocation.console.show(report)
    for error in report.failures():
        invocation.console.report(error)
    return status
