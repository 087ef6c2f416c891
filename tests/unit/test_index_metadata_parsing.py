"""Core metadata and the wheels that hold it, as they come and as they should not."""

import io
import zipfile
from pathlib import Path

import pytest
from support.wheels import make_wheel, metadata

from factory.errors import IndexContentError
from factory.index.client import RangeFile
from factory.index.metadata import check_identity, parse_metadata
from factory.index.wheel import read_directory

_OF = "some_lib-1.0-py3-none-any.whl"
_NEEDED = ("METADATA", "WHEEL", "RECORD")


@pytest.mark.parametrize(
    ("name", "version"), [("Some.Lib", "1.0"), ("some-lib", "1.0.0"), ("SOME_LIB", "v1")]
)
def test_the_same_package_in_another_spelling_is_the_same(name: str, version: str) -> None:
    assert parse_metadata(metadata(name, version), of=_OF).name == "some-lib"


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("evil", "1.0", "holds the metadata of evil 1.0"),
        ("some-lib", "1.1", "holds the metadata of some-lib 1.1"),
        ("some-lib", "1.0+cpu", r"some-lib 1\.0\+cpu"),
    ],
)
def test_metadata_of_another_package_is_refused(name: str, version: str, said: str) -> None:
    with pytest.raises(IndexContentError, match=said):
        parse_metadata(metadata(name, version), of=_OF)
    with pytest.raises(IndexContentError, match=said):
        check_identity(metadata(name, version), of=_OF)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff",
        b"Name: some-lib\n",
        b"Version: 1.0\n",
        b"Name: some-lib\nVersion: one\n",
        b"Name: -\nVersion: 1\n",
    ],
)
def test_metadata_that_names_no_package_cannot_be_read(content: bytes) -> None:
    with pytest.raises(IndexContentError, match=r"the metadata of some_lib.* cannot be read"):
        parse_metadata(content, of=_OF)


def test_a_requirement_that_is_none_is_an_error_and_no_doubt_about_the_package() -> None:
    content = metadata("some-lib", "1.0", requires=["attrs (>=1.*)"])
    with pytest.raises(IndexContentError, match="attrs"):
        parse_metadata(content, of=_OF)
    check_identity(content, of=_OF)


def test_an_old_requires_python_is_given_as_it_is() -> None:
    content = metadata("some-lib", "1.0", requires_python=">=3.6.*")
    assert parse_metadata(content, of=_OF).requires_python == ">=3.6.*"


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a valid wheel"),
        (b"PK\x03\x04 and nothing else", "not a valid wheel"),
        (_zip({"lib.py": b""}), "it has 0 dist-info folders"),
        (_zip({"a-1.dist-info/METADATA": b"", "b-1.dist-info/METADATA": b""}), "it has 2 dist-info folders"),
        (_zip({"some_lib-1.0.dist-info/deeper/METADATA": b""}), "it has no some_lib-1.0.dist-info/METADATA"),
        (
            _zip({f"some_lib-1.0.dist-info/{name}": b"x" * (17 << 20) for name in _NEEDED}),
            "larger than any package's",
        ),
    ],
)
def test_what_is_not_a_valid_wheel_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(IndexContentError, match=said):
        read_directory(io.BytesIO(content), of=_OF)


def test_a_wheel_that_is_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = make_wheel(tmp_path, "some-lib", "1.0").read_bytes()
    for end in range(len(whole)):
        with pytest.raises(IndexContentError, match="is not a valid wheel"):
            read_directory(io.BytesIO(whole[:end]), of=_OF)


def test_a_wheel_is_read_in_a_few_pieces_from_its_end(tmp_path: Path) -> None:
    content = make_wheel(tmp_path, "some-lib", "1.0", payload=3_000_000).read_bytes()
    asked: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    found = read_directory(RangeFile(fetch, len(content)), of=_OF)
    assert found.metadata == metadata("some-lib", "1.0")
    assert asked[0][1] == len(content)
    assert sum(end - start for start, end in asked) < 100_000


def test_a_directory_that_claims_to_be_endless_is_not_read() -> None:
    # The end record of a zip file that says: a directory of 4 GB, from the beginning of the file.
    size = 1 << 32
    end = b"PK\x05\x06" + bytes(4) + b"\1\0\1\0" + (size - 23).to_bytes(4, "little") + bytes(4) + bytes(2)
    fetched = 0

    def fetch(start: int, stop: int) -> bytes:
        nonlocal fetched
        fetched += stop - start
        tail = bytes(max(0, stop - start - len(end))) + end
        return tail[-(stop - start) :]

    with pytest.raises(IndexContentError, match="not a valid wheel"):
        read_directory(RangeFile(fetch, size), of=_OF)
    assert fetched < (1 << 20)
