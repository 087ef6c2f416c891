"""Where this repository, or this machine, gets images: ``[mirrors]``, and what builds them: ``builder``.

A mirror takes the place of an external parent in every command, so that no option has to be repeated.
``factory.local.toml`` comes before ``factory.toml``, key by key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from factory.dockerfile.references import check_image, find_reference
from factory.documents import TableReader
from factory.errors import SpecError
from factory.images.definitions import BuilderName
from factory.pages import docs_command
from factory.settings import (
    BUILDER_KEY,
    LOCAL_SETTINGS_FILE,
    MIRRORS_TABLE,
    SETTINGS_FILE,
    read_local_settings,
)

_EXAMPLE = f"{docs_command('images')} shows a whole table"
_BUILDERS: tuple[BuilderName, ...] = get_args(BuilderName)


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """An image, or all images of a repository or below a path, and what is used in their place.

    origin: A reference; a repository without tag and digest; or a path that ends with ``/``.
    image: A whole reference; or what takes the place of a repository or a path, and what follows is kept.
    stand_in: Whether it only stands in for the real image, such as a smaller one for tests.
    """

    origin: str
    image: str
    stand_in: bool = False

    def replaces(self, reference: str) -> str | None:
        """Return the reference to use in place of one; None if this mirror is not for it."""
        rest = reference.removeprefix(self.origin)
        if not reference.startswith(self.origin) or not (
            self.origin.endswith("/") or not rest or rest[0] in ":@"
        ):
            return None
        return self.image if _is_whole(self.image) else f"{self.image}{rest}"


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The mirrors of a repository, and the builder of images that either can build; None if not set."""

    mirrors: tuple[Mirror, ...] = ()
    builder: BuilderName | None = None

    def mirror_of(self, reference: str) -> Mirror | None:
        """Return the mirror for a reference, the one with the longest origin; None without any."""
        found = (mirror for mirror in self.mirrors if mirror.replaces(reference) is not None)
        return max(found, key=lambda mirror: len(mirror.origin), default=None)


def read_local(root: Path, document: Mapping[str, object]) -> LocalSettings:
    """Read the mirrors and the builder of a repository.

    Args:
        root: The repository's root, which may hold ``factory.local.toml``.
        document: ``factory.toml`` as data.

    Raises:
        SpecError: a key is unknown, of the wrong type or not acceptable; the message names the file.
        StorageError: the file system refused.
    """
    shared, local = (
        _settings(document, SETTINGS_FILE),
        _settings(read_local_settings(root), LOCAL_SETTINGS_FILE),
    )
    mirrors = {mirror.origin: mirror for mirror in (*shared.mirrors, *local.mirrors)}
    return LocalSettings(mirrors=tuple(mirrors.values()), builder=local.builder or shared.builder)


def _settings(document: Mapping[str, object], file: str) -> LocalSettings:
    content = document.get(MIRRORS_TABLE, {})
    if not isinstance(content, dict):
        raise SpecError(
            f"{file}: {MIRRORS_TABLE} is not a table", solution=f"Write it as [{MIRRORS_TABLE}]; {_EXAMPLE}."
        )
    return LocalSettings(mirrors=tuple(_mirrors(content, file)), builder=_builder(document, file))


def _builder(document: Mapping[str, object], file: str) -> BuilderName | None:
    given = document.get(BUILDER_KEY)
    builder = check_builder(given)
    if given is not None and builder is None:
        raise SpecError(
            f"{file}: {BUILDER_KEY} is {given!r}, which is no builder",
            solution=f"Write one of {', '.join(_BUILDERS)}; {_EXAMPLE}.",
        )
    return builder


def check_builder(given: object) -> BuilderName | None:
    """Return a builder by its name; None if there is no such builder."""
    return next((known for known in _BUILDERS if known == given), None)


def _mirrors(content: Mapping[str, object], file: str) -> Iterable[Mirror]:
    for origin, value in content.items():
        where = f"{file}: [{MIRRORS_TABLE}] {origin!r}"
        if not isinstance(value, str | dict):
            raise SpecError(
                f"{where} is neither a reference nor a table",
                solution=f'Write "{origin}" = "REFERENCE", or {{ image = "REFERENCE", stand-in = true }}.',
            )
        table = TableReader(
            {"image": value} if isinstance(value, str) else value,
            where=file,
            name=f'{MIRRORS_TABLE}."{origin}"',
            example=_EXAMPLE,
        )
        mirror = Mirror(
            origin=origin, image=table.text("image"), stand_in=table.flag("stand-in", default=False)
        )
        table.refuse_the_rest()
        _check(mirror, where)
        yield mirror


def _check(mirror: Mirror, where: str) -> None:
    """Refuse a mirror that could not give a whole reference for each one that it is for."""
    path = mirror.origin.endswith("/")
    if find_reference(mirror.origin.rstrip("/") if path else mirror.origin) is None or (
        path and _is_whole(mirror.origin.rstrip("/"))
    ):
        raise SpecError(
            f"{where} is not an image reference, and not the beginning of one",
            solution="Write registry/path:tag for one image, registry/path for all tags of one repository, "
            "or registry/path/ for all below it.",
        )
    if _is_whole(mirror.image):
        check_image(mirror.image, of=f"{where}:")
    elif _is_whole(mirror.origin):
        raise SpecError(
            f"{where} is one image, and {mirror.image!r} has neither a tag nor a digest",
            solution="Write the whole reference of the image that takes its place.",
        )
    elif find_reference(mirror.image.rstrip("/")) is None or mirror.image.endswith("/") != path:
        raise SpecError(
            f"{where}: {mirror.image!r} cannot take its place",
            solution="For a path that ends with / write another that ends with /, for a repository another "
            "repository: what follows is kept. Or write the whole reference of one image.",
        )


def _is_whole(text: str) -> bool:
    """Return whether a text is a reference with a tag or a digest."""
    found = find_reference(text)
    return found is not None and (found.tag is not None or found.digest is not None)
