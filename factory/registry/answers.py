"""What stands in the requests to a registry and in its answers: paths, media types, lists, error codes."""

import re
from typing import Any, TypedDict
from urllib.parse import quote

from factory.documents import parse_json, require_shape
from factory.errors import DocumentError, RegistryError
from factory.http.client import HttpResponse
from factory.registry.oci import Descriptor, ManifestDocument

_SCHEMA_VERSION = 2
_ANSWERS = "Look at the address of the registry: something else may answer there."
_NO_MANIFEST = (
    "Look at the registry's address, and at what stands before it, such as a login page; push the image "
    "again where it is damaged."
)


def path_of(repository: str, kind: str, reference: str) -> str:
    """The path of a manifest or a blob (``kind``: ``manifests``, ``blobs``) at a registry."""
    return f"/v2/{quote(repository)}/{kind}/{quote(reference, safe=':')}"


def media_type_of(answer: HttpResponse) -> str:
    """The media type of what was given."""
    media_type: str = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type


def platform_of(item: Descriptor) -> str:
    """``OS/ARCHITECTURE`` of a manifest that an index names."""
    platform = item.get("platform") or {}
    return f"{platform.get('os', '')}/{platform.get('architecture', '')}"


def strings_of(answer: HttpResponse, key: str) -> list[str]:
    """The names on a page of a list.

    Raises:
        RegistryError: it is no such page.
    """
    source = f"a page of {key} of a registry"
    page = parse_json(answer.content, dict[str, Any], source=source, error=RegistryError, solution=_ANSWERS)
    return require_shape(
        page.get(key) or [], list[str], source=source, error=RegistryError, solution=_ANSWERS
    )


def error_code_of(answer: HttpResponse) -> str:
    """The first of the specification's error codes; its message is not repeated."""
    try:
        (error, *_) = parse_json(answer.content, _Errors, source="")["errors"]
    except (DocumentError, ValueError):
        return ""
    return error["code"] if re.fullmatch(r"[A-Z_]{1,40}", error["code"]) else ""


class _Error(TypedDict):
    code: str


class _Errors(TypedDict):
    errors: list[_Error]


def read_manifest(content: bytes, *, name: str) -> ManifestDocument:
    """Read a manifest or an index (OCI image-spec, schema version 2).

    A page of a proxy that asks for a login is an answer too, with status 200.

    Raises:
        RegistryError: it is none; ``name`` says in the message what it was given for.
    """
    document = parse_json(
        content,
        ManifestDocument,
        source=f"what was given as the manifest of {name}",
        error=RegistryError,
        solution=_NO_MANIFEST,
    )
    if document["schemaVersion"] != _SCHEMA_VERSION:
        raise RegistryError(
            f"what was given as the manifest of {name} is of schema version {document['schemaVersion']}",
            solution=_NO_MANIFEST,
        )
    return document


def damaged(name: str, wanted: str, found: str) -> RegistryError:
    """An error for something whose digest is another than it was said to be."""
    return RegistryError(
        f"{name} is not what it is said to be: {found} in the place of {wanted}",
        solution="Push it again; if it happens again, ask the owners of the registry.",
    )
