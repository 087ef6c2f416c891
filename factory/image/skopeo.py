"""Send an image from an OCI layout into a registry by skopeo: by digest, tried again, and with no tag yet."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.errors import ProgramError, RegistryError
from factory.flavor.secrets import masked
from factory.image.push_source import Layout
from factory.process import Finished, governor, run
from factory.registry.declared import Registry
from factory.registry.login import Login

PROGRAM = "skopeo"
_ATTEMPTS = 4
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
# A slow line is no reason to give up; one that brings nothing is.
_LEAST_SECONDS, _LEAST_BYTES_A_SECOND = 300.0, 50_000
# What skopeo says where trying again is no use.
_FINAL = ("unauthorized", "authentication required", "denied", "x509", "certificate", "manifest invalid")
_LAST_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where an image is sent: a repository of a registry, whom that is told is asking, and how."""

    registry: Registry
    repository: str
    login: Login | None
    tls_verify: bool

    @property
    def place(self) -> str:
        """``HOST/REPOSITORY``."""
        return f"{self.registry.host}/{self.repository}"


def send(layout: Layout, delivery: Delivery, *, missing: Callable[[], int]) -> None:
    """Send the image's blobs that are not there, then its manifest under its digest.

    A try that fails is made again after a pause; what has arrived is not sent again, and a try that brought
    some counts as the first.

    Args:
        layout: the image.
        delivery: where to.
        missing: how many bytes are not there yet.

    Raises:
        RegistryError: it failed again and again, or was refused.
        ProgramError: skopeo is not there, or the work was stopped.
    """
    failures, left = 0, missing()
    while True:
        finished = _copied(layout, delivery, seconds=_LEAST_SECONDS + left / _LEAST_BYTES_A_SECOND)
        if finished.status == 0:
            return
        said = _said(finished, delivery.login)
        now_left = missing()
        failures = 1 if now_left < left else failures + 1
        left = now_left
        if failures >= _ATTEMPTS or any(word in said.lower() for word in _FINAL):
            raise RegistryError(
                f"{delivery.place} did not take the image: {said}",
                solution="Look at the network, the login and the registry, then run the same command again: "
                "what arrived is not sent twice, and no tag was set.",
            )
        governor().pause(min(_PAUSE_SECONDS * 2.0**failures, _LONGEST_PAUSE_SECONDS))


def _copied(layout: Layout, delivery: Delivery, *, seconds: float) -> Finished:
    digest = layout.manifest.digest
    with _auth_file(delivery) as auth_file:
        told = auth_file.with_name("digest")
        finished = run(
            [
                PROGRAM,
                "copy",
                "--all",
                "--preserve-digests",
                "--authfile",
                auth_file,
                "--digestfile",
                told,
                f"--dest-tls-verify={'true' if delivery.tls_verify else 'false'}",
                layout.reference,
                f"docker://{delivery.place}@{digest}",
            ],
            accept_failure=True,
            timeout=seconds,
        )
        if finished.status == 0 and (sent := told.read_text(encoding="ascii").strip()) != digest:
            raise ProgramError(
                f"skopeo sent {sent} in the place of {digest}",
                solution="Run it again; if it happens again, look at skopeo's own settings.",
            )
    return finished


@contextmanager
def _auth_file(delivery: Delivery) -> Iterator[Path]:
    """A file of logins with this one alone, which nobody else can read, and which is gone afterwards."""
    auths = {} if delivery.login is None else {delivery.registry.host: {"auth": delivery.login.encoded}}
    with tempfile.TemporaryDirectory(prefix="factory-push-") as folder:
        path = Path(folder) / "auth.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"auths": auths}, file)
        yield path


def _said(finished: Finished, login: Login | None) -> str:
    """The last that skopeo said, without what it was told in confidence."""
    text = " ".join(finished.stderr.strip().splitlines()[-_LAST_LINES:]) or f"status {finished.status}"
    for secret in (login.password, login.encoded) if login else ():
        text = text.replace(secret, "***") if secret else text
    return masked(text)
