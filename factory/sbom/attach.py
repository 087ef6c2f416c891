"""A bill beside its image in the registry, where ``cosign attach sbom`` puts it and Konflux looks for it.

An OCI image (image-spec 1.0) of one layer, the bill, under the tag ``sha256-DIGEST.sbom`` of the same
repository. Equal bills give equal manifests, so that a second run changes nothing.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import requests
from oras.auth import AuthenticationException
from oras.client import OrasClient
from oras.logger import setup_logger
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from factory.errors import SbomError
from factory.sbom.registry_login import Login, login_for

LAYER = "application/vnd.cyclonedx+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_IMAGES = (
    MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_REFERENCE = re.compile(
    r"(?P<repository>(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*)"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:(?P<digest>[0-9a-f]{64})"
)
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
# In all some seconds; after a refusal (4xx) there is nothing to wait for.
_RETRIES = Retry(
    total=3,
    backoff_factor=0.5,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
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
class ImageReference:
    """An image by its digest, in 64 hex digits."""

    host: str
    repository: str
    digest: str


def read_reference(image: str) -> ImageReference:
    """``REGISTRY/REPOSITORY@sha256:…``, with a tag or without.

    Raises:
        SbomError: it is no such reference.
    """
    match = _REFERENCE.fullmatch(image)
    if match is None:
        raise SbomError(
            f"{image!r} names no image by its digest",
            solution="Give it as REGISTRY/REPOSITORY@sha256:…, the reference that the push printed.",
        )
    return ImageReference(host=match["host"], repository=match["repository"], digest=match["digest"])


def attach(bill: bytes, image: ImageReference, *, access: Access, environment: Mapping[str, str]) -> Attached:
    """Push a bill in CycloneDX JSON beside an image.

    Args:
        bill: what is pushed.
        image: what it is of; it has to be there.
        access: how to reach the registry.
        environment: where the container engine's and docker's files of logins are looked up
            (`factory.sbom.registry_login`).

    Raises:
        SbomError: the image is not there, or the registry refused, failed or did not answer.
    """
    tag = f"{image.repository}:sha256-{image.digest}.sbom"
    try:
        client = _client(image, access, login_for(image.repository, environment))
        with client.session:
            _require_image(client, image)
            layer = _push_blob(client, tag, bill, media_type=LAYER)
            config = _push_blob(client, tag, _config(layer), media_type=CONFIG)
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
            _check(client.upload_manifest(manifest, client.get_container(tag)), tag)
    except (requests.RequestException, AuthenticationException, ValueError) as error:
        # Not repeated: a message of these may hold the whole request.
        raise SbomError(
            f"{image.host} did not take the bill of materials ({type(error).__name__})",
            solution="Look at the network and the registry; --plain-http is for one on this machine, and "
            "`podman login` is how it gets to know you.",
        ) from error
    return Attached(blob_url=f"{image.repository}@{layer['digest']}", tag=tag)


def _client(image: ImageReference, access: Access, login: Login | None) -> OrasClient:
    # It would print to standard error what it thinks of each request.
    setup_logger(quiet=True)
    scheme = "http" if access.plain_http else "https"
    with _session(requests.Session()) as session:
        asked = session.get(f"{scheme}://{image.host}/v2/", verify=access.tls_verify)
    basic = asked.headers.get("Www-Authenticate", "").lower().startswith("basic")
    if basic and login is None:
        _check(asked, image.host)
    client = OrasClient(
        insecure=access.plain_http, tls_verify=access.tls_verify, auth_backend="basic" if basic else "token"
    )
    _session(client.session)
    # Its own way to try again sleeps for two minutes, also where it was refused.
    client.do_request = partial(type(client).do_request.__wrapped__, client)
    if login is not None:
        client.auth.set_basic_auth(login.user, login.password)
    return client


def _session(session: requests.Session) -> requests.Session:
    """A session whose every request has an end."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    limits = (_CONNECT_SECONDS, _READ_SECONDS)
    session.request = partial(session.request, timeout=limits)  # type: ignore[method-assign]
    return session


def _require_image(client: OrasClient, image: ImageReference) -> None:
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
        raise SbomError(
            f"the registry refuses access to {what} (HTTP {status})",
            solution="Log in as somebody who may push there: `podman login REGISTRY`, or REGISTRY_AUTH_FILE.",
        )
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
