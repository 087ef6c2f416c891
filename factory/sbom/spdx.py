"""An SBOM in SPDX 2.3 (ISO/IEC 5962 has 2.2.1), JSON. Its library is the extra ``spdx``.

A package for each pin. SPDX gives a package one file name, so that one of several files has a package
for each below it (DISTRIBUTION_ARTIFACT), without a purl: it would be counted twice. The namespace,
which has to be the document's own, follows from its content.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from license_expression import LicenseExpression, Licensing, get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.model import Package as SpdxPackage

from factory.sbom.document import TOOL, document_digest, identifier, to_bytes
from factory.sbom.licences import Licence
from factory.sbom.model import BESIDE_INDEX, Sbom, SbomFile, SbomPackage

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_NAMESPACE = "https://spdx.org/spdxdocs"


def to_spdx(sbom: Sbom, *, created: dt.datetime) -> bytes:
    """Return an SBOM as it is written; ``created`` is in UTC and of whole seconds."""
    converter = DocumentConverter()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = converter.convert(_document(sbom, created))
    namespace = document["documentNamespace"]
    document["documentNamespace"] = f"{namespace}-{identifier(document_digest(document))}"
    return to_bytes(document)


def _document(sbom: Sbom, created: dt.datetime) -> Document:
    packages = sorted(sbom.packages, key=lambda package: package.name)
    of_files = [
        (package, file) for package in packages if len(package.files) > 1 for file in sorted(package.files)
    ]
    return Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=sbom.flavor,
            document_namespace=f"{_NAMESPACE}/{sbom.flavor}",
            creators=[Actor(ActorType.TOOL, TOOL)],
            created=created,
        ),
        packages=[
            _image(sbom),
            *map(_package, packages),
            *(_file_package(file) for _, file in of_files),
        ],
        relationships=[
            Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _IMAGE),
            *(Relationship(_IMAGE, RelationshipType.CONTAINS, _id(item)) for item in packages),
            *(
                Relationship(_id(package), RelationshipType.DISTRIBUTION_ARTIFACT, _file_id(file))
                for package, file in of_files
            ),
        ],
        extracted_licensing_info=list(_extracted(sbom)),
    )


def _image(sbom: Sbom) -> SpdxPackage:
    return SpdxPackage(
        spdx_id=_IMAGE,
        name=sbom.flavor,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        comment=f"Added to the base image {sbom.base_image}, or downstream to {sbom.downstream_base_image}",
        primary_package_purpose=PackagePurpose.CONTAINER,
    )


def _package(package: SbomPackage) -> SpdxPackage:
    expression, comment = _declared(package.licences)
    only = package.files[0] if len(package.files) == 1 else None
    url = package.index_url
    return SpdxPackage(
        spdx_id=_id(package),
        name=package.name,
        version=package.version,
        download_location=SpdxNoAssertion() if url is None else f"{url.rstrip('/')}/{package.name}/",
        file_name=None if only is None else only.name,
        checksums=[] if only is None else [_sha256(only)],
        files_analyzed=False,
        license_declared=expression,
        license_comment=comment,
        comment=BESIDE_INDEX if package.beside_index else None,
        external_references=[
            ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", package.purl.to_string())
        ],
        primary_package_purpose=PackagePurpose.LIBRARY,
    )


def _file_package(file: SbomFile) -> SpdxPackage:
    return SpdxPackage(
        spdx_id=_file_id(file),
        name=file.name,
        download_location=SpdxNoAssertion(),
        file_name=file.name,
        checksums=[_sha256(file)],
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.ARCHIVE,
    )


def _sha256(file: SbomFile) -> Checksum:
    return Checksum(ChecksumAlgorithm.SHA256, file.sha256)


def _id(package: SbomPackage) -> str:
    return f"SPDXRef-Package-{_plain(package.name)}"


def _file_id(file: SbomFile) -> str:
    return f"SPDXRef-File-{file.sha256}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-")


def _declared(
    licences: tuple[Licence, ...],
) -> tuple[LicenseExpression | SpdxNoAssertion, str | None]:
    """Return the declared licence; several are not combined, since AND or OR is unknown."""
    if len(licences) == 1:
        return _expression(licences[0]), None
    if not licences:
        return SpdxNoAssertion(), None
    named = "; ".join(licence.text for licence in licences)
    return SpdxNoAssertion(), f"Declared, without saying how they combine: {named}"


def _expression(licence: Licence) -> LicenseExpression:
    text = licence.text if licence.is_expression else _reference(licence.text)
    return _licensing().parse(text)


@cache
def _licensing() -> Licensing:
    """Return SPDX's licences, read once: they are many."""
    return get_spdx_licensing()


def _reference(name: str) -> str:
    """Return the LicenseRef of a licence that SPDX does not list; two names never have the same."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"LicenseRef-{_plain(name)}-{digest}".replace("--", "-")


def _extracted(sbom: Sbom) -> Iterator[ExtractedLicensingInfo]:
    """Yield what SPDX requires of each LicenseRef."""
    alone = [package.licences[0] for package in sbom.packages if len(package.licences) == 1]
    texts: dict[str, str] = {}
    for licence in sorted(alone):
        for key in _licensing().license_keys(_expression(licence)):
            if key.startswith("LicenseRef-"):
                texts.setdefault(key, licence.text)
    for key, text in sorted(texts.items()):
        yield ExtractedLicensingInfo(
            license_id=key,
            extracted_text=f"As the package's metadata names it: {text}",
            license_name=text,
        )
