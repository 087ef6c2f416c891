"""``factory registry``: the chores of maintenance container registries."""

import click

from factory.cli.options import Invocation, common
from factory.images.registries import read_maintenance
from factory.registry.maintenance import (
    clean_up,
    cleanup_parts,
    collect_registry_status,
    set_up,
    setup_parts,
    standing_parts,
)
from factory.registry.retention import Purpose

_names = click.argument("registries", metavar="[REGISTRY]...", nargs=-1)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing: the default."
)
_yes = click.option("--yes", is_flag=True, help="Delete it.")


@click.group(short_help="Set up, look at, prune or empty container registries.")
@common
def command(invocation: Invocation) -> None:
    """Set up, look at, prune or empty container registries.

    A REGISTRY is declared in factory.toml, as [registries.NAME] with its url and its class. From a
    persistent one nothing is ever deleted; a disposable one may be pruned and torn down.
    """
    del invocation


@command.command(short_help="Create what images need, and check it.")
@_names
@click.option("--dry-run", is_flag=True, help="Only read: create nothing, and try nothing out.")
@common
def setup(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool) -> int:
    """Create what the images need in registries, and check what is there.

    All registries where none is named. Checked are the login, the format, the location, and whether
    tags can move. Without --dry-run it is tried out whether a registry takes an upload, which is
    cancelled, and whether a disposable one deletes, with a digest that nothing has. A second run, also
    at the same time, finds what the first has created. Exit codes: 0 all well, 1 something is wrong, 32
    no answer.
    """
    maintenance = read_maintenance(invocation.repository, registries)
    report = set_up(maintenance.chosen, maintenance.images, maintenance.opener, dry_run=dry_run)
    invocation.console.result(report, *setup_parts(report))
    for one in report.registries:
        if one.error is not None:
            invocation.console.report(one.error)
    return report.exit_code


@command.command(short_help="Show what registries hold, and what a prune would take.")
@_names
@common
def status(invocation: Invocation, *, registries: tuple[str, ...]) -> int:
    """Show whether registries answer, what they hold, and what a prune would take.

    All registries where none is named; they are only read. Exit codes: 0, or 32 where one does not
    answer.
    """
    maintenance = read_maintenance(invocation.repository, registries)
    report = collect_registry_status(
        maintenance.registries, maintenance.names, maintenance.policy, maintenance.opener
    )
    invocation.console.result(report, *standing_parts(report, now=maintenance.policy.now))
    for one in report.registries:
        if one.error is not None:
            invocation.console.report(one.error)
    return report.exit_code


@command.command(short_help="Delete old images from disposable registries.")
@_names
@_dry_run
@_yes
@common
def prune(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool, yes: bool) -> int:
    """Delete old images of this repository from disposable registries; without --yes only say which.

    Without a name ALL disposable registries are meant. The newest of each image stay (keep), all young
    ones (keep-days), what has a moving tag, a version or a name in this repository's files, what
    anything that stays is built on, and what the factory did not make or cannot read. Bills and
    signatures stay and go with their image.
    """
    return _clean_up(invocation, "prune", registries, delete=_may_delete(dry_run=dry_run, yes=yes))


@command.command(short_help="Delete this repository's images from disposable registries.")
@_names
@_dry_run
@_yes
@common
def teardown(invocation: Invocation, *, registries: tuple[str, ...], dry_run: bool, yes: bool) -> int:
    """Delete this repository's images from disposable registries; without --yes only say which.

    Without a name ALL disposable registries are meant. What stays is told, with why, and with the
    command that removes it by hand: all in persistent registries, what that is built on, and what the
    factory did not make for this repository.
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
    invocation.console.result(report, *cleanup_parts(report, now=maintenance.policy.now))
    for error in report.errors:
        invocation.console.report(error)
    return report.exit_code
