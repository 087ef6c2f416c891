"""What `factory konflux` did, in words for people."""

from collections import Counter
from collections.abc import Iterator

from factory.konflux.bundles import OtherBundle
from factory.konflux.settings import DEFAULTS
from factory.konflux.writing import Change, Written
from factory.settings import SETTINGS_FILE

_DIGITS = 12
_DID: dict[Change, str] = {
    "added": "written",
    "changed": "written anew",
    "removed": "removed: nothing makes it any more",
}
_WOULD: dict[Change, str] = {
    "added": "would be written",
    "changed": "would be written anew",
    "removed": "would be removed: nothing makes it any more",
}


def as_text(written: Written) -> str:
    """One line for every setting and file that changes, and one that counts the rest."""
    return "\n".join(_lines(written))


def _lines(written: Written) -> Iterator[str]:
    for setting in written.settings:
        verb = "would be" if written.dry_run else "is now"
        old = setting.old or DEFAULTS.get(setting.key)
        was = "" if old is None else f" (was {old!r})"
        yield f"{SETTINGS_FILE}: {setting.key} {verb} {setting.new!r}{was}"
    verbs = _WOULD if written.dry_run else _DID
    for file in written.files:
        if file.change != "same":
            yield f"{file.path}: {verbs[file.change]}"
    for kept in written.kept:
        number = len(kept.bundles)
        bundles = "1 bundle stays as it is" if number == 1 else f"{number} bundles stay as they are"
        yield f"{kept.path}: {bundles}, by another tag or digest than the factory's"
    for file_replaced in written.replaced:
        yield from (f"{file_replaced.path}: {_replaced(item)}" for item in file_replaced.bundles)
    for name, reason in written.left_out.items():
        yield f"{name} is left out of the check of every flavor: {reason}"
    counts = Counter(file.change for file in written.files)
    flavors = f"{len(written.flavors)} flavor{'' if len(written.flavors) == 1 else 's'}"
    yield f"{flavors}, {sum(counts.values()) - counts['removed']} files: {counts['same']} as they have to be"


def _replaced(item: OtherBundle) -> str:
    """A bundle that gave way, without the repository that both are of."""
    old, new = (_version(reference) for reference in (item.bundle, item.shipped))
    return f"the bundle of {item.task} is the factory's {new}, and was {old}"


def _version(reference: str) -> str:
    """The tag, and as much of the digest as tells it from another."""
    name, _, digest = reference.partition("@sha256:")
    return f"{name.rpartition(':')[2]}@sha256:{digest[:_DIGITS]}"


def left_behind(written: Written, *, every: bool) -> Iterator[str]:
    """What to do after settings changed and only some flavors' files with them; nothing where all is well."""
    if written.settings and not every:
        yield "the settings are those of every flavor: run `factory konflux --all` as well"
