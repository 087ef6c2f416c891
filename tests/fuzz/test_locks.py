"""Lock lines against pip's own parser: a lock that passes the rules is read by pip as by the factory."""

import datetime as dt
import functools
import hashlib
import re
import tempfile
from pathlib import Path

from fuzz.searching import searched
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pip._internal.exceptions import PipError
from pip._internal.network.session import PipSession
from pip._internal.req import req_file
from support.clean_flavor import lock_text, make_flavor, make_repository

from factory.check.check import check_flavor
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, parse_lock

Pinned = tuple[str, str, frozenset[str]]
PIECES = st.sampled_from(
    [
        *(
            "\\",
            "\\\n",
            " \\\n",
            "\\\r\n",
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "\x0b",
            "\x0c",
            "\x1c",
            "\x85",
            "\u2028",
        ),
        *(
            " ",
            "    ",
            "\t",
            "\u00a0",
            "\ufeff",
            "#",
            " # ",
            " # comment\n",
            "\n# comment\n",
            "    # comment\\\n",
        ),
        *(
            f"--hash=sha256:{'a' * 64}",
            f" --hash=sha256:{'B' * 64}",
            f"--hash sha256:{'c' * 64}",
            "--hash=md5:00",
        ),
        *(f" # --hash=sha256:{'d' * 64}", f"\n    --hash=sha256:{'e' * 64}", "--hash", "="),
        *("six==1.16\n", "six===1.16\n", "a[b]==1\n", "x==1.*\n", "y>=1\n", "z\n", "; python_version > '3'"),
        *("--index-url https://x.example.com/simple/\n", "-i x\n", "--extra-index-url=x\n", "-r other.txt\n"),
        *(
            "--trusted-host h\n",
            "--require-hashes\n",
            "--pre\n",
            "-e .\n",
            "${HOME}",
            "@",
            "./x.whl\n",
            "'",
            '"',
        ),
    ]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 3)), min_size=1, max_size=3)


@searched(EDITS, examples=200)
def test_a_lock_that_passes_is_read_by_pip_as_by_the_factory(edits: list[tuple[float, str, int]]) -> None:
    """Edits, with the digest of the contents written again: refused by a rule, or the same to both."""
    text = _edited(edits)
    flavor = _flavor()
    lock_file = flavor.folder / LOCK_FILE
    lock_file.write_bytes(text.encode())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=dt.date(2026, 12, 1))
    if any(item.severity == "error" and item.path.endswith(LOCK_FILE) for item in found):
        return
    ours = {
        (pin.name, f"=={pin.version}", frozenset(artifact.sha256 for artifact in pin.artifacts))
        for pin in parse_lock(text).pins
    }
    assert ours == _by_pip(lock_file), text


def test_the_lock_without_an_edit_passes_and_is_the_same_to_both() -> None:
    """Otherwise the search would look at refused locks alone."""
    flavor = _flavor()
    (flavor.folder / LOCK_FILE).write_text(lock_text())
    found = check_flavor(flavor, root=flavor.folder.parents[1], today=dt.date(2026, 12, 1))
    assert [item for item in found if item.severity == "error"] == []
    assert len(_by_pip(flavor.folder / LOCK_FILE) or ()) == len(parse_lock(lock_text()).pins) > 0


@functools.cache
def _flavor() -> Flavor:
    return make_flavor(make_repository(Path(tempfile.mkdtemp(prefix="factory-fuzz-"))))


def _edited(edits: list[tuple[float, str, int]]) -> str:
    head, _, contents = lock_text().partition("# contents: ")
    contents = contents.partition("\n")[2]
    for place, piece, removed in edits:
        at = int(place * len(contents))
        contents = contents[:at] + piece + contents[at + removed :]
    digest = hashlib.sha256(contents.encode()).hexdigest()
    return f"{head}# contents: sha256:{digest}\n{contents}"


def _by_pip(path: Path) -> set[Pinned] | None:
    """What pip would install, in its own reading of the file; None where it refuses it."""
    try:
        lines = list(req_file.parse_requirements(str(path), PipSession()))
        read = [(Requirement(line.requirement), line.options or {}) for line in lines]
    except (PipError, InvalidRequirement):
        return None
    return {
        (canonicalize_name(item.name), re.sub(r"\s", "", str(item.specifier)), frozenset(_sha256(options)))
        for item, options in read
    }


def _sha256(options: dict[str, object]) -> list[str]:
    hashes = options.get("hashes")
    assert isinstance(hashes, dict) or hashes is None
    return [digest.lower() for digest in (hashes or {}).get("sha256", [])]
