"""What of a registry may go, and why everything else stays: a decision on values, which asks nobody."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from factory.registry.declared import Registry
from factory.registry.holdings import Holding, StoredImage
from factory.registry.kinship import Kinship
from factory.registry.place import Place, lies_in, place
from factory.registry.tags import LATEST, newest_version

Purpose = Literal["prune", "teardown"]
Key = tuple[str, str, str]
"""A manifest: the name of its registry, its repository there, its digest."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a repository says of its images.

    ``images`` are their names, ``moving`` the tags of each that move, ``named`` what is named as a parent in
    the repository's own files: where it is, and its tag or digest.
    """

    now: dt.datetime
    images: frozenset[str]
    moving: Mapping[str, frozenset[str]] = field(default_factory=dict)
    named: frozenset[tuple[Place, str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a manifest goes, and why.

    ``needs`` are those that have to be gone before it, and ``loose_parts`` what it names, is on no list and
    goes after it.
    """

    key: Key
    image: StoredImage
    goes: bool
    reason: str
    needs: tuple[Key, ...] = ()
    loose_parts: tuple[str, ...] = ()


def decide(
    purpose: Purpose,
    targets: Collection[str],
    holdings: Sequence[Holding],
    policy: Policy,
    *,
    registries: Iterable[Registry] = (),
) -> tuple[Verdict, ...]:
    """What goes of the registries named ``targets``; of what the others hold, all stays.

    Args:
        purpose: ``prune`` leaves what is new, young, or has a tag that counts; ``teardown`` does not.
        targets: names of registries.
        holdings: what every registry of the repository holds, the targets' among them.
        policy: what the repository says of its images.
        registries: all that are declared, also those of which nothing is known here.

    Returns:
        A verdict for each manifest of the targets, in the order of the holdings.
    """
    declared = (*registries, *(holding.registry for holding in holdings))
    persistent = [registry for registry in declared if registry.kind == "persistent"]
    twins = _in_persistent(holdings)
    kinship = Kinship(holdings)
    kept: dict[Key, str] = {}
    for holding in holdings:
        newest = _newest(holding, kinship) if purpose == "prune" else frozenset()
        whole = _of_registry(holding, targets, holdings)
        for image in holding.images:
            reason = whole or _of_place(holding, image, persistent) or _of_twin(image, twins)
            reason = reason or next(_of_image(holding, image, policy, kinship), "")
            if not reason and purpose == "prune" and not kinship.is_bound(_key(holding, image)):
                reason = next(_of_age(holding.registry, image, policy, newest), "")
            if reason:
                kept[_key(holding, image)] = reason
    kept.update(kinship.bound(kept))
    return tuple(
        _verdict(purpose, holding, image, kept, kinship)
        for holding in holdings
        if holding.registry.name in targets
        for image in holding.images
    )


def freed(holding: Holding, verdicts: Iterable[Verdict]) -> int:
    """Bytes that nothing which stays in a registry names any more, when it has collected its garbage."""
    going = {verdict.key for verdict in verdicts if verdict.goes}
    gone: dict[str, int] = {}
    staying: set[str] = set()
    for image in holding.images:
        if _key(holding, image) in going:
            gone.update(image.blobs)
        else:
            staying.update(image.blobs)
    return sum(size for digest, size in gone.items() if digest not in staying)


def _key(holding: Holding, image: StoredImage) -> Key:
    return holding.registry.name, image.repository, image.digest


def _of_registry(holding: Holding, targets: Collection[str], holdings: Sequence[Holding]) -> str:
    """Why all of a registry stays; empty where it does not."""
    registry = holding.registry
    if registry.kind == "persistent":
        return f"the registry {registry.name} is persistent"
    if registry.name not in targets:
        return f"the registry {registry.name} was not named"
    for other in holdings:
        if other.error is not None:
            return f"{other.registry.name} could not be read, and what there stands on this is not known"
        if other.partial:
            return f"{other.registry.name} is known in part, and what else there stands on this is not known"
    return ""


def _of_place(holding: Holding, image: StoredImage, persistent: Iterable[Registry]) -> str:
    """Why what is in a persistent registry's place stays, whatever else has a name for that place."""
    for registry in persistent:
        if lies_in(holding.place_of(image), place(registry.url)):
            return f"it lies in the persistent registry {registry.name} ({registry.url})"
    return ""


def has_it_too(registry: str) -> str:
    """Why what a persistent registry of another host has stays: a host can have two names."""
    return f"the persistent registry {registry} has it as well: both may be one place"


def _in_persistent(holdings: Iterable[Holding]) -> dict[tuple[str, str], str]:
    """What the persistent registries hold, by repository and digest: the name of the registry."""
    return {
        (image.repository, digest): holding.registry.name
        for holding in holdings
        if holding.registry.kind == "persistent"
        for image in holding.images
        for digest in (image.digest, *image.parts)
    }


def _of_twin(image: StoredImage, twins: Mapping[tuple[str, str], str]) -> str:
    """Why what a persistent registry holds too, or what it is attached to, stays."""
    found = (twins.get((image.repository, digest)) for digest in (image.digest, *image.subjects))
    return next((has_it_too(name) for name in found if name), "")


def _of_image(holding: Holding, image: StoredImage, policy: Policy, kinship: Kinship) -> Iterator[str]:
    """Why an image stays whatever its age: it is not the factory's, or not this repository's."""
    if image.problem:
        yield f"it cannot be read: {image.problem}"
    if image.image not in policy.images:
        yield f"no image of this repository is called {image.image}"
    where = holding.place_of(image)
    if any((where, named) in policy.named for named in (*image.tags, image.digest)):
        yield "a file of this repository names it as a parent"
    if kinship.is_bound(_key(holding, image)):
        yield from (f"it has a tag of its own: {tag}" for tag in image.own_tags)
    elif image.made is None:
        yield "it has no label of the factory's: somebody else made it"
    elif image.made.image != image.image:
        # Whoever pushed it wrote the label: it may hold anything.
        yield f"its label says that it is {image.made.image!r}"
    elif image.made.parents is None:
        yield "its label cannot be read: what it stands on is not known"


def _of_age(registry: Registry, image: StoredImage, policy: Policy, newest: frozenset[str]) -> Iterator[str]:
    """Why `prune` leaves an image of the factory's."""
    moving = policy.moving.get(image.image, frozenset()) | {LATEST}
    for tag in image.tags:
        if tag in moving:
            yield f"its tag {tag} moves with every build"
        if newest_version((tag,)):
            yield f"its tag {tag} is a version"
    if image.moment is None:
        yield "nobody tells how old it is"
        return
    days = (policy.now - image.moment).days
    if days < registry.keep_days:
        yield f"it is {_count(max(days, 0), 'day')} old, and all younger than {registry.keep_days} stay"
    if f"{image.repository}@{image.digest}" in newest:
        yield f"it is one of the newest {registry.keep}"


def _newest(holding: Holding, kinship: Kinship) -> frozenset[str]:
    """The newest images of each name, so many as the registry keeps; those without a time do not count."""
    by_repository = defaultdict(list)
    for image in holding.images:
        bound = kinship.is_bound(_key(holding, image))
        if image.made is not None and image.moment is not None and not bound:
            by_repository[image.repository].append((image.moment, image.digest))
    # Reproducible builds of one lock have one time: those that share that of the last that stays, stay.
    limit = {
        repository: sorted((moment for moment, _ in found), reverse=True)[: holding.registry.keep]
        for repository, found in by_repository.items()
    }
    return frozenset(
        f"{repository}@{digest}"
        for repository, found in by_repository.items()
        for moment, digest in found
        if limit[repository] and moment >= limit[repository][-1]
    )


def _verdict(
    purpose: Purpose, holding: Holding, image: StoredImage, kept: Mapping[Key, str], kinship: Kinship
) -> Verdict:
    key = _key(holding, image)
    if key in kept:
        return Verdict(key=key, image=image, goes=False, reason=kept[key])
    return Verdict(
        key=key,
        image=image,
        goes=True,
        reason=_why(purpose, holding, image, kinship),
        needs=tuple(sorted(kinship.before(key) - kept.keys())),
        loose_parts=kinship.loose_parts(key, kept),
    )


def _why(purpose: Purpose, holding: Holding, image: StoredImage, kinship: Kinship) -> str:
    if kinship.is_attachment(image):
        there = [digest for digest in image.subjects if digest not in image.gone]
        return f"goes with {short(there[0])}" if there else "what it belongs to is there no more"
    if kinship.is_bound(_key(holding, image)):
        return "a part of an index that goes"
    if purpose == "teardown":
        return "made by the factory, in a disposable registry"
    registry = holding.registry
    return f"older than {_count(registry.keep_days, 'day')}, and not of the newest {registry.keep}"


def short(digest: str) -> str:
    """A digest as people are shown it: the first 12 digits."""
    return digest[: len("sha256:") + 12]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
