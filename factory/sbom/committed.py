"""Read back the SBOM in a flavor's folder, and compare it with the lock, without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from factory.documents import parse_json
from factory.errors import DocumentError, SbomError
from factory.files import read_regular, storage_error
from factory.flavor.spec import Spec
from factory.render.drift import SBOM_FILE
from factory.sbom.document import document_digest, identifier
from factory.sbom.licences import Licence
from factory.sbom.model import (
    BASE_IMAGE,
    BESIDE_INDEX,
    CONTENTS,
    DOWNSTREAM_BASE_IMAGE,
    LockedFlavor,
    LockedPackage,
    Sbom,
    SbomFile,
    SbomPackage,
    packages_of,
)


def read_committed(folder: Path) -> Sbom | None:
    """Return what the SBOM of a flavor folder says; None without one.

    Raises:
        SbomError: it was edited, or the factory did not write it.
        StorageError: it cannot be read.
    """
    content = read_committed_bytes(folder)
    return None if content is None else parse_sbom(content)


def read_committed_bytes(folder: Path) -> bytes | None:
    """Return the SBOM of a flavor folder as it is; None without one.

    Raises:
        StorageError: it cannot be read.
    """
    path = folder / SBOM_FILE
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(path, error) from error


def parse_sbom(content: bytes) -> Sbom:
    """Return what an SBOM in CycloneDX says, if `factory sbom` wrote every word of it.

    The digest in it shows an edit by hand or a merge, as that of a lock does; an attacker can compute it
    again. What a lock says is therefore never taken from here.

    Raises:
        SbomError: it was edited, or the factory did not write it.
    """
    try:
        document = parse_json(content, dict[str, Any], source=SBOM_FILE)
        (contents,) = document["metadata"].pop("properties")
        serial = document.pop("serialNumber")
        found = document_digest(document)
        if contents != {"name": CONTENTS, "value": found} or serial != identifier(found).urn:
            raise _unlike("was edited after it was written")
        return _sbom(document)
    except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unlike("is no bill of materials that `factory sbom` wrote") from error


def _unlike(what: str) -> SbomError:
    return SbomError(f"{SBOM_FILE} {what}", solution="Write it again: `factory sbom FLAVOR --write`.")


def _sbom(document: dict[str, Any]) -> Sbom:
    root = document["metadata"]["component"]
    properties = _properties(root)
    return Sbom(
        flavor=root["name"],
        base_image=properties[BASE_IMAGE],
        downstream_base_image=properties[DOWNSTREAM_BASE_IMAGE],
        packages=tuple(_package(component) for component in document.get("components", [])),
    )


def _package(component: dict[str, Any]) -> SbomPackage:
    qualifiers = PackageURL.from_string(component["purl"]).qualifiers
    return SbomPackage(
        name=component["name"],
        version=component["version"],
        index_url=dict(qualifiers).get("repository_url"),
        beside_index=BESIDE_INDEX in _properties(component),
        files=tuple(sorted(_file(reference) for reference in component["externalReferences"])),
        licences=tuple(_licence(entry) for entry in component.get("licenses", [])),
    )


def _file(reference: dict[str, Any]) -> SbomFile:
    return SbomFile(name=reference["url"].rpartition("#")[2], sha256=reference["hashes"][0]["content"])


def _licence(entry: dict[str, Any]) -> Licence:
    licence = entry.get("license", entry)
    name = licence.get("name")
    if name is not None:
        return Licence(text=name, is_expression=False)
    return Licence(text=licence.get("id") or licence["expression"], is_expression=True)


def _properties(of: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in of.get("properties", [])}


def sbom_differences(flavor: LockedFlavor, sbom: Sbom) -> tuple[str, ...]:
    """Describe how an SBOM differs from the flavor's lock and spec; empty if they agree.

    Licences are not compared: a lock has none.

    Raises:
        SbomError: as for `packages_of`.
    """
    return tuple(_differences(flavor, sbom))


def _differences(flavor: LockedFlavor, sbom: Sbom) -> Iterator[str]:
    spec = flavor.spec
    locked = {item.name: item for item in packages_of(flavor)}
    listed = {package.name: package for package in sbom.packages}
    if sbom.flavor != flavor.name:
        yield f"it is that of {sbom.flavor}"
    if sbom.base_image != spec.base_image:
        yield f"it names the base image {sbom.base_image}"
    if sbom.downstream_base_image != spec.downstream_base_image:
        yield f"it names the downstream base image {sbom.downstream_base_image}"
    for name in sorted(locked.keys() | listed.keys()):
        if name not in listed:
            yield f"{name} is locked and not listed"
        elif name not in locked:
            yield f"{name} is listed and not locked"
        elif (text := _of_package(locked[name], listed[name], spec)) is not None:
            yield text


def _of_package(locked: LockedPackage, listed: SbomPackage, spec: Spec) -> str | None:
    """Return the first difference, from which the others follow."""
    if locked.version != listed.version:
        return f"{locked.name} is locked as {locked.version} and listed as {listed.version}"
    if locked.sha256s != {file.sha256 for file in listed.files}:
        return f"{locked.name} {locked.version} is locked with other hashes than it is listed with"
    if (locked.index_url(spec), locked.beside_index) != (listed.index_url, listed.beside_index):
        return f"{locked.name} is locked from another place than it is listed from"
    if not locked.named <= {(file.name, file.sha256) for file in listed.files}:
        return f"{locked.name} {locked.version} is locked with other file names than it is listed with"
    return None
