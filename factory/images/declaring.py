"""Adding an image to ``factory.toml``: its table goes to the end of the file, and the rest stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit

from factory.documents import parse_toml
from factory.errors import SpecError
from factory.images.definitions import BASE_IMAGE
from factory.images.tables import IMAGES_TABLE
from factory.settings import SETTINGS_FILE, read_document


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What ``[images.NAME]`` is to say. ``parents`` maps a build argument to an image."""

    name: str
    kind: str
    parents: Mapping[str, str]
    build_args: Mapping[str, str]
    registry: str | None = None


def declaration_text(declaration: Declaration) -> str:
    """The table as text; a single parent under ``BASE_IMAGE`` is written as ``parent``."""
    # A name with a dot in it has to be quoted.
    lines = [
        f"[{IMAGES_TABLE}.{tomlkit.key(declaration.name).as_string()}]",
        f"kind = {_quoted(declaration.kind)}",
    ]
    if list(declaration.parents) == [BASE_IMAGE]:
        lines.append(f"parent = {_quoted(declaration.parents[BASE_IMAGE])}")
    else:
        lines += [f"parents.{argument} = {_quoted(image)}" for argument, image in declaration.parents.items()]
    lines += [
        f"build-args.{argument} = {_quoted(value)}" for argument, value in declaration.build_args.items()
    ]
    if declaration.registry is not None:
        lines.append(f"registry = {_quoted(declaration.registry)}")
    return "\n".join(lines) + "\n"


def with_declaration(text: str, declaration: Declaration) -> str:
    """The text of a ``factory.toml`` with one more image at its end; comments and line ends are kept.

    Raises:
        SpecError: the text is not TOML, or the table of images is written such that none can follow.
    """
    before = read_document(text)
    where = f"[{IMAGES_TABLE}.{declaration.name}] cannot be added to {SETTINGS_FILE}"
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = newline if text.strip() else ""
    head = text if not text or text.endswith("\n") else text + newline
    after = head + gap + declaration_text(declaration).replace("\n", newline)
    changed = parse_toml(
        after,
        dict[str, Any],
        source=f"{where}: the result",
        error=SpecError,
        solution=f"Write each image as a table of its own, [{IMAGES_TABLE}.NAME], and run it again.",
    )
    added = changed[IMAGES_TABLE].pop(declaration.name)
    if not changed[IMAGES_TABLE] and IMAGES_TABLE not in before:
        del changed[IMAGES_TABLE]
    if changed != before or not added:
        raise SpecError(
            f"{where} without changing other tables",
            solution=f"Add it by hand:\n{declaration_text(declaration)}",
        )
    return after


def _quoted(text: str) -> str:
    return tomlkit.item(text).as_string()
