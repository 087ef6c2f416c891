"""Wheels with bytes changed: only errors of the family, and what passes is read alike from both ends."""

import io
import tempfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from fuzz.searching import searched
from hypothesis import strategies as st
from support.wheels import make_wheel

from factory.errors import FactoryError
from factory.index.wheel import check_wheel

_FILE = make_wheel(
    Path(tempfile.mkdtemp(prefix="factory-fuzz-")), "sample", "1.0", modules={"sample": "a = 1\n" * 9}
)
WHEEL, NAME = _FILE.read_bytes(), _FILE.name
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4
)


@searched(CHANGES)
def test_a_changed_wheel_is_refused_or_read_alike_by_both_kinds_of_readers(
    changes: list[tuple[float, bytes, int]],
) -> None:
    """What passes has one content: by the directory at its end, and by the headers before its members."""
    content = WHEEL
    for place, put, removed in changes:
        at = int(place * len(content))
        content = content[:at] + put + content[at + removed :]
    with suppress(FactoryError):
        check_wheel(io.BytesIO(content), of=NAME)
        assert _by_directory(content) == _by_headers(content)


def test_the_wheel_without_a_change_passes() -> None:
    """Otherwise the search would look at refusals alone."""
    check_wheel(io.BytesIO(WHEEL), of=NAME)
    assert len(_by_directory(WHEEL)) == len(_by_headers(WHEEL)) > 0


def _by_directory(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(member.filename, archive.read(member)) for member in archive.infolist()]


def _by_headers(content: bytes) -> list[tuple[str, bytes]]:
    """The members as a reader finds them that takes an archive as it comes (APPNOTE 4.3.7)."""
    found = []
    at = 0
    while content[at : at + 4] == b"PK\x03\x04":
        method = int.from_bytes(content[at + 8 : at + 10], "little")
        size = int.from_bytes(content[at + 18 : at + 22], "little")
        name = int.from_bytes(content[at + 26 : at + 28], "little")
        extra = int.from_bytes(content[at + 28 : at + 30], "little")
        start = at + 30 + name + extra
        data = content[start : start + size]
        read = zlib.decompress(data, -15) if method == zipfile.ZIP_DEFLATED else data
        found.append((content[at + 30 : at + 30 + name].decode(), read))
        at = start + size
    return found
