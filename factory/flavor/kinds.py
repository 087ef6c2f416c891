"""Which images there are beside flavors: their kinds and parents, from ``[images]`` of ``factory.toml``.

The rest of a table (its registry, tests and tags) is read in `factory.images.catalogue`.
"""

import graphlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from factory.dockerfile.references import PATH_COMPONENT, check_image
from factory.documents import TableReader
from factory.errors import SpecError
from factory.pages import docs_command
from factory.settings import FLAVORS_FOLDER, SETTINGS_FILE

Kind = Literal["flavor", "pytorch-base", "stack", "trainer", "launcher"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BASE_IMAGE = "BASE_IMAGE"
"""The build argument that names the image of the final stage's FROM."""
IMAGES_TABLE = "images"
IMAGES_FOLDER = "images"
"""Where the folders of images that are not flavors are."""
_MAX_CHAIN = 100
"""Engines take at most 127 layers, and each image of a chain adds one at least."""
IMAGES_EXAMPLE = f"{docs_command('images')} shows a whole table"
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Parent:
    """An image that another is built from, and the build argument that names it.

    ``image`` is the name of an image of the repository, or a reference to an external image. If that is a
    mirror, ``origin`` is the reference whose place it takes, and ``stand_in`` whether it only stands in.
    """

    argument: str
    image: str
    origin: str | None = None
    stand_in: bool = False

    @property
    def is_reference(self) -> bool:
        """Return whether the image is external: only a reference has a tag or digest."""
        return ":" in self.image or "@" in self.image


@dataclass(frozen=True, kw_only=True)
class DeclaredImage:
    """What ``[images.NAME]`` says of an image's kind, and its parents, that of the final stage first."""

    kind: Kind
    parents: tuple[Parent, ...]


def read_declared_images(
    document: Mapping[str, object], *, root: Path, flavors: Collection[str]
) -> dict[str, DeclaredImage]:
    """Return the images of ``[images]`` by name; keys that are not about kind and parents are not read.

    Args:
        document: ``factory.toml`` as data.
        root: the repository's.
        flavors: the names of its flavors.

    Raises:
        SpecError: a kind or a parent is not acceptable, a folder is missing, or parents form a cycle.
    """
    content = image_tables(document)
    images = {*content, *flavors}
    declared = {
        name: declared_image(settings_table(table, f"{IMAGES_TABLE}.{name}"), name, flavors, images)
        for name, table in content.items()
    }
    for name, image in declared.items():
        _require_folder(root, name, image.kind, flavors)
    _refuse_cycle(declared)
    _refuse_long_chain(declared)
    return declared


def image_tables(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return ``[images]``: the settings of each image as data.

    Raises:
        SpecError: it is not a table.
    """
    content = document.get(IMAGES_TABLE, {})
    if not isinstance(content, dict):
        raise _not_a_table(IMAGES_TABLE)
    return content


def settings_table(content: object, name: str) -> TableReader:
    """Return a table of ``factory.toml`` for reading.

    Raises:
        SpecError: it is not a table.
    """
    if not isinstance(content, dict):
        raise _not_a_table(name)
    return TableReader(content, where=SETTINGS_FILE, name=name, example=IMAGES_EXAMPLE)


def _not_a_table(name: str) -> SpecError:
    return SpecError(
        f"{SETTINGS_FILE}: {name} is not a table", solution=f"Write it as [{name}]; {IMAGES_EXAMPLE}."
    )


def declared_image(
    table: TableReader, name: str, flavors: Collection[str], images: Collection[str]
) -> DeclaredImage:
    """Read kind and parents of one image from its table.

    Raises:
        SpecError: one of them is missing or not acceptable, or the name cannot be an image's.
    """
    check_image_name(name, of=f"{SETTINGS_FILE}: [{IMAGES_TABLE}]")
    kind = _kind(table, is_flavor=name in flavors)
    parents = _parents(table, name, images)
    if not parents and kind != "flavor":
        raise table.refuse(
            "parents",
            "an image is built on another, and none is named",
            f'Write parent = "NAME OR REFERENCE", which is the build argument {BASE_IMAGE}.',
        )
    return DeclaredImage(kind=kind, parents=parents)


def check_image_name(name: str, *, of: str) -> str:
    """Return a name that serves for a folder and for a repository in a registry.

    Raises:
        SpecError: it is a path, or not a component of a repository's name (OCI distribution-spec).
    """
    if "/" in name:
        raise SpecError(
            f"{of}: {name!r} is a path, and an image has the name of its folder",
            solution=f"Write the name alone: {name.rstrip('/').rpartition('/')[2]}.",
        )
    if not re.fullmatch(PATH_COMPONENT, name):
        raise SpecError(
            f"{of}: {name!r} cannot be the name of an image in a registry",
            solution="Choose one for its folder and its table as well: lower-case letters and digits, "
            "with dots, underscores and hyphens between them.",
        )
    if name == FLAVORS_FOLDER:
        raise SpecError(
            f"{of}: a folder named {name!r} is what marks a repository of images",
            solution="Choose another name.",
        )
    return name


def check_argument(name: str) -> str:
    """Return the name of a build argument.

    Raises:
        SpecError: it is not a name that ARG accepts.
    """
    if not _ARGUMENT.fullmatch(name):
        raise SpecError(
            f"{name!r} is not the name of a build argument",
            solution="Use letters, digits and underscores, but no digit first, such as PYTORCH_VERSION.",
        )
    return name


def read_argument(table: TableReader, key: str, name: str) -> str:
    """Return the name of a build argument that a key of a table holds.

    Raises:
        SpecError: as `check_argument`; the message names the key.
    """
    try:
        return check_argument(name)
    except SpecError as error:
        raise table.refuse(key, error.reason, error.solution) from error


def _kind(table: TableReader, *, is_flavor: bool) -> Kind:
    given = table.optional_text("kind") or ("flavor" if is_flavor else None)
    kind = next((known for known in KINDS if known == given), None)
    if kind is None:
        problem = "is missing" if given is None else f"{given!r} is not a kind of image"
        raise table.refuse("kind", problem, f"Use one of {', '.join(KINDS)}.")
    if is_flavor and kind != "flavor":
        raise table.refuse(
            "kind",
            f"{kind!r}, and there is a flavor of the same name: two images would have one name",
            f'Rename the folder under {IMAGES_TABLE}/ and this table, or write kind = "flavor".',
        )
    return kind


def _parents(table: TableReader, name: str, images: Collection[str]) -> tuple[Parent, ...]:
    one, several = table.optional_text("parent"), table.named_texts("parents")
    if one is not None and several:
        raise table.refuse("parent", "is given beside parents", "Write one of the two.")
    named = several if one is None else ((BASE_IMAGE, one),)
    return tuple(_parent(table, argument, image, images, name) for argument, image in named)


def _parent(table: TableReader, argument: str, image: str, images: Collection[str], child: str) -> Parent:
    parent = Parent(argument=read_argument(table, "parents", argument), image=image)
    try:
        if image not in images and parent.is_reference:
            check_image(image, of=f"the parent {argument}")
    except SpecError as error:
        raise table.refuse("parents", error.reason, error.solution) from error
    if image not in images and not parent.is_reference:
        raise table.refuse(
            "parents",
            f"the parent {image!r} is neither an image of this repository nor a reference with a tag or a "
            "digest",
            f"Name an existing image ({', '.join(sorted({*images} - {child}))}), or write it as "
            "registry/path:tag.",
        )
    return parent


def _require_folder(root: Path, name: str, kind: Kind, flavors: Collection[str]) -> None:
    folder = root / (FLAVORS_FOLDER if kind == "flavor" else IMAGES_FOLDER) / name
    if name in flavors or (kind != "flavor" and folder.is_dir()):
        return
    existing = [path.name for path in folder.parent.glob("*") if path.is_dir()]
    likely = [other for other in existing if other.lower() == name] or get_close_matches(name, existing)
    make = "make the folder" if kind == "flavor" else "make the folder (`factory new-image` starts one)"
    raise SpecError(
        f"{SETTINGS_FILE}: [{IMAGES_TABLE}.{name}] is a {kind}, and its folder {folder} does not exist",
        solution=f"An image has the name of its folder{f', such as {likely[0]}' if likely else ''}: {make}, "
        "or rename the table.",
    )


def _refuse_cycle(declared: Mapping[str, DeclaredImage]) -> None:
    graph = {name: [parent.image for parent in image.parents] for name, image in declared.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = " is built on ".join(reversed(error.args[1]))
        raise SpecError(
            f"{SETTINGS_FILE}: a cycle of parents: {cycle}",
            solution="Give one of them another parent: an image is built after its parents.",
        ) from error


def _refuse_long_chain(declared: Mapping[str, DeclaredImage]) -> None:
    graph = {name: [parent.image for parent in image.parents] for name, image in declared.items()}
    length: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(graph).static_order():
        length[name] = 1 + max((length[parent] for parent in graph.get(name, ())), default=0)
        if length[name] > _MAX_CHAIN:
            raise SpecError(
                f"{SETTINGS_FILE}: {name} is the last of more than {_MAX_CHAIN} images on one another",
                solution="Build it on an earlier one: no engine takes that many layers.",
            )
