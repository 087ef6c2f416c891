"""The example of a new repository: a flavor for the CPU, a stack and a trainer on it, and a launcher."""

import platform
from dataclasses import dataclass

from factory.flavor.repository import Repository
from factory.images.new_image import ImageRequest, new_image
from factory.render.create import FlavorRequest, create_flavor
from factory.settings import read_document, read_settings_text

_PLATFORMS = {"aarch64": "linux/arm64", "arm64": "linux/arm64"}
FLAVOR = "th011-cpu-torch2130-py311"
# Parents first. The launcher submits jobs: it needs no stack, and a fix of the stack does not build it again.
IMAGES = (
    ImageRequest(name="ml-stack", kind="stack", parent=FLAVOR),
    ImageRequest(name="trainer", kind="trainer", parent="ml-stack"),
    ImageRequest(name="launcher", kind="launcher", parent=FLAVOR),
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """The images that were made, those that exist already, and notes for a person."""

    made: tuple[str, ...]
    existing: tuple[str, ...]
    notes: tuple[str, ...]


def make_example(repository: Repository) -> Example:
    """Make the images of the example that a repository lacks, as new-flavor and new-image make them.

    Raises:
        SpecError, TemplateError, StorageError, BusyError: as for `create_flavor` and `new_image`.
    """
    made: list[str] = []
    existing: list[str] = []
    notes: tuple[str, ...] = ()
    if (repository.flavors_folder / FLAVOR).exists():
        existing.append(FLAVOR)
    else:
        notes = create_flavor(repository, _flavor()).notes
        made.append(FLAVOR)
    for request in IMAGES:
        tables = read_document(read_settings_text(repository.root) or "").get("images", {})
        if request.name in tables or (repository.root / "images" / request.name).exists():
            existing.append(request.name)
        else:
            new_image(repository, request)
            made.append(request.name)
    return Example(made=tuple(made), existing=tuple(existing), notes=notes)


def _flavor() -> FlavorRequest:
    return FlavorRequest(
        accelerator="cpu",
        accelerator_version=None,
        torch="2.13.0",
        python="3.11",
        training_hub="0.11.2",
        platforms=(_PLATFORMS.get(platform.machine(), "linux/amd64"),),
    )
