"""The identity of an image: a digest over everything that decides its content, and nothing else."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NotRequired, TypedDict

from factory.clock import timed
from factory.documents import parse_json
from factory.engine.images import VARIANT_LABEL, inputs_text
from factory.errors import DocumentError
from factory.images.definitions import DOWNSTREAM_DOCKERFILE, BuilderName, ImageDefinition, Variant
from factory.images.inputs import InputFile, read_inputs
from factory.registry.tags import identity_tag

# Part of every identity: raise it when the same inputs must make a different image.
_VERSION = 1
_DIGITS = 12
_HOW: Mapping[BuilderName, str] = {"engine": "by the engine", "layout": "in a layout"}


@dataclass(frozen=True, kw_only=True)
class ParentState:
    """A parent at this moment: the build argument that names it, and which image it is.

    ``image`` is the name of an image of the repository, which has an ``identity``, or a reference. The
    ``digest`` of a reference is that of its manifest (``sha256:…``), or the engine's ID for an image of this
    machine (``localhost/…``); None if it is not recorded, so that the reference alone counts. ``stand_in``:
    it only stands in for the real image, which a label of the child says.
    """

    argument: str
    image: str
    identity: str | None = None
    digest: str | None = None
    stand_in: bool = False


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """Everything that an identity is computed from.

    ``files`` are keyed by their path in the image's folder and include the Dockerfile.
    """

    dockerfile: str
    files: Mapping[str, InputFile]
    build_args: Mapping[str, str]
    parents: tuple[ParentState, ...]
    builder: BuilderName = "engine"

    @cached_property
    def text(self) -> str:
        """The inputs as canonical JSON: sorted keys, no white space, ASCII."""
        return json.dumps(_as_data(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of `text` in hex."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @property
    def tag(self) -> str:
        """The tag of an image with this identity."""
        return identity_tag(self.identity)


@timed("hash")
def read_build_inputs(definition: ImageDefinition, parents: Iterable[ParentState]) -> BuildInputs:
    """Read the current build inputs of an image.

    Raises:
        ImageError, StorageError: as `factory.images.inputs.read_inputs`.
    """
    return BuildInputs(
        dockerfile=definition.dockerfile,
        files=read_inputs(definition),
        build_args=dict(definition.build_args),
        parents=tuple(parents),
        builder=definition.builder,
    )


def parse_build_inputs(text: str) -> BuildInputs | None:
    """Return the build inputs from an image's label; None if the factory did not write it."""
    try:
        data = parse_json(text, _Label, source="a label")
    except DocumentError:
        return None
    return BuildInputs(
        dockerfile=data["dockerfile"],
        files={
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
                stand_in="stand-in" in parent,
            )
            for argument, parent in data["parents"].items()
        ),
        builder=data.get("builder", "engine"),
    )


_LabelParent = TypedDict(
    "_LabelParent",
    {"image": str, "identity": NotRequired[str], "digest": NotRequired[str], "stand-in": NotRequired[str]},
)


_Label = TypedDict(
    "_Label",
    {
        "dockerfile": str,
        "inputs": dict[str, tuple[str, bool]],
        "build-args": dict[str, str],
        "parents": dict[str, _LabelParent],
        "builder": NotRequired[BuilderName],
    },
)


def _as_data(inputs: BuildInputs) -> dict[str, object]:
    return {
        "version": _VERSION,
        "dockerfile": inputs.dockerfile,
        "inputs": {path: [file.sha256, file.executable] for path, file in inputs.files.items()},
        "build-args": dict(inputs.build_args),
        "parents": {parent.argument: _parent_data(parent) for parent in inputs.parents},
        **({} if inputs.builder == "engine" else {"builder": inputs.builder}),
    }


def _parent_data(parent: ParentState) -> dict[str, str]:
    stand_in = "yes" if parent.stand_in else None
    known = {
        "image": parent.image,
        "identity": parent.identity,
        "digest": parent.digest,
        "stand-in": stand_in,
    }
    return {key: value for key, value in known.items() if value is not None}


def variant_text(variant: Variant) -> str:
    """Return a variant as canonical JSON, as a label has it."""
    data = {
        "downstream": variant.downstream,
        "builder": variant.builder,
        "base-image": variant.base_image,
    }
    return json.dumps({key: value for key, value in data.items() if value is not None}, sort_keys=True)


def parse_variant(labels: Mapping[str, str]) -> Variant | None:
    """Return the variant in an image's labels; None if they do not say."""
    text = labels.get(VARIANT_LABEL)
    try:
        data = parse_json(text, _VariantLabel, source="a label") if text else None
    except DocumentError:
        data = None
    if data is not None:
        return Variant(
            downstream=data.get("downstream"),
            builder=data.get("builder", "engine"),
            base_image=data.get("base-image"),
        )
    # An image of before the label; a Dockerfile.konflux is a flavor's.
    inputs = parse_build_inputs(inputs_text(labels))
    if inputs is None:
        return None
    downstream = True if inputs.dockerfile == DOWNSTREAM_DOCKERFILE else None
    return Variant(downstream=downstream, builder=inputs.builder)


_VariantLabel = TypedDict(
    "_VariantLabel",
    {
        "downstream": NotRequired[bool],
        "builder": NotRequired[BuilderName],
        "base-image": NotRequired[str],
    },
)


def differences(before: BuildInputs, now: BuildInputs) -> tuple[str, ...]:
    """Describe how the inputs of two builds of one image differ: why it is rebuilt."""
    return (
        *_builder_differences(before, now),
        *_files_differences(before, now),
        *_arguments_differences(before.build_args, now.build_args),
        *_parents_differences(before, now),
    )


def _builder_differences(before: BuildInputs, now: BuildInputs) -> Iterator[str]:
    if before.builder != now.builder:
        yield f"built {_HOW[now.builder]} instead of {_HOW[before.builder]}"


def _files_differences(before: BuildInputs, now: BuildInputs) -> Iterator[str]:
    if before.dockerfile != now.dockerfile:
        yield f"built with {now.dockerfile} instead of {before.dockerfile}"
    for path in sorted({*before.files, *now.files}):
        # A Dockerfile that is no longer used was not removed.
        if before.dockerfile == now.dockerfile or path not in {before.dockerfile, now.dockerfile}:
            yield from _file_differences(path, before.files.get(path), now.files.get(path))


def _file_differences(path: str, before: InputFile | None, now: InputFile | None) -> Iterator[str]:
    if before is None:
        yield f"{path} is new"
    elif now is None:
        yield f"{path} was removed"
    elif before.sha256 != now.sha256:
        yield f"{path} changed"
    elif before.executable != now.executable:
        yield f"{path} {'is executable now' if now.executable else 'is no longer executable'}"


def _arguments_differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"build argument {name} is new"
        elif name not in now:
            yield f"build argument {name} was removed"
        elif before[name] != now[name]:
            yield f"build argument {name} changed"


def _parents_differences(before: BuildInputs, now: BuildInputs) -> Iterator[str]:
    earlier = {parent.argument: parent for parent in before.parents}
    current = {parent.argument: parent for parent in now.parents}
    for argument, parent in current.items():
        if argument not in earlier:
            yield f"parent {parent.image} ({argument}) is new"
        else:
            yield from _parent_differences(earlier[argument], parent)
    for argument, parent in earlier.items():
        if argument not in current:
            yield f"parent {parent.image} ({argument}) was removed"


def _parent_differences(before: ParentState, now: ParentState) -> Iterator[str]:
    if before.image != now.image:
        yield f"parent {now.argument} is {now.image}, and was {before.image}"
    elif before.identity != now.identity:
        yield f"parent {now.image} changed"
    elif before.stand_in != now.stand_in:
        yield f"parent {now.image} is {'' if now.stand_in else 'not '}a stand-in now"
    elif before.digest == now.digest:
        return
    elif before.digest is None:
        yield f"the digest of parent {now.image} counts now: {_short(now.digest)}"
    elif now.digest is None:
        yield f"the digest of parent {now.image} is no longer recorded; it was {_short(before.digest)}"
    elif now.digest.startswith("sha256:"):
        yield f"parent {now.image} moved at its origin: {_short(before.digest)} -> {_short(now.digest)}"
    else:
        yield f"parent {now.image} was rebuilt: {_short(before.digest)} -> {_short(now.digest)}"


def _short(digest: str | None) -> str:
    kind, colon, digits = (digest or "").rpartition(":")
    return f"{kind}{colon}{digits[:_DIGITS]}"
