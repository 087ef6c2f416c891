"""The SBOM beside prefetched artifacts: CycloneDX 1.6 in JSON, with the content of Hermeto's.

A flat list of libraries, each with its purl; tool-named properties say who found it and that it is a wheel.
Unlike Hermeto's, each component has its SHA-256, and the purl the file name, so that a later run knows which
files this one wrote. Equal locks make equal bytes: no time, no serial number.
"""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from packageurl import PackageURL

from factory import __version__
from factory.documents import parse_json
from factory.errors import DocumentError
from factory.prefetch.artifacts import LockedArtifact
from factory.sbom.document import TOOL, cyclonedx_document, to_bytes


def prefetch_sbom(
    artifacts: Iterable[tuple[LockedArtifact, str]], *, index_urls: Mapping[str, str | None]
) -> bytes:
    """Return the SBOM of artifacts and their file names.

    ``index_urls`` are the indexes' URLs by their names, None for the public one.
    """
    # Imported when one is written: the library is slow to import.
    from cyclonedx.model import HashAlgorithm, HashType, Property  # noqa: PLC0415
    from cyclonedx.model.bom import Bom  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415

    found_by = Property(name=f"{TOOL}:found_by", value=TOOL)
    binary = Property(name=f"{TOOL}:pip:package:binary", value="true")
    bom = Bom()
    bom.metadata.tools = ToolRepository(
        components=[Component(type=ComponentType.APPLICATION, name=TOOL, version=__version__, bom_ref=TOOL)]
    )
    for wanted, file_name in artifacts:
        purl = _purl(wanted, file_name, index_urls[wanted.index])
        bom.components.add(
            Component(
                type=ComponentType.LIBRARY,
                name=wanted.name,
                version=wanted.version,
                bom_ref=purl.to_string(),
                purl=purl,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wanted.sha256)],
                properties=[found_by, binary] if file_name.endswith(".whl") else [found_by],
            )
        )
    document = cyclonedx_document(bom)
    # The library lists every component again, as one that depends on nothing.
    document.pop("dependencies", None)
    return to_bytes({"components": [], **document})


def listed_files(content: bytes | None) -> dict[str, str]:
    """Return file name to SHA-256 from the factory's own SBOM; empty for any other document."""
    try:
        components = parse_json(content or b"", _Bom, source="the SBOM")["components"]
        return dict(_listed(component) for component in components)
    except (DocumentError, ValueError, LookupError):
        # An SBOM that another tool wrote, or a person changed, confirms no file.
        return {}


def _purl(wanted: LockedArtifact, file_name: str, index_url: str | None) -> PackageURL:
    qualifiers = {"checksum": f"sha256:{wanted.sha256}", "file_name": file_name}
    if index_url is not None:
        qualifiers["repository_url"] = index_url
    return PackageURL(type="pypi", name=wanted.name, version=wanted.version, qualifiers=qualifiers)


class _Hash(TypedDict):
    content: str


class _Component(TypedDict):
    purl: str
    hashes: list[_Hash]


class _Bom(TypedDict):
    components: list[_Component]


def _listed(component: _Component) -> tuple[str, str]:
    qualifiers = dict(PackageURL.from_string(component["purl"]).qualifiers)
    return qualifiers["file_name"], component["hashes"][0]["content"]
