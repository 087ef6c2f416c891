"""``factory plan`` where a real engine has the images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from support.podman import podman
from support.tiers import make_image, table

from factory.engine.images import image_labels
from factory.flavor.repository import Repository
from factory.images.plan import Plan, PlanRequest, Step, plan_images

pytestmark = pytest.mark.container


@dataclass(frozen=True)
class Site:
    """A repository of ``base``, on an image of this machine, and ``stack``; their names are its own."""

    repository: Repository
    base: str
    stack: str
    below: str

    def plan(self) -> Plan:
        return plan_images(self.repository, PlanRequest(engine="podman"))

    def reasons(self) -> dict[str, tuple[str, ...]]:
        return {step.name: step.reasons for step in self.plan().to_build}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    own = uuid4().hex[:8]
    base, stack, below = f"plan-base-{own}", f"plan-stack-{own}", f"localhost/plan-below-{own}:1"
    (tmp_path / "flavors").mkdir()
    make_image(tmp_path, base, {"a.txt": "a"})
    make_image(tmp_path, stack, {"b.txt": "b"})
    (tmp_path / "factory.toml").write_text(table(base, "pytorch-base", below) + table(stack, "stack", base))
    _store(tmp_path, below, {"build": "1"})
    try:
        yield Site(Repository(tmp_path), base, stack, below)
    finally:
        stored = podman(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=*{own}*"
        )
        podman("image", "rm", "--force", "--ignore", below, *stored.split())


def _store(folder: Path, reference: str, labels: dict[str, str]) -> None:
    """An image of labels alone."""
    lines = "".join(f"LABEL {key}={value!r}\n" for key, value in labels.items())
    (folder / "Labels").write_text(f"FROM scratch\n{lines}")
    podman(
        "build", "--quiet", "--no-cache", "--file", folder / "Labels", "--tag", reference, folder / "flavors"
    )


def _built(site: Site, step: Step) -> None:
    """As a build would leave it, its moving tag last."""
    assert step.inputs is not None
    assert step.local is not None
    labels = image_labels(name=step.name, identity=step.inputs.identity, inputs=step.inputs.text)
    _store(site.repository.root, step.local, labels)
    podman("tag", step.local, f"localhost/{step.name}:{step.definition.moving_tag}")


def test_what_the_engine_has_is_not_built_and_what_changed_is_told(site: Site) -> None:
    assert site.reasons() == {site.base: ("never built",), site.stack: ("never built",)}
    for step in site.plan().to_build:
        _built(site, step)
    plan = site.plan()
    assert plan.to_build == ()
    assert [step.in_engine for step in plan.steps] == [True, True]
    (site.repository.root / "images" / site.stack / "b.txt").write_text("changed")
    assert site.reasons() == {site.stack: ("b.txt changed",)}
    before = podman("image", "inspect", "--format", "{{.Id}}", site.below).strip()
    _store(site.repository.root, site.below, {"build": "2"})
    after = podman("image", "inspect", "--format", "{{.Id}}", site.below).strip()
    anew = f"parent {site.below} was rebuilt: {before[:12]} -> {after[:12]}"
    assert site.reasons() == {
        site.base: (anew,),
        site.stack: ("b.txt changed", f"parent {site.base} changed"),
    }
