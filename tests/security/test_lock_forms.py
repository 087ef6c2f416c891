"""Locks that say one thing to the factory and another to pip, uv or Hermeto, with a digest that fits."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clean_flavor import INDEX, lock_text, make_flavor, make_repository
from support.locks import CONTENTS, resealed

from factory.check.check import check_flavor
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, parse_lock

TODAY = dt.date(2026, 12, 1)
EVIL = "e" * 64
FIRST = lock_text().partition("--hash=sha256:")[2][:64]
HASH = f"--hash=sha256:{FIRST}"
PIN = f"evil==1 \\\n    --hash=sha256:{EVIL}\n"


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _codes(flavor: Flavor, text: str) -> set[str]:
    (flavor.folder / LOCK_FILE).write_bytes(text.encode())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=TODAY)
    return {finding.code for finding in found if finding.path.endswith(LOCK_FILE)}


def _entry(text: str, name: str) -> str:
    """The lines of one package."""
    lines = text.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    stop = next(
        (number for number in range(start + 1, len(lines)) if not lines[number].startswith("    ")),
        len(lines),
    )
    return "".join(lines[start:stop])


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
    "a tab before a hash": lambda text: text.replace("    --hash", "\t--hash", 1),
    "a blank at the end of a line": lambda text: text.replace(f"{FIRST} ", f"{FIRST}  ", 1),
    "no line feed at the end": lambda text: text.removesuffix("\n"),
    "an empty line": _after_index("\n"),
    "a blank for the equals sign of a hash": lambda text: text.replace("--hash=", "--hash ", 1),
    "a name in capitals": lambda text: text.replace("numpy==", "NumPy=="),
    "an underscore in a name": lambda text: text.replace("training-hub==", "training_hub=="),
    "blanks around the operator": lambda text: text.replace("numpy==", "numpy == "),
    "a hash twice": lambda text: text.replace(f"--hash=sha256:{FIRST}", f"--hash=sha256:{FIRST} {HASH}", 1),
    "a hash of nobody's file": lambda text: text.replace(" \\\n", f" \\\n    --hash=sha256:{EVIL} \\\n", 1),
    "pins in another order": lambda text: text.replace(_entry(text, "numpy"), "") + _entry(text, "numpy"),
    "a comment of a person": lambda text: f"{text}# numpy is fine\n",
}
# What another line says, in any form.
MEANINGS: dict[str, Callable[[str], str]] = {
    "three equals signs": lambda text: text.replace("numpy==", "numpy==="),
    "a range": lambda text: text.replace("numpy==", "numpy>="),
    "any patch": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.*"),
    "no version": lambda text: text.replace("numpy==2.4.1", "numpy"),
    "a marker": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.1 ; sys_platform == 'linux'"),
    "a package twice": lambda text: text + _entry(text, "numpy"),
    "a package more": lambda text: f"{text}{PIN}",
    "another version": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.2"),
    "a dependency of the project less": lambda text: text.replace(_entry(text, "numpy"), ""),
    "no hash": lambda text: text.replace(_entry(text, "numpy"), "numpy==2.4.1\n"),
    "a hash of MD5": lambda text: text.replace(f"sha256:{FIRST}", f"md5:{FIRST[:32]}"),
    "a hash of SHA-512": lambda text: text.replace(f"sha256:{FIRST}", f"sha512:{FIRST * 2}"),
    "a hash that is too short": lambda text: text.replace(FIRST, FIRST[:40]),
    "a path": lambda text: f"{text}./evil-1-py3-none-any.whl\n",
    "an address": lambda text: f"{text}evil @ https://files.example.com/evil-1-py3-none-any.whl\n",
    "a repository of git": lambda text: f"{text}git+https://git.example.com/evil.git\n",
    "an editable folder": lambda text: f"{text}-e .\n",
    "a second index": lambda text: f"{text}--extra-index-url https://evil.example.com/simple/\n",
    "another index": lambda text: text.replace(INDEX, "https://evil.example.com/simple/"),
    "another index later": lambda text: f"{text}-i https://evil.example.com/simple/\n",
    "no index": lambda text: text.replace(f"--index-url {INDEX}\n", ""),
    "the index without its last slash": lambda text: text.replace(INDEX, INDEX.removesuffix("/")),
    "a folder of wheels": lambda text: f"{text}--find-links /tmp/wheels\n",
    "another file of requirements": lambda text: f"{text}-r more.txt\n",
    "a file of constraints": lambda text: f"{text}-c more.txt\n",
    "a trusted host": lambda text: f"{text}--trusted-host evil.example.com\n",
    "source distributions": lambda text: f"{text}--no-binary :all:\n",
    "versions before a release": lambda text: f"{text}--pre\n",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_lock_in_another_form_is_an_edited_one_whatever_its_digest(
    flavor: Flavor, edit: Callable[[str], str]
) -> None:
    text = edit(lock_text())
    assert text != lock_text()
    assert {"FAC309", "FAC302"} & _codes(flavor, resealed(text))
    assert not parse_lock(resealed(text)).as_locked


@pytest.mark.parametrize("edit", (EDITS | MEANINGS).values(), ids=EDITS | MEANINGS)
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
    text = resealed(EDITS["a hash in a comment behind a hash"](lock_text()))
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
