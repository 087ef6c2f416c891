"""Decide what may be deleted from a registry, and why everything else stays; nothing is read or asked."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from factory.console import plural
from factory.registry.declared import Place, Registry, lies_in, place
from factory.registry.inventory import Inventory, RegistryImage
from factory.registry.references import References
from factory.registry.tags import LATEST, newest_version

Purpose = Literal["prune", "teardown"]
Key = tuple[str, str, str]
"""A manifest: the name of its registry, its repository there, its digest."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a repository says of its images.

    images: Their names.
    moving: The moving tags of each image.
    named: The parents named in the repository's own files: their place, and their tag or digest.
    """

    now: dt.datetime
    images: frozenset[str]
    moving: Mapping[str, frozenset[str]] = field(default_factory=dict)
    named: frozenset[tuple[Place, str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a manifest is deleted (``goes``) or stays, and why.

    needs: The manifests that must be deleted before it.
    loose_parts: Unlisted parts that it names, which are deleted after it.
    """

    key: Key
    image: RegistryImage
    goes: bool
    reason: str
    needs: tuple[Key, ...] = ()
    loose_parts: tuple[str, ...] = ()


def decide(
    purpose: Purpose,
    targets: Collection[str],
    inventories: Sequence[Inventory],
    policy: Policy,
    *,
    registries: Iterable[Registry] = (),
) -> tuple[Verdict, ...]:
    """Decide what is deleted from the registries named ``targets``; everything in the others stays.

    Args:
        purpose: ``prune`` keeps what is new, young, or has a tag that counts; ``teardown`` does not.
        targets: Names of registries.
        inventories: The inventories of all registries of the repository, including the targets.
        policy: What the repository says of its images.
        registries: All declared registries, including those without an inventory.

    Returns:
        A verdict for each manifest of the targets, in the order of the inventories.
    """
    declared = (*registries, *(inventory.registry for inventory in inventories))
    persistent = [registry for registry in declared if registry.kind == "persistent"]
    twins = _in_persistent(inventories)
    references = References(inventories)
    kept: dict[Key, str] = {}
    for inventory in inventories:
        newest = _newest(inventory, references) if purpose == "prune" else frozenset()
        whole = _reason_of_registry(inventory, targets, inventories)
        for image in inventory.images:
            reason = whole or _reason_of_place(inventory, image, persistent) or _reason_of_twin(image, twins)
            reason = reason or next(_reasons_of_image(inventory, image, policy, references), "")
            if not reason and purpose == "prune" and not references.is_bound(_key(inventory, image)):
                reason = next(_reasons_of_age(inventory.registry, image, policy, newest), "")
            if reason:
                kept[_key(inventory, image)] = reason
    kept.update(references.bound(kept))
    return tuple(
        _verdict(purpose, inventory, image, kept, references)
        for inventory in inventories
        if inventory.registry.name in targets
        for image in inventory.images
    )


def freed(inventory: Inventory, verdicts: Iterable[Verdict]) -> int:
    """Return the bytes of blobs that no remaining manifest names: what garbage collection frees."""
    going = {verdict.key for verdict in verdicts if verdict.goes}
    freed_blobs: dict[str, int] = {}
    staying: set[str] = set()
    for image in inventory.images:
        if _key(inventory, image) in going:
            freed_blobs.update(image.blobs)
        else:
            staying.update(image.blobs)
    return sum(size for digest, size in freed_blobs.items() if digest not in staying)


def _key(inventory: Inventory, image: RegistryImage) -> Key:
    return inventory.registry.name, image.repository, image.digest


def _reason_of_registry(
    inventory: Inventory, targets: Collection[str], inventories: Sequence[Inventory]
) -> str:
    """Return why everything in a registry stays; empty if it need not."""
    registry = inventory.registry
    if registry.kind == "persistent":
        return f"the registry {registry.name} is persistent"
    if registry.name not in targets:
        return f"the registry {registry.name} was not named"
    for other in inventories:
        if other.error is not None:
            return f"{other.registry.name} could not be read, so its images may be built on this"
        if other.partial:
            return f"{other.registry.name} is known in part, so its other images may be built on this"
    return ""


def _reason_of_place(inventory: Inventory, image: RegistryImage, persistent: Iterable[Registry]) -> str:
    """Return why an image in a persistent registry's place stays, by whatever name."""
    for registry in persistent:
        if lies_in(inventory.place_of(image), place(registry.url)):
            return f"it lies in the persistent registry {registry.name} ({registry.url})"
    return ""


def has_it_too(registry: str) -> str:
    """Return why an image that a persistent registry has too stays: a host can have two names."""
    return f"the persistent registry {registry} has it as well: both may be one place"


def _in_persistent(inventories: Iterable[Inventory]) -> dict[tuple[str, str], str]:
    """Return the name of the persistent registry that has a manifest, by repository and digest."""
    return {
        (image.repository, digest): inventory.registry.name
        for inventory in inventories
        if inventory.registry.kind == "persistent"
        for image in inventory.images
        for digest in (image.digest, *image.parts)
    }


def _reason_of_twin(image: RegistryImage, twins: Mapping[tuple[str, str], str]) -> str:
    """Return why an image stays if a persistent registry has it, or its subject."""
    found = (twins.get((image.repository, digest)) for digest in (image.digest, *image.subjects))
    return next((has_it_too(name) for name in found if name), "")


def _reasons_of_image(
    inventory: Inventory, image: RegistryImage, policy: Policy, references: References
) -> Iterator[str]:
    """Yield why an image stays at any age: not the factory's, or not this repository's."""
    if image.problem:
        yield f"it cannot be read: {image.problem}"
    if image.image not in policy.images:
        yield f"no image of this repository is called {image.image}"
    where = inventory.place_of(image)
    if any((where, named) in policy.named for named in (*image.tags, image.digest)):
        yield "a file of this repository names it as a parent"
    if references.is_bound(_key(inventory, image)):
        yield from (f"it has a tag of its own: {tag}" for tag in image.own_tags)
    elif image.labels is None:
        yield "it has no label of the factory, which did not build it"
    elif image.labels.image != image.image:
        # The label was written by the person who pushed it, and may hold anything.
        yield f"its label says that it is {image.labels.image!r}"
    elif image.labels.parents is None:
        yield "its label cannot be read: its parents are not known"


def _reasons_of_age(
    registry: Registry, image: RegistryImage, policy: Policy, newest: frozenset[str]
) -> Iterator[str]:
    """Yield why `prune` keeps an image of the factory."""
    moving = policy.moving.get(image.image, frozenset()) | {LATEST}
    for tag in image.tags:
        if tag in moving:
            yield f"its tag {tag} moves with every build"
        if newest_version((tag,)):
            yield f"its tag {tag} is a version"
    if image.moment is None:
        yield "its age is not known"
        return
    days = (policy.now - image.moment).days
    if days < registry.keep_days:
        least = plural(registry.keep_days, "day")
        yield f"it is {plural(max(days, 0), 'day')} old, and what is younger than {least} stays"
    if f"{image.repository}@{image.digest}" in newest:
        yield f"it is one of the newest {registry.keep}"


def _newest(inventory: Inventory, references: References) -> frozenset[str]:
    """Return each name's newest images, as many as the registry keeps, among those with a time."""
    by_repository = defaultdict(list)
    for image in inventory.images:
        bound = references.is_bound(_key(inventory, image))
        if image.labels is not None and image.moment is not None and not bound:
            by_repository[image.repository].append((image.moment, image.digest))
    # Reproducible builds of one lock have the same time: all that share the oldest kept time stay.
    limit = {
        repository: sorted((moment for moment, _ in found), reverse=True)[: inventory.registry.keep]
        for repository, found in by_repository.items()
    }
    return frozenset(
        f"{repository}@{digest}"
        for repository, found in by_repository.items()
        for moment, digest in found
        if limit[repository] and moment >= limit[repository][-1]
    )


def _verdict(
    purpose: Purpose,
    inventory: Inventory,
    image: RegistryImage,
    kept: Mapping[Key, str],
    references: References,
) -> Verdict:
    key = _key(inventory, image)
    if key in kept:
        return Verdict(key=key, image=image, goes=False, reason=kept[key])
    return Verdict(
        key=key,
        image=image,
        goes=True,
        reason=_why(purpose, inventory, image, references),
        needs=tuple(sorted(references.before(key) - kept.keys())),
        loose_parts=references.loose_parts(key, kept),
    )


def _why(purpose: Purpose, inventory: Inventory, image: RegistryImage, references: References) -> str:
    if references.is_attachment(image):
        there = [digest for digest in image.subjects if digest not in image.gone]
        return f"goes with {short(there[0])}" if there else "what it belongs to no longer exists"
    if references.is_bound(_key(inventory, image)):
        return "a part of an index that goes"
    if purpose == "teardown":
        return "made by the factory, in a disposable registry"
    registry = inventory.registry
    return f"older than {plural(registry.keep_days, 'day')}, and not of the newest {registry.keep}"


def short(digest: str) -> str:
    """Return a digest as shown to people: the first 12 digits."""
    return digest[: len("sha256:") + 12]
