"""A flavor built as Konflux's tasks build it, older and newer, with no network: always the same image."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.built import factory
from support.index_server import IndexServer
from support.konflux_rewrite import PROGRAMS, SOURCED, rewritten
from support.podman import podman
from support.small_flavors import make_flavor
from support.wheels import make_wheel

pytestmark = pytest.mark.container

# What Hermeto writes, which knows nothing of uv.
HERMETO = "export PIP_FIND_LINKS=/cachi2/output/deps/pip\nexport PIP_NO_INDEX=true\n"
HOOKS = r"""
[tool.factory.hooks]
before-install = '''
USER 0
RUN --mount=type=tmpfs,target=/scratch \
    echo "prepared with $PIP_NO_INDEX" > /scratch/said && \
    install -D -m 0644 /dev/null /opt/app-root/prepared
'''
"""
# Everything that a build adds: kind, mode, owner, path and target; then what the files hold. Byte code has
# times in it, and so has what uv notes of the time (ctime) of a wheel that it took from a folder.
PLACES = "/opt/app-root /usr/local/bin /usr/share/factory /licenses"
LIST = f"""
find {PLACES} -not -name '*.pyc' -printf '%y %m %U:%G %p %l\\n' | sort
find {PLACES} -type f -not -name '*.pyc' -not -name uv_cache.json -not -name RECORD \\
    -exec sha256sum {{}} + | sort
find {PLACES} -name RECORD -exec grep -v uv_cache.json {{}} + | sort
"""


@dataclass(frozen=True, kw_only=True)
class Prefetched:
    """A flavor that was locked against real indexes, its folder of artifacts, and what is to import."""

    folder: Path
    artifacts: Path
    check: str


@pytest.fixture
def flavor(tmp_path: Path) -> Prefetched:
    """Packages of two indexes, one lock file each, and steps of the flavor's own; the indexes are gone."""
    main, extra = tmp_path / "main", tmp_path / "extra"
    make_wheel(main, "small", "1.0", requires=["kernel"])
    make_wheel(main, "packaging", "99.0", modules={"packaging/__init__.py": ""})
    make_wheel(extra, "kernel", "2.0")
    with IndexServer(folder=main) as main_index, IndexServer(folder=extra) as extra_index:
        made = make_flavor(tmp_path, index_url=main_index.url, dependencies=["small", "packaging"])
        with (made.folder / "pyproject.toml").open("a") as file:
            file.write(f'[[tool.factory.indexes]]\nname = "extra"\nurl = "{extra_index.url}"\n')
            file.write(f'packages = ["kernel"]\n{HOOKS}')
        for words in (("sync",), ("lock",), ("prefetch", "--output", tmp_path / "prefetched")):
            factory("--root", tmp_path, words[0], made.name, *words[1:])
    assert len(list(made.folder.glob("requirements*.txt"))) == 2
    check = "import small, kernel; print(small.__version__, kernel.__version__)"
    return Prefetched(folder=made.folder, artifacts=tmp_path / "prefetched", check=check)


@pytest.fixture
def tags() -> Iterator[list[str]]:
    """Tags of images that the test makes; they are removed."""
    made: list[str] = []
    yield made
    for tag in made:
        podman("image", "rm", "--force", tag, status=None)


def _build(base: str, flavor: Prefetched, tags: list[str], *, text: str, mounted: Path) -> list[str]:
    """Build with no network and in one layer, as Konflux does, and list what the image has."""
    dockerfile = mounted / "Dockerfile"
    dockerfile.write_text(text)
    tag = f"localhost/universal-image-tests:konflux-{os.getpid()}-{len(tags)}"
    tags.append(tag)
    podman(
        "build", "--layers=false", "--pull=never", "--network", "none", "-f", dockerfile, "-t", tag,
        "--build-arg", f"BASE_IMAGE={base}", "-v", f"{mounted}:/cachi2:z", flavor.folder,
    )  # fmt: skip
    assert podman("run", "--rm", tag, "python", "-c", flavor.check).split() == ["1.0", "2.0"]
    return podman("run", "--rm", "--user", "0", "--entrypoint", "bash", tag, "-c", LIST).splitlines()


def _mounted(flavor: Prefetched, folder: Path, *, name: str, environment: str | None) -> Path:
    """A copy of the prefetched folder, as a task unpacks it; None keeps the factory's environment."""
    shutil.copytree(flavor.artifacts, folder)
    if environment is not None:
        (folder / "cachi2.env").write_text(environment)
    (folder / "cachi2.env").rename(folder / name)
    return folder


def test_older_and_newer_tasks_build_the_same_image(
    flavor: Prefetched, small_base_image: str, tags: list[str], tmp_path: Path
) -> None:
    text = (flavor.folder / "Dockerfile.konflux").read_text()
    ours = _mounted(flavor, tmp_path / "ours", name="cachi2.env", environment=None)
    plain = _build(small_base_image, flavor, tags, text=text, mounted=ours)
    theirs = _mounted(flavor, tmp_path / "theirs", name="cachi2.env", environment=HERMETO)
    newest = _mounted(flavor, tmp_path / "newest", name="prefetch.env", environment=HERMETO)
    behind_flags = rewritten(text, "behind the flags")
    runs = sum(line.startswith("RUN ") for line in text.splitlines())
    assert behind_flags.count(SOURCED) == runs > 1
    built = {
        "rewritten, the factory's environment": _build(
            small_base_image, flavor, tags, text=behind_flags, mounted=ours
        ),
        "rewritten, Hermeto's": _build(small_base_image, flavor, tags, text=behind_flags, mounted=theirs),
        "not rewritten, prefetch.env": _build(small_base_image, flavor, tags, text=text, mounted=newest),
    }
    assert len(plain) > 100
    assert any("kernel-2.0.dist-info" in entry for entry in plain)
    assert {how: set(listed) ^ set(plain) for how, listed in built.items()} == {how: set() for how in built}


def test_the_oldest_tasks_build_what_the_templates_give(
    flavor: Prefetched, small_base_image: str, tags: list[str], tmp_path: Path
) -> None:
    """They put their line before the flags of RUN, so a flavor whose hooks have flags is not for them."""
    project = flavor.folder / "pyproject.toml"
    project.write_text(project.read_text().replace(HOOKS, ""))
    factory("--root", tmp_path, "sync", flavor.folder.name)
    text = (flavor.folder / "Dockerfile.konflux").read_text()
    mounted = _mounted(flavor, tmp_path / "mounted", name="cachi2.env", environment=HERMETO)
    given = [text, *(rewritten(text, how) for how in PROGRAMS)]
    runs = text.count("\nRUN ")
    assert [one.count(SOURCED) for one in given] == [0, *[runs] * len(PROGRAMS)]
    listed = [_build(small_base_image, flavor, tags, text=one, mounted=mounted) for one in given]
    assert listed[1:] == listed[:1] * len(PROGRAMS)


def test_without_the_folder_a_build_with_no_network_fails(
    flavor: Prefetched, small_base_image: str, tags: list[str]
) -> None:
    """Otherwise what is above could not fail."""
    tags.append(f"localhost/universal-image-tests:konflux-{os.getpid()}")
    said = podman(
        "build", "--layers=false", "--pull=never", "--network", "none", "-t", tags[0],
        "-f", flavor.folder / "Dockerfile.konflux", "--build-arg", f"BASE_IMAGE={small_base_image}",
        flavor.folder,
        status=None,
    )  # fmt: skip
    assert "Failed to fetch" in said
