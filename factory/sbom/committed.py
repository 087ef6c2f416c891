"""The bill that stands in a flavor folder, read back: as it was written, or not at all."""

from pathlib import Path
from typing import Any

from packageurl import PackageURL

from factory.documents import parse_json
from factory.errors import DocumentError, SbomError
from factory.files import read_regular, storage_error
from factory.render.drift import SBOM_FILE
from factory.sbom.document import digest_of, identifier
from factory.sbom.inventory import (
    BASE_IMAGE,
    BESIDE_INDEX,
    CONTENTS,
    DOWNSTREAM_BASE_IMAGE,
    File,
    Inventory,
    Package,
)
from factory.sbom.licences import Licence


def read_committed(folder: Path) -> Inventory | None:
    """What the bill of a flavor folder says; None where there is none.

    Raises:
        SbomError: it does not stand as it was written, or is no bill of ours.
        StorageError: it cannot be read.
    """
    content = committed_bytes(folder)
    return None if content is None else parse_bill(content)


def committed_bytes(folder: Path) -> bytes | None:
    """The bill of a flavor folder as it stands there; None where there is none.

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


def parse_bill(content: bytes) -> Inventory:
    """What a bill in CycloneDX says, if `factory sbom` wrote every word of it.

    The digest that it carries shows an edit by hand or a merge, as that of a lock does; whoever wants to
    deceive can write it anew. What a lock says is therefore never taken from here.

    Raises:
        SbomError: it does not stand as it was written, or is no bill of ours.
    """
    try:
        document = parse_json(content, dict[str, Any], source=SBOM_FILE)
        (contents,) = document["metadata"].pop("properties")
        serial = document.pop("serialNumber")
        found = digest_of(document)
        if contents != {"name": CONTENTS, "value": found} or serial != identifier(found).urn:
            raise _unlike("was edited after it was written")
        return _inventory(document)
    except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unlike("is no bill of materials that `factory sbom` wrote") from error


def _unlike(what: str) -> SbomError:
    return SbomError(f"{SBOM_FILE} {what}", solution="Make it anew: `factory sbom FLAVOR --write`.")


def _inventory(document: dict[str, Any]) -> Inventory:
    root = document["metadata"]["component"]
    told = _properties(root)
    return Inventory(
        flavor=root["name"],
        base_image=told[BASE_IMAGE],
        downstream_base_image=told[DOWNSTREAM_BASE_IMAGE],
        packages=tuple(_package(component) for component in document.get("components", [])),
    )


def _package(component: dict[str, Any]) -> Package:
    qualifiers = PackageURL.from_string(component["purl"]).qualifiers
    return Package(
        name=component["name"],
        version=component["version"],
        index_url=dict(qualifiers).get("repository_url"),
        beside_index=BESIDE_INDEX in _properties(component),
        files=tuple(sorted(_file(reference) for reference in component["externalReferences"])),
        licences=tuple(_licence(entry) for entry in component.get("licenses", [])),
    )


def _file(reference: dict[str, Any]) -> File:
    return File(name=reference["url"].rpartition("#")[2], sha256=reference["hashes"][0]["content"])


def _licence(entry: dict[str, Any]) -> Licence:
    licence = entry.get("license", entry)
    name = licence.get("name")
    if name is not None:
        return Licence(text=name, is_expression=False)
    return Licence(text=licence.get("id") or licence["expression"], is_expression=True)


def _properties(of: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in of.get("properties", [])}
