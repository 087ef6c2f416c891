"""Deleting: what changes while a run deletes stays."""

import datetime as dt
from dataclasses import dataclass, field

import pytest

from factory.console import Silent
from factory.registry.declared import Registry
from factory.registry.inventory import FactoryLabels, Inventory, RegistryImage
from factory.registry.removal import remove
from factory.registry.retention import Policy, decide

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
SCRATCH = Registry(name="scratch", url="registry.example.com/s", kind="disposable", keep=1, keep_days=1)


def _image(digit: str, *, days: int = 50) -> RegistryImage:
    return RegistryImage(
        repository="s/image",
        image="image",
        digest=f"sha256:{digit * 64}",
        tags=(digit * 16,),
        moment=NOW - dt.timedelta(days=days),
        labels=FactoryLabels(image="image", identity=digit * 64, parents=()),
    )


@dataclass
class Changing:
    """A driver whose registry changes after the first delete."""

    state: dict[str, str]
    change: dict[str, str | None]
    deleted: list[str] = field(default_factory=list)

    def tags(self, repository: str) -> dict[str, str]:
        del repository
        return dict(self.state)

    def has(self, repository: str, digest: str) -> bool:
        del repository
        return digest not in self.deleted

    def delete(self, repository: str, digest: str) -> bool:
        del repository
        self.deleted.append(digest)
        self.state = {tag: there for tag, there in self.state.items() if there != digest}
        for tag, there in self.change.items():
            self.state.pop(tag, None)
            if there is not None:
                self.state[tag] = there
        return True


@pytest.mark.parametrize(
    "change",
    [{"latest": f"sha256:{'b' * 64}"}, {"b" * 16: None}],
    ids=["got a tag", "lost its tag"],
)
def test_manifest_whose_tags_change_during_the_run_stays(change: dict[str, str | None]) -> None:
    images = (_image("a", days=60), _image("b", days=59), _image("c"))
    driver = Changing({tag: image.digest for image in images for tag in image.tags}, change)
    policy = Policy(now=NOW, images=frozenset({"image"}))
    verdicts = decide("prune", ["scratch"], [Inventory(registry=SCRATCH, images=images)], policy)
    assert [verdict.goes for verdict in verdicts] == [True, True, False]
    remove(verdicts, {"scratch": driver}, progress=Silent())  # type: ignore[dict-item]
    assert driver.deleted == [f"sha256:{'a' * 64}"]


def test_images_of_one_moment_are_not_told_apart_by_their_digests() -> None:
    images = tuple(_image(digit) for digit in "abc")
    policy = Policy(now=NOW, images=frozenset({"image"}))
    verdicts = decide("prune", ["scratch"], [Inventory(registry=SCRATCH, images=images)], policy)
    assert not any(verdict.goes for verdict in verdicts)
