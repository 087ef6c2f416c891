"""Small flavors for tests, locked by hand or to be locked."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from support.wheels import sha256

from factory.flavor.repository import Flavor
from factory.lock.inputs import inputs_digest

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
    flavor: Flavor, files: Iterable[Path], *, index_url: str | None, with_names: bool = True
) -> Path:
    """Write a ``requirements.txt`` that pins exactly these wheels, with their present digests."""
    lines = [f"# inputs: {inputs_digest(flavor.project)}"]
    lines += [] if index_url is None else [f"--index-url {index_url}"]
    for path in files:
        name, version, *_ = path.name.split("-")
        lines.append(f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{sha256(path)}")
        lines += [f"    # {path.name}"] if with_names else []
    lock = flavor.folder / "requirements.txt"
    lock.write_text("\n".join(lines) + "\n")
    return lock
