"""The templates of images that are not flavors, by kind, for `factory new-image`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import tomlkit
from jinja2 import TemplateError as JinjaError

from factory.documents import read_toml
from factory.errors import TemplateError
from factory.flavor.project import PROJECT_FILE
from factory.render.render import RenderedFile
from factory.render.templates import template_environment, templates_folder

_TEMPLATE_FILE = "image-template.toml"
_RENDERED = ".j2"
_PARTS_FOLDER = "image-parts"
"""What the templates of several kinds have in common."""


@dataclass(frozen=True, kw_only=True)
class ImageTemplate:
    """The templates of one kind of image.

    ``arguments`` are the build arguments that name the parents of such an image, the final stage's first;
    ``accelerators`` is the data of each, by name. With ``installs_packages`` every such image has a
    ``pyproject.toml``, else only one that is started with packages. ``build_packages`` are patterns of what
    only the build of the image needs.
    """

    kind: str
    folder: Path
    arguments: tuple[str, ...]
    accelerators: Mapping[str, Mapping[str, Any]]
    installs_packages: bool = False
    build_packages: tuple[str, ...] = ()


_Description = TypedDict(
    "_Description",
    {
        "arguments": list[str],
        "accelerators": NotRequired[dict[str, dict[str, Any]]],
        "installs-packages": NotRequired[bool],
        "build-packages": NotRequired[list[str]],
    },
)


@cache
def load_image_template(kind: str) -> ImageTemplate:
    """Read the templates of a kind once a run.

    Raises:
        TemplateError: none exist, or their description is incomplete.
    """
    folder, solution = templates_folder() / kind, f"Fix its {_TEMPLATE_FILE}."
    try:
        description = read_toml(folder / _TEMPLATE_FILE, _Description, error=TemplateError, solution=solution)
        return ImageTemplate(
            kind=kind,
            folder=folder,
            arguments=tuple(description["arguments"]),
            accelerators=description.get("accelerators", {}),
            installs_packages=description.get("installs-packages", False),
            build_packages=tuple(description.get("build-packages", ())),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TemplateError(
            f"there is no template for images of the kind {kind!r}",
            solution=f"Use one of: {', '.join(image_kinds())}.",
        ) from error


@cache
def image_kinds() -> tuple[str, ...]:
    """Return the kinds of images that have templates, by name."""
    return tuple(sorted(path.parent.name for path in templates_folder().glob(f"*/{_TEMPLATE_FILE}")))


def render_image(template: ImageTemplate, values: Mapping[str, object]) -> tuple[RenderedFile, ...]:
    """Render every file of a new image folder, by path. The same values make the same bytes.

    ``pyproject.toml`` is left out unless the value ``installs`` is true.

    Raises:
        TemplateError: a template asks for a value that is missing.
    """
    environment = template_environment(template.folder, template.folder.parent / _PARTS_FOLDER)
    environment.filters["toml"] = lambda text: tomlkit.item(text).as_string()
    files = []
    for path in sorted(template.folder.rglob("*")):
        name = path.relative_to(template.folder).as_posix()
        if not path.is_file() or name == _TEMPLATE_FILE or "__pycache__" in path.parts:
            continue
        if name == f"{PROJECT_FILE}{_RENDERED}" and not values.get("installs"):
            continue
        try:
            content = (
                environment.get_template(name).render(values).encode()
                if name.endswith(_RENDERED)
                else path.read_bytes()
            )
        except JinjaError as error:
            raise TemplateError(
                f"{name} of the template {template.kind} cannot be rendered: {error}",
                solution="Fix the template, or the value that it asks for.",
            ) from error
        files.append(RenderedFile(path=name.removesuffix(_RENDERED), content=content, executable=False))
    return tuple(files)
