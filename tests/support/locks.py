"""Edits of lock files, as somebody makes them who writes the digest of the contents again."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, Pin, format_lock
from factory.lock.lockset import inputs_digest

CONTENTS = "# contents: "


def resealed(text: str) -> str:
    """A lock with the digest of its contents written again, as an attacker does it."""
    head, _, rest = text.partition(CONTENTS)
    contents = rest.partition("\n")[2]
    return f"{head}{CONTENTS}sha256:{hashlib.sha256(contents.encode()).hexdigest()}\n{contents}"


def edit_lock(path: Path, old: str, new: str, *, count: int = -1) -> None:
    """Replace text in a lock file and write its digest again."""
    before = path.read_text()
    assert old in before
    path.write_text(resealed(before.replace(old, new, count)))


def rewrite_lock(flavor: Flavor, pins: Iterable[Pin]) -> None:
    """Write other pins in the form that the factory writes, with the digest of what they were made from."""
    spec = flavor.project.spec
    text = format_lock(
        pins,
        index_url=spec.index_url,
        inputs=inputs_digest(flavor.project),
        command=f"factory lock {flavor.name}",
        platforms=spec.platforms,
    )
    (flavor.folder / LOCK_FILE).write_text(text)
