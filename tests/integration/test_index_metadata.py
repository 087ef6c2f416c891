"""Metadata of packages from a real index on loopback: served beside the file, or read out of it."""

from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_wheel

from factory.index.client import IndexClient, Patience
from factory.index.metadata import Metadata
from factory.index.pages import IndexFile

pytestmark = pytest.mark.integration

_QUICK = Patience(
    connect_seconds=1.0, read_seconds=0.3, attempts=3, pause_seconds=0.01, longest_pause_seconds=0.05
)


def only_file(reader: IndexClient, name: str = "lib") -> IndexFile:
    files = reader.project(name)
    assert files is not None
    (file,) = files
    return file


def read(index: IndexServer, name: str = "lib") -> Metadata:
    with IndexClient(index.url, patience=_QUICK, environment={}) as reader:
        return reader.metadata(only_file(reader, name))


@pytest.mark.parametrize("json_pages", [True, False])
@pytest.mark.parametrize(("served", "ranges"), [(True, True), (False, True), (False, False)])
def test_metadata_is_the_same_from_wherever_it_comes(
    tmp_path: Path, *, json_pages: bool, served: bool, ranges: bool
) -> None:
    wheel = make_wheel(
        tmp_path,
        "Some.Lib",
        "1.0",
        requires=["attrs>=20", 'numpy ; python_version < "3.13"'],
        extras={"GPU_things": ["Flash_Attn>=2"]},
        requires_python=">=3.11",
        payload=100_000,
    )
    with IndexServer(folder=tmp_path, json_pages=json_pages, metadata=served, ranges=ranges) as index:
        found = read(index, "some-lib")
        of_wheel = index.requested(f"/files/{wheel.name}")
    assert (found.name, found.version, found.requires_python) == ("some-lib", "1.0", ">=3.11")
    assert [str(requirement) for requirement in found.requires] == [
        "attrs>=20",
        'numpy; python_version < "3.13"',
        'Flash_Attn>=2; extra == "gpu-things"',  # PEP 685
    ]
    assert found.extras == {"gpu-things"}
    assert bool(of_wheel) != served
    assert all("Range" in request.headers for request in of_wheel) == (served or ranges)
