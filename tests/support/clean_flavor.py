"""Flavors made for tests: a whole repository with one clean, rendered and locked flavor."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from factory.flavor.project import parse_project
from factory.flavor.repository import Flavor, Repository
from factory.lock.lockfile import LOCK_FILE, Artifact, Pin, format_lock
from factory.lock.lockset import format_lock_set, inputs_digest
from factory.render.drift import sync_flavor

NAME = "th09-cuda130-torch2110-py312"
INDEX = "https://packages.example.com/cuda13.0/simple/"
PROJECT = f"""\
[project]
name = "{NAME}"
version = "0.9.2"
requires-python = "==3.12.*"
dependencies = [
    "torch==2.11.0",
    "training-hub[lora]==0.9.2",
    "numpy>=2.0,<3",
    "colorama; sys_platform == 'win32'",
]

[tool.uv]
constraint-dependencies = ["urllib3>=2.6"]
override-dependencies = ["torchvision; sys_platform == 'never'", "protobuf>=6"]

[tool.factory]
accelerator = "cuda"
accelerator-version = "13.0"
torch = "2.11.0"
python = "3.12"
training-hub = "0.9.2"
index-url = "{INDEX}"
platforms = ["linux/amd64", "linux/arm64"]
base-image = "quay.io/example/base:1"
downstream-base-image = "quay.io/example/product-base:1"

[[tool.factory.missing]]
requirement = "flash-attn>=2.8"
reason = "the index has source distributions only"
"""

_WHEELS = {
    "numpy": (
        "2.4.1",
        "numpy-2.4.1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "numpy-2.4.1-cp312-cp312-manylinux_2_28_aarch64.whl",
    ),
    "protobuf": ("6.33.0", "protobuf-6.33.0-py3-none-any.whl"),
    "torch": (
        "2.11.0+cu130",
        "torch-2.11.0+cu130-cp312-cp312-manylinux_2_28_x86_64.whl",
        "torch-2.11.0+cu130-cp312-cp312-manylinux_2_28_aarch64.whl",
    ),
    "training-hub": ("0.9.2", "training_hub-0.9.2-py3-none-any.whl"),
    "urllib3": ("2.6.2", "urllib3-2.6.2-py3-none-any.whl"),
}


def make_pin(name: str, version: str, file_names: Iterable[str]) -> Pin:
    """A pin whose artifacts have made-up digests, which differ from file to file."""
    artifacts = tuple(
        Artifact(sha256=sha256(file_name.encode()).hexdigest(), file_name=file_name)
        for file_name in file_names
    )
    return Pin(
        line=0, text=f"{name}=={version}", name=name, version=version, marker=None, artifacts=artifacts
    )


def lock_text(project: str = PROJECT) -> str:
    """A lock that fits `PROJECT` and was made from the given text."""
    parsed = parse_project(project, where="pyproject.toml")
    return format_lock(
        [make_pin(name, version, files) for name, (version, *files) in _WHEELS.items()],
        index_url=parsed.spec.index_url,
        inputs=inputs_digest(parsed),
        command="factory lock",
        platforms=parsed.spec.platforms,
    )


def further_lock_texts(project: str, **versions: str) -> dict[str, str]:
    """Every lock file of a project with further indexes; ``versions`` pin packages at others."""
    parsed = parse_project(project, where="pyproject.toml")
    pins = []
    for name, (version, *files) in _WHEELS.items():
        pinned = versions.get(name, version)
        pins.append(make_pin(name, pinned, [file.replace(version, pinned) for file in files]))
    texts = format_lock_set(NAME, parsed.spec, pins, inputs=inputs_digest(parsed))
    return {name: content.decode() for name, content in texts.items()}


def make_repository(root: Path) -> Repository:
    """A repository without flavors."""
    (root / "flavors").mkdir(parents=True)
    return Repository(root)


def make_flavor(
    repository: Repository, *, name: str = NAME, project: str = PROJECT, locked: bool = True
) -> Flavor:
    """A flavor folder, rendered, and locked where that is asked for."""
    folder = repository.flavors_folder / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    if locked:
        (folder / LOCK_FILE).write_text(lock_text(project), encoding="utf-8")
    sync_flavor(Flavor(folder))
    return Flavor(folder)
