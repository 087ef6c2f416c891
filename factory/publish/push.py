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
from dataclasses import dataclass, field, replace
from pathlib import Path

from factory.clock import now
from factory.console import Progress, Report, Table
from factory.engine.images import IDENTITY_LABEL, STAND_IN_LABEL
from factory.errors import FactoryError, ImageError, RegistryError, SpecError
from factory.files import WORK_FOLDER
from factory.flavor.repository import Repository
from factory.http.parallel import in_parallel
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.chosen import choose_build
from factory.images.definitions import DOWNSTREAM_TAG, ImageDefinition, VariantOptions
from factory.images.identity import parse_variant
from factory.masking import masked_address
from factory.pages import docs_command
from factory.process import current_cancellation, run
from factory.publish.delivery import Destination, PushOutcome, deliver_all, preview, with_named, with_present
from factory.publish.pruning import Pruning
from factory.publish.remote import read_remote, remote_reference
from factory.publish.source import (
    LAYOUT_PREFIX,
    PushSource,
    find_source,
    of_remote,
)
from factory.registry.client import open_registry
from factory.registry.declared import Registry, given_registry
from factory.registry.given import note_given_registry
from factory.registry.tags import (
    LATEST,
    Part,
    TagFacts,
    Versions,
    newest_version,
    wanted_tags,
)
from factory.settings import SETTINGS_FILE

_IDENTITY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """What to push and where.

    image: An image of the repository, a reference, ``oci:FOLDER[:NAME]``, or an image in a registry.
    to: Declared registries or addresses; empty for the image's own registry.
    rules: Which tags to set (`wanted_tags`).
    name: The image's name at the destination; None for its own name.
    raised: Which part of the version ``semver`` raises.
    variant: Means another build of an image of the repository than the settings do.
    force: Also send an image that is built on a stand-in into a persistent registry.
    """

    image: str
    to: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("auto",)
    name: str | None = None
    raised: Part = "patch"
    allow_dirty: bool = False
    dry_run: bool = False
    engine: str | None = None
    variant: VariantOptions = field(default_factory=VariantOptions)
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push that is ready to begin.

    work: The folder for the compressed image and the locks.
    variant: How the image was built, in words; empty if its labels do not say.
    notes: What to know of the choice of the build, such as others that are not pushed.
    persistent: The names of the declared registries from which nothing is deleted by rule.
    """

    request: PushRequest
    source: PushSource
    destinations: tuple[Registry, ...]
    facts: TagFacts
    work: Path
    variant: str = ""
    notes: tuple[str, ...] = ()
    persistent: frozenset[str] = frozenset()

    @property
    def note(self) -> str:
        """Describe what is pushed, and which other builds are not."""
        pushed = f"pushing {self.source.reference}{f' ({self.variant})' if self.variant else ''}"
        return "\n".join((pushed, *self.notes))


@dataclass(frozen=True, kw_only=True)
class PushReport(Report):
    """The result of a push: the tags that were asked for, and the outcome at each destination."""

    image: str
    variant: str
    tags: tuple[str, ...]
    dry_run: bool
    outcomes: tuple[PushOutcome, ...]
    pruned: Pruning | None = None

    def failures(self) -> Iterable[FactoryError]:
        """Return the errors of the destinations, and of the pruning afterwards."""
        pruning = self.pruned.failures if self.pruned else ()
        return (*filter(None, (outcome.error for outcome in self.outcomes)), *pruning)

    @property
    def exit_code(self) -> int:
        """0 if every destination has the image, else a registry's error, whatever failed there."""
        return RegistryError.exit_code if any(self.failures()) else 0

    def describe(self) -> Iterable[str | Table]:
        """Yield the tags of all destinations as a table, and what was pruned."""
        headings = ("DESTINATION", "TAG", "DIGEST", "STATE", "BYTES")
        rows = tuple(row for outcome in self.outcomes for row in outcome.rows)
        yield Table(headings=headings, rows=rows, right_aligned=frozenset({"BYTES"}))
        yield from self.pruned.lines if self.pruned else ()


def plan_push(repository: Repository, request: PushRequest, *, catalogue: Catalogue | None = None) -> Push:
    """Find the image and its destinations; a registry is asked only for an image that is in one.

    Args:
        repository: The repository.
        request: What to push.
        catalogue: That of the repository, if it was read already.

    Raises:
        NotFoundError: the image does not exist, in the repository or in the engine.
        SpecError: ``factory.toml`` or a destination is not acceptable, or there is no destination.
        EngineError, ImageError: as `find_source`.
        RegistryError: as `read_remote`.
    """
    catalogue = catalogue or read_catalogue(repository)
    if (elsewhere := remote_reference(request.image, catalogue.registries)) is not None:
        source = of_remote(request.image, read_remote(*elsewhere), request.name)
        definition = catalogue.definition(source.name) if source.name in catalogue.names else None
        return _push_of(repository, _copied(request, source), source, catalogue, definition)
    definition = None if is_reference(request.image) else catalogue.definition(request.image)
    reference, name = request.image, request.name
    notes: tuple[str, ...] = ()
    if definition is not None:
        chosen = choose_build(repository, catalogue, definition.name, request.variant, engine=request.engine)
        name, definition, notes = name or definition.name, chosen.definition, chosen.notes
        reference = reference if chosen.build is None else chosen.build.reference
    source = find_source(reference, name=name, engine=request.engine)
    if definition is None and source.name in catalogue.names:
        definition = catalogue.definition(source.name)
    return replace(_push_of(repository, request, source, catalogue, definition), notes=notes)


def _push_of(
    repository: Repository,
    request: PushRequest,
    source: PushSource,
    catalogue: Catalogue,
    definition: ImageDefinition | None,
) -> Push:
    return Push(
        request=request,
        source=source,
        destinations=_destinations(request.to, catalogue, definition, source),
        facts=_facts(source, _as_built(catalogue, definition, source), repository.root, request.rules),
        work=repository.root / WORK_FOLDER,
        variant=_variant(source.labels),
        persistent=frozenset(
            name for name, registry in catalogue.registries.items() if registry.kind == "persistent"
        ),
    )


def _copied(request: PushRequest, source: PushSource) -> PushRequest:
    """Return the request with the default tags of an image of a registry: its identity, and the tag named.

    The image's moving tag is not among them: it belongs to the newest build.

    Raises:
        SpecError: it has no identity, and was named by its digest.
    """
    if request.rules != PushRequest.rules:
        return request
    identity = _IDENTITY.fullmatch(source.labels.get(IDENTITY_LABEL, ""))
    tag = source.remote.tag if source.remote else None
    rules = tuple(filter(None, ("{identity}" if identity else None, tag)))
    if not rules:
        raise SpecError(
            f"{request.image} has no identity of the factory, and is named by its digest",
            solution="Say which tags it gets: --tags TAG.",
        )
    return replace(request, rules=rules)


def is_reference(image: str) -> bool:
    """Return whether this is a reference or a layout, not a repository image's name."""
    return image.startswith((LAYOUT_PREFIX, "localhost/")) or ":" in image or "@" in image


def _destinations(
    to: tuple[str, ...], catalogue: Catalogue, definition: ImageDefinition | None, source: PushSource
) -> tuple[Registry, ...]:
    names = to or tuple(filter(None, (definition.registry if definition else None,)))
    if not names:
        raise SpecError(
            f"{source.name} has no registry to go to",
            solution=f"Give --to REGISTRY, or write registry = … for it into {SETTINGS_FILE}; "
            f"{docs_command('registries')} shows both.",
        )
    found = [_destination(name, catalogue.registries) for name in names]
    return tuple({registry.url: registry for registry in found}.values())


def _destination(name: str, declared: Mapping[str, Registry]) -> Registry:
    """Return a declared registry, or one given by its address, from which nothing may be deleted."""
    if name in declared:
        return declared[name]
    if "/" in name or "." in name or ":" in name:
        known = next((registry for registry in declared.values() if registry.url == name), None)
        return known or given_registry(name, of="--to")
    raise SpecError(
        f"--to {masked_address(name)}: there is no such registry in {SETTINGS_FILE}",
        solution=f"Name a declared one ({', '.join(declared) or 'none yet'}), or give its address as "
        "HOST/PATH; the image's name follows.",
    )


def _variant(labels: Mapping[str, str]) -> str:
    """Return how an image was built, in words; empty if its labels do not say."""
    found = parse_variant(labels)
    if found is None:
        return ""
    how = "built with --layout" if found.builder == "layout" else "built by the engine"
    return ", ".join(part for part in (replace(found, builder="engine").words, how) if part)


def _as_built(
    catalogue: Catalogue, definition: ImageDefinition | None, source: PushSource
) -> ImageDefinition | None:
    """Return the definition in the variant that an image was built in: each has its own moving tag."""
    variant = parse_variant(source.labels)
    if definition is None or variant is None or variant.downstream is None:
        return definition
    return catalogue.changed(definition, downstream=variant.downstream)


def _facts(
    source: PushSource, definition: ImageDefinition | None, root: Path, rules: tuple[str, ...]
) -> TagFacts:
    identity = source.labels.get(IDENTITY_LABEL, "")
    moving = definition.moving_tag if definition else LATEST
    if definition is None and source.reference.endswith(f":{DOWNSTREAM_TAG}"):
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


def push_image(push: Push, *, progress: Progress) -> PushReport:
    """Push an image to every destination, and report the outcome at each.

    Raises:
        SpecError: the wanted tags cannot be made.
        BusyError, ProgramError, StorageError: as `staged`.
    """
    source, request = push.source, push.request
    stop = current_cancellation()
    with stop.active(), ExitStack() as clients:
        if source.remote is not None:
            client = clients.enter_context(open_registry(source.remote.registry))
            source = replace(source, remote=source.remote.connected(client))
        found = [
            Destination(
                client=clients.enter_context(open_registry(registry)),
                repository=registry.repository(source.name),
            )
            for registry in push.destinations
        ]

        def each(
            function: Callable[[Destination], Destination], places: Sequence[Destination]
        ) -> list[Destination]:
            return in_parallel(_unless_failed(function), places, jobs=len(places), stop=stop)

        found = each(lambda place: _refuse_stand_in(push, place), found)
        if any("semver" in rule for rule in request.rules):
            found = each(lambda place: _with_versions(place, source), found)
            _require_versions(found)
        versions = _versions(found, request)
        tags = wanted_tags(request.rules, push.facts, versions, allow_dirty=request.allow_dirty)
        found = each(lambda place: with_named(place, source, tags), found)
        found = each(lambda place: with_present(place, source, push.facts), found)
        if request.dry_run:
            outcomes = [preview(place, source) for place in found]
        else:
            outcomes = deliver_all(found, source, push.work, progress, stop)
            _note_given(push, outcomes)
    return PushReport(
        image=source.reference,
        variant=push.variant,
        tags=tuple(tag.name for tag in tags),
        dry_run=request.dry_run,
        outcomes=tuple(outcomes),
    )


def _note_given(push: Push, outcomes: Iterable[PushOutcome]) -> None:
    """Note the registries that factory.toml does not declare and that have the image now."""
    given = {registry.url: registry for registry in push.destinations if registry.name == registry.url}
    for outcome in outcomes:
        if outcome.error is None and outcome.registry in given:
            note_given_registry(push.work, given[outcome.registry])


def _unless_failed(
    function: Callable[[Destination], Destination],
) -> Callable[[Destination], Destination]:
    """Skip destinations that failed before; record an error in its own destination."""

    def within(place: Destination) -> Destination:
        if place.error is not None:
            return place
        try:
            return function(place)
        except FactoryError as error:
            return replace(place, error=error)

    return within


def _with_versions(place: Destination, source: PushSource) -> Destination:
    """Add the tags that the repository has, and the version that this image has there already."""
    tags = place.client.tags(place.repository)
    newest = newest_version(tags)
    existing = newest and place.client.manifest(place.repository, newest)
    return replace(place, tags=tags, kept=newest if existing and place.is_image(existing, source) else None)


def _require_versions(found: Sequence[Destination]) -> None:
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


def _versions(found: Sequence[Destination], request: PushRequest) -> Versions:
    """Return the versions of all destinations together: an image has the same version everywhere."""
    existing = tuple(tag for place in found for tag in place.tags)
    newest = newest_version(existing)
    having = [place for place in found if newest in place.tags]
    kept = newest if having and all(place.kept == newest for place in having) else None
    return Versions(existing=existing, raised=request.raised, kept=kept)


def _refuse_stand_in(push: Push, place: Destination) -> Destination:
    """Refuse an image for tests in a persistent registry that ``factory.toml`` declares.

    Raises:
        ImageError: it is built on a stand-in, and is not forced.
    """
    stand_in, registry = push.source.labels.get(STAND_IN_LABEL), place.client.registry
    if stand_in and registry.name in push.persistent and not push.request.force:
        raise ImageError(
            f"{push.source.reference} is built on {stand_in}, which only stands in for its real base image, "
            f"and {registry.name} keeps what it is given",
            solution="Build it on its real base image (without that mirror), push it into a disposable "
            "registry, or give --force.",
        )
    return place
