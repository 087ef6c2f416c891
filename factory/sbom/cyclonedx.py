"""An SBOM in CycloneDX 1.6 (ECMA-424), JSON.

A component for each package, and not for each file: scanners match a component's purl, and would report
each vulnerability as often as a package has wheels. Its files are references of type ``distribution``, each
with its own digest; if there is only one, the component has the digest too. No time and no random number:
equal content makes equal bytes. All but the serial number is under a digest in the document, so that an edit
shows (`factory.sbom.committed`).
"""

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.spdx import is_supported_id

from factory.sbom.document import TOOL, cyclonedx_document, document_digest, identifier, to_bytes
from factory.sbom.licences import Licence
from factory.sbom.model import (
    BASE_IMAGE,
    BESIDE_INDEX,
    CONTENTS,
    DOWNSTREAM_BASE_IMAGE,
    Sbom,
    SbomFile,
    SbomPackage,
)

DECLARED = LicenseAcknowledgement.DECLARED


def to_cyclonedx(sbom: Sbom) -> bytes:
    """Return an SBOM as it is written and attached."""
    bom = Bom(serial_number=identifier(""), components=map(_component, sbom.packages))
    bom.metadata.tools = ToolRepository(
        components=[Component(type=ComponentType.APPLICATION, name=TOOL, bom_ref=TOOL)]
    )
    bom.metadata.component = root = _root(sbom)
    bom.register_dependency(root, bom.components)
    document = cyclonedx_document(bom)
    contents = document_digest(document)
    document["serialNumber"] = identifier(contents).urn
    document["metadata"]["properties"] = [{"name": CONTENTS, "value": contents}]
    return to_bytes(document)


def _root(sbom: Sbom) -> Component:
    """Return the image. Its version is its digest, which nobody knows before it is built."""
    return Component(
        type=ComponentType.CONTAINER,
        name=sbom.flavor,
        bom_ref=sbom.flavor,
        properties=[
            Property(name=BASE_IMAGE, value=sbom.base_image),
            Property(name=DOWNSTREAM_BASE_IMAGE, value=sbom.downstream_base_image),
        ],
    )


def _component(package: SbomPackage) -> Component:
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


def _file(package: SbomPackage, file: SbomFile) -> ExternalReference:
    """Return a file's URL on its project's page; only its name without a URL."""
    page = "" if package.index_url is None else f"{package.index_url.rstrip('/')}/{package.name}/#"
    return ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"{page}{file.name}"), hashes=[_sha256(file)]
    )


def _sha256(file: SbomFile) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)


def _licences(licences: tuple[Licence, ...]) -> list[LicenseExpression | DisjunctiveLicense]:
    """Return one expression, or any number of licences; the format knows no mixture of both."""
    if len(licences) == 1 and licences[0].is_expression and not is_supported_id(licences[0].text):
        return [LicenseExpression(licences[0].text, acknowledgement=DECLARED)]
    return [
        DisjunctiveLicense(id=licence.text, acknowledgement=DECLARED)
        if licence.is_expression and is_supported_id(licence.text)
        else DisjunctiveLicense(name=licence.text, acknowledgement=DECLARED)
        for licence in licences
    ]
