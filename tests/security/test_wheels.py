"""Wheels that an attacker made: refused at each door, before a lock names them or a build installs them."""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.locks import resealed
from support.odd_wheels import (
    NAME,
    SEEN_IN_DIRECTORY,
    SEEN_IN_WHOLE,
    make_odd,
    make_valid,
    pack,
    wheel_files,
    zip64,
)
from support.wheels import sha256
from support.workshop import Workshop

from factory.errors import IndexContentError
from factory.index.cache import MetadataCache
from factory.index.client import IndexClient
from factory.index.wheel import check_wheel, read_directory

pytestmark = pytest.mark.integration

ODD = SEEN_IN_DIRECTORY | SEEN_IN_WHOLE
# One that uv installs, one that is about paths, one that shows in the whole file alone.
FOREIGN, OUTSIDE, HIDDEN = (
    "a dist-info folder of another package",
    "a path that leaves the folder",
    "a member that the directory does not list",
)
_PREFETCH, _CONTENT, _LAYERS = 20, 26, 20


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_wheel_is_refused(odd: str) -> None:
    with pytest.raises(IndexContentError, match=r"not a valid wheel|holds the metadata of"):
        check_wheel(io.BytesIO(ODD[odd]()), of=NAME)


@pytest.mark.parametrize("odd", SEEN_IN_DIRECTORY)
def test_what_shows_in_the_directory_is_refused_without_fetching_the_wheel(odd: str, tmp_path: Path) -> None:
    make_odd(tmp_path, SEEN_IN_DIRECTORY[odd]())
    with (
        IndexServer(folder=tmp_path) as index,
        IndexClient(index.url, environment={}, cache=tmp_path / "cache") as client,
    ):
        (file,) = client.project("lib") or ()
        with pytest.raises(IndexContentError):
            client.metadata(file)
        assert all("Range" in request.headers for request in index.requested(f"/files/{NAME}"))


def _with_a_compiled_file(record: str) -> str:
    return f"{record}lib/__pycache__/a.pyc,,\n"


def _without_a_digest(record: str) -> str:
    return record.partition(",sha256=")[0] + ",,\n" + record.partition("\n")[2]


def _as_on_windows(record: str) -> str:
    return record.replace("/", "\\")


USUAL = {
    "stored": pack(wheel_files()),
    "deflated": pack(wheel_files(), method=zipfile.ZIP_DEFLATED),
    "folders": pack(wheel_files() | {"lib/": b"", "lib/data/": b""}),
    "names not normalized": pack(
        wheel_files(info="Lib-1.0.0.dist-info", name="LIB"), info="Lib-1.0.0.dist-info"
    ),
    "metadata of what is vendored": pack(wheel_files() | {"vendor/other-2.dist-info/METADATA": b""}),
    "data and umlauts": pack(wheel_files() | {"lib-1.0.data/scripts/run": b"#!python\n", "lib/ü.txt": b""}),
    "a compiled file in RECORD alone": pack(wheel_files(), record=_with_a_compiled_file),
    "a RECORD of Windows": pack(wheel_files(), record=_as_on_windows),
    "no digest in RECORD": pack(wheel_files(), record=_without_a_digest),
    "a ZIP64 end": zip64(),
    "a comment, as maturin wrote": pack(wheel_files())[:-2] + b"\x06\0zip-rs",
}


@pytest.mark.parametrize("usual", USUAL)
def test_what_is_usual_in_wheels_is_accepted(usual: str) -> None:
    assert read_directory(io.BytesIO(USUAL[usual]), of=NAME).dist_info.lower().startswith("lib-1.0")
    check_wheel(io.BytesIO(USUAL[usual]), of=NAME)


def test_a_wheel_with_data_descriptors_is_accepted() -> None:
    class Stream(io.BytesIO):
        """What cannot be sought back in, as a pipe, so that sizes come behind the contents."""

        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError("a stream")

        def tell(self) -> int:
            raise OSError("a stream")

    files, stream = wheel_files(), Stream()
    with zipfile.ZipFile(io.BytesIO(pack(files))) as source, zipfile.ZipFile(stream, "w") as archive:
        for name in source.namelist():
            archive.writestr(zipfile.ZipInfo(name), source.read(name))
    assert b"PK\x07\x08" in stream.getvalue()
    check_wheel(io.BytesIO(stream.getvalue()), of=NAME)


def test_a_wheel_with_sizes_of_64_bits_is_accepted() -> None:
    files, buffer = wheel_files(), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pack(files))) as source, zipfile.ZipFile(buffer, "w") as archive:
        for name in source.namelist():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(source.read(name))
    check_wheel(buffer, of=NAME)


@pytest.mark.parametrize(
    ("file_name", "info"),
    [
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "torch-2.13.0+cpu.dist-info"),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "torch-2.13.0_cpu.dist-info"),
        ("Foo.Bar-1.0-1-py2.py3-none-any.whl", "Foo.Bar-1.0.dist-info"),
        ("foo_bar-1.0-py3-none-any.whl", "foo-bar-1.0.dist-info"),
        ("foo-1!2.0rc1-py3-none-any.whl", "foo-1!2.0.rc1.dist-info"),
    ],
)
def test_a_folder_in_an_older_spelling_is_accepted(file_name: str, info: str) -> None:
    name, version = file_name.split("-")[:2]
    content = pack(wheel_files(info=info, name=name, version=version), info=info)
    assert check_wheel(io.BytesIO(content), of=file_name).dist_info == info


@pytest.fixture(params=[FOREIGN, OUTSIDE, HIDDEN])
def odd(request: pytest.FixtureRequest) -> Callable[[], bytes]:
    return ODD[request.param]


@pytest.fixture(params=[FOREIGN, OUTSIDE])
def odd_directory(request: pytest.FixtureRequest) -> Callable[[], bytes]:
    return SEEN_IN_DIRECTORY[request.param]


@pytest.fixture
def locked(workshop: Workshop, odd: Callable[[], bytes]) -> Path:
    """A flavor whose lock names an odd wheel by its digest, as one that was edited or made elsewhere does."""
    return _locked_to(workshop, odd())


def _locked_to(workshop: Workshop, content: bytes) -> Path:
    folder = workshop.flavor("lib")
    valid = make_valid(workshop.pushed)
    workshop.locked(folder)
    before = sha256(valid)
    make_odd(workshop.pushed, content)
    lock = folder / "requirements.txt"
    size = f", {valid.stat().st_size} bytes"
    lock.write_text(resealed(re.sub(r", \d+ bytes", size, lock.read_text().replace(before, sha256(valid)))))
    return folder


def test_a_prefetch_refuses_it_from_the_index(workshop: Workshop, locked: Path, tmp_path: Path) -> None:
    run = workshop.run("prefetch", locked.name, "--output", str(tmp_path / "out"))
    assert run.status == _PREFETCH
    assert f"{NAME} is not a valid wheel" in run.err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_prefetch_refuses_it_from_a_local_folder(workshop: Workshop, locked: Path, tmp_path: Path) -> None:
    links = ("--find-links", str(workshop.pushed))
    run = workshop.run("prefetch", locked.name, "--output", str(tmp_path / "out"), *links)
    assert run.status == _PREFETCH
    assert f"{NAME} is not a valid wheel" in run.err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_prefetch_refuses_it_where_it_is_already(workshop: Workshop, locked: Path, tmp_path: Path) -> None:
    there = tmp_path / "out" / "output" / "deps" / "pip" / NAME
    there.parent.mkdir(parents=True)
    there.write_bytes((workshop.pushed / NAME).read_bytes())
    for _ in range(2):
        run = workshop.run("prefetch", locked.name, "--output", str(tmp_path / "out"))
        assert run.status == _PREFETCH
        assert f"{NAME} is not a valid wheel" in run.err
    assert not (tmp_path / "out" / "cachi2.env").exists()


def test_a_dry_run_refuses_it_where_it_is_already(workshop: Workshop, locked: Path, tmp_path: Path) -> None:
    there = tmp_path / "out" / "output" / "deps" / "pip" / NAME
    there.parent.mkdir(parents=True)
    there.write_bytes((workshop.pushed / NAME).read_bytes())
    run = workshop.run("prefetch", locked.name, "--output", str(tmp_path / "out"), "--dry-run")
    assert run.status == _PREFETCH
    assert f"{NAME} is not a valid wheel" in run.err


@pytest.mark.parametrize("where", ["prefetched", "find-links"])
def test_a_bill_of_materials_refuses_it(workshop: Workshop, locked: Path, tmp_path: Path, where: str) -> None:
    folder = tmp_path / "out" / "output" / "deps" / "pip"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes((workshop.pushed / NAME).read_bytes())
    place = str(tmp_path / "out" if where == "prefetched" else folder)
    run = workshop.run("sbom", locked.name, f"--{where}", place)
    assert run.status == _CONTENT
    assert f"{NAME} is not a valid wheel" in run.err


def test_layers_are_not_chosen_by_its_sizes(workshop: Workshop, locked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "output" / "deps" / "pip"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes((workshop.pushed / NAME).read_bytes())
    run = workshop.run("layers", locked.name, "--prefetched", str(tmp_path / "out"))
    assert run.status == _LAYERS
    assert f"{NAME} is not a valid wheel" in run.err


@pytest.mark.parametrize("served", [True, False], ids=["metadata served", "in the wheel"])
def test_a_lock_of_a_private_index_refuses_it(
    workshop: Workshop, odd_directory: Callable[[], bytes], *, served: bool
) -> None:
    workshop.index.metadata = served
    if served:
        workshop.index.told_metadata[NAME] = wheel_files()["lib-1.0.dist-info/METADATA"]
    make_odd(workshop.pushed, odd_directory())
    folder = workshop.flavor("lib")
    run = workshop.lock(folder.name)
    assert run.status == _CONTENT
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize("served", [True, False], ids=["metadata served", "in the wheel"])
def test_rehashing_refuses_it(
    workshop: Workshop, odd_directory: Callable[[], bytes], *, served: bool
) -> None:
    folder = workshop.flavor("lib")
    make_valid(workshop.pushed)
    workshop.locked(folder)
    before = (folder / "requirements.txt").read_bytes()
    workshop.index.metadata = served
    if served:
        workshop.index.told_metadata[NAME] = wheel_files()["lib-1.0.dist-info/METADATA"]
    make_odd(workshop.pushed, odd_directory())
    run = workshop.run("rehash", folder.name)
    assert run.status == _CONTENT
    assert f"{NAME} is not a valid wheel" in run.err
    assert (folder / "requirements.txt").read_bytes() == before


def test_a_lock_refuses_a_folder_of_wheels_that_has_it(
    workshop: Workshop, odd: Callable[[], bytes], tmp_path: Path
) -> None:
    make_odd(tmp_path / "wheels", odd())
    folder = workshop.flavor("lib")
    run = workshop.lock(folder.name, "--find-links", str(tmp_path / "wheels"))
    assert run.status == _CONTENT
    assert f"{NAME} is not a valid wheel" in run.err
    assert not (folder / "requirements.txt").exists()


def test_rehashing_refuses_it_in_a_folder_of_wheels(
    workshop: Workshop, odd: Callable[[], bytes], tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    make_valid(wheels)
    folder = workshop.flavor("lib")
    workshop.locked(folder, "--find-links", str(wheels))
    before = (folder / "requirements.txt").read_bytes()
    make_odd(wheels, odd())
    run = workshop.run("rehash", folder.name, "--find-links", str(wheels))
    assert run.status == _CONTENT
    assert (folder / "requirements.txt").read_bytes() == before


def test_what_was_checked_under_one_name_is_not_taken_under_another(tmp_path: Path) -> None:
    """The note that a wheel was checked counts for its name: the same bytes may be another package's."""
    cache = MetadataCache(tmp_path)
    digest = hashlib.sha256(b"x").hexdigest()
    cache.put_checked("lib-1.0-py3-none-any.whl", digest, b"Name: lib\n")
    assert cache.get_checked("lib-1.0-py3-none-any.whl", digest) == b"Name: lib\n"
    assert cache.get_checked("evil-1.0-py3-none-any.whl", digest) is None
    assert cache.get_checked("lib-1.0-py3-none-any.whl", digest[::-1]) is None
