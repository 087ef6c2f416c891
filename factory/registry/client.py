"""One client for all container registries: the OCI distribution specification (1.1), and no more.

Repositories are named without the host (`Registry.repository` returns that of an image); a reference is a tag
or a digest (``sha256:`` and 64 hex digits). Anything missing is None.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, BinaryIO, Self, TypedDict
from urllib.parse import quote, urljoin

from factory.clock import timed
from factory.documents import parse_json, require_shape
from factory.errors import DocumentError, RegistryError
from factory.http.bounded import Listing
from factory.http.client import HttpResponse
from factory.http.origins import Login
from factory.http.parallel import in_parallel
from factory.http.retry import RetryPolicy
from factory.registry.blobs import open_remote_blob
from factory.registry.connection import Connection, Scheme
from factory.registry.credentials import Credentials
from factory.registry.declared import Registry
from factory.registry.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    ManifestDocument,
    labels_of,
    platform_of,
    read_manifest,
)

_ACCEPT = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}, {DOCKER_LIST}"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
_PAGE, _MOST_PAGES = 1000, 10_000
_CONNECTIONS = 16
RETRY_POLICY = RetryPolicy(total_seconds=120.0)


class RegistryClient:
    """Reads and changes what a registry holds; a context manager, safe to use from several threads.

    Every method that sends a request raises RegistryError if the registry refuses, fails, does not answer, or
    sends something else than its digest says.
    """

    def __init__(self, registry: Registry, connection: Connection) -> None:
        self.registry = registry
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    @property
    def plain_http(self) -> bool:
        """Return whether the registry speaks plain HTTP, which other programs do not detect."""
        return self._connection.plain_http

    @property
    def connection(self) -> Connection:
        """Sends the requests that are about no image."""
        return self._connection

    def login(self, repository: str) -> Login | None:
        """Return the login for a repository, for another program; None without one."""
        return self._connection.credentials.of(repository)

    def check(self) -> None:
        """Raise RegistryError unless a registry answers (``GET /v2/``); 401 is an answer."""
        _ = self._connection.base

    def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of a manifest or index; None if missing (``HEAD …/manifests/…``)."""
        answer = self._manifest_request("HEAD", repository, reference)
        if answer is None:
            return None
        digest: str = answer.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(digest):
            return digest
        # The header is only recommended.
        manifest = self.manifest(repository, reference)
        return None if manifest is None else manifest.digest

    def digests(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        """Return the digests of many (repository, reference), asked for in parallel."""
        pairs = list(dict.fromkeys(wanted))
        found = in_parallel(lambda pair: self.digest(*pair), pairs, jobs=_CONNECTIONS)
        return dict(zip(pairs, found, strict=True))

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return a manifest or an index; None if it is missing (``GET …/manifests/…``)."""
        answer = self._manifest_request("GET", repository, reference)
        if answer is None:
            return None
        manifest = Manifest(media_type=media_type_of(answer), content=answer.content)
        said = reference if _DIGEST.fullmatch(reference) else answer.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(said) and manifest.digest != said:
            raise damaged(self._name(repository, reference), said, manifest.digest)
        read_manifest(manifest.content, name=self._name(repository, reference))
        return manifest

    def image_manifest(
        self, repository: str, reference: str, *, platform: str = "linux/amd64"
    ) -> Manifest | None:
        """Return the manifest of one image: of an index the platform's, else its first."""
        manifest = self.manifest(repository, reference)
        if manifest is None or not manifest.is_index:
            return manifest
        named = manifest.document.get("manifests") or []
        chosen = next((item for item in named if platform_of(item) == platform), None)
        chosen = chosen or next((item for item in named if platform_of(item) != "unknown/unknown"), None)
        return None if chosen is None else self.manifest(repository, chosen["digest"])

    def config(self, repository: str, reference: str, *, platform: str = "linux/amd64") -> ImageConfig | None:
        """Return an image's configuration (OCI image-spec), also of an index; None if there is no image."""
        manifest = self.image_manifest(repository, reference, platform=platform)
        digest = None if manifest is None else manifest.config_digest
        if digest is None:
            return None
        content = self.blob(repository, digest)
        try:
            return parse_json(content or b"", ImageConfig, source="", error=RegistryError)
        except RegistryError as error:
            raise self._unreadable(repository, reference) from error

    def labels(self, repository: str, reference: str) -> dict[str, str] | None:
        """Return the labels of an image; None if there is no image."""
        config = self.config(repository, reference)
        if config is None:
            return None
        return labels_of(config)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether a repository has a layer or a configuration (``HEAD …/blobs/…``)."""
        answer = self._connection.request("HEAD", path_of(repository, "blobs", digest), repository=repository)
        return self._there(answer, self._name(repository, digest))

    def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a small blob, checked against its digest; None if it is missing."""
        answer = self._connection.request("GET", path_of(repository, "blobs", digest), repository=repository)
        if not self._there(answer, self._name(repository, digest)):
            return None
        found = f"sha256:{sha256(answer.content).hexdigest()}"
        if found != digest:
            raise damaged(self._name(repository, digest), digest, found)
        return answer.content

    def tags(self, repository: str) -> tuple[str, ...]:
        """Return a repository's tags, sorted; empty if it does not exist (``GET …/tags/list``)."""
        pages = self._pages(f"/v2/{repository}/tags/list?n={_PAGE}", "tags", repository=repository)
        return tuple(sorted(set(pages)))

    def repositories(self, *, most_pages: int = _MOST_PAGES) -> tuple[str, ...]:
        """Return all repositories, sorted, of a registry that lists them (``GET /v2/_catalog``)."""
        pages = self._pages(f"/v2/_catalog?n={_PAGE}", "repositories", most=most_pages)
        return tuple(sorted(set(pages)))

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest with all its tags; return False if it does not exist."""
        if not _DIGEST.fullmatch(digest):
            raise RegistryError(
                f"{digest!r} is no digest, and by a tag nothing is deleted",
                solution="Give sha256:… as `factory registry status` shows it.",
            )
        answer = self._connection.request(
            "DELETE", path_of(repository, "manifests", digest), repository=repository
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        if answer.status not in {HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise self._unexpected(answer, self._name(repository, digest), doing="deleting")
        return True

    def put_tag(self, repository: str, tag: str, manifest: Manifest) -> None:
        """Push a manifest whose blobs exist under a tag or its digest (``PUT …/manifests/…``).

        An existing tag is moved: whether that is allowed is up to the caller.
        """
        answer = self._connection.request(
            "PUT",
            path_of(repository, "manifests", tag),
            repository=repository,
            headers={"Content-Type": manifest.media_type},
            content=manifest.content,
        )
        if answer.status not in {HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise self._unexpected(answer, self._name(repository, tag), doing="taking")
        taken = answer.headers.get("Docker-Content-Digest", manifest.digest)
        if taken != manifest.digest:
            raise damaged(self._name(repository, tag), manifest.digest, taken)

    @timed("send")
    def put_blob(
        self,
        repository: str,
        digest: str,
        size: int,
        opened: Callable[[], BinaryIO],
        *,
        mount_from: str | None = None,
    ) -> bool:
        """Push a layer or a configuration, unless the repository has it; return whether it was sent.

        Args:
            repository: where it goes.
            digest: what it is.
            size: its bytes.
            opened: opens it at its beginning; called once for each try.
            mount_from: another repository of this registry that has it.
        """
        if self.has_blob(repository, digest):
            return False
        if mount_from is not None and self._connection.mount(repository, digest, mount_from):
            return False
        answer = self._connection.upload(repository, digest, size, opened)
        if answer.status not in {HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise self._unexpected(answer, self._name(repository, digest), doing="taking")
        return True

    def open_blob(self, repository: str, digest: str, size: int) -> BinaryIO:
        """Open a layer or a configuration to read it once; nothing is sent before the first read.

        Reading raises as `factory.registry.blobs.open_remote_blob` says.
        """
        path = path_of(repository, "blobs", digest)
        return open_remote_blob(self._connection, path, repository=repository, digest=digest, size=size)

    def referrers(self, repository: str, digest: str) -> tuple[Descriptor, ...] | None:
        """Return what is attached to a manifest by its ``subject`` (distribution-spec 1.1).

        Returns None if the registry does not list it: then a tag does (`factory.registry.inventory`).
        """
        answer = self._connection.request(
            "GET", path_of(repository, "referrers", digest), repository=repository
        )
        if answer.status != HTTPStatus.OK:
            return None
        try:
            page = parse_json(answer.content, ManifestDocument, source="")
        except DocumentError:
            return None
        return tuple(page.get("manifests") or ())

    def _manifest_request(self, method: str, repository: str, reference: str) -> HttpResponse | None:
        answer = self._connection.request(
            method, path_of(repository, "manifests", reference), repository=repository, headers=_ACCEPT
        )
        return answer if self._there(answer, self._name(repository, reference)) else None

    def _unreadable(self, repository: str, reference: str) -> RegistryError:
        return RegistryError(
            f"{self._name(repository, reference)} has no configuration that can be read",
            solution="Push the image again; what is there is damaged, or no image.",
        )

    def _there(self, answer: HttpResponse, name: str) -> bool:
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        if answer.status != HTTPStatus.OK:
            raise self._unexpected(answer, name, doing="giving")
        return True

    def _pages(self, path: str, key: str, *, repository: str = "", most: int = _MOST_PAGES) -> Iterable[str]:
        name = f"the list of {key} of {self._name(repository, '')}"
        listing = Listing(name=name, error=RegistryError, max_pages=most)
        while True:
            answer = self._connection.request("GET", path, repository=repository)
            if not self._there(answer, f"the {key} of {self._name(repository, '')}"):
                return
            found = strings_of(answer, key)
            yield from found
            onward = _NEXT.search(answer.headers.get("Link", ""))
            if onward is None:
                return
            path = urljoin(answer.url, onward[1])
            listing.turn(path, len(found))

    def _name(self, repository: str, reference: str) -> str:
        joint = "@" if _DIGEST.fullmatch(reference) else ":"
        name = "/".join(part for part in (self.registry.host, repository) if part)
        return f"{name}{joint}{reference}" if reference else name

    def _unexpected(self, answer: HttpResponse, name: str, *, doing: str) -> RegistryError:
        """Return the error for an unexpected answer; its code is the specification's."""
        said = error_code_of(answer)
        unsupported = answer.status == HTTPStatus.METHOD_NOT_ALLOWED or said == "UNSUPPORTED"
        status = f"HTTP {answer.status}{f' ({said})' if said else ''}"
        return RegistryError(
            f"{self.registry.host} answers {status} for {doing} {name}",
            solution="The registry does not do this: its owners have to allow it."
            if unsupported
            else "Look at what the registry logs, and run the same command again.",
        )


def open_registry(
    registry: Registry,
    *,
    environment: Mapping[str, str] | None = None,
    policy: RetryPolicy | None = None,
    scheme: Scheme | None = None,
) -> RegistryClient:
    """Return a client for a registry. No request is sent yet.

    Args:
        registry: Which; its driver decides where logins come from.
        environment: Where logins are looked up (`factory.registry.credentials`); the process's own if None.
        policy: Timeouts and retries; `RETRY_POLICY` if None.
        scheme: What it speaks; if None https, else http if that is allowed.
    """
    environment = os.environ if environment is None else environment
    connection = Connection(
        registry,
        Credentials(registry, environment),
        policy=policy or RETRY_POLICY,
        connections=_CONNECTIONS,
        environment=environment,
        scheme=scheme,
    )
    return RegistryClient(registry, connection)


_ANSWERS = "Look at the address of the registry: something else may answer there."


def path_of(repository: str, kind: str, reference: str) -> str:
    """Return the path of a manifest or blob (``kind``: ``manifests``, ``blobs``) in a registry."""
    return f"/v2/{quote(repository)}/{kind}/{quote(reference, safe=':')}"


def media_type_of(answer: HttpResponse) -> str:
    """Return the media type of content."""
    media_type: str = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type


def strings_of(answer: HttpResponse, key: str) -> list[str]:
    """Return the names on a page of a list.

    Raises:
        RegistryError: it is not such a page.
    """
    source = f"a page of {key} of a registry"
    page = parse_json(answer.content, dict[str, Any], source=source, error=RegistryError, solution=_ANSWERS)
    return require_shape(
        page.get(key) or [], list[str], source=source, error=RegistryError, solution=_ANSWERS
    )


def error_code_of(answer: HttpResponse) -> str:
    """Return the first of the specification's error codes; its message is not repeated."""
    try:
        (error, *_) = parse_json(answer.content, _Errors, source="")["errors"]
    except (DocumentError, ValueError):
        return ""
    return error["code"] if re.fullmatch(r"[A-Z_]{1,40}", error["code"]) else ""


class _Error(TypedDict):
    code: str


class _Errors(TypedDict):
    errors: list[_Error]


def damaged(name: str, wanted: str, found: str) -> RegistryError:
    """Return the error for content with another digest than expected."""
    return RegistryError(
        f"{name} is not what it is said to be: {found} in the place of {wanted}",
        solution="Push it again; if it happens again, ask the owners of the registry.",
    )
