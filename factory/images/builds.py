"""The builds of an image that this machine has: which variants of it, under which names, since when.

An image of the engine says in its labels what it is. When it was built is in no label, so that the same
inputs make the same image: the repository records it in ``.work/images/NAME@builds``, by identity.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.clock import age, now, parse_moment
from factory.documents import read_json
from factory.engine.images import IDENTITY_LABEL, EngineImage, inputs_text
from factory.errors import DocumentError
from factory.files import WORK_FOLDER, exclusive, make_output_folder, write_whole
from factory.images.definitions import (
    DOWNSTREAM_TAG,
    MIDSTREAM_TAG,
    ImageDefinition,
    Variant,
    local_reference,
)
from factory.images.identity import parse_build_inputs, parse_variant
from factory.registry.tags import LATEST, identity_tag

IMAGES_NOTES = Path(WORK_FOLDER, "images")
"""Where a repository keeps its notes on each image."""
_FILE = "builds.json"
_INDEX = "index.json"
_MOST = 50
_SHORT = 12


@dataclass(frozen=True, kw_only=True)
class ExistingBuild:
    """A build of an image that the engine, or a layout on this machine, has.

    reference: Its name in the engine, or ``oci:FOLDER:NAME``.
    identity: 64 hex digits; empty if the factory did not build it.
    built: When this repository built it, RFC 3339; empty if that is not recorded.
    leaves_parent: Whether it is built on no image of the repository.
    """

    image: str
    reference: str
    identity: str
    variant: Variant
    built: str = ""
    leaves_parent: bool = False

    @property
    def in_layout(self) -> bool:
        """Return whether it is in a layout, and not in the engine."""
        return self.reference.startswith("oci:")

    @property
    def tag(self) -> str:
        """The tag of its identity."""
        return identity_tag(self.identity)

    @property
    def words(self) -> str:
        """The build for people: its variant, its identity, its age."""
        moment = parse_moment(self.built) if self.built else None
        ago = "" if moment is None else f", {age(moment, now=now())} ago"
        what = self.variant.words or "the same"
        return f"{what}, identity {self.identity[:_SHORT] or 'unknown'}{ago}"


class _Recorded(TypedDict):
    built: str
    variant: dict[str, bool | str | None]
    layout: NotRequired[str]


def record_build(
    folders: Path, name: str, *, identity: str, variant: Variant, layout: str | None = None
) -> None:
    """Record that an image was built now.

    Args:
        folders: The folder with the notes on each image.
        name: The image.
        identity: Its identity.
        variant: Which variant it is.
        layout: ``FOLDER:NAME`` of the layout that has it; None for the engine.

    Raises:
        StorageError: the file system refused.
        BusyError: another run holds the record, and does not end.
    """
    folder = make_output_folder(_folder(folders, name))
    said = {"downstream": variant.downstream, "builder": variant.builder, "base-image": variant.base_image}
    entry = _Recorded(built=now().isoformat(), variant=dict(said))
    if layout is not None:
        entry["layout"] = layout
    with exclusive(folder):
        before = _read(folders, name)
        # A layout has one image of a name: the later one took its place.
        kept = {
            key: one
            for key, one in before.items()
            if key != identity and (layout is None or one.get("layout") != layout)
        }
        newest = dict(sorted(kept.items(), key=lambda item: item[1]["built"])[-_MOST + 1 :])
        write_whole(folder / _FILE, f"{json.dumps(newest | {identity: entry}, indent=2)}\n".encode())


def recorded_layout(folders: Path, name: str, tag: str) -> str | None:
    """Return ``oci:FOLDER:NAME`` of the layout that has an image of an identity's tag; None without one."""
    return next((build.reference for build in _in_layouts(folders, name) if build.tag == tag), None)


def build_names(folders: Path, definition: ImageDefinition) -> tuple[str, ...]:
    """Return the names in the engine that builds of an image may have: moving ones, then identities."""
    tags = (definition.moving_tag, LATEST, DOWNSTREAM_TAG, MIDSTREAM_TAG)
    recorded = _read(folders, definition.name)
    identities = (identity_tag(identity) for identity, one in recorded.items() if "layout" not in one)
    return tuple(local_reference(definition.name, tag) for tag in dict.fromkeys((*tags, *identities)))


def existing_builds(
    folders: Path,
    definition: ImageDefinition,
    stored: Mapping[str, EngineImage],
    *,
    names: Iterable[str] = (),
) -> tuple[ExistingBuild, ...]:
    """Return the builds of an image that this machine has, the newest first; each identity once.

    Args:
        folders: The folder with the notes on each image.
        definition: The image.
        stored: What the engine has, by name: at least `build_names`.
        names: Further names in the engine to look at.
    """
    recorded = _read(folders, definition.name)
    found: dict[str, ExistingBuild] = {}
    for reference in (*build_names(folders, definition), *names):
        image = stored.get(reference)
        build = None if image is None else _of_engine(definition.name, reference, image)
        if build is not None and (key := build.identity or build.reference) not in found:
            built = recorded.get(build.identity)
            found[key] = replace(build, built="" if built is None else built["built"])
    for build in _in_layouts(folders, definition.name):
        found.setdefault(build.identity, build)
    # Without a record a build comes last; moving names come first among those.
    return tuple(sorted(found.values(), key=lambda build: build.built, reverse=True))


def also_built(build: ExistingBuild) -> str:
    """Return the sentence that names another build of an image, beside the one that is meant."""
    return f"{build.image} is also built: {build.words} ({build.reference})"


def _of_engine(name: str, reference: str, image: EngineImage) -> ExistingBuild:
    """Return an image of the engine as a build.

    The name that somebody gave it counts, and not the one in its labels, which may be missing.
    """
    identity, variant = image.labels.get(IDENTITY_LABEL, ""), parse_variant(image.labels) or Variant()
    inputs = parse_build_inputs(inputs_text(image.labels))
    return ExistingBuild(
        image=name,
        reference=reference,
        identity=identity,
        variant=variant,
        leaves_parent=inputs is not None and all(parent.identity is None for parent in inputs.parents[:1]),
    )


def _in_layouts(folders: Path, name: str) -> Iterable[ExistingBuild]:
    for identity, one in _read(folders, name).items():
        layout = one.get("layout")
        if layout is not None and Path(layout.rpartition(":")[0], _INDEX).is_file():
            yield ExistingBuild(
                image=name,
                reference=f"oci:{layout}",
                identity=identity,
                variant=_variant(one),
                built=one["built"],
            )


def _variant(recorded: _Recorded) -> Variant:
    said = recorded["variant"]
    downstream, base_image = said.get("downstream"), said.get("base-image")
    return Variant(
        downstream=downstream if isinstance(downstream, bool) else None,
        builder="layout" if said.get("builder") == "layout" else "engine",
        base_image=base_image if isinstance(base_image, str) else None,
    )


def _folder(folders: Path, name: str) -> Path:
    return folders / f"{name}@builds"


def _read(folders: Path, name: str) -> dict[str, _Recorded]:
    """Return the record of an image's builds by identity; empty without a readable one."""
    try:
        return read_json(_folder(folders, name) / _FILE, dict[str, _Recorded])
    except (OSError, DocumentError):
        return {}
