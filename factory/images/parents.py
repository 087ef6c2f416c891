"""The digests of external parents: those recorded in ``parents.json``, and those at their origins."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.dockerfile.references import find_reference, parse_reference
from factory.documents import read_json
from factory.errors import ImageError, RegistryError, SpecError
from factory.files import storage_error
from factory.http.parallel import in_parallel
from factory.registry.declared import Registry
from factory.transaction import Replacement, open_transaction, read_before

PARENTS_FILE = "parents.json"
"""Maps references to digests, at the repository's root; a person commits it."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HUB, _HUB_LIBRARY = "docker.io", "library"
_AT_ONCE = 8
_DAMAGED = "Restore the committed file, or remove it and run `factory plan --pull --record`."


@dataclass(frozen=True, kw_only=True)
class ImageOrigin:
    """Where a reference points to; ``tag`` is a tag or a digest."""

    host: str
    repository: str
    tag: str


def is_local(reference: str) -> bool:
    """Return whether an image is of this machine only and has no origin: ``localhost/…``."""
    return reference.startswith("localhost/")


def digest_in(reference: str) -> str | None:
    """Return the digest in a reference; None if it has only a tag."""
    found = find_reference(reference)
    return None if found is None else found.digest


def pinned(reference: str, digest: str) -> str:
    """Return the reference with a digest instead of its tag: no tool pulls by both."""
    return f"{parse_reference(reference, of='a parent').repository}@{digest}"


def image_origin(reference: str) -> ImageOrigin:
    """Return the origin of a reference with a tag or a digest; Docker's registry without a host."""
    found = parse_reference(reference, of="a parent")
    host, path = found.domain or _HUB, found.path
    if host == _HUB and "/" not in path:
        path = f"{_HUB_LIBRARY}/{path}"
    return ImageOrigin(host=host, repository=path, tag=found.digest or found.tag or "")


def read_recorded_digests(root: Path) -> dict[str, str]:
    """Return the digests in ``parents.json`` by reference; empty if the file does not exist.

    Raises:
        SpecError: the file is not one that the factory writes.
        StorageError: the file system refused.
    """
    path = root / PARENTS_FILE
    try:
        document = read_json(path, dict[str, str], error=SpecError, solution=_DAMAGED)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(path, error) from error
    for reference, digest in document.items():
        if not _DIGEST.fullmatch(digest):
            raise SpecError(
                f"{path} is not what the factory writes: {reference!r} has no sha256 digest",
                solution=_DAMAGED,
            )
    return document


def record_digests(root: Path, digests: Mapping[str, str]) -> bool:
    """Add digests to ``parents.json``; return whether that changed the file.

    Raises:
        SpecError: the file is not one that the factory writes.
        StorageError: the file system refused; the file is unchanged.
        BusyError: another run holds the repository.
    """
    with open_transaction([root]) as transaction:
        before = read_recorded_digests(root)
        after = {**before, **digests}
        if after == before:
            return False
        text = json.dumps(after, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        path = root / PARENTS_FILE
        transaction.commit([Replacement(path=path, before=read_before(path), content=text.encode())])
        return True


def find_origin_digests(references: Iterable[str], *, declared: Collection[Registry]) -> dict[str, str]:
    """Return the digests that references have at their origins now; skips those that contain one.

    A host of a declared registry is spoken to with that registry's settings (``tls-verify``, ``token-host``).

    Raises:
        RegistryError: an origin did not answer or refused; the message names it.
        ImageError: an origin does not have the image.
    """
    wanted = sorted({reference for reference in references if digest_in(reference) is None})
    hosts = {image_origin(reference).host for reference in wanted}
    answers = in_parallel(lambda host: _ask(host, wanted, declared), sorted(hosts), jobs=_AT_ONCE)
    return {reference: digest for answer in answers for reference, digest in answer.items()}


def _ask(host: str, wanted: Iterable[str], declared: Collection[Registry]) -> dict[str, str]:
    # Late, so that a plan that asks no registry starts without an HTTP client.
    from factory.registry.client import open_registry  # noqa: PLC0415

    here = {reference: origin for reference in wanted if (origin := image_origin(reference)).host == host}
    known = [registry for registry in declared if registry.host == host]
    registry = Registry(
        name=host,
        url=host,
        kind="persistent",
        tls_verify=all(one.tls_verify for one in known),
        token_host=next((one.token_host for one in known if one.token_host), None),
    )
    try:
        with open_registry(registry) as client:
            found = client.digests((origin.repository, origin.tag) for origin in here.values())
    except RegistryError as error:
        raise RegistryError(
            f"the origin of {next(iter(here))} cannot be asked: {error.reason}", solution=error.solution
        ) from error
    digests: dict[str, str] = {}
    for reference, origin in here.items():
        digest = found[origin.repository, origin.tag]
        if digest is None:
            raise ImageError(
                f"{reference} does not exist at its origin",
                solution="Look for its tag there: tags are moved and deleted. Name an existing one, or leave "
                "out --pull to use the recorded digest.",
            )
        digests[reference] = digest
    return digests
