"""A bill of materials as bytes: sorted, indented, and with a digest over all that it says."""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping

from factory.errors import SbomError

NAMESPACE = uuid.UUID("6f4f8b0c-3b7e-5a52-9f0d-0c2c5d1c7b11")
"""What identifiers are made in that follow from a document's content (RFC 9562, version 5)."""


def digest_of(document: object) -> str:
    """``sha256:…`` over a document, whatever its order and spacing."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def to_bytes(document: Mapping[str, object]) -> bytes:
    """A document as it is written: keys in order, two spaces, one line end."""
    return (json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def identifier(digest: str) -> uuid.UUID:
    """The identifier that follows from a digest."""
    return uuid.uuid5(NAMESPACE, digest)


def created_at(environment: Mapping[str, str]) -> dt.datetime:
    """The time for a format that demands one: ``SOURCE_DATE_EPOCH`` in seconds, else 1970.

    Raises:
        SbomError: the variable is set, and is no such number.
    """
    given = environment.get("SOURCE_DATE_EPOCH", "").strip() or "0"
    try:
        return dt.datetime.fromtimestamp(int(given), tz=dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SbomError(
            f"SOURCE_DATE_EPOCH is {given!r}, which is no number of seconds since 1970",
            solution="Unset it, or give such a number, as `git log -1 --format=%ct` prints one.",
        ) from error
