"""An SBOM as bytes: sorted, indented, equal for equal content. Prefetching writes its own with this too."""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from factory.documents import parse_json
from factory.errors import SbomError

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom

TOOL = "universal-image-factory"
"""What wrote an SBOM."""
# Identifiers that follow from a document's content are made in it (RFC 9562, version 5).
_NAMESPACE = uuid.UUID("6f4f8b0c-3b7e-5a52-9f0d-0c2c5d1c7b11")


def cyclonedx_document(bom: "Bom") -> dict[str, Any]:
    """Return a CycloneDX 1.6 document (ECMA-424) without serial number and time."""
    # The library takes as long to start as all the rest, and what reads a document does without it.
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415

    document = parse_json(JsonV1Dot6(bom).output_as_string(), dict[str, Any], source="the SBOM")
    # The library has no other way to leave out the time.
    del document["serialNumber"], document["metadata"]["timestamp"]
    return document


def document_digest(document: object) -> str:
    """Return ``sha256:…`` over a document, whatever its order and spacing."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def to_bytes(document: Mapping[str, object]) -> bytes:
    """Return a document as it is written: keys in order, two spaces, one line end."""
    return (json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def identifier(digest: str) -> uuid.UUID:
    """Return the identifier that follows from a digest."""
    return uuid.uuid5(_NAMESPACE, digest)


def created_at(environment: Mapping[str, str]) -> dt.datetime:
    """Return the time for a format that demands one: ``SOURCE_DATE_EPOCH`` in seconds, else 1970.

    Raises:
        SbomError: the variable is set, and is not such a number.
    """
    given = environment.get("SOURCE_DATE_EPOCH", "").strip() or "0"
    try:
        return dt.datetime.fromtimestamp(int(given), tz=dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SbomError(
            f"SOURCE_DATE_EPOCH is {given!r}, which is no number of seconds since 1970",
            solution="Unset it, or give such a number, as `git log -1 --format=%ct` prints one.",
        ) from error
