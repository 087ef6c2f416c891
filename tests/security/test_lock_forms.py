"""Locks that say one thing to the factory and another to pip, uv or Hermeto, with a digest that fits."""

import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clean_flavor import INDEX, lock_text, make_flavor, make_repository

from factory.check.check import check_flavor
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, parse_lock

TODAY = dt.date(2026, 12, 1)
CONTENTS = "# contents: "
EVIL = "e" * 64
FIRST = lock_text().partition("--hash=sha256:")[2][:64]
PIN = f"evil==1 \\\n    --hash=sha256:{EVIL}\n"


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _resealed(text: str) -> str:
    """A lock with the digest of its contents written again, as an attacker does it."""
    head, _, rest = text.partition(CONTENTS)
    contents = rest.partition("\n")[2]
    return f"{head}{CONTENTS}sha256:{hashlib.sha256(contents.encode()).hexdigest()}\n{contents}"


def _codes(flavor: Flavor, text: str) -> set[str]:
    (flavor.folder / LOCK_FILE).write_bytes(text.encode())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    return {finding.code for finding in found if finding.path.endswith(LOCK_FILE)}


def _after_index(added: str) -> Callable[[str], str]:
    line = f"--index-url {INDEX}\n"
    return lambda text: text.replace(line, line + added)


EDITS: dict[str, Callable[[str], str]] = {
    "a hash in a comment behind a hash": lambda text: text.replace(
        f"--hash=sha256:{FIRST}", f"--hash=sha256:{FIRST}  # --hash=sha256:{EVIL}"
    ),
    "a hash in a comment behind a version": _after_index(f"evil==1  # --hash=sha256:{EVIL}\n"),
    "a pin above the contents": lambda text: text.replace(CONTENTS, f"{PIN}{CONTENTS}"),
    "an option above the contents": lambda text: text.replace(
        CONTENTS, f"--trusted-host files.example.com\n{CONTENTS}"
    ),
    "a pin behind a vertical tab of the head": lambda text: text.replace(
        "# platforms:", f"# platforms: \x0b{PIN}# platforms:"
    ),
    "line endings of Windows": lambda text: text.replace("\n", "\r\n"),
    "one carriage return": lambda text: text.replace("\n", "\r\n", 1),
    "a carriage return alone": _after_index("# a comment\revil==1\n"),
    "a vertical tab": _after_index("# a comment\x0bevil==1\n"),
    "a line separator": _after_index("# a comment\u2028evil==1\n"),
    "a byte-order mark": lambda text: f"\ufeff{text}",
    "a second option": _after_index("--require-hashes\n"),
    "a hash in capitals": lambda text: text.replace(FIRST, FIRST.upper()),
    "an extra": lambda text: text.replace("numpy==", "numpy[evil]=="),
    "a comment that goes on": _after_index(f"# a comment \\\n{PIN}"),
    "a variable": _after_index("${EVIL}\n"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_lock_in_another_form_is_an_edited_one_whatever_its_digest(
    flavor: Flavor, edit: Callable[[str], str]
) -> None:
    text = edit(lock_text())
    assert text != lock_text()
    assert {"FAC309", "FAC302"} & _codes(flavor, _resealed(text))
    assert not parse_lock(_resealed(text)).as_locked


def test_a_hash_in_a_comment_is_none_of_the_pins() -> None:
    text = _resealed(EDITS["a hash in a comment behind a hash"](lock_text()))
    assert EVIL not in {artifact.sha256 for pin in parse_lock(text).pins for artifact in pin.artifacts}
    (pin,) = parse_lock(f"evil==1  # --hash=sha256:{EVIL}\n").pins
    assert pin.artifacts == ()


def test_the_lock_that_the_factory_writes_is_as_locked(flavor: Flavor) -> None:
    assert not _codes(flavor, lock_text())
    assert parse_lock(_resealed(lock_text())).as_locked


def test_line_endings_of_windows_are_named_as_that(flavor: Flavor) -> None:
    (flavor.folder / LOCK_FILE).write_text(lock_text(), encoding="utf-8", newline="\r\n")
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    (finding,) = [item for item in found if item.code == "FAC309"]
    assert "CRLF" in finding.message
    assert ".gitattributes" in finding.solution
