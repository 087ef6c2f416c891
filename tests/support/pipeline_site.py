"""A git repository of small flavors that the rules accept, and the index that they are locked against."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.built import factory
from support.index_server import IndexServer
from support.small_flavors import make_flavor
from support.wheels import make_wheel

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE
from factory.render.drift import sync_flavor

# As many names as a test needs: the version of training-hub is in them.
HUBS = {"th011": "0.11.2", "th010": "0.10.0", "th09": "0.9.2"}
_TORCH = "2.13.0"
_TAG = "cp311-cp311-manylinux_2_28_x86_64"
# Enough of torch to train one step, as the test of an image does.
_MODULES = {
    "torch/__init__.py": f'''\
"""Not PyTorch: two by two numbers whose product has the gradient that it has."""

__version__ = "{_TORCH}+cpu"


class _Ones:
    grad = None

    def __init__(self, total=4.0):
        self.total = total

    def __matmul__(self, other):
        self.grad = _Ones(16.0)
        return self

    def sum(self):
        return self

    def backward(self):
        """The gradient is there already."""

    def item(self):
        return self.total


def ones(*shape, requires_grad):
    return _Ones()
'''
}
_IDENTITY = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")


@dataclass(frozen=True, kw_only=True)
class Site:
    """A repository in ``root``, and the index that serves the folder ``pushed``."""

    root: Path
    pushed: Path
    index: IndexServer

    def flavor(self, hub: str = "th011", *, more: str = "") -> Flavor:
        """A flavor, rendered and locked by the factory itself.

        Args:
            hub: one of `HUBS`, which the name begins with.
            more: further TOML of its pyproject.toml, such as hooks.
        """
        version = HUBS[hub]
        dependencies = [f"torch=={_TORCH}", f"training-hub=={version}", "small>=1.0,<2"]
        made = make_flavor(
            self.root, name=f"{hub}-cpu-torch2130-py311", index_url=self.index.url, dependencies=dependencies
        )
        path = made.folder / "pyproject.toml"
        path.write_text(path.read_text().replace('"0.11.2"', f'"{version}"') + more)
        sync_flavor(Flavor(made.folder))
        factory("--root", self.root, "lock", made.name)
        return Flavor(made.folder)

    def copy_flavors(self, folder: Path) -> None:
        """Take over the flavors of another repository as they stand."""
        shutil.copytree(folder, self.root / "flavors")

    def mend(self, flavor: Flavor, more: str) -> None:
        """Take out again what `flavor` was given as ``more``."""
        path = flavor.folder / "pyproject.toml"
        path.write_text(path.read_text().replace(more, ""))
        sync_flavor(Flavor(flavor.folder))

    def push(self, name: str, version: str) -> None:
        """Push a release of a package to the index."""
        make_wheel(self.pushed, name, version)

    def relock(self, flavor: Flavor) -> None:
        """Lock a flavor anew, at the newest versions."""
        (flavor.folder / LOCK_FILE).unlink()
        factory("--root", self.root, "lock", flavor.name)

    def commit(self) -> str:
        """Commit the repository as it stands, and return the commit's id."""
        if not (self.root / ".git").exists():
            self._git("init", "--quiet", "--initial-branch=main")
        self._git("add", "--all", "--force")
        self._git("commit", "--quiet", "--allow-empty", "--message", "As it stands")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        # Without the settings of whoever runs the tests.
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return subprocess.run(
            ["git", "-C", self.root, *_IDENTITY, *arguments],
            env=os.environ | quiet,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout


@contextmanager
def pipeline_site(folder: Path) -> Iterator[Site]:
    """Serve an index from a new folder, beside a repository that has no flavor yet."""
    pushed = folder / "pushed"
    make_wheel(pushed, "torch", f"{_TORCH}+cpu", tag=_TAG, modules=_MODULES)
    for version in HUBS.values():
        make_wheel(pushed, "training-hub", version)
    make_wheel(pushed, "small", "1.0", payload=1000)
    root = folder / "repository"
    root.mkdir(parents=True)
    with IndexServer(folder=pushed) as index:
        yield Site(root=root, pushed=pushed, index=index)
