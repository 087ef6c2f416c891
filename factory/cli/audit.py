"""``factory audit``: known vulnerabilities of pinned versions."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common, images_argument
from factory.clock import today
from factory.flavor.repository import with_parents
from factory.upkeep.audit import audit_flavors


@click.command(short_help="Report known vulnerabilities of locked versions.")
@images_argument
@click.option("--all", "every", is_flag=True, help="Audit every image; so does naming none.")
@click.option(
    "--advisories",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="FACTORY_ADVISORIES",
    show_envvar=True,
    help="A folder of advisories in the OSV format, as JSON files in any tree; needs no network.",
)
@click.option(
    "--osv-url",
    metavar="URL",
    help="Without --advisories: the query address of the service to ask, if it is not OSV's own.",
)
@common
def command(
    invocation: Invocation,
    images: tuple[str, ...],
    *,
    every: bool,
    advisories: Path | None,
    osv_url: str | None,
) -> int:
    """Report known vulnerabilities of the locked versions; of every image if none is named.

    An image is audited together with its parents of the repository, whose packages it has. A finding comes
    with the command that would fix it, one for all that the same version fixes. No
    package index is asked for anything, so the command itself finds out whether that version is there. A
    local version such as 2.11.0+cpu is compared as 2.11.0. Exits with 1 if there are findings that no
    waiver covers: a [[tool.factory.waivers]] whose finding is one of the advisory's ids, with a reason
    and a last day.

    Without --advisories, pip-audit asks a service in the network: the names and versions of all pinned
    packages are sent to it, also of those that only a private index has.
    """
    if every and images:
        raise click.UsageError("Name images, or give --all: one of the two.")
    if advisories is not None and osv_url is not None:
        raise click.UsageError("Give --advisories (or FACTORY_ADVISORIES) or --osv-url, not both.")
    selected = with_parents(invocation.images(images))
    with invocation.console.progress("auditing", total=len(selected)) as progress:
        progress.begin("what is pinned")
        report = audit_flavors(
            selected, named=bool(images), advisories=advisories, url=osv_url, today=today()
        )
    return invocation.console.show(report)
