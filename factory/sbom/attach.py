"""A bill beside its image in the registry, where ``cosign attach sbom`` puts it and Konflux looks for it.

An OCI image (image-spec 1.0) of one layer, the bill, under the tag ``sha256-DIGEST.sbom`` of the same
repository. Equal bills give equal manifests, so that a second run changes nothing.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import requests
from oras.auth import AuthenticationException
from oras.client import OrasClient
from oras.logger import logger
from urllib3.exceptions import InsecureRequestWarning

from factory.errors import SbomError
from factory.flavor.references import find_reference
from factory.registry.login import Login, login_for
from factory.registry.session import certificates, restrained

LAYER = "application/vnd.cyclonedx+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_IMAGES = (
    MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a registry is reached: over plain HTTP, or with TLS that nobody verifies, where asked for."""

    plain_http: bool = False
    tls_verify: bool = True


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A bill in a registry: its own reference by digest, which is Konflux's SBOM_BLOB_URL, and its tag."""

    blob_url: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class PushedImage:
    """An image by its digest, in 64 hex digits."""

    host: str
    repository: str
    digest: str


def read_reference(image: str) -> PushedImage:
    """``REGISTRY/REPOSITORY@sha256:…``, with a tag or without.

    Raises:
        SbomError: it is no such reference.
    """
    found = find_reference(image)
    algorithm, _, digest = (found.digest or "").partition(":") if found else ("", "", "")
    if found is None or not found.domain or algorithm != "sha256":
        raise SbomError(
            f"{image!r} names no image by its digest",
            solution="Give it as REGISTRY/REPOSITORY@sha256:…, the reference that the push printed.",
        )
    return PushedImage(host=found.domain, repository=found.repository, digest=digest)


def attach(bill: bytes, image: PushedImage, *, access: Access, environment: Mapping[str, str]) -> Attached:
    """Push a bill in CycloneDX JSON beside an image.

    Args:
        bill: what is pushed.
        image: what it is of; it has to be there.
        access: how to reach the registry.
        environment: where the container engine's and docker's files of logins are looked up
            (`factory.registry.login`).

    Raises:
        SbomError: the image is not there, or the registry refused, failed or did not answer.
    """
    tag = f"{image.repository}:sha256-{image.digest}.sbom"
    verify = certificates(environment) if access.tls_verify else False
    login = login_for(image.repository, environment)
    try:
        with warnings.catch_warnings():
            # Whoever turns it off knows.
            warnings.simplefilter("ignore", InsecureRequestWarning)
            client = _client(image, access, login, verify=verify)
            with client.session:
                return _attach(client, image, tag, bill)
    except (OSError, AuthenticationException, ValueError) as error:
        # Not repeated: a message of these may hold the whole request.
        raise SbomError(
            f"{image.host} did not take the bill of materials ({type(error).__name__})",
            solution="Look at the network and the registry; --plain-http is for one on this machine, and "
            "`podman login` is how it gets to know you.",
        ) from error


def _attach(client: OrasClient, image: PushedImage, tag: str, bill: bytes) -> Attached:
    _require_image(client, image)
    layer = _push_blob(client, tag, bill, media_type=LAYER)
    config = _push_blob(client, tag, _config(layer), media_type=CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    _check(client.upload_manifest(manifest, client.get_container(tag)), tag)
    return Attached(blob_url=f"{image.repository}@{layer['digest']}", tag=tag)


def _client(image: PushedImage, access: Access, login: Login | None, *, verify: str | bool) -> OrasClient:
    # It would print to standard error what it thinks of each request.
    logger.set_stream_handler(logging.NullHandler())
    scheme = "http" if access.plain_http else "https"
    with restrained(requests.Session()) as session:
        asked = session.get(f"{scheme}://{image.host}/v2/", verify=verify)
    basic = asked.headers.get("Www-Authenticate", "").lower().startswith("basic")
    if basic and login is None:
        _check(asked, image.host)
    client = OrasClient(
        insecure=access.plain_http, tls_verify=verify, auth_backend="basic" if basic else "token"
    )
    restrained(client.session)
    # Its own way to try again sleeps for two minutes, also where it was refused.
    once = partial(type(client).do_request.__wrapped__, client)
    client.do_request = partial(_request, once, image.host)
    if login is not None:
        client.auth.set_basic_auth(login.user, login.password)
    return client


def _request(
    once: Callable[..., requests.Response], host: str, *positional: object, **named: object
) -> requests.Response:
    """What the client asks; that it was given no token is a refusal, which it has no error of its own for."""
    try:
        return once(*positional, **named)
    except requests.RequestException:
        raise
    except ValueError as error:
        raise _refused(host, "it gave no token") from error


def _require_image(client: OrasClient, image: PushedImage) -> None:
    container = client.get_container(f"{image.repository}@sha256:{image.digest}")
    url = f"{client.prefix}://{container.manifest_url()}"
    _check(client.do_request(url, "HEAD", headers={"Accept": ", ".join(_IMAGES)}), f"{container}")


def _push_blob(client: OrasClient, tag: str, content: bytes, *, media_type: str) -> dict[str, str | int]:
    descriptor: dict[str, str | int] = {
        "mediaType": media_type,
        "digest": f"sha256:{sha256(content).hexdigest()}",
        "size": len(content),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        path.write_bytes(content)
        _check(client.upload_blob(str(path), client.get_container(tag), descriptor), tag)
    return descriptor


def _config(layer: Mapping[str, str | int]) -> bytes:
    """The configuration of an image that nobody runs, as cosign writes it."""
    root = {"type": "layers", "diff_ids": [layer["digest"]]}
    return json.dumps({"architecture": "", "config": {}, "os": "", "rootfs": root}).encode()


def _check(response: requests.Response, what: str) -> None:
    status = response.status_code
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise _refused(what, f"HTTP {status}")
    if status == requests.codes.not_found:
        raise SbomError(
            f"{what} is not in the registry",
            solution="Push the image first, and give the digest that it got.",
        )
    if not response.ok:
        raise SbomError(
            f"the registry answers HTTP {status} for {what}",
            solution="Look at what the registry logs, and run the same command again.",
        )


def _refused(what: str, why: str) -> SbomError:
    return SbomError(
        f"the registry refuses access to {what} ({why})",
        solution="Log in as somebody who may push there: `podman login REGISTRY`, or REGISTRY_AUTH_FILE.",
    )
