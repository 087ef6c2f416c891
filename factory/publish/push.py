"""Push an image into several registries at once: content first, by digest, then the tags, moving ones last.

Each destination has its own outcome. A tag is set only after the registry was seen to have the whole image
under its digest, and is read back afterwards, so no tag ever names a part of an image. A tag that does not
move is never taken from another image. Registries cannot check that within the request: two machines that
give one tag to two images at the same moment need the registry's own setting (immutable tags). Two runs on
one machine wait for each other.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from factory.build.oci_layout import find_layout
from factory.build.parts import PARTS_REPOSITORY
from factory.clock import now
from factory.console import Progress, Report, Table, human_size
from factory.engine.engine import Engine, find_engine
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL, find_images, find_labelled, inputs_text
from factory.errors import FactoryError, NotFoundError, RegistryError, SpecError
from factory.files import WORK_FOLDER, exclusive, make_output_folder
from factory.flavor.repository import Repository
from factory.http.parallel import in_parallel
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import DOWNSTREAM_DOCKERFILE, DOWNSTREAM_TAG, ImageDefinition
from factory.images.identity import BuildInputs, parse_build_inputs
from factory.masking import masked_address
from factory.process import Cancellation, run
from factory.publish.source import LAYOUT_PREFIX, PushSource, SourceLayout, find_source, staged
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import TABLE, Registry, parse_registries
from factory.registry.oci import Manifest
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
_IDENTITY = re.compile(r"[0-9a-f]{64}")

TagState = Literal["sent", "tagged", "already there", "would be sent", "would be tagged"]


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """What to push and where.

    image: An image of the repository, a reference, or ``oci:FOLDER[:NAME]``.
    to: Declared registries or addresses; empty for the image's own registry.
    rules: Which tags to set (`wanted_tags`).
    name: The image's name at the destination; None for its own name.
    raised: Which part of the version ``semver`` raises.
    """

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
    """A push that is ready to begin.

    work: The folder for the compressed image and the locks.
    variant: How the image was built, in words; empty if its labels do not say.
    others: The names of other builds of the image, which are not pushed.
    """

    request: PushRequest
    source: PushSource
    destinations: tuple[Registry, ...]
    facts: TagFacts
    work: Path
    variant: str = ""
    others: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Describe what is pushed, and how to push the other builds."""
        also = f"; not {', '.join(self.others)}: push that by its name" if self.others else ""
        return f"pushing {self.source.reference}{f' ({self.variant})' if self.variant else ''}{also}"


@dataclass(frozen=True, kw_only=True)
class PushedTag:
    """A tag at a destination, its digest as read back (None before a push), and what was done."""

    tag: str
    moving: bool
    digest: str | None
    state: TagState


@dataclass(frozen=True, kw_only=True)
class PushOutcome:
    """The outcome at one destination.

    ``sent_bytes`` counts the blobs that were missing; None in a dry run that would send.
    """

    registry: str
    place: str
    tags: tuple[PushedTag, ...] = ()
    sent_bytes: int | None = 0
    error: FactoryError | None = None

    @property
    def rows(self) -> Iterable[tuple[str, ...]]:
        """Yield a row for each tag; the first has the bytes, since all tags share the content."""
        size = "?" if self.sent_bytes is None else human_size(self.sent_bytes)
        for number, tag in enumerate(self.tags):
            yield (self.place, tag.tag, tag.digest or "-", tag.state, size if number == 0 else human_size(0))
        if self.error is not None:
            yield (self.place, "-", "-", "failed", "-")


@dataclass(frozen=True, kw_only=True)
class PushReport(Report):
    """The result of a push: the tags that were asked for, and the outcome at each destination."""

    image: str
    variant: str
    tags: tuple[str, ...]
    dry_run: bool
    outcomes: tuple[PushOutcome, ...]

    @property
    def exit_code(self) -> int:
        """0 if every destination has the image, else a registry's error, whatever failed there."""
        return RegistryError.exit_code if any(outcome.error for outcome in self.outcomes) else 0

    def describe(self) -> Iterable[str | Table]:
        """Return the tags of all destinations as a table."""
        headings = ("DESTINATION", "TAG", "DIGEST", "STATE", "BYTES")
        rows = tuple(row for outcome in self.outcomes for row in outcome.rows)
        return (Table(headings=headings, rows=rows, right_aligned=frozenset({"BYTES"})),)


def plan_push(repository: Repository, request: PushRequest, *, catalogue: Catalogue | None = None) -> Push:
    """Find the image and its destinations; no registry is asked yet.

    Args:
        repository: The repository.
        request: What to push.
        catalogue: That of the repository, if it was read already.

    Raises:
        NotFoundError: the image does not exist, in the repository or in the engine.
        SpecError: ``factory.toml`` or a destination is not acceptable, or there is no destination.
        EngineError, ImageError: as `find_source`.
    """
    catalogue = catalogue or read_catalogue(repository)
    definition = None if is_reference(request.image) else catalogue.definition(request.image)
    reference, name = request.image, request.name
    others: tuple[str, ...] = ()
    if definition is not None:
        reference, *found = _builds(repository, definition, find_engine(request.engine))
        name, others = name or definition.name, tuple(found)
    source = find_source(reference, name=name, engine=request.engine)
    if definition is None and source.name in catalogue.names:
        definition = catalogue.definition(source.name)
    inputs = parse_build_inputs(inputs_text(source.labels))
    return Push(
        request=request,
        source=source,
        destinations=_destinations(request.to, catalogue, definition, source),
        facts=_facts(source, definition, inputs, root=repository.root, rules=request.rules),
        work=repository.root / WORK_FOLDER,
        variant=_variant(inputs),
        others=others,
    )


def is_reference(image: str) -> bool:
    """Return whether this is a reference or a layout, not a repository image's name."""
    return image.startswith((LAYOUT_PREFIX, "localhost/")) or ":" in image or "@" in image


def _builds(repository: Repository, definition: ImageDefinition, engine: Engine) -> tuple[str, ...]:
    """Return an image's builds in the engine, the one to push first; without any, its layout.

    Raises:
        NotFoundError: it does not exist, or there are several and none has a name that takes precedence.
    """
    found = find_images(engine, definition.built_names)
    named = [name for name in definition.built_names if name in found]
    if named:
        first, *others = named
        return (first, *(name for name in others if found[name].id != found[first].id))
    names = [
        name
        for name in find_labelled(engine, IMAGE_LABEL, definition.name)
        if not name.startswith(f"{PARTS_REPOSITORY}/")
    ]
    labelled = find_images(engine, names)
    if len({labelled[name].id for name in names if name in labelled}) == 1:
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


def _destinations(
    to: tuple[str, ...], catalogue: Catalogue, definition: ImageDefinition | None, source: PushSource
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
    """Return a declared registry, or one given by its address, from which nothing may be deleted."""
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
        solution=f"Name a declared one ({', '.join(declared) or 'none yet'}), or give its address as "
        "HOST/PATH; the image's name follows.",
    )


def _variant(inputs: BuildInputs | None) -> str:
    if inputs is None:
        return ""
    how = "built by the engine" if inputs.builder == "engine" else "built with --layout"
    return f"downstream, {how}" if inputs.dockerfile == DOWNSTREAM_DOCKERFILE else how


def _facts(
    source: PushSource,
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
        # Not the build of its definition, whose moving tag belongs to the other build.
        moving = DOWNSTREAM_TAG
    commit, dirty = _commit(root) if any("git-sha" in rule for rule in rules) else (None, False)
    return TagFacts(
        identity=identity if _IDENTITY.fullmatch(identity) else None,
        moving_tag=moving,
        commit=commit,
        dirty=dirty,
        moment=now(),
        fields={"name": source.name, **_template_fields(definition)},
    )


def _template_fields(definition: ImageDefinition | None) -> dict[str, str]:
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
    """Return the checked out commit, None without one, and whether there are uncommitted changes."""
    found = run(["git", "-C", root, "rev-parse", "--verify", "HEAD"], accept_failure=True)
    if found.status != 0:
        return None, False
    changes = run(["git", "-C", root, "status", "--porcelain"])
    return found.stdout.strip(), bool(changes.stdout.strip())


@dataclass(frozen=True, kw_only=True)
class _Destination:
    """A repository of a registry as it was found.

    tags: Those that it has; read for ``semver`` only.
    kept: The version that the image has there already.
    named: The wanted tags, and what each names there now.
    """

    client: RegistryClient
    repository: str
    tags: tuple[str, ...] = ()
    kept: str | None = None
    named: tuple[tuple[Tag, Manifest | None], ...] = ()
    error: FactoryError | None = None

    @property
    def place(self) -> str:
        return f"{self.client.registry.host}/{self.repository}"

    def same(self, source: PushSource) -> Manifest | None:
        """Return the image itself, if one of the tags names it already."""
        return next((found for _, found in self.named if found and _is_same(found, source)), None)


def push_image(push: Push, *, progress: Progress) -> PushReport:
    """Push an image to every destination, and report the outcome at each.

    Raises:
        SpecError: the wanted tags cannot be made.
        BusyError, ProgramError, StorageError: as `staged`.
    """
    source, request = push.source, push.request
    stop = Cancellation()
    with stop.active(), ExitStack() as clients:
        found = [
            _Destination(
                client=clients.enter_context(open_registry(registry)),
                repository=registry.repository(source.name),
            )
            for registry in push.destinations
        ]

        def each(
            function: Callable[[_Destination], _Destination], places: Sequence[_Destination]
        ) -> list[_Destination]:
            return in_parallel(_unless_failed(function), places, jobs=len(places), stop=stop)

        if any("semver" in rule for rule in request.rules):
            found = each(lambda place: _with_versions(place, source), found)
            _require_versions(found)
        versions = _versions(found, request)
        tags = wanted_tags(request.rules, push.facts, versions, allow_dirty=request.allow_dirty)
        found = each(lambda place: _with_named(place, source, tags), found)
        if request.dry_run:
            outcomes = [_preview(place, source) for place in found]
        else:
            outcomes = _deliver_all(found, push, progress, stop)
    return PushReport(
        image=source.reference,
        variant=push.variant,
        tags=tuple(tag.name for tag in tags),
        dry_run=request.dry_run,
        outcomes=tuple(outcomes),
    )


def _unless_failed(
    function: Callable[[_Destination], _Destination],
) -> Callable[[_Destination], _Destination]:
    """Skip destinations that failed before; record an error in its own destination."""

    def within(place: _Destination) -> _Destination:
        if place.error is not None:
            return place
        try:
            return function(place)
        except FactoryError as error:
            return replace(place, error=error)

    return within


def _is_same(manifest: Manifest, source: PushSource) -> bool:
    """Return whether a manifest is of this image: by its digest, or the digest of its configuration.

    The configuration names the uncompressed layers, so an image that was compressed otherwise is recognized.
    """
    if source.config is not None and manifest.config_digest == source.config:
        return True
    return source.layout is not None and manifest.digest == source.layout.manifest.digest


def _with_versions(place: _Destination, source: PushSource) -> _Destination:
    """Add the tags that the repository has, and the version that this image has there already."""
    tags = place.client.tags(place.repository)
    newest = newest_version(tags)
    existing = newest and place.client.manifest(place.repository, newest)
    return replace(place, tags=tags, kept=newest if existing and _is_same(existing, source) else None)


def _require_versions(found: Sequence[_Destination]) -> None:
    """Require all versions: one that a silent destination has must not be given to another image elsewhere.

    Raises:
        RegistryError: the versions of a destination could not be read.
    """
    for place in found:
        if place.error is not None:
            raise RegistryError(
                f"which versions {place.place} has cannot be read, and an image has one version wherever it "
                f"is: {place.error.reason}",
                solution="Push when every destination answers, or leave this one out. Nothing was pushed.",
            )


def _versions(found: Sequence[_Destination], request: PushRequest) -> Versions:
    """Return the versions of all destinations together: an image has the same version everywhere."""
    existing = tuple(tag for place in found for tag in place.tags)
    newest = newest_version(existing)
    having = [place for place in found if newest in place.tags]
    kept = newest if having and all(place.kept == newest for place in having) else None
    return Versions(existing=existing, raised=request.raised, kept=kept)


def _with_named(place: _Destination, source: PushSource, tags: Sequence[Tag]) -> _Destination:
    """Add what the wanted tags name there now.

    Raises:
        RegistryError: a tag that does not move names another image.
    """
    named = tuple((tag, place.client.manifest(place.repository, tag.name)) for tag in tags)
    # Docker writes an image differently into a layout, so it cannot be compared before that.
    if source.config is not None or source.layout is not None:
        for tag, existing in named:
            if existing is not None and not _is_same(existing, source):
                check_unmoved(tag, place=place.place, there=existing.digest, wanted="")
    return replace(place, named=named)


def _preview(place: _Destination, source: PushSource) -> PushOutcome:
    """Return what a push would do at a destination."""
    same = place.same(source)
    otherwise: TagState = "would be tagged" if same else "would be sent"
    tags = tuple(
        _pushed(tag, existing.digest, "already there")
        if existing is not None and _is_same(existing, source)
        else _pushed(tag, same.digest if same else None, otherwise)
        for tag, existing in place.named
    )
    return PushOutcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=() if place.error else tags,
        sent_bytes=0 if same or place.error else None,
        error=place.error,
    )


def _pushed(tag: Tag, digest: str | None, state: TagState) -> PushedTag:
    return PushedTag(tag=tag.name, moving=tag.moving, digest=digest, state=state)


def _deliver_all(
    found: Sequence[_Destination], push: Push, progress: Progress, stop: Cancellation
) -> list[PushOutcome]:
    """Bring the image to all destinations; they were only read so far."""
    source = push.source
    with ExitStack() as stack:
        staging = None
        if any(place.error is None and place.same(source) is None for place in found):
            progress.begin(f"{source.reference}: compressed once for all destinations")
            staging = stack.enter_context(staged(source, push.work))
            source = replace(source, layout=staging.layout)
        outcomes = in_parallel(
            lambda place: _deliver(place, source, push.work, progress), found, jobs=len(found), stop=stop
        )
        if staging is not None and not any(outcome.error for outcome in outcomes):
            staging.discard()
    return outcomes


def _deliver(place: _Destination, source: PushSource, work: Path, progress: Progress) -> PushOutcome:
    """Bring the image to one destination: its content, then its tags."""
    done: list[PushedTag] = []
    sent, error = 0, place.error
    try:
        if error is None:
            manifest = place.same(source)
            if manifest is None:
                manifest, sent = _send(place, source, progress)
            _set_tags(place, manifest, source, work, done, state="sent" if sent else "tagged")
    except FactoryError as failure:
        error = failure
    progress.advance(message=place.place)
    return PushOutcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=tuple(done),
        sent_bytes=sent,
        error=error,
    )


def _send(place: _Destination, source: PushSource, progress: Progress) -> tuple[Manifest, int]:
    """Send what is missing; return the image as read back by digest, and the bytes sent."""
    if source.layout is None:
        raise _mismatch(place, "nothing")
    layout, client, repository = source.layout, place.client, place.repository
    wanted = layout.manifest.digest
    size = 0
    if client.digest(repository, wanted) is None:
        blobs = _missing_blobs(place, layout)
        size = sum(blobs.values())
        progress.begin(f"{place.place}: {human_size(size)} of {human_size(sum(layout.blobs.values()))}")
        _send_blobs(place, layout, blobs)
    arrived = client.manifest(repository, wanted)
    if arrived is None or arrived.content != layout.manifest.content:
        raise _mismatch(place, "nothing" if arrived is None else arrived.digest)
    return arrived, size + len(arrived.content) if size else 0


def _missing_blobs(place: _Destination, layout: SourceLayout) -> dict[str, int]:
    """Return the blobs that a destination does not have, with their sizes in bytes."""
    blobs = layout.blobs
    present = in_parallel(
        lambda digest: place.client.has_blob(place.repository, digest), blobs, jobs=_BLOBS_AT_ONCE
    )
    return {item: size for (item, size), has in zip(blobs.items(), present, strict=True) if not has}


def _send_blobs(place: _Destination, layout: SourceLayout, blobs: Mapping[str, int]) -> None:
    """Send blobs, then the manifests under their digests, an index after those that it names.

    Raises:
        RegistryError: it failed repeatedly, or was refused.
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
    source: PushSource,
    work: Path,
    done: list[PushedTag],
    *,
    state: TagState,
) -> None:
    """Set the tags in order, and add each to ``done`` once it was read back."""
    client, repository = place.client, place.repository
    guard = make_output_folder(work / "push" / "tags" / sha256(place.place.encode()).hexdigest()[:16])
    with exclusive(guard):
        for tag, _ in place.named:
            # Read again: sending took a while.
            existing = client.manifest(repository, tag.name)
            if existing is not None:
                if existing.digest == manifest.digest or (not tag.moving and _is_same(existing, source)):
                    done.append(_pushed(tag, existing.digest, "already there"))
                    continue
                check_unmoved(tag, place=place.place, there=existing.digest, wanted=manifest.digest)
            client.put_tag(repository, tag.name, manifest)
            if (seen := client.digest(repository, tag.name)) != manifest.digest:
                raise _mismatch(place, seen or "nothing", tag=tag.name)
            done.append(_pushed(tag, manifest.digest, state))


def _mismatch(place: _Destination, seen: str, *, tag: str | None = None) -> RegistryError:
    name = f"{place.place}:{tag}" if tag else place.place
    return RegistryError(
        f"{name} was read back and is not what was pushed: {seen}",
        solution="Somebody else may push there at the same moment. Look at what it names now "
        "(`skopeo inspect`), and run the same command again.",
    )
