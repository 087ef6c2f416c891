"""Images in the engine's storage: finding, pulling, naming and removing them; the labels they carry."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from factory.documents import Size, parse_json
from factory.engine.engine import (
    Engine,
    Operand,
    Word,
    call_engine,
    call_listing,
    run_engine,
    skopeo_words,
)
from factory.errors import EngineError
from factory.process import run

IDENTITY_LABEL = "io.universal-image-factory.identity"
"""The identity of the image: 64 hex digits."""
INPUTS_LABEL = "io.universal-image-factory.inputs"
"""What the identity is the digest of: canonical JSON (`factory.images.identity.Manifest.text`).

A long text is cut: here is ``COUNT:`` and the first part; the others are in ``….inputs.1`` and so on.
"""
IMAGE_LABEL = "io.universal-image-factory.image"
"""The name of the image in its repository."""
VARIANT_LABEL = "io.universal-image-factory.variant"
"""Which of the image's builds it is: canonical JSON (`factory.images.identity.variant_text`)."""
STAND_IN_LABEL = "io.universal-image-factory.stand-in"
"""The base image that only stands in for the real one; an image that is built on it inherits the label."""
KIND_LABEL = "io.universal-image-factory.kind."
"""Followed by a kind of image: the name of the nearest such image that this one is or is built on."""
PARTS_REPOSITORY = "localhost/factory-layer"
"""What begins the names of single layers, which are no images of the repository."""
# buildah's time for a label grows with the square of its length: 0.04 s for one of this length.
_PART_CHARACTERS = 8_000
_PARTED = re.compile(r"(?P<count>[0-9]{1,5}):(?P<first>.*)", re.DOTALL)
# podman's messages and docker's; they do not depend on the language.
_NOT_FOUND = ("image not known", "No such image")
_HALF_WRITTEN = re.compile(r'image with ID "([0-9a-f]{64})" \(consider removing the image')
_NEVER_THERE = "localhost/factory-asks-whether-podman-works:none"


class StartConfig(TypedDict):
    """What a container of an image is started with."""

    Env: NotRequired[list[str] | None]
    Entrypoint: NotRequired[list[str] | None]
    Cmd: NotRequired[list[str] | None]
    User: NotRequired[str | None]
    WorkingDir: NotRequired[str | None]
    ExposedPorts: NotRequired[dict[str, Any] | None]
    Volumes: NotRequired[dict[str, Any] | None]
    StopSignal: NotRequired[str | None]
    Labels: NotRequired[dict[str, str] | None]


@dataclass(frozen=True, kw_only=True)
class EngineImage:
    """An image in the engine's storage.

    ``layers`` are the digests of the uncompressed layers, from the bottom up (OCI image-spec, diff_ids);
    ``size`` is their size in bytes together; ``created`` is RFC 3339, empty if the image does not say.
    """

    id: str
    names: tuple[str, ...] = ()
    size: int = 0
    created: str = ""
    layers: tuple[str, ...] = ()
    config: StartConfig = field(default_factory=StartConfig)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.config.get("Labels") or {}


def find_image(engine: Engine, reference: str) -> EngineImage | None:
    """Return the image of a reference or ID; None if the engine lacks it. Pulls nothing.

    Raises:
        SpecError: it is neither a reference nor an ID.
        EngineError: the engine does not work.
    """
    return next(iter(_inspect(engine, [reference])), None)


def find_images(engine: Engine, references: Iterable[str]) -> dict[str, EngineImage]:
    """Return the images of references by every name that each has. Pulls nothing.

    The engine is started once: that takes most of the time.

    Raises:
        EngineError: the engine does not work.
    """
    wanted = [reference for reference in dict.fromkeys(references) if reference]
    return {name: image for image in _inspect(engine, wanted) for name in image.names}


def find_labelled(engine: Engine, label: str, value: str) -> tuple[str, ...]:
    """Return the names of all images with a label, sorted; slow if there are many images.

    Raises:
        ProgramError: the engine does not work.
    """
    form = ("--filter", f"label={label}={value}", "--format", "{{.Repository}}:{{.Tag}}")
    listed = list_images(engine, *form)
    return tuple(sorted({name for name in listed.split() if "<none>" not in name}))


def list_images(engine: Engine, *options: Word) -> str:
    """Return what ``image ls`` prints.

    It is repeated as `call_listing` does. podman fails for good if a run that was killed left an image
    half-written. Such an image, which is unusable, is removed after a while; there may be several.

    Raises:
        ProgramError: it failed every time.
    """
    removed = set[str]()
    while True:
        found = call_listing(engine, "image ls", *options)
        if found.status == 0:
            return found.stdout
        broken = _HALF_WRITTEN.search(found.stderr)
        if broken is None or broken[1] in removed:
            return call_engine(engine, "image ls", *options, accept_failure=False).stdout
        remove_image(engine, broken[1])
        removed.add(broken[1])


def pull_image(engine: Engine, reference: str, *, verified: bool, solution: str, log: Path) -> None:
    """Pull an image; ``verified`` is whether the registry has to prove its identity (TLS).

    Raises:
        EngineError: it failed; ``solution`` says what to do then.
    """
    options = [] if verified or engine.kind == "docker" else ["--tls-verify=false"]
    operands = [Operand.image(reference)]
    run_engine(engine, "pull", "--quiet", *options, operands=operands, solution=solution, log=log)


def load_layout(engine: Engine, layout: str, name: str) -> None:
    """Load the image of a layout, ``oci:FOLDER:NAME``, into the engine's storage under a name.

    skopeo does it: podman would first name the image after the folder's path, which may be no name.

    Raises:
        EngineError: the image cannot be loaded.
        ProgramError: skopeo is missing, or the run was interrupted.
    """
    folder, _, inner = layout.removeprefix("oci:").rpartition(":")
    storage: Literal["docker-daemon", "containers-storage"] = (
        "docker-daemon" if engine.kind == "docker" else "containers-storage"
    )
    operands = [Operand.in_layout(Path(folder), inner), Operand.in_storage(storage, name)]
    found = run(skopeo_words("copy", "--quiet", operands=operands), accept_failure=True)
    if found.status != 0:
        raise EngineError(
            f"{layout} cannot be loaded into {engine.kind}: {found.stderr.strip()}",
            solution="Check that `skopeo inspect` reads it; else build it again.",
        )


def tag_image(engine: Engine, image: str, *names: str) -> None:
    """Tag an image with names, in order.

    Raises:
        ProgramError: the engine failed.
    """
    for name in names:
        call_engine(engine, "tag", operands=[Operand.image(image), Operand.image(name)], accept_failure=False)


def remove_image(engine: Engine, name: str) -> None:
    """Remove an image, or one of its names, if it exists and no container uses it.

    Images without a name that are below it stay.

    Raises:
        ProgramError: the engine is missing, or the run was interrupted.
    """
    call_engine(engine, "image rm", "--no-prune", operands=[Operand.image(name)])


class _RootFs(TypedDict):
    Layers: NotRequired[list[str] | None]


class _Inspected(TypedDict):
    Id: str
    Size: NotRequired[Size | None]
    Created: NotRequired[str | None]
    RepoTags: NotRequired[list[str] | None]
    RootFS: NotRequired[_RootFs]
    Config: NotRequired[StartConfig | None]


def _inspect(engine: Engine, references: Sequence[str]) -> list[EngineImage]:
    """Return those of the images that the engine has."""
    if not references:
        return []
    found = call_engine(
        engine, "image inspect", operands=[Operand.image(reference) for reference in references]
    )
    if found.status == 0:
        return _parse(engine, found.stdout)
    try:
        return _parse(engine, found.stdout)
    except EngineError:
        # The engine has none of them, or does not work.
        if not any(words in found.stderr for words in _NOT_FOUND):
            _require_working(engine, found.stderr)
        return []


def _parse(engine: Engine, output: str) -> list[EngineImage]:
    source, solution = f"what {engine.kind} says of an image", f"Look at `{engine.kind} image inspect`."
    documents = parse_json(output, list[_Inspected], source=source, error=EngineError, solution=solution)
    if not documents:
        raise EngineError(f"{source} is an empty list", solution=solution)
    return [
        EngineImage(
            id=document["Id"].removeprefix("sha256:"),
            names=tuple(document.get("RepoTags") or ()),
            size=document.get("Size") or 0,
            created=document.get("Created") or "",
            layers=tuple(document.get("RootFS", {}).get("Layers") or ()),
            config=document.get("Config") or {},
        )
        for document in documents
    ]


def _require_working(engine: Engine, said: str) -> None:
    """Check that an engine that did not describe an image works; ``said`` is its message.

    A missing image and a broken engine give the same status. Listing all images takes seconds if there are
    many, and fails if another run removes one.

    Raises:
        EngineError: the engine does not work.
    """
    # podman returns 1 for a missing image and 125 for a failure, also for an invalid reference, so the
    # reference is valid; docker's client returns 1 without its server.
    asked = (
        call_engine(engine, "image exists", operands=[Operand.image(_NEVER_THERE)])
        if engine.kind == "podman"
        else call_engine(engine, "version")
    )
    if asked.status > (engine.kind == "podman"):
        raise EngineError(
            f"{engine.kind} does not work: {asked.stderr.strip() or said.strip()}",
            solution=f"Check that `{engine.kind} image ls` works, then run the same command again.",
        )


def image_labels(
    *, name: str, identity: str, inputs: str, variant: str = "", stand_in: str = ""
) -> dict[str, str]:
    """Return the labels of a built image: its name, its identity, what that is the digest of, its variant."""
    labels = {IMAGE_LABEL: name, IDENTITY_LABEL: identity, INPUTS_LABEL: inputs}
    labels |= {VARIANT_LABEL: variant} if variant else {}
    labels |= {STAND_IN_LABEL: stand_in} if stand_in else {}
    if len(inputs) > _PART_CHARACTERS:
        parts = [inputs[at : at + _PART_CHARACTERS] for at in range(0, len(inputs), _PART_CHARACTERS)]
        labels[INPUTS_LABEL] = f"{len(parts)}:{parts[0]}"
        labels |= {f"{INPUTS_LABEL}.{number}": part for number, part in enumerate(parts[1:], start=1)}
    return labels


def inputs_text(labels: Mapping[str, str]) -> str:
    """Return the text of the manifest that labels hold; empty if they hold none."""
    text = labels.get(INPUTS_LABEL, "")
    match = _PARTED.fullmatch(text)
    if match is None:
        # Further parts may exist: they are the parent's.
        return text
    further = (labels.get(f"{INPUTS_LABEL}.{number}", "") for number in range(1, int(match["count"])))
    return match["first"] + "".join(further)


def label_instruction(labels: Mapping[str, str]) -> str:
    """Return the LABEL instruction that sets labels, for a Dockerfile whose escape character is a backslash.

    An argument of a program has at most 128 KiB, too few for the inputs of 1,300 files. A Dockerfile has no
    limit.
    """
    pairs = (f'"{_quoted(name)}"="{_quoted(value)}"' for name, value in labels.items())
    return "LABEL " + " \\\n      ".join(pairs) + "\n" if labels else ""


def _quoted(text: str) -> str:
    return re.sub(r'[\\"$]', lambda match: f"\\{match[0]}", text)
