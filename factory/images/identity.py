"""The identity of an image: a digest over all that decides what comes of its build, and nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NotRequired, TypedDict

from factory.documents import parse_json
from factory.errors import DocumentError
from factory.images.definitions import Builder, ImageDefinition
from factory.images.inputs import InputFile, read_inputs

TAG_LENGTH = 16
# Counts in every identity: raised where the same inputs are to give another image.
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
class Manifest:
    """All that an identity is made of.

    ``inputs`` are files by their paths in the image's folder, the Dockerfile among them; ``builder`` is what
    builds it.
    """

    dockerfile: str
    inputs: Mapping[str, InputFile]
    build_args: Mapping[str, str]
    parents: tuple[ParentState, ...]
    builder: Builder = "engine"

    @cached_property
    def text(self) -> str:
        """The manifest as canonical JSON: keys sorted, no white space, ASCII."""
        return json.dumps(_as_data(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of `text` in hex."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @property
    def tag(self) -> str:
        """The tag that an image of this identity has: its first digits."""
        return identity_tag(self.identity)


def identity_tag(identity: str) -> str:
    """The tag that an image of this identity has: the first digits of it."""
    return identity[:TAG_LENGTH]


def read_manifest(definition: ImageDefinition, parents: Iterable[ParentState]) -> Manifest:
    """Read what an image would be built from now.

    Raises:
        ImageError, StorageError: as `factory.images.inputs.read_inputs`.
    """
    return Manifest(
        dockerfile=definition.dockerfile,
        inputs=read_inputs(definition),
        build_args=dict(definition.build_args),
        parents=tuple(parents),
        builder=definition.builder,
    )


def parse_manifest(text: str) -> Manifest | None:
    """A manifest from the label of an image; None where it is none that the factory wrote."""
    try:
        data = parse_json(text, _Label, source="a label")
    except DocumentError:
        return None
    return Manifest(
        dockerfile=data["dockerfile"],
        inputs={
            path: InputFile(sha256=digest, executable=executable)
            for path, (digest, executable) in data["inputs"].items()
        },
        build_args=data["build-args"],
        parents=tuple(
            ParentState(
                argument=argument,
                image=parent["image"],
                identity=parent.get("identity"),
                digest=parent.get("digest"),
            )
            for argument, parent in data["parents"].items()
        ),
        builder=data.get("builder", "engine"),
    )


class _Parent(TypedDict):
    image: str
    identity: NotRequired[str]
    digest: NotRequired[str]


_Label = TypedDict(
    "_Label",
    {
        "dockerfile": str,
        "inputs": dict[str, tuple[str, bool]],
        "build-args": dict[str, str],
        "parents": dict[str, _Parent],
        "builder": NotRequired[Builder],
    },
)


def _as_data(manifest: Manifest) -> dict[str, object]:
    return {
        "version": _VERSION,
        "dockerfile": manifest.dockerfile,
        "inputs": {path: [file.sha256, file.executable] for path, file in manifest.inputs.items()},
        "build-args": dict(manifest.build_args),
        "parents": {parent.argument: _parent(parent) for parent in manifest.parents},
        **({} if manifest.builder == "engine" else {"builder": manifest.builder}),
    }


def _parent(parent: ParentState) -> dict[str, str]:
    told = {"image": parent.image, "identity": parent.identity, "digest": parent.digest}
    return {key: value for key, value in told.items() if value is not None}
