"""A flavor with hooks, built without a network: what they set, copy and run is in the image."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import factory
from support.podman import podman
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.flavor.repository import Flavor
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.container

HOOKS = r"""
[tool.factory.hooks]
system-packages = ["jq"]
midstream = "RUN touch /midstream"
before-install = '''
USER 0
RUN mkdir -p /opt/own && \
    chmod g=u /opt/own
'''
after-install = '''
# beside the packages
COPY --chmod=0644 own.py conf/own.cfg /opt/own/
RUN python -c "import small; print(small.__version__)" > /tmp/seen
'''
files = ["own.py", "conf/own.cfg"]

[tool.factory.hooks.environment]
SAID = 'say "hi" for \$5, it is #1'
OWN_PATH = "/opt/own:${PATH}"
NOTHING = "${NOT_SET:-the-rest}"
"""
LOOK = """
import json, os
from pathlib import Path
values = [os.environ[name] for name in ("SAID", "OWN_PATH", "NOTHING")]
files = sorted(path.name for path in Path("/opt/own").iterdir())
seen = Path("/tmp/seen").read_text()
print(json.dumps([*values, files, seen, os.getuid(), Path("/midstream").exists(), os.environ["PATH"]]))
"""


@pytest.fixture
def tag() -> Iterator[str]:
    name = f"localhost/universal-image-tests:hooks-{os.getpid()}"
    yield name
    podman("image", "rm", "--force", name, status=None)


def _flavor(root: Path) -> Flavor:
    wheel = make_wheel(root / "wheels", "small", "1.0")
    flavor = make_flavor(root, index_url=None, dependencies=["small"])
    path = flavor.folder / "pyproject.toml"
    path.write_text(path.read_text() + HOOKS)
    (flavor.folder / "conf").mkdir()
    (flavor.folder / "own.py").write_text("OWN = 1\n")
    (flavor.folder / "conf" / "own.cfg").write_text("own\n")
    fresh = Flavor(flavor.folder)
    write_lock(fresh, [wheel], index_url=None)
    sync_flavor(fresh)
    return fresh


def _seen(tag: str) -> list[object]:
    found: list[object] = json.loads(podman("run", "--rm", tag, "python", "-c", LOOK))
    return found


def test_what_hooks_set_copy_and_run_is_in_the_image_of_both_ways_to_build(
    tmp_path: Path, base_image: str, tag: str
) -> None:
    flavor = _flavor(tmp_path)
    links = ("--find-links", tmp_path / "wheels")
    # A build prefetches nothing where the engine has the image of an earlier run of this test.
    factory("--root", tmp_path, "prefetch", flavor.name, "--output", tmp_path / "prefetched", *links)
    factory(
        "--root", tmp_path, "--json", "build", flavor.name, "--base-image", base_image, "--hermetic",
        "--prefetched", tmp_path / "prefetched", *links, "--tag", tag,
    )  # fmt: skip
    said, own_path, nothing, files, version, user, midstream, path = _seen(tag)
    assert (said, nothing) == ('say "hi" for $5, it is #1', "the-rest")
    assert own_path == f"/opt/own:{path}"
    assert (files, version) == (["own.cfg", "own.py"], "1.0\n")
    assert (user, midstream) == (1001, False)

    # As older tasks of Konflux rewrite it.
    text = (flavor.folder / "Dockerfile.konflux").read_text()
    dockerfile = tmp_path / "Dockerfile.rewritten"
    dockerfile.write_text(re.sub(r"(?im)^\s*run ", "RUN . /cachi2/cachi2.env && \\\\\n    ", text))
    podman(
        "build", "--no-cache", "--pull=never", "--network", "none", "-f", dockerfile, "-t", tag,
        "--build-arg", f"BASE_IMAGE={base_image}", "-v", f"{tmp_path / 'prefetched'}:/cachi2:ro,z",
        flavor.folder,
    )  # fmt: skip
    assert _seen(tag) == [said, own_path, nothing, files, version, user, midstream, path]
