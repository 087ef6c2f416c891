"""An inventory in CycloneDX 1.6 (ECMA-424), JSON.

A component for each package, and not for each file: scanners match a component's purl, and would
tell each vulnerability as often as a package has wheels. Its files are references of type
``distribution``, each with its own digest; where there is one only, the component has the digest too.
No time and no random number: equal inventories give equal bytes. What the document says beside its
serial number is under a digest of its own, so that an edit shows (`factory.sbom.committed`).
"""

from typing import Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_supported_id

from factory.documents import parse_json
from factory.sbom.document import digest_of, identifier, to_bytes
from factory.sbom.inventory import (
    BASE_IMAGE,
    BESIDE_INDEX,
    CONTENTS,
    DOWNSTREAM_BASE_IMAGE,
    TOOL,
    File,
    Inventory,
    Package,
)
from factory.sbom.licences import Licence

DECLARED = LicenseAcknowledgement.DECLARED


def to_cyclonedx(inventory: Inventory) -> bytes:
    """The bill of an inventory, as it is written and attached."""
    document = _document(inventory)
    contents = digest_of(document)
    document["serialNumber"] = identifier(contents).urn
    document["metadata"]["properties"] = [{"name": CONTENTS, "value": contents}]
    return to_bytes(document)


def _document(inventory: Inventory) -> dict[str, Any]:
    bom = Bom(serial_number=identifier(""), components=map(_component, inventory.packages))
    bom.metadata.tools = ToolRepository(
        components=[Component(type=ComponentType.APPLICATION, name=TOOL, bom_ref=TOOL)]
    )
    root = _root(inventory)
    bom.metadata.component = root
    bom.register_dependency(root, bom.components)
    document = parse_json(JsonV1Dot6(bom).output_as_string(), dict[str, Any], source="the bill")
    # The library has no other way to leave out the time.
    del document["serialNumber"], document["metadata"]["timestamp"]
    return document


def _root(inventory: Inventory) -> Component:
    """The image. Its version is its digest, which nobody knows before it is built."""
    return Component(
        type=ComponentType.CONTAINER,
        name=inventory.flavor,
        bom_ref=inventory.flavor,
        properties=[
            Property(name=BASE_IMAGE, value=inventory.base_image),
            Property(name=DOWNSTREAM_BASE_IMAGE, value=inventory.downstream_base_image),
        ],
    )


def _component(package: Package) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=package.purl.to_string(),
        purl=package.purl,
        hashes=[_sha256(package.files[0])] if len(package.files) == 1 else (),
        licenses=_licences(package.licences),
        external_references=[_file(package, file) for file in package.files],
        properties=[Property(name=BESIDE_INDEX, value="true")] if package.beside_index else (),
    )


def _file(package: Package, file: File) -> ExternalReference:
    """A file on its project's page; by its name alone where no URL may or can be told."""
    page = "" if package.index_url is None else f"{package.index_url.rstrip('/')}/{package.name}/#"
    return ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"{page}{file.name}"), hashes=[_sha256(file)]
    )


def _sha256(file: File) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)


def _licences(licences: tuple[Licence, ...]) -> list[LicenseExpression | DisjunctiveLicense]:
    """One expression, or any number of licences; the format knows no mixture of both."""
    if len(licences) == 1 and licences[0].is_expression and not is_supported_id(licences[0].text):
        return [LicenseExpression(licences[0].text, acknowledgement=DECLARED)]
    return [
        DisjunctiveLicense(id=licence.text, acknowledgement=DECLARED)
        if licence.is_expression and is_supported_id(licence.text)
        else DisjunctiveLicense(name=licence.text, acknowledgement=DECLARED)
        for licence in licences
    ]
