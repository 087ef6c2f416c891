"""Locks that say one thing to the factory and another to pip, uv or Hermeto, with a digest that fits."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clean_flavor import lock_text, make_flavor, make_repository
from support.lock_edits import EVIL, FORMS, MEANINGS
from support.locks import resealed

from factory.check.check import check_flavor
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, parse_lock

TODAY = dt.date(2026, 12, 1)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _codes(flavor: Flavor, text: str) -> set[str]:
    (flavor.folder / LOCK_FILE).write_bytes(text.encode())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    return {finding.code for finding in found if finding.path.endswith(LOCK_FILE)}


@pytest.mark.parametrize("edit", FORMS.values(), ids=FORMS)
def test_a_lock_in_another_form_is_an_edited_one_whatever_its_digest(
    flavor: Flavor, edit: Callable[[str], str]
) -> None:
    text = edit(lock_text())
    assert text != lock_text()
    assert {"FAC309", "FAC302"} & _codes(flavor, resealed(text))
    assert not parse_lock(resealed(text)).as_locked


@pytest.mark.parametrize("edit", (FORMS | MEANINGS).values(), ids=FORMS | MEANINGS)
@pytest.mark.parametrize("reseal", [False, True], ids=["as it comes", "with its digest written again"])
def test_an_edited_lock_is_an_error_of_check(
    flavor: Flavor, edit: Callable[[str], str], *, reseal: bool
) -> None:
    text = edit(lock_text())
    assert text != lock_text()
    (flavor.folder / LOCK_FILE).write_bytes((resealed(text) if reseal else text).encode())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    assert [item for item in found if item.severity == "error" and item.path.endswith(LOCK_FILE)]


def test_a_hash_in_a_comment_is_none_of_the_pins() -> None:
    text = resealed(FORMS["a hash in a comment behind a hash"](lock_text()))
    assert EVIL not in {artifact.sha256 for pin in parse_lock(text).pins for artifact in pin.artifacts}
    (pin,) = parse_lock(f"evil==1  # --hash=sha256:{EVIL}\n").pins
    assert pin.artifacts == ()


def test_the_lock_that_the_factory_writes_is_as_locked(flavor: Flavor) -> None:
    assert not _codes(flavor, lock_text())
    assert parse_lock(resealed(lock_text())).as_locked


def test_line_endings_of_windows_are_named_as_that(flavor: Flavor) -> None:
    (flavor.folder / LOCK_FILE).write_text(lock_text(), encoding="utf-8", newline="\r\n")
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    (finding,) = [item for item in found if item.code == "FAC309"]
    assert "CRLF" in finding.message
    assert ".gitattributes" in finding.solution
