"""An index, a flavor that is locked against it, and where it is prefetched to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel, sha256

from factory.errors import FactoryError
from factory.files import is_temporary
from factory.flavor.repository import Flavor
from factory.prefetch.layout import Layout
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import Prefetched, prefetch_flavor

_FETCHING = Fetching(timeout_seconds=0.3, jobs=4)


@dataclass
class Site:
    """An index with three projects, a flavor that is locked to them, and where it is prefetched to."""

    index: IndexServer
    flavor: Flavor
    wheels: list[Path]
    output: Path

    @property
    def artifacts(self) -> Path:
        return Layout(self.output).artifacts

    def prefetch(self, fetching: Fetching = _FETCHING, progress: "Counter | None" = None) -> Prefetched:
        return prefetch_flavor(self.flavor, self.output, fetching=fetching, progress=progress)

    def lock(self, *, with_names: bool = True) -> None:
        write_lock(self.flavor, self.wheels, index_url=self.index.url, with_names=with_names)

    def fails(self, fetching: Fetching = _FETCHING) -> FactoryError:
        """Prefetch, expect an error, and check what must hold after every error."""
        with pytest.raises(FactoryError) as caught:
            self.prefetch(fetching)
        right = {path.name: sha256(path) for path in self.wheels}
        for path in self.artifacts.iterdir() if self.artifacts.is_dir() else ():
            if path.name in right and not is_temporary(path):
                assert sha256(path) == right[path.name]
        assert not Layout(self.output).environment.exists()
        return caught.value


@dataclass
class Counter:
    """Progress that adds up."""

    total: int = 0
    done: int = 0
    messages: list[str] = field(default_factory=list)

    def begin(self, message: str) -> None:
        """Nobody asks for it."""

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        self.done += amount
        self.messages.append(message)

    def extend(self, amount: int) -> None:
        self.total += amount


@contextmanager
def prefetch_site(folder: Path) -> Iterator[Site]:
    """Serve an index from a new folder, beside a flavor that is locked to its three wheels."""
    files = folder / "index"
    wheels = [
        make_wheel(files, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_x86_64", payload=400_000),
        make_wheel(files, "some-lib", "1.0", payload=1000),
        make_wheel(files, "tiny", "0.1"),
    ]
    with IndexServer(folder=files) as index:
        flavor = make_flavor(folder / "repository", index_url=index.url)
        made = Site(index=index, flavor=flavor, wheels=wheels, output=folder / "prefetched")
        made.lock()
        yield made
