"""An inventory as CycloneDX and as SPDX: valid by the formats' own rules, alike, and the same every time."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from factory.errors import SbomError
from factory.sbom.committed import parse_sbom
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.document import created_at
from factory.sbom.licences import Licence
from factory.sbom.model import Sbom, SbomFile, SbomPackage
from factory.sbom.spdx import to_spdx

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
INDEX = "https://packages.example.com/cuda13.0/simple/"


def _spdx(text: str) -> Licence:
    return Licence(text=text, is_expression=True)


def _name(text: str) -> Licence:
    return Licence(text=text, is_expression=False)


def _package(name: str, *licences: Licence, index_url: str | None = None, files: int = 1) -> SbomPackage:
    return SbomPackage(
        name=name,
        version="1.0+cu130",
        index_url=index_url,
        beside_index=False,
        files=tuple(
            SbomFile(
                name=f"{name}-1.0+cu130-cp312-cp312-linux_{number}.whl", sha256=f"{number}{len(name):x}" * 32
            )
            for number in range(files)
        ),
        licences=licences,
    )


INVENTORY = Sbom(
    flavor="th09-cuda130-torch2110-py312",
    base_image="quay.io/example/base:1",
    downstream_base_image="quay.io/example/product-base:1",
    packages=(
        _package("a", _spdx("MIT")),
        _package("bb", _spdx("MIT OR Apache-2.0"), index_url=INDEX),
        _package("ccc", _name("BSD License"), index_url=INDEX, files=3),
        _package("dddd", _spdx("MIT"), _name("BSD License")),
        _package("eeeee"),
        _package("ffffff", _spdx("GPL-3.0")),
        _package("ggggggg", _spdx("LicenseRef-Ours AND MIT")),
        _package("hhhhhhhh", _spdx("MIT OR ISC"), _spdx("Apache-2.0"), files=2),
        replace(_package("iiiiiiiii", _name("Lizenz „frei“ <&>")), beside_index=True),
        _package("jjjjjjjjjj", _name("BSD-License")),
    ),
)


def _cyclonedx(inventory: Sbom = INVENTORY) -> dict[str, Any]:
    document = json.loads(to_cyclonedx(inventory))
    assert isinstance(document, dict)
    return document


def _spdx_document(inventory: Sbom = INVENTORY) -> dict[str, Any]:
    document = json.loads(to_spdx(inventory, created=EPOCH))
    assert isinstance(document, dict)
    return document


EMPTY = replace(INVENTORY, packages=())


@pytest.mark.parametrize("inventory", [INVENTORY, EMPTY])
def test_cyclonedx_is_valid_by_its_strict_schema(inventory: Sbom) -> None:
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(inventory).decode())
    assert errors is None


def test_what_the_schema_does_not_allow_would_be_seen() -> None:
    document = _cyclonedx()
    document["components"][0]["licenses"] = [{"license": {"id": "BSD License"}}]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is not None


@pytest.mark.parametrize("inventory", [INVENTORY, EMPTY])
def test_spdx_is_valid_by_its_librarys_rules(inventory: Sbom) -> None:
    document = JsonLikeDictParser().parse(_spdx_document(inventory))  # type: ignore[no-untyped-call]
    assert validate_full_spdx_document(document) == []


def test_the_order_of_packages_and_files_is_no_matter() -> None:
    turned = replace(
        INVENTORY,
        packages=tuple(
            replace(package, files=tuple(reversed(package.files))) for package in reversed(INVENTORY.packages)
        ),
    )
    assert to_cyclonedx(turned) == to_cyclonedx(INVENTORY)
    assert to_spdx(turned, created=EPOCH) == to_spdx(INVENTORY, created=EPOCH)


def test_what_differs_has_another_identity() -> None:
    other = replace(INVENTORY, base_image="quay.io/example/base:2")
    assert _cyclonedx(other)["serialNumber"] != _cyclonedx()["serialNumber"]
    assert _spdx_document(other)["documentNamespace"] != _spdx_document()["documentNamespace"]


def test_neither_tells_a_time_or_a_version_of_the_tool() -> None:
    assert set(_cyclonedx()["metadata"]) == {"component", "properties", "tools"}
    assert _cyclonedx()["metadata"]["tools"] == {
        "components": [
            {"bom-ref": "universal-image-factory", "name": "universal-image-factory", "type": "application"}
        ]
    }
    assert _spdx_document()["creationInfo"] == {
        "created": "1970-01-01T00:00:00Z",
        "creators": ["Tool: universal-image-factory"],
    }


def test_a_bill_reads_back_as_it_was() -> None:
    assert parse_sbom(to_cyclonedx(INVENTORY)).flavor == INVENTORY.flavor
    back = parse_sbom(to_cyclonedx(INVENTORY))
    assert to_cyclonedx(back) == to_cyclonedx(INVENTORY)
    for package, read in zip(INVENTORY.packages, back.packages, strict=True):
        assert replace(read, licences=()) == replace(package, licences=())
        if len(package.licences) < 2:
            assert read.licences == package.licences


def test_the_index_is_in_the_purl_where_it_is_a_private_one() -> None:
    by_name = {component["name"]: component for component in _cyclonedx()["components"]}
    assert by_name["a"]["purl"] == "pkg:pypi/a@1.0%2Bcu130"
    purl = PackageURL.from_string(by_name["bb"]["purl"])
    assert purl.qualifiers == {"repository_url": INDEX}


def test_a_package_from_a_folder_of_wheels_is_told_by_its_bytes_and_no_index() -> None:
    by_name = {component["name"]: component for component in _cyclonedx()["components"]}
    purl = PackageURL.from_string(by_name["iiiiiiiii"]["purl"])
    assert purl.qualifiers == {"checksum": f"sha256:{'09' * 32}"}
    two = replace(_package("i", files=2), beside_index=True)
    assert two.purl.qualifiers == {"checksum": f"sha256:{'01' * 32},sha256:{'11' * 32}"}


def test_each_file_has_its_own_hash_and_a_package_of_one_file_has_it_too() -> None:
    by_name = {component["name"]: component for component in _cyclonedx()["components"]}
    assert by_name["a"]["hashes"] == [{"alg": "SHA-256", "content": "01" * 32}]
    assert by_name["a"]["externalReferences"] == [
        {
            "hashes": [{"alg": "SHA-256", "content": "01" * 32}],
            "type": "distribution",
            "url": "a-1.0+cu130-cp312-cp312-linux_0.whl",
        }
    ]
    assert "hashes" not in by_name["ccc"]
    assert {
        reference["url"]: reference["hashes"][0]["content"]
        for reference in by_name["ccc"]["externalReferences"]
    } == {
        f"{INDEX}ccc/#ccc-1.0+cu130-cp312-cp312-linux_{number}.whl": f"{number}3" * 32 for number in range(3)
    }


def test_the_image_is_described_and_holds_every_package() -> None:
    document, spdx = _cyclonedx(), _spdx_document()
    root = document["metadata"]["component"]
    assert (root["type"], root["name"]) == ("container", INVENTORY.flavor)
    assert {item["name"].rpartition(":")[2]: item["value"] for item in root["properties"]} == {
        "base-image": INVENTORY.base_image,
        "downstream-base-image": INVENTORY.downstream_base_image,
    }
    (of_root,) = (item for item in document["dependencies"] if item["ref"] == root["bom-ref"])
    assert set(of_root["dependsOn"]) == {component["bom-ref"] for component in document["components"]}
    contained = [
        item["relatedSpdxElement"] for item in spdx["relationships"] if item["relationshipType"] == "CONTAINS"
    ]
    assert len(contained) == len(INVENTORY.packages)


def _spdx_files(document: dict[str, Any]) -> dict[str, set[tuple[str, str]]]:
    """SbomFile names and digests by the name of the package that they are of."""
    by_id = {item["SPDXID"]: item for item in document["packages"]}
    found: dict[str, set[tuple[str, str]]] = {}
    for package in (item for item in document["packages"] if "externalRefs" in item):
        below = [
            by_id[item["relatedSpdxElement"]]
            for item in document["relationships"]
            if (item["spdxElementId"], item["relationshipType"])
            == (package["SPDXID"], "DISTRIBUTION_ARTIFACT")
        ]
        found[package["name"]] = {
            (item["packageFileName"], item["checksums"][0]["checksumValue"]) for item in below or [package]
        }
    return found


def test_both_formats_name_the_same_packages_files_and_purls() -> None:
    cyclonedx, spdx = _cyclonedx()["components"], _spdx_document()
    assert _spdx_files(spdx) == {
        component["name"]: {
            (reference["url"].rpartition("#")[2], reference["hashes"][0]["content"])
            for reference in component["externalReferences"]
        }
        for component in cyclonedx
    }
    assert {
        item["externalRefs"][0]["referenceLocator"] for item in spdx["packages"] if "externalRefs" in item
    } == {component["purl"] for component in cyclonedx}


def test_a_package_of_several_files_has_one_purl_in_spdx_too() -> None:
    locators = [item["externalRefs"] for item in _spdx_document()["packages"] if "externalRefs" in item]
    assert len(locators) == len(INVENTORY.packages)


@pytest.mark.parametrize(
    ("name", "in_cyclonedx", "in_spdx"),
    [
        ("a", {"id": "MIT"}, "MIT"),
        ("bb", "MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("ccc", {"name": "BSD License"}, "LicenseRef-BSD-License-"),
        ("ffffff", {"id": "GPL-3.0"}, "GPL-3.0-only"),
        ("ggggggg", "LicenseRef-Ours AND MIT", "LicenseRef-Ours AND MIT"),
    ],
)
def test_a_licence_is_an_id_an_expression_or_a_name(
    name: str, in_cyclonedx: dict[str, str] | str, in_spdx: str
) -> None:
    (component,) = (item for item in _cyclonedx()["components"] if item["name"] == name)
    (entry,) = component["licenses"]
    if isinstance(in_cyclonedx, str):
        assert entry == {"expression": in_cyclonedx, "acknowledgement": "declared"}
    else:
        assert entry == {"license": in_cyclonedx | {"acknowledgement": "declared"}}
    (package,) = (item for item in _spdx_document()["packages"] if item["name"] == name)
    assert package["licenseDeclared"].startswith(in_spdx)


def test_several_licences_are_all_told_and_not_combined() -> None:
    (component,) = (item for item in _cyclonedx()["components"] if item["name"] == "dddd")
    assert sorted(item["license"].get("id") or item["license"]["name"] for item in component["licenses"]) == [
        "BSD License",
        "MIT",
    ]
    (package,) = (item for item in _spdx_document()["packages"] if item["name"] == "dddd")
    assert package["licenseDeclared"] == "NOASSERTION"
    assert "MIT; BSD License" in package["licenseComments"]


def test_names_that_look_alike_are_two_licences_in_spdx() -> None:
    declared = {item["name"]: item.get("licenseDeclared") for item in _spdx_document()["packages"]}
    assert declared["ccc"] != declared["jjjjjjjjjj"]


@pytest.mark.parametrize(("given", "seconds"), [(None, 0), ("", 0), ("1700000000", 1_700_000_000)])
def test_the_time_is_that_of_the_source_or_none(given: str | None, seconds: int) -> None:
    environment = {} if given is None else {"SOURCE_DATE_EPOCH": given}
    assert created_at(environment).timestamp() == seconds


@pytest.mark.parametrize("given", ["yesterday", "1e9", "9" * 40])
def test_a_time_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SbomError, match="SOURCE_DATE_EPOCH"):
        created_at({"SOURCE_DATE_EPOCH": given})
