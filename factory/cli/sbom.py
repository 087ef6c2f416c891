"""``factory sbom``: the SBOM of an image, from the flavor's lock."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from factory.cli.options import Invocation, common, images_argument
from factory.files import write_whole
from factory.flavor.repository import Flavor
from factory.lock.find_links import folders_in_environment
from factory.registry.declared import Registry, read_registries
from factory.sbom.attach import RegistryAccess, attach, read_reference
from factory.sbom.collect import SbomSources
from factory.sbom.write import SbomFormat, committed_sbom, make_sbom, write_sboms

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command(short_help="Write the bill of materials of an image, from its lock.")
@images_argument
@click.option("--all", "every", is_flag=True, help="With --write: every image.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx", "spdx"]),
    default="cyclonedx",
    show_default=True,
    help="CycloneDX 1.6 or SPDX 2.3, each in JSON.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the document into a file, not to standard output.",
)
@click.option(
    "--write",
    "into_folder",
    is_flag=True,
    help="Write sbom.cdx.json into the image's folder. From there it gets into the image, and every "
    "command that writes the lock keeps it current.",
)
@click.option(
    "--prefetched",
    type=_FOLDER,
    metavar="DIR",
    help="Read the wheels that `factory prefetch` put into this folder, and ask no index.",
)
@click.option(
    "--find-links",
    type=_FOLDER,
    multiple=True,
    help="A folder of wheels beside the index, as for `factory lock`.",
)
@click.option(
    "--attach-to",
    metavar="IMAGE",
    help="Push it beside REGISTRY/REPOSITORY@sha256:…, as `cosign attach sbom` does, and print where.",
)
@click.option("--plain-http", is_flag=True, help="With --attach-to: a registry without TLS, as on loopback.")
@click.option(
    "--tls-verify", type=bool, metavar="BOOL", help="With --attach-to: false trusts any; true is the rule."
)
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    images: tuple[str, ...],
    *,
    every: bool,
    form: SbomFormat,
    output: Path | None,
    into_folder: bool,
    prefetched: Path | None,
    find_links: tuple[Path, ...],
    attach_to: str | None,
    plain_http: bool,
    tls_verify: bool | None,
) -> int:
    """Write the bill of materials of an image, from its lock.

    It lists what the lock adds to the base image or the parent: of each package the name, the version, the
    package URL with its index, the name and SHA-256 of each file, and the licences that the wheels
    declare. They are read on the index, or in a prefetched folder; both give the same bytes, and so
    does every run while the lock stays as it is.
    """
    if bool(images) == every or (len(images) != 1 and not into_folder):
        raise click.UsageError("Name one image; with --write name one or more, or give --all.")
    if sum((output is not None, into_folder, attach_to is not None)) > 1:
        raise click.UsageError("--output, --write and --attach-to are three places: give one of them.")
    if form != "cyclonedx" and (into_folder or attach_to):
        raise click.UsageError("--write and --attach-to are for CycloneDX: leave out --format.")
    if attach_to is None and (plain_http or tls_verify is not None):
        raise click.UsageError("--plain-http and --tls-verify are about the registry of --attach-to.")
    repository = invocation.repository_of(*images)
    selected = repository.select(images)
    sources = SbomSources(
        find_links=find_links,
        public_find_links=() if find_links or prefetched else folders_in_environment(os.environ),
        prefetched=prefetched,
    )
    if into_folder:
        return _write(invocation, selected, sources)
    if attach_to is not None:
        return _attach(
            invocation,
            selected[0],
            sources,
            attach_to,
            RegistryAccess(plain_http=plain_http, tls_verify=tls_verify is not False),
            read_registries(repository.root),
        )
    sbom = _make(invocation, selected[0], sources, form)
    if output is None:
        invocation.console.raw(sbom)
    else:
        write_whole(output, sbom)
        invocation.console.result({"flavor": selected[0].name, "path": output}, f"Wrote {output}")
    return 0


def _make(invocation: Invocation, flavor: Flavor, sources: SbomSources, form: SbomFormat) -> bytes:
    with invocation.console.progress("reading metadata", total=0) as progress:
        return make_sbom(flavor, sources, form=form, environment=os.environ, progress=progress)


def _write(invocation: Invocation, flavors: tuple[Flavor, ...], sources: SbomSources) -> int:
    with invocation.console.progress("reading metadata", total=0) as progress:
        report = write_sboms(flavors, sources, progress=progress)
    for error in report.errors.values():
        invocation.console.report(error)
    return invocation.console.show(report)


def _attach(
    invocation: Invocation,
    flavor: Flavor,
    sources: SbomSources,
    image: str,
    access: RegistryAccess,
    declared: Mapping[str, Registry],
) -> int:
    reference = read_reference(image)
    sbom = committed_sbom(flavor) or _make(invocation, flavor, sources, "cyclonedx")
    attached = attach(sbom, reference, access=access, environment=os.environ, declared=declared.values())
    invocation.console.result(attached, attached.blob_url)
    return 0
