"""How images refer to each other: children to parents, indexes to parts, attachments to their subjects."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from factory.dockerfile.references import find_reference
from factory.registry.declared import place
from factory.registry.inventory import Inventory, RecordedParent, RegistryImage

_Key = tuple[str, str, str]


class References:
    """The references between all images of some registries.

    A parent is found by what the label of its child records: an identity, a digest, the engine's ID, or a
    reference. For an image without that label, every image that consists of its first layers is a parent.
    """

    def __init__(self, inventories: Sequence[Inventory]) -> None:
        self._images = {
            (inventory.registry.name, image.repository, image.digest): image
            for inventory in inventories
            for image in inventory.images
        }
        self._indexes: dict[_Key, set[_Key]] = defaultdict(set)
        self._attached: dict[_Key, set[_Key]] = defaultdict(set)
        self._children: dict[_Key, set[_Key]] = defaultdict(set)
        for key, image in self._images.items():
            registry, repository, _ = key
            for part in image.parts:
                self._indexes[registry, repository, part].add(key)
            for subject in image.subjects:
                self._attached[registry, repository, subject].add(key)
        for key, parents in self._parents(inventories):
            for parent in parents - {key}:
                self._children[parent].add(key)

    def is_attachment(self, image: RegistryImage) -> bool:
        """Return whether it is attached to another image, and not itself built by the factory."""
        return bool(image.subjects) and image.labels is None

    def is_bound(self, key: _Key) -> bool:
        """Return whether it stays and goes with others: an attachment, or an untagged part of an index."""
        image = self._images[key]
        return self.is_attachment(image) or (key in self._indexes and not image.tags)

    def before(self, key: _Key) -> set[_Key]:
        """Return what must be deleted before: its attachments, the indexes that name it, its children."""
        registry, repository, _ = key
        image = self._images[key]
        parts = ((registry, repository, part) for part in image.parts)
        attached = [self._attached.get(one, set()) for one in (key, *parts)]
        return set().union(*attached, self._indexes.get(key, set()), self._children.get(key, set())) - {key}

    def loose_parts(self, key: _Key, kept: Mapping[_Key, str]) -> tuple[str, ...]:
        """Return the parts of an index that are not listed and that no remaining index names."""
        registry, repository, _ = key
        parts = [(registry, repository, part) for part in self._images[key].parts]
        loose = (one for one in parts if one not in self._images and not self._indexes[one] & kept.keys())
        return tuple(digest for _, _, digest in loose)

    def bound(self, kept: Mapping[_Key, str]) -> dict[_Key, str]:
        """Return what stays because others stay, except what is ``kept`` already, and why."""
        found: dict[_Key, str] = {}
        rest = [key for key in self._images if key not in kept]
        while True:
            staying = kept.keys() | found.keys()
            further = {key: reason for key in rest if (reason := self._reason(key, staying))}
            if not further:
                return found
            found.update(further)
            rest = [key for key in rest if key not in further]

    def _reason(self, key: _Key, staying: Iterable[_Key]) -> str:
        stays = set(staying)
        image = self._images[key]
        for child in sorted(self._children.get(key, set()) & stays):
            return f"{_shown(self._images[child], child)} is built on it, and stays"
        for index in sorted(self._indexes.get(key, set()) & stays):
            return f"the index {_shown(self._images[index], index)} names it, and stays"
        registry, repository, _ = key
        for subject in image.subjects:
            if subject in image.gone or not self.is_attachment(image):
                continue
            if self._remains((registry, repository, subject), stays):
                return f"it belongs to {subject[:19]}, which stays"
        return ""

    def _remains(self, subject: _Key, stays: set[_Key]) -> bool:
        """Return whether a manifest stays: by itself, as a part of an index, or unlisted."""
        if subject in self._images:
            return subject in stays
        indexes = self._indexes.get(subject, set())
        return not indexes or bool(indexes & stays)

    def _parents(self, inventories: Sequence[Inventory]) -> Iterable[tuple[_Key, set[_Key]]]:
        by_name = self._names(inventories)
        by_layers: dict[tuple[str, ...], set[_Key]] = defaultdict(set)
        for key, image in self._images.items():
            if image.layers:
                by_layers[image.layers].add(key)
        for key, image in self._images.items():
            recorded = image.labels.parents if image.labels else None
            if recorded is None:
                beginnings = list(accumulate(((layer,) for layer in image.layers), lambda a, b: a + b))[:-1]
                yield key, set().union(*(by_layers.get(layers, set()) for layers in beginnings))
            else:
                named = (name for parent in recorded for name in _names_of(parent))
                yield key, set().union(*(by_name.get(name, set()) for name in named))

    def _names(self, inventories: Sequence[Inventory]) -> dict[object, set[_Key]]:
        """Return all names by which a label may refer to a parent."""
        found: dict[object, set[_Key]] = defaultdict(set)
        for inventory in inventories:
            for image in inventory.images:
                key = (inventory.registry.name, image.repository, image.digest)
                names: list[object] = [image.digest, image.config_digest, *image.parts]
                names += [(inventory.place_of(image), tag) for tag in image.tags]
                names += [image.labels.identity] if image.labels else []
                for name in names:
                    found[name].add(key)
        found.pop(None, None)
        return found


def _names_of(parent: RecordedParent) -> list[object]:
    if parent.identity is not None:
        return [parent.identity]
    if parent.digest is not None:
        return [parent.digest]
    reference = find_reference(parent.image)
    if reference is None:
        return []
    return [reference.digest or (place(reference.repository), reference.tag)]


def _shown(image: RegistryImage, key: _Key) -> str:
    tag = next(iter(image.own_tags), image.digest[:19])
    return f"{key[0]}: {image.image}:{tag}" if image.tags else f"{key[0]}: {image.image}@{tag}"
