"""A flavor of several indexes, locked, prefetched and built with no network."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import factory
from support.index_server import IndexServer
from support.podman import podman
from support.small_flavors import make_flavor
from support.wheels import make_wheel

pytestmark = pytest.mark.container


@pytest.fixture
def tag() -> Iterator[str]:
    name = f"localhost/universal-image-tests:indexes-{os.getpid()}"
    yield name
    podman("image", "rm", "--force", name, status=None)


def test_every_file_of_a_lock_is_installed_and_each_package_is_its_own_indexs(
    tmp_path: Path, base_image: str, tag: str
) -> None:
    main, extra = tmp_path / "main", tmp_path / "extra"
    make_wheel(main, "small", "1.0", requires=["kernel"])
    make_wheel(main, "kernel", "99.0")
    make_wheel(extra, "kernel", "2.0")
    with IndexServer(folder=main) as main_index, IndexServer(folder=extra) as extra_index:
        flavor = make_flavor(tmp_path, index_url=main_index.url, dependencies=["small"])
        project = flavor.folder / "pyproject.toml"
        with project.open("a") as file:
            for name, packages in (("extra", '["kernel"]'), ("idle", '["of-no-use"]')):
                file.write(f'[[tool.factory.indexes]]\nname = "{name}"\nurl = "{extra_index.url}"\n')
                file.write(f"packages = {packages}\n")
        make_wheel(extra, "of-no-use", "1.0")
        for words in (("sync",), ("lock",), ("prefetch", "--output", tmp_path / "prefetched")):
            factory("--root", tmp_path, words[0], flavor.name, *words[1:])
    # The indexes are gone: what is built comes from the folder.
    factory(
        "--root", tmp_path, "build", flavor.name, "--base-image", base_image, "--tag", tag,
        "--prefetched", tmp_path / "prefetched",
    )  # fmt: skip
    code = "import small, kernel; print(small.__version__, kernel.__version__)"
    assert podman("run", "--rm", tag, "python", "-c", code).split() == ["1.0", "2.0"]
