"""What stands in the requests to a registry and in its answers: paths, media types, lists, error codes."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from factory.errors import RegistryError
from factory.registry.transport import Answer

_SCHEMA_VERSION = 2


def path_of(repository: str, kind: str, reference: str) -> str:
    """The path of a manifest or a blob (``kind``: ``manifests``, ``blobs``) at a registry."""
    return f"/v2/{quote(repository)}/{kind}/{quote(reference, safe=':')}"


def media_type_of(answer: Answer) -> str:
    """The media type of what was given."""
    media_type: str = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type


def platform_of(item: Mapping[str, Any]) -> str:
    """``OS/ARCHITECTURE`` of a manifest that an index names."""
    platform = item.get("platform") or {}
    return f"{platform.get('os', '')}/{platform.get('architecture', '')}"


def strings_of(answer: Answer, key: str) -> list[str]:
    """The names on a page of a list.

    Raises:
        RegistryError: it is no such page.
    """
    try:
        listed = json.loads(answer.content).get(key) or []
    except (ValueError, AttributeError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise RegistryError(
            f"what was read as a page of {key} of a registry is none",
            solution="Look at the address of the registry: something else may answer there.",
        )
    return listed


def error_code_of(answer: Answer) -> str:
    """The first of the specification's error codes; its message is not repeated."""
    try:
        code = json.loads(answer.content)["errors"][0]["code"]
    except (ValueError, LookupError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else ""


def check_manifest(name: str, document: Mapping[str, Any]) -> None:
    """See to it that what was given as a manifest is one, or an index (OCI image-spec, schema version 2).

    A page of a proxy that asks for a login is an answer too, with status 200.

    Raises:
        RegistryError: it is not.
    """
    lists = [document.get("layers") or [], document.get("manifests") or []]
    named = [item for items in lists if isinstance(items, list) for item in items]
    named += [document["config"]] if document.get("config") else []
    whole = all(isinstance(items, list) for items in lists) and all(
        isinstance(item, dict) and isinstance(item.get("digest"), str) for item in named
    )
    if document.get("schemaVersion") != _SCHEMA_VERSION or not whole:
        raise RegistryError(
            f"what was given for {name} is no manifest of an image",
            solution="Look at the registry's address, and at what stands before it, such as a login page; "
            "push the image again where it is damaged.",
        )


def damaged(name: str, wanted: str, found: str) -> RegistryError:
    """An error for something whose digest is another than it was said to be."""
    return RegistryError(
        f"{name} is not what it is said to be: {found} in the place of {wanted}",
        solution="Push it again; if it happens again, ask the owners of the registry.",
    )
