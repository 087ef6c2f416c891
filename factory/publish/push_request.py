"""What the words of `factory push` come to: which image, which registries, and what its tags are made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from factory.build.layout import find_layout
from factory.build.segment_cache import REPOSITORY as KEPT_LAYERS
from factory.clock import now
from factory.engine.engine import Engine, find_engine
from factory.engine.labels import IDENTITY_LABEL, IMAGE_LABEL, INPUTS_LABEL
from factory.engine.stored import find_labelled, find_stored
from factory.errors import NotFoundError, SpecError
from factory.files import WORK_FOLDER
from factory.flavor.repository import Repository
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import DOWNSTREAM_DOCKERFILE, DOWNSTREAM_TAG, ImageDefinition
from factory.images.identity import Manifest, parse_manifest
from factory.masking import masked_address
from factory.process import run
from factory.publish.push import PushRequest
from factory.publish.push_source import LAYOUT_PREFIX, Source, find_source
from factory.registry.declared import TABLE, Registry, parse_registries
from factory.registry.tags import LATEST, Part, TagFacts
from factory.settings import SETTINGS_FILE

_IDENTITY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PushWords:
    """What was asked for. ``to`` is empty for the image's own registry, ``name`` None for its own name."""

    image: str
    to: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("auto",)
    name: str | None = None
    raised: Part = "patch"
    allow_dirty: bool = False
    dry_run: bool = False
    engine: str | None = None


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push that can begin: `push_image`'s arguments, and what to say of the image before.

    ``variant`` is how it was built, empty if its labels do not say; ``others`` are the names of other builds
    of the image.
    """

    source: Source
    request: PushRequest
    facts: TagFacts
    variant: str = ""
    others: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What is pushed, and how to push what is not."""
        also = f"; not {', '.join(self.others)}: push that by its name" if self.others else ""
        return f"pushing {self.source.reference}{f' ({self.variant})' if self.variant else ''}{also}"


def plan_push(repository: Repository, words: PushWords) -> Push:
    """Find what is to be pushed and where to; no registry is asked yet.

    Raises:
        NotFoundError: there is no such image, in the repository or in the engine.
        SpecError: ``factory.toml`` or a destination is not acceptable, or there is no destination.
        EngineError, ImageError: as `find_source`.
    """
    catalogue = read_catalogue(repository)
    definition = None if _is_reference(words.image) else catalogue.definition(words.image)
    reference, name = words.image, words.name
    others: tuple[str, ...] = ()
    if definition is not None:
        reference, *found = _built(repository, definition, find_engine(words.engine))
        name, others = name or definition.name, tuple(found)
    source = find_source(reference, name=name, engine=words.engine)
    if definition is None and source.name in catalogue.names:
        definition = catalogue.definition(source.name)
    request = PushRequest(
        to=_destinations(words.to, catalogue, definition, source),
        rules=words.rules,
        raised=words.raised,
        allow_dirty=words.allow_dirty,
        dry_run=words.dry_run,
        work=repository.root / WORK_FOLDER,
    )
    manifest = parse_manifest(source.labels.get(INPUTS_LABEL, ""))
    return Push(
        source=source,
        request=request,
        facts=_facts(source, definition, manifest, root=repository.root, rules=words.rules),
        variant=_variant(manifest),
        others=others,
    )


def _built(repository: Repository, definition: ImageDefinition, engine: Engine) -> tuple[str, ...]:
    """Return what there is of an image's builds, the one to push first: in the engine, else in a layout.

    Raises:
        NotFoundError: nothing, or several images and none of them under a name that comes first.
    """
    found = find_stored(engine, definition.built_names)
    if found:
        first, *others = found
        return (first, *(name for name in others if found[name].id != found[first].id))
    names = [
        name
        for name in find_labelled(engine, IMAGE_LABEL, definition.name)
        if not name.startswith(f"{KEPT_LAYERS}/")
    ]
    images = {image.id for image in find_stored(engine, names).values()}
    if len(images) == 1:
        return (names[0],)
    if names:
        raise NotFoundError(
            f"{definition.name} has several builds, and none is named {' or '.join(definition.built_names)}",
            solution=f"Name the one to push: {', '.join(names)}.",
        )
    if (layout := find_layout(repository.root / WORK_FOLDER / "images", definition.name)) is not None:
        return (f"{LAYOUT_PREFIX}{layout}",)
    raise NotFoundError(
        f"{definition.name} has not been built: {engine.kind} has no image of it, and no layout is known",
        solution=f"Run `factory build {definition.name}` first, or name the image or the layout itself.",
    )


def _variant(manifest: Manifest | None) -> str:
    """Return how an image was built, in words; empty if that is not known."""
    if manifest is None:
        return ""
    how = "built by the engine" if manifest.builder == "engine" else "built with --layout"
    return f"downstream, {how}" if manifest.dockerfile == DOWNSTREAM_DOCKERFILE else how


def _is_reference(image: str) -> bool:
    """Whether this is an image as an engine names it, or a layout, and no name of the repository's."""
    return image.startswith((LAYOUT_PREFIX, "localhost/")) or ":" in image or "@" in image


def _destinations(
    to: tuple[str, ...], catalogue: Catalogue, definition: ImageDefinition | None, source: Source
) -> tuple[Registry, ...]:
    names = to or tuple(filter(None, (definition.registry if definition else None,)))
    if not names:
        raise SpecError(
            f"{source.name} has no registry to go to",
            solution=f"Give --to REGISTRY, or write registry = … for it into {SETTINGS_FILE}; "
            "docs/registries.md shows both.",
        )
    found = [_destination(name, catalogue.registries) for name in names]
    return tuple({registry.url: registry for registry in found}.values())


def _destination(name: str, declared: Mapping[str, Registry]) -> Registry:
    """A declared registry, or one that is given by its address; nothing may be deleted from that one."""
    if name in declared:
        return declared[name]
    if "/" in name or "." in name or ":" in name:
        known = next((registry for registry in declared.values() if registry.url == name), None)
        given = {TABLE: {"given": {"url": name, "class": "persistent"}}}
        try:
            return known or replace(parse_registries(given)["given"], name=name)
        except SpecError as error:
            raise SpecError(f"--to: {error.reason.partition(': ')[2]}", solution=error.solution) from error
    raise SpecError(
        f"--to {masked_address(name)}: there is no such registry in {SETTINGS_FILE}",
        solution=f"Name one that is declared ({', '.join(declared) or 'none yet'}), or give its address as "
        "HOST/PATH; the image's name follows.",
    )


def _facts(
    source: Source,
    definition: ImageDefinition | None,
    manifest: Manifest | None,
    *,
    root: Path,
    rules: tuple[str, ...],
) -> TagFacts:
    identity = source.labels.get(IDENTITY_LABEL, "")
    moving = definition.moving_tag if definition else LATEST
    downstream = manifest is not None and manifest.dockerfile == DOWNSTREAM_DOCKERFILE
    if not (definition and definition.downstream) and (
        downstream or source.reference.endswith(f":{DOWNSTREAM_TAG}")
    ):
        # Built otherwise than its definition says: what the other build has as its moving tag is not its.
        moving = DOWNSTREAM_TAG
    commit, dirty = _commit(root) if any("git-sha" in rule for rule in rules) else (None, False)
    return TagFacts(
        identity=identity if _IDENTITY.fullmatch(identity) else None,
        moving_tag=moving,
        commit=commit,
        dirty=dirty,
        moment=now(),
        fields={"name": source.name, **_fields(definition)},
    )


def _fields(definition: ImageDefinition | None) -> dict[str, str]:
    """What a template may name of a flavor."""
    if definition is None or definition.flavor is None:
        return {}
    spec = definition.flavor.project.spec
    return {
        "accelerator": f"{spec.accelerator}{spec.accelerator_version or ''}",
        "torch": spec.torch,
        "python": spec.python,
        "training-hub": spec.training_hub,
    }


def _commit(root: Path) -> tuple[str | None, bool]:
    """The commit that is checked out, None without one, and whether there are changes in no commit."""
    found = run(["git", "-C", root, "rev-parse", "--verify", "HEAD"], accept_failure=True)
    if found.status != 0:
        return None, False
    changes = run(["git", "-C", root, "status", "--porcelain"])
    return found.stdout.strip(), bool(changes.stdout.strip())
