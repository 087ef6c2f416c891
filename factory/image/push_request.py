"""What the words of `factory push` come to: which image, which registries, and what its tags are made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from factory.clock import now
from factory.errors import SpecError
from factory.files import WORK_FOLDER
from factory.flavor.repository import Repository
from factory.image.catalogue import Catalogue, read_catalogue
from factory.image.definitions import DOWNSTREAM_TAG, ImageDefinition
from factory.image.labels import IDENTITY_LABEL
from factory.image.push import PushRequest
from factory.image.push_source import LAYOUT_PREFIX, Source, find_source
from factory.process import run
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
    """A push that can begin: `push_image`'s arguments."""

    source: Source
    request: PushRequest
    facts: TagFacts


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
    if definition is not None:
        reference = f"localhost/{definition.name}:{definition.moving_tag}"
        name = name or definition.name
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
    return Push(
        source=source, request=request, facts=_facts(source, definition, repository.root, words.rules)
    )


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
        f"--to {name}: there is no such registry in {SETTINGS_FILE}",
        solution=f"Name one that is declared ({', '.join(declared) or 'none yet'}), or give its address as "
        "HOST/PATH; the image's name follows.",
    )


def _facts(
    source: Source, definition: ImageDefinition | None, root: Path, rules: tuple[str, ...]
) -> TagFacts:
    identity = source.labels.get(IDENTITY_LABEL, "")
    moving = definition.moving_tag if definition else LATEST
    if source.reference.endswith(f":{DOWNSTREAM_TAG}"):
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
