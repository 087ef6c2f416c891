"""The tables ``[flavors]`` and ``[images]`` of ``factory.toml``, as values."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from factory.dockerfile.references import PATH_COMPONENT, check_image
from factory.errors import SpecError
from factory.flavor.table import Table
from factory.images.definitions import BASE_IMAGE, Kind, Parent, TestLevel, check_argument
from factory.settings import SETTINGS_FILE

FLAVORS_TABLE, IMAGES_TABLE = "flavors", "images"
EXAMPLE = "docs/images.md shows a whole table"
KINDS: tuple[Kind, ...] = get_args(Kind)
LEVELS: tuple[TestLevel, ...] = get_args(TestLevel)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LIKE_AN_IDENTITY = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """What is said of one image, or of all flavors; None, or empty, where nothing is said.

    ``registry`` is False where the image is to have none, whatever is said of all flavors.
    """

    kind: Kind | None = None
    parents: tuple[Parent, ...] = ()
    inputs: tuple[str, ...] | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    registry: str | Literal[False] | None = None
    tests: TestLevel | None = None
    downstream: bool | None = None
    moving_tag: str | None = None


def read_flavors_table(document: Mapping[str, object], *, registries: Collection[str]) -> ImageTable:
    """What ``[flavors]`` says of every flavor.

    Raises:
        SpecError: a key is unknown, of the wrong type or not acceptable, or a registry is not declared.
    """
    table = _table(document.get(FLAVORS_TABLE, {}), FLAVORS_TABLE)
    said = ImageTable(
        registry=_registry(table, registries),
        tests=_level(table),
        downstream=_flag(table, "downstream", document.get(FLAVORS_TABLE, {})),
        moving_tag=_moving_tag(table),
    )
    table.refuse_the_rest()
    return said


def read_images_table(
    document: Mapping[str, object], *, registries: Collection[str], flavors: Collection[str]
) -> dict[str, ImageTable]:
    """What ``[images]`` says of each image that it names; ``flavors`` are the names of the flavors.

    Raises:
        SpecError: as `read_flavors_table`; a name is none, a kind is not known or not that of the folder,
            a parent is neither an image of the repository nor a reference, or a pattern leaves the folder.
    """
    content = document.get(IMAGES_TABLE, {})
    if not isinstance(content, dict):
        raise _no_table(IMAGES_TABLE)
    images = {*content, *flavors}
    return {name: _image(name, said, registries, flavors, images) for name, said in content.items()}


def check_image_name(name: str, *, of: str) -> str:
    """Return a name that an image has in a registry, and its folder in the repository.

    Raises:
        SpecError: it is a path, or no component of a repository's name (OCI distribution-spec).
    """
    if "/" in name:
        raise SpecError(
            f"{of}: {name!r} is a path, and an image has the name of its folder",
            solution=f"Write the name alone: {name.rstrip('/').rpartition('/')[2]}.",
        )
    if not re.fullmatch(PATH_COMPONENT, name):
        raise SpecError(
            f"{of}: {name!r} cannot be the name of an image in a registry",
            solution="Give it another, and its folder and table with it: lower-case letters and digits, with "
            "dots, underscores and hyphens between them.",
        )
    return name


def _image(
    name: str,
    content: object,
    registries: Collection[str],
    flavors: Collection[str],
    images: Collection[str],
) -> ImageTable:
    check_image_name(name, of=f"{SETTINGS_FILE}: [{IMAGES_TABLE}]")
    table = _table(content, f"{IMAGES_TABLE}.{name}")
    kind = _kind(table, is_flavor=name in flavors)
    parents = _parents(table, name, images)
    if not parents and kind != "flavor":
        raise table.refuse(
            "parents",
            "an image stands on something, and nothing is named",
            f'Write parent = "NAME OR REFERENCE", which is the build argument {BASE_IMAGE}.',
        )
    inputs = _inputs(table)
    said = ImageTable(
        kind=kind,
        parents=parents,
        inputs=inputs if isinstance(content, dict) and "inputs" in content else None,
        build_args=_build_args(table, parents),
        registry=_own_registry(table, content, registries),
        tests=_level(table),
        downstream=_flag(table, "downstream", content) if kind == "flavor" else None,
        moving_tag=_moving_tag(table),
    )
    table.refuse_the_rest()
    return said


def _table(content: object, name: str) -> Table:
    if not isinstance(content, dict):
        raise _no_table(name)
    return Table(content, where=SETTINGS_FILE, name=name, example=EXAMPLE)


def _no_table(name: str) -> SpecError:
    return SpecError(f"{SETTINGS_FILE}: {name} is not a table", solution=f"Write it as [{name}]; {EXAMPLE}.")


def _kind(table: Table, *, is_flavor: bool) -> Kind:
    given = table.optional_text("kind") or ("flavor" if is_flavor else None)
    kind = next((known for known in KINDS if known == given), None)
    if kind is None:
        problem = "is not there" if given is None else f"{given!r} is not a kind of image"
        raise table.refuse("kind", problem, f"Use one of {', '.join(KINDS)}.")
    if is_flavor and kind != "flavor":
        raise table.refuse(
            "kind",
            f"{kind!r}, and there is a flavor of the same name: two images would have one name",
            f'Rename the folder under {IMAGES_TABLE}/ and this table, or write kind = "flavor".',
        )
    return kind


def _parents(table: Table, name: str, images: Collection[str]) -> tuple[Parent, ...]:
    one, several = table.optional_text("parent"), table.named_texts("parents")
    if one is not None and several:
        raise table.refuse("parent", "is there beside parents", "Write one of the two.")
    named = several if one is None else ((BASE_IMAGE, one),)
    return tuple(_parent(table, argument, image, images, name) for argument, image in named)


def _parent(table: Table, argument: str, image: str, images: Collection[str], child: str) -> Parent:
    parent = Parent(argument=_argument(table, "parents", argument), image=image)
    try:
        if image not in images and parent.is_reference:
            check_image(image, of=f"the parent {argument}")
    except SpecError as error:
        raise table.refuse("parents", error.reason, error.solution) from error
    if image not in images and not parent.is_reference:
        raise table.refuse(
            "parents",
            f"the parent {image!r} is no image of this repository, and no reference with a tag or a digest",
            f"Name one that is there ({', '.join(sorted({*images} - {child}))}), or write it as "
            "registry/path:tag.",
        )
    return parent


def _argument(table: Table, key: str, name: str) -> str:
    try:
        return check_argument(name)
    except SpecError as error:
        raise table.refuse(key, error.reason, error.solution) from error


def _build_args(table: Table, parents: tuple[Parent, ...]) -> tuple[tuple[str, str], ...]:
    found = table.named_texts("build-args")
    for name, _ in found:
        _argument(table, "build-args", name)
        if name in {parent.argument for parent in parents} | {BASE_IMAGE}:
            raise table.refuse("build-args", f"{name} names a parent", "Give it in parents alone.")
    return found


def _inputs(table: Table) -> tuple[str, ...]:
    patterns = table.texts("inputs")
    for pattern in patterns:
        path = PurePosixPath(pattern)
        if path.is_absolute() or ".." in path.parts:
            raise table.refuse(
                "inputs",
                f"{pattern!r} leaves the folder",
                "Write patterns relative to the image's folder, such as src/**: a build sees nothing else.",
            )
        if (
            not pattern.strip()
            or "\\" in pattern
            or any("**" in part and part != "**" for part in path.parts)
        ):
            raise table.refuse(
                "inputs", f"{pattern!r} is not a pattern", "Write, for instance, *.txt or src/**."
            )
    return patterns


def _own_registry(table: Table, content: object, registries: Collection[str]) -> str | Literal[False] | None:
    if not (isinstance(content, dict) and isinstance(content.get("registry"), bool)):
        return _registry(table, registries)
    if table.flag("registry", default=False):
        raise table.refuse(
            "registry", "true names none", 'Write registry = "NAME", or false for an image that has none.'
        )
    return False


def _registry(table: Table, registries: Collection[str]) -> str | None:
    name = table.optional_text("registry")
    if name is not None and name not in registries:
        raise table.refuse(
            "registry",
            f"{name!r} is not declared",
            f"Name one that is ({', '.join(registries) or 'none yet'}), or declare it as "
            f"[registries.{name}]; docs/registries.md shows a whole table.",
        )
    return name


def _level(table: Table) -> TestLevel | None:
    given = table.optional_text("tests")
    level = next((known for known in LEVELS if known == given), None)
    if given is not None and level is None:
        raise table.refuse("tests", f"{given!r} is not a level of tests", f"Use one of {', '.join(LEVELS)}.")
    return level


def _flag(table: Table, key: str, content: object) -> bool | None:
    flag = table.flag(key, default=False)
    return flag if isinstance(content, dict) and key in content else None


def _moving_tag(table: Table) -> str | None:
    tag = table.optional_text("moving-tag")
    if tag is not None and (not _TAG.fullmatch(tag) or _LIKE_AN_IDENTITY.fullmatch(tag)):
        raise table.refuse(
            "moving-tag",
            f"{tag!r} cannot be one",
            "Use letters, digits, dots, underscores and hyphens, such as latest; 16 hex digits are what the "
            "tag of an identity looks like.",
        )
    return tag
