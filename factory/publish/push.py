"""Push an image into several registries at once: content first, by digest, then tags, the moving ones last.

Each destination has an outcome of its own. A tag is set where the registry was seen to have the whole
image under its digest, and read back afterwards; so no tag ever names a part of an image. A tag that is
not moving is never taken from another image: registries have no way to say so with the request itself, so
that two machines which give one tag to two images in the same moment would need the registry's own
setting (immutable tags); two runs on one machine wait for each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from factory.build.oci_layout import find_layout
from factory.build.parts import PARTS_REPOSITORY as KEPT_LAYERS
from factory.clock import now
from factory.console import Progress, human_size
from factory.engine.engine import Engine, find_engine
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL, INPUTS_LABEL, find_images, find_labelled
from factory.errors import FactoryError, NotFoundError, RegistryError, SpecError
from factory.files import WORK_FOLDER, exclusive, make_output_folder
from factory.flavor.repository import Repository
from factory.http.parallel import in_parallel
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import DOWNSTREAM_DOCKERFILE, DOWNSTREAM_TAG, ImageDefinition
from factory.images.identity import BuildInputs, parse_build_inputs
from factory.masking import masked_address
from factory.process import Stop, run
from factory.publish.source import LAYOUT_PREFIX, Layout, Source, find_source, staged
from factory.registry.client import Manifest, RegistryClient, open_registry
from factory.registry.declared import TABLE, Registry, parse_registries
from factory.registry.tags import (
    LATEST,
    Part,
    Tag,
    TagFacts,
    Versions,
    check_unmoved,
    newest_version,
    wanted_tags,
)
from factory.settings import SETTINGS_FILE

_BLOBS_AT_ONCE = 8

State = Literal["sent", "tagged", "already there", "would be sent", "would be tagged"]


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """Where an image is pushed, under which tags (`wanted_tags`), and where it may lie on the way."""

    to: tuple[Registry, ...]
    rules: tuple[str, ...]
    raised: Part = "patch"
    allow_dirty: bool = False
    dry_run: bool = False
    work: Path


@dataclass(frozen=True, kw_only=True)
class PushedTag:
    """A tag at a destination, the digest that it was seen to name (None before a push), and what was done."""

    tag: str
    moving: bool
    digest: str | None
    state: State


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one destination.

    ``sent_bytes`` are those of the blobs that were not there; None in a dry run that would send.
    ``error`` is None where all is well.
    """

    registry: str
    place: str
    tags: tuple[PushedTag, ...] = ()
    sent_bytes: int | None = 0
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class PushReport:
    """What became of a push; ``tags`` are those that were asked for, ``variant`` how the image was built."""

    image: str
    variant: str
    tags: tuple[str, ...]
    dry_run: bool
    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 where every destination has the image, else a registry's error."""
        return RegistryError.exit_code if any(outcome.error for outcome in self.outcomes) else 0


@dataclass(frozen=True, kw_only=True)
class _Destination:
    """A repository of a registry, as it was found. ``tags`` are read for ``semver`` alone."""

    client: RegistryClient
    repository: str
    tags: tuple[str, ...] = ()
    kept: str | None = None
    named: tuple[tuple[Tag, Manifest | None], ...] = ()
    error: FactoryError | None = None

    @property
    def place(self) -> str:
        return f"{self.client.registry.host}/{self.repository}"

    def same(self, source: Source) -> Manifest | None:
        """The image itself, where one of the tags names it already."""
        return next((found for _, found in self.named if found and is_same(found, source)), None)


def push_image(
    source: Source, request: PushRequest, facts: TagFacts, *, variant: str = "", progress: Progress
) -> PushReport:
    """Push an image to every destination, and say of each what became of it.

    Raises:
        SpecError: the tags that were asked for cannot be made.
        BusyError, ProgramError, StorageError: as `staged`.
    """
    stop = Stop()
    with stop.governing(), ExitStack() as clients:
        found = [
            _Destination(
                client=clients.enter_context(open_registry(registry)),
                repository=registry.repository(source.name),
            )
            for registry in request.to
        ]

        def each(
            function: Callable[[_Destination], _Destination], places: Sequence[_Destination]
        ) -> list[_Destination]:
            return in_parallel(_told(function), places, jobs=len(places), stop=stop)

        if any("semver" in rule for rule in request.rules):
            found = each(lambda place: _with_versions(place, source), found)
            _require_versions(found)
        tags = wanted_tags(request.rules, facts, _versions(found, request), allow_dirty=request.allow_dirty)
        found = each(lambda place: _with_named(place, source, tags), found)
        outcomes = _delivered(found, source, request, progress, stop)
    names = tuple(tag.name for tag in tags)
    return PushReport(
        image=source.reference,
        variant=variant,
        tags=names,
        dry_run=request.dry_run,
        outcomes=tuple(outcomes),
    )


def is_same(manifest: Manifest, source: Source) -> bool:
    """Whether a manifest is of this image: by its digest, or the digest of its configuration.

    The configuration names the layers uncompressed, so that another compression does not hide an image.
    """
    if source.config is not None and manifest.config_digest == source.config:
        return True
    return source.layout is not None and manifest.digest == source.layout.manifest.digest


def _delivered(
    found: Sequence[_Destination], source: Source, request: PushRequest, progress: Progress, stop: Stop
) -> list[Outcome]:
    """The outcomes of destinations that were looked at: nothing has been changed yet."""
    lacking = [place for place in found if place.error is None and place.same(source) is None]
    if request.dry_run:
        return [_foreseen(place, source) for place in found]
    with ExitStack() as stack:
        staging = None
        if lacking:
            progress.begin(f"{source.reference}: compressed once for all destinations")
            staging = stack.enter_context(staged(source, request.work))
            source = replace(source, layout=staging.layout)
        outcomes = in_parallel(
            lambda place: _deliver(place, source, request.work, progress), found, jobs=len(found), stop=stop
        )
        if staging is not None and not any(outcome.error for outcome in outcomes):
            staging.discard()
    return outcomes


def _deliver(place: _Destination, source: Source, work: Path, progress: Progress) -> Outcome:
    """Bring the image to one destination: its content, then its tags."""
    done: list[PushedTag] = []
    sent, error = 0, place.error
    try:
        if error is None:
            manifest = place.same(source)
            if manifest is None:
                manifest, sent = _with_content(place, source, progress)
            _set_tags(place, manifest, source, work, done, state="sent" if sent else "tagged")
    except FactoryError as failure:
        error = failure
    progress.advance(message=place.place)
    return Outcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=tuple(done),
        sent_bytes=sent,
        error=error,
    )


def _with_content(place: _Destination, source: Source, progress: Progress) -> tuple[Manifest, int]:
    """The image as the registry has it under its digest, and how many bytes of its blobs were not there."""
    if source.layout is None:
        raise _unlike(place, "nothing")
    layout, client, repository = source.layout, place.client, place.repository
    wanted = layout.manifest.digest
    lacking = 0
    if client.digest(repository, wanted) is None:
        blobs = _lacking(place, layout)
        lacking = sum(blobs.values())
        progress.begin(f"{place.place}: {human_size(lacking)} of {human_size(sum(layout.blobs.values()))}")
        _send(place, layout, blobs)
    there = client.manifest(repository, wanted)
    if there is None or there.content != layout.manifest.content:
        raise _unlike(place, "nothing" if there is None else there.digest)
    return there, lacking + len(there.content) if lacking else 0


def _lacking(place: _Destination, layout: Layout) -> dict[str, int]:
    """The blobs that a destination does not have, with their sizes in bytes."""
    blobs = layout.blobs
    there = in_parallel(
        lambda digest: place.client.has_blob(place.repository, digest), blobs, jobs=_BLOBS_AT_ONCE
    )
    return {item: size for (item, size), has in zip(blobs.items(), there, strict=True) if not has}


def _send(place: _Destination, layout: Layout, blobs: Mapping[str, int]) -> None:
    """Send blobs, then the manifests under their digests, an index after those that it names.

    Raises:
        RegistryError: it failed again and again, or was refused.
        ProgramError: the work was stopped.
    """
    client, repository = place.client, place.repository

    def send(item: tuple[str, int]) -> None:
        digest, size = item
        client.put_blob(repository, digest, size, partial(layout.open_blob, digest))

    try:
        in_parallel(send, blobs.items(), jobs=_BLOBS_AT_ONCE)
        for manifest in dict.fromkeys((*layout.manifests, layout.manifest)):
            client.put_tag(repository, manifest.digest, manifest)
    except RegistryError as error:
        raise RegistryError(
            f"{place.place} did not take the image: {error.reason}",
            solution=f"{error.solution} What arrived is not sent twice, and no tag was set.",
        ) from error


def _set_tags(
    place: _Destination,
    manifest: Manifest,
    source: Source,
    work: Path,
    done: list[PushedTag],
    *,
    state: State,
) -> None:
    """Set the tags in their order, and tell each in ``done`` once it was read back."""
    client, repository = place.client, place.repository
    guard = make_output_folder(work / "push" / "tags" / sha256(place.place.encode()).hexdigest()[:16])
    with exclusive(guard):
        for tag, _ in place.named:
            # Looked at again: sending took its time.
            there = client.manifest(repository, tag.name)
            kept = there is not None and (
                there.digest == manifest.digest or (not tag.moving and is_same(there, source))
            )
            if there is not None and kept:
                done.append(_pushed(tag, there.digest, "already there"))
                continue
            if there is not None:
                check_unmoved(tag, place=place.place, there=there.digest, wanted=manifest.digest)
            client.put_tag(repository, tag.name, manifest)
            if (seen := client.digest(repository, tag.name)) != manifest.digest:
                raise _unlike(place, seen or "nothing", tag=tag.name)
            done.append(_pushed(tag, manifest.digest, state))


def _with_versions(place: _Destination, source: Source) -> _Destination:
    """With the tags that the repository has, and the version that this image has there already."""
    tags = place.client.tags(place.repository)
    newest = newest_version(tags)
    there = newest and place.client.manifest(place.repository, newest)
    return replace(place, tags=tags, kept=newest if there and is_same(there, source) else None)


def _require_versions(found: Sequence[_Destination]) -> None:
    """A version that one place might have already must not be given to another image elsewhere.

    Raises:
        RegistryError: the versions that a destination has could not be read.
    """
    for place in found:
        if place.error is not None:
            raise RegistryError(
                f"which versions {place.place} has cannot be read, and an image has one version wherever it "
                f"is: {place.error.reason}",
                solution="Push when every destination answers, or leave this one out. Nothing was pushed.",
            )


def _versions(found: Sequence[_Destination], request: PushRequest) -> Versions:
    """The versions of all destinations together: an image has one version wherever it is."""
    existing = tuple(tag for place in found for tag in place.tags)
    newest = newest_version(existing)
    having = [place for place in found if newest in place.tags]
    kept = newest if having and all(place.kept == newest for place in having) else None
    return Versions(existing=existing, raised=request.raised, kept=kept)


def _with_named(place: _Destination, source: Source, tags: Sequence[Tag]) -> _Destination:
    """With what the tags name there now.

    Raises:
        RegistryError: a tag that does not move names another image.
    """
    named = tuple((tag, place.client.manifest(place.repository, tag.name)) for tag in tags)
    # What an engine writes anew cannot be told before it is written.
    if source.config is not None or source.layout is not None:
        for tag, there in named:
            if there is not None and not is_same(there, source):
                check_unmoved(tag, place=place.place, there=there.digest, wanted="")
    return replace(place, named=named)


def _told(function: Callable[[_Destination], _Destination]) -> Callable[[_Destination], _Destination]:
    """The function for places where all is well so far; what fails is told of the place, and no other."""

    def within(place: _Destination) -> _Destination:
        if place.error is not None:
            return place
        try:
            return function(place)
        except FactoryError as error:
            return replace(place, error=error)

    return within


def _foreseen(place: _Destination, source: Source) -> Outcome:
    """What a push would do at a destination."""
    there = place.same(source)
    otherwise: State = "would be tagged" if there else "would be sent"
    tags = tuple(
        _pushed(tag, now.digest, "already there")
        if now is not None and is_same(now, source)
        else _pushed(tag, there.digest if there else None, otherwise)
        for tag, now in place.named
    )
    return Outcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=() if place.error else tags,
        sent_bytes=0 if there or place.error else None,
        error=place.error,
    )


def _pushed(tag: Tag, digest: str | None, state: State) -> PushedTag:
    return PushedTag(tag=tag.name, moving=tag.moving, digest=digest, state=state)


def _unlike(place: _Destination, seen: str, *, tag: str | None = None) -> RegistryError:
    name = f"{place.place}:{tag}" if tag else place.place
    return RegistryError(
        f"{name} was read back and is not what was pushed: {seen}",
        solution="Somebody else may push there at the same moment. Look at what it names now "
        "(`skopeo inspect`), and run the same command again.",
    )


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
    inputs = parse_build_inputs(source.labels.get(INPUTS_LABEL, ""))
    return Push(
        source=source,
        request=request,
        facts=_facts(source, definition, inputs, root=repository.root, rules=words.rules),
        variant=_variant(inputs),
        others=others,
    )


def _built(repository: Repository, definition: ImageDefinition, engine: Engine) -> tuple[str, ...]:
    """Return what there is of an image's builds, the one to push first: in the engine, else in a layout.

    Raises:
        NotFoundError: nothing, or several images and none of them under a name that comes first.
    """
    stored = find_images(engine, definition.built_names)
    found = {name: stored[name] for name in definition.built_names if name in stored}
    if found:
        first, *others = found
        return (first, *(name for name in others if found[name].id != found[first].id))
    names = [
        name
        for name in find_labelled(engine, IMAGE_LABEL, definition.name)
        if not name.startswith(f"{KEPT_LAYERS}/")
    ]
    images = {image.id for image in find_images(engine, names).values()}
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


def _variant(inputs: BuildInputs | None) -> str:
    """Return how an image was built, in words; empty if that is not known."""
    if inputs is None:
        return ""
    how = "built by the engine" if inputs.builder == "engine" else "built with --layout"
    return f"downstream, {how}" if inputs.dockerfile == DOWNSTREAM_DOCKERFILE else how


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
    inputs: BuildInputs | None,
    *,
    root: Path,
    rules: tuple[str, ...],
) -> TagFacts:
    identity = source.labels.get(IDENTITY_LABEL, "")
    moving = definition.moving_tag if definition else LATEST
    downstream = inputs is not None and inputs.dockerfile == DOWNSTREAM_DOCKERFILE
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
