"""FAC336: a committed bill of materials says what the lock says, as it was written."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import NAME, lock_text, make_flavor, make_repository
from support.sboms import put_sbom, sbom_of

from factory.check.check import check_flavor
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, format_lock, parse_lock
from factory.lock.lockset import inputs_digest
from factory.render.drift import SBOM_FILE
from factory.sbom.cyclonedx import to_cyclonedx
from factory.sbom.model import Sbom, SbomFile, SbomPackage

TODAY = dt.date(2026, 11, 22)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _found(flavor: Flavor) -> dict[str, str]:
    root = flavor.folder.parents[1]
    return {item.code: item.message for item in check_flavor(Flavor(flavor.folder), root=root, today=TODAY)}


def test_a_flavor_is_clean_without_a_bill_and_with_that_of_its_lock(flavor: Flavor) -> None:
    assert "FAC336" not in _found(flavor)
    put_sbom(flavor)
    assert not {"FAC336", "FAC104"} & set(_found(flavor))


def _first(sbom: Sbom, **changes: Any) -> Sbom:  # noqa: ANN401
    """The sbom with another first package, which is numpy."""
    first, *others = sbom.packages
    return replace(sbom, packages=(replace(first, **changes), *others))


def _one_file_less(sbom: Sbom) -> Sbom:
    return _first(sbom, files=sbom.packages[0].files[:1])


def _another_hash(sbom: Sbom) -> Sbom:
    first, *others = sbom.packages[0].files
    return _first(sbom, files=(replace(first, sha256="0" * 64), *others))


def _another_name(sbom: Sbom) -> Sbom:
    first, *others = sbom.packages[0].files
    return _first(sbom, files=(replace(first, name="numpy-2.4.1-py3-none-any.whl"), *others))


def _one_more(sbom: Sbom) -> Sbom:
    files = (SbomFile(name="zipp-1-py3-none-any.whl", sha256="1" * 64),)
    more = SbomPackage(name="zipp", version="1", index_url=None, beside_index=False, files=files)
    return replace(sbom, packages=(*sbom.packages, more))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda it: _first(it, version="2.4.0"), "numpy is locked as 2.4.1 and listed as 2.4.0"),
        (_another_hash, "numpy 2.4.1 is locked with other hashes"),
        (_one_file_less, "numpy 2.4.1 is locked with other hashes"),
        (_another_name, "numpy 2.4.1 is locked with other file names"),
        (lambda it: _first(it, index_url=None), "numpy is locked from another place"),
        (lambda it: _first(it, beside_index=True), "numpy is locked from another place"),
        (lambda it: replace(it, packages=it.packages[1:]), "numpy is locked and not listed"),
        (_one_more, "zipp is listed and not locked"),
        (lambda it: replace(it, flavor="th09"), "it is that of th09"),
        (
            lambda it: replace(it, base_image="quay.io/example/base:0"),
            "names the base image quay.io/example/b",
        ),
        (lambda it: replace(it, downstream_base_image="a/b:0"), "names the downstream base image a/b:0"),
    ],
)
def test_a_bill_of_another_lock_is_found(flavor: Flavor, change: Callable[[Sbom], Sbom], says: str) -> None:
    put_sbom(flavor, change(sbom_of(flavor)))
    found = _found(flavor)
    assert set(found) - {"FAC208"} == {"FAC336"}
    assert says in found["FAC336"]


def test_all_that_differs_is_counted(flavor: Flavor) -> None:
    put_sbom(flavor, replace(sbom_of(flavor), packages=()))
    assert "locked and not listed, and 4 more" in _found(flavor)["FAC336"]


def _licence(document: dict[str, Any]) -> None:
    document["components"][0]["licenses"] = [{"license": {"id": "Apache-2.0"}}]


def _serial(document: dict[str, Any]) -> None:
    document["serialNumber"] = "urn:uuid:00000000-0000-0000-0000-000000000000"


def _no_digest(document: dict[str, Any]) -> None:
    del document["metadata"]["properties"]


@pytest.mark.parametrize(
    ("edit", "says"),
    [(_licence, "was edited"), (_serial, "was edited"), (_no_digest, "is no bill of materials")],
)
def test_a_bill_that_was_edited_is_found(
    flavor: Flavor, edit: Callable[[dict[str, Any]], None], says: str
) -> None:
    document = json.loads(to_cyclonedx(sbom_of(flavor)))
    edit(document)
    (flavor.folder / SBOM_FILE).write_text(json.dumps(document))
    assert says in _found(flavor)["FAC336"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"metadata": 1}', b"[" * 100_000, b"<<<<<<< HEAD\n{}"]
)
def test_what_is_no_bill_is_found(flavor: Flavor, content: bytes) -> None:
    (flavor.folder / SBOM_FILE).write_bytes(content)
    assert "is no bill of materials that `factory sbom` wrote" in _found(flavor)["FAC336"]


def test_a_package_that_a_folder_of_wheels_gave_is_listed_so(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path), locked=False)
    parsed = flavor.project
    content = format_lock(
        parse_lock(lock_text()).pins,
        index_url=parsed.spec.index_url,
        inputs=inputs_digest(parsed),
        command="factory lock",
        platforms=parsed.spec.platforms,
        beside_index=["numpy"],
    )
    (flavor.folder / LOCK_FILE).write_text(content, encoding="utf-8")
    put_sbom(flavor)
    assert "FAC336" not in _found(flavor)
    bill = sbom_of(Flavor(flavor.folder))
    assert bill.packages[0].index_url is None
    # As it was told before: the index, and not from it.
    put_sbom(flavor, _first(bill, index_url=parsed.spec.index_url))
    assert "numpy is locked from another place" in _found(flavor)["FAC336"]
    put_sbom(flavor, _first(bill, index_url=parsed.spec.index_url, beside_index=False))
    assert "numpy is locked from another place" in _found(flavor)["FAC336"]


def test_how_the_same_words_are_spaced_is_no_matter(flavor: Flavor) -> None:
    (flavor.folder / SBOM_FILE).write_text(json.dumps(json.loads(to_cyclonedx(sbom_of(flavor)))))
    assert "FAC336" not in _found(flavor)


def test_a_bill_that_is_a_link_is_found(flavor: Flavor) -> None:
    put_sbom(flavor)
    elsewhere = flavor.folder.parents[1] / "elsewhere.json"
    (flavor.folder / SBOM_FILE).rename(elsewhere)
    (flavor.folder / SBOM_FILE).symlink_to(elsewhere)
    assert _found(flavor)["FAC106"] == "the bill of materials is a symbolic link"


def test_a_lock_that_cannot_be_read_has_its_own_findings_and_not_this_one(flavor: Flavor) -> None:
    put_sbom(flavor)
    path = flavor.folder / "requirements.txt"
    path.write_text(path.read_text().replace("numpy==2.4.1", "numpy>=2.4.1"))
    found = _found(flavor)
    assert "FAC303" in found
    assert "FAC336" not in found
    assert flavor.name == NAME
