"""The identity of an image: a digest over all that decides what comes of its build, and nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.image.definitions import ImageDefinition

TAG_LENGTH = 16
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ParentState:
    """A parent as it is now: the build argument that names it, and which image it is.

    ``image`` is the name of an image of the repository, which has an ``identity``, or a reference. The
    ``digest`` of a reference is that of its manifest (``sha256:…``), of an image of this machine
    (``localhost/…``) the engine's ID; None where nobody has recorded it, and the reference alone counts.
    """

    argument: str
    image: str
    identity: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file that goes into an image: the SHA-256 of its content in hex, and whether it can be executed.

    Of a link it is the SHA-256 of where it points to and what is there.
    """

    sha256: str
    executable: bool


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that an identity is made of.

    ``inputs`` are files by their paths in the image's folder, the Dockerfile among them.
    """

    dockerfile: str
    inputs: Mapping[str, InputFile]
    build_args: Mapping[str, str]
    parents: tuple[ParentState, ...]

    @property
    def text(self) -> str:
        """The manifest as canonical JSON: keys sorted, no white space, ASCII."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """The SHA-256 of `text` in hex."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()


def identity_tag(identity: str) -> str:
    """The tag that an image of this identity has: the first digits of it."""
    return identity[:TAG_LENGTH]


def read_manifest(definition: ImageDefinition, parents: Iterable[ParentState]) -> Manifest:
    """Read what an image would be built from now.

    Raises:
        ImageError: an input is missing, lies outside the folder, or is copied without being declared.
        StorageError: a file cannot be read.
    """
    raise NotImplementedError


def parse_manifest(text: str) -> Manifest | None:
    """A manifest from the label of an image; None where it is none that the factory wrote."""
    raise NotImplementedError


def _as_data(manifest: Manifest) -> dict[str, object]:
    del manifest
    return {"version": _VERSION, "text": json.dumps({})}
