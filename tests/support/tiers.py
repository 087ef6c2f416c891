"""A repository of images in four tiers: bases, stacks on them, trainers on those, and launchers beside."""

from collections.abc import Mapping
from pathlib import Path

from support.published import publish

from factory.engine.images import image_labels
from factory.flavor.repository import Repository
from factory.images.plan import Plan, PlanRequest, Step, plan_images

BASE = "registry.example.com/vendor/base:1"
DOCKERFILE = """\
ARG BASE_IMAGE={base}
FROM ${{BASE_IMAGE}}
{copied}
"""


def make_image(
    root: Path, name: str, files: Mapping[str, str], *, sources: str | None = None, base: str = BASE
) -> Path:
    """A folder ``images/NAME`` with files and a Dockerfile that copies them, or ``sources``."""
    folder = root / "images" / name
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    folder.mkdir(parents=True, exist_ok=True)
    taken = " ".join(files) if sources is None else sources
    copied = f"COPY {taken} /app/" if taken else "RUN true"
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base, copied=copied))
    return folder


def table(name: str, kind: str, parent: str, *further: str) -> str:
    """The table of an image in ``factory.toml``."""
    lines = (f"[images.{name}]", f'kind = "{kind}"', f'parent = "{parent}"', *further)
    return "\n".join(lines) + "\n"


def four_tiers(root: Path, *, registry: str | None = None) -> Repository:
    """``base``, ``stack`` on it, ``trainer`` on that, ``launcher`` beside; and a registry's host."""
    (root / "flavors").mkdir(parents=True)
    make_image(root, "base", {"requirements.txt": "torch==2.11.0\n"})
    make_image(root, "stack", {"requirements.txt": "trl==0.24.0\n"})
    make_image(root, "trainer", {"src/train.py": "print(1)\n", "config.yaml": "a: 1\n"})
    make_image(root, "launcher", {"launch.sh": "echo\n"})
    pushed = ("",) if registry is None else ('registry = "release"',)
    head = (
        ""
        if registry is None
        else f'[registries.release]\nurl = "{registry}/images"\nclass = "persistent"\ntls-verify = false\n'
    )
    (root / "factory.toml").write_text(
        head
        + table("base", "pytorch-base", BASE, *pushed)
        + table("stack", "stack", "base", *pushed)
        + table("trainer", "trainer", "stack", *pushed)
        + table("launcher", "launcher", "registry.example.com/other:2", *pushed)
    )
    return Repository(root)


def publish_all(repository: Repository, host: str, *, folder: str = "images") -> Plan:
    """Put an image for every step of a plan into a registry, as a build and a push would have left it."""
    plan = plan_images(repository, PlanRequest(offline=True))
    for step in plan.steps:
        publish_step(step, host, folder=folder)
    return plan


def publish_step(step: Step, host: str, *, folder: str = "images") -> str:
    """Put the image of one step into a registry; gives its digest."""
    assert step.inputs is not None
    assert step.tag is not None
    labels = image_labels(name=step.name, identity=step.inputs.identity, inputs=step.inputs.text)
    return publish(host, f"{folder}/{step.name}", (step.tag, step.definition.moving_tag), labels)
