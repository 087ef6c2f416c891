"""Small flavors for tests, locked by hand or to be locked."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.wheels import sha256

from factory.flavor.repository import Flavor
from factory.lock.lockfile import Artifact, Pin, format_lock
from factory.lock.lockset import inputs_digest

_PROJECT = """\
[project]
name = "{name}"
version = "0"
requires-python = "==3.11.*"
dependencies = {dependencies}

[tool.factory]
accelerator = "cpu"
torch = "2.13.0"
python = "3.11"
training-hub = "0.11.2"
{index}platforms = ["linux/amd64"]
base-image = "registry.example.com/base:1"
downstream-base-image = "registry.example.com/product-base:1"
"""


def make_flavor(
    root: Path,
    *,
    name: str = "th011-cpu-torch2130-py311",
    index_url: str | None,
    dependencies: Sequence[str] = (),
) -> Flavor:
    """Write ``flavors/NAME/pyproject.toml`` under root; ``index_url`` None is the public index."""
    folder = root / "flavors" / name
    folder.mkdir(parents=True)
    index = "" if index_url is None else f'index-url = "{index_url}"\n'
    text = _PROJECT.format(name=name, dependencies=json.dumps(list(dependencies)), index=index)
    (folder / "pyproject.toml").write_text(text)
    return Flavor(folder)


def write_lock(
    flavor: Flavor,
    files: Iterable[Path],
    *,
    index_url: str | None,
    with_names: bool = True,
    parent: str | None = None,
) -> Path:
    """Write the lock that pins exactly these wheels, with their present digests.

    What the spec says that the image holds, and the lock does not, is recorded as missing.
    """
    pins: dict[str, Pin] = {}
    for path in files:
        name, version, *_ = path.name.split("-")
        name = canonicalize_name(name)
        artifact = Artifact(sha256=sha256(path), file_name=path.name if with_names else None)
        before = pins[name].artifacts if name in pins else ()
        pins[name] = Pin(
            line=0, text="", name=name, version=version, marker=None, artifacts=(*before, artifact)
        )
    project = flavor.folder / "pyproject.toml"
    text = project.read_text()
    asked = {canonicalize_name(Requirement(line).name) for line in flavor.read_project().dependencies}
    for name in ("torch", "training-hub") if parent is None else ():
        if name not in {*pins, *asked} and f'"{name}"' not in text:
            text += f'\n[[tool.factory.missing]]\nrequirement = "{name}"\nreason = "no wheel of this test"\n'
    project.write_text(text)
    locked = format_lock(
        pins.values(),
        index_url=index_url,
        inputs=inputs_digest(flavor.read_project()),
        command=f"factory lock {flavor.name}",
        platforms=("linux/amd64",),
        parent=parent,
    )
    lock = flavor.folder / "requirements.txt"
    lock.write_text(locked)
    vars(flavor).pop("project", None)
    return lock
