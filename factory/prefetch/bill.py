"""The bill of materials beside prefetched artifacts: CycloneDX 1.6 in JSON, as Hermeto writes it.

A flat list of libraries, each with its purl; tool-named properties say who found it and that it is
a wheel. Beyond Hermeto's, each component carries its SHA-256, and the purl the file name, so that
a later run knows what this one put there. Equal locks give equal bytes: no time, no serial number.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TypedDict

from packageurl import PackageURL

from factory import __version__
from factory.documents import parse_json
from factory.errors import DocumentError
from factory.prefetch.wanted import Wanted

_TOOL = "universal-image-factory"


def bill_of_materials(
    artifacts: Iterable[tuple[Wanted, str]], *, index_urls: Mapping[str, str | None]
) -> bytes:
    """The bill of artifacts and their file names.

    ``index_urls`` are the indexes' URLs by their names, None for the public one.
    """
    components = [
        _component(wanted, file_name, index_urls[wanted.index])
        for wanted, file_name in sorted(artifacts, key=lambda item: (item[0].name, item[1]))
    ]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": _TOOL, "version": __version__}]}
        },
        "components": components,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def read_bill(content: bytes | None) -> dict[str, str]:
    """File name to SHA-256 of what a bill of ours lists; empty for any other document, or none."""
    try:
        components = parse_json(content or b"", _Bill, source="the bill")["components"]
        return dict(_listed(component) for component in components)
    except (DocumentError, ValueError, LookupError):
        # A bill that another tool wrote, or a person changed, vouches for no file.
        return {}


def _component(wanted: Wanted, file_name: str, index_url: str | None) -> dict[str, object]:
    qualifiers = {"checksum": f"sha256:{wanted.sha256}", "file_name": file_name}
    if index_url is not None:
        qualifiers["repository_url"] = index_url
    purl = PackageURL(type="pypi", name=wanted.name, version=wanted.version, qualifiers=qualifiers)
    properties = [{"name": f"{_TOOL}:found_by", "value": _TOOL}]
    if file_name.endswith(".whl"):
        properties.append({"name": f"{_TOOL}:pip:package:binary", "value": "true"})
    return {
        "type": "library",
        "bom-ref": purl.to_string(),
        "name": wanted.name,
        "version": wanted.version,
        "purl": purl.to_string(),
        "hashes": [{"alg": "SHA-256", "content": wanted.sha256}],
        "properties": properties,
    }


class _Hash(TypedDict):
    content: str


class _Component(TypedDict):
    purl: str
    hashes: list[_Hash]


class _Bill(TypedDict):
    components: list[_Component]


def _listed(component: _Component) -> tuple[str, str]:
    qualifiers = dict(PackageURL.from_string(component["purl"]).qualifiers)
    return qualifiers["file_name"], component["hashes"][0]["content"]
