"""Send an image into a registry by skopeo: from an OCI layout, by digest, tried again, with no tag yet.

Where there is no skopeo podman sends it, which knows no other name for it than a tag: one of the content's
own, which stays, since what a registry deletes by a tag or a digest is the image.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.errors import ProgramError, RegistryError
from factory.flavor.secrets import masked
from factory.image.engine import Engine
from factory.image.push_source import GZIP, Layout
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


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An image in podman's storage, and the tag that it is sent under where there is no skopeo."""

    engine: Engine
    reference: str
    tag: str


def send(layout: Layout, delivery: Delivery, *, stored: Stored | None, missing: Callable[[], int]) -> None:
    """Send the image's blobs that are not there, then its manifest under its digest.

    A try that fails is made again after a pause; what has arrived is not sent again, and a try that brought
    some counts as the first.

    Args:
        layout: the image.
        delivery: where to.
        stored: the same image where podman has it, and the tag to send it under without skopeo.
        missing: how many bytes are not there yet.

    Raises:
        RegistryError: it failed again and again, or was refused.
        ProgramError: there is no program that could, or the work was stopped.
    """
    command = _command(layout, delivery, stored)
    failures, left = 0, missing()
    while True:
        finished = _sent(command, layout, delivery, seconds=_LEAST_SECONDS + left / _LEAST_BYTES_A_SECOND)
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


def _command(layout: Layout, delivery: Delivery, stored: Stored | None) -> list[str | Path]:
    """The program and what it is told; its options for logins, digest and TLS follow."""
    if shutil.which(PROGRAM) is None and stored is not None:
        names = [stored.reference, f"docker://{delivery.place}:{stored.tag}"]
        verify = f"--tls-verify={'true' if delivery.tls_verify else 'false'}"
        return [stored.engine.program, "push", *GZIP, verify, *names]
    verify = f"--dest-tls-verify={'true' if delivery.tls_verify else 'false'}"
    target = f"docker://{delivery.place}@{layout.manifest.digest}"
    return [PROGRAM, "copy", "--all", "--preserve-digests", verify, layout.reference, target]


def _sent(command: Sequence[str | Path], layout: Layout, delivery: Delivery, *, seconds: float) -> Finished:
    digest = layout.manifest.digest
    with _auth_file(delivery) as auth_file:
        told = auth_file.with_name("digest")
        words = [*command, "--authfile", auth_file, "--digestfile", told]
        finished = run(words, accept_failure=True, timeout=seconds)
        if finished.status == 0 and (sent := told.read_text(encoding="ascii").strip()) != digest:
            raise ProgramError(
                f"{Path(command[0]).name} sent {sent} in the place of {digest}",
                solution="Run it again; if it happens again, look at the program's own settings.",
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
