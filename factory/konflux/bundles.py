"""Keep task bundles of a repository whose tag or digest differs from the factory's.

MintMaker, Konflux's Renovate, opens pull requests that raise them in the repository's copy of a Pipeline, and
the policy of a release requires that they are merged. A bundle is two lines of one form; all other text is
kept as it is. They stay as long as the factory ships the bundles that the copy was written with: a later
Pipeline passes what its own bundles take, which an older task does not know.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

# The digest decides what runs; MintMaker needs the tag to raise it.
_REFERENCE = rb"(?P<repository>[a-z0-9][a-z0-9._/:-]*?):[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}@sha256:[0-9a-f]{64}"
_DIGITS = 12
_LINES = re.compile(
    rb"^    - name: (?P<task>[a-z0-9-]+)$"
    rb"|^ {10}- name: bundle\n {12}value: (?P<bundle>" + _REFERENCE + rb")$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class OtherBundle:
    """A task's bundle in a repository's Pipeline, and the factory's bundle for it.

    Both are ``REPOSITORY:TAG@sha256:DIGEST``, of one repository.
    """

    task: str
    bundle: str
    shipped: str


def keep_bundles(wanted: bytes, found: bytes) -> tuple[bytes, tuple[OtherBundle, ...]]:
    """Return a Pipeline with the bundles of the found text, and those that differ.

    A task keeps its bundle if it is of the same repository, by a tag and a digest; neither says which of two
    is newer. If the found text has several for one task, as after a failed merge, none of them is kept.
    """
    own: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place in _places(found):
        own[place.task, place.repository].add(place.bundle)
    parts: list[bytes] = []
    kept: list[OtherBundle] = []
    end = 0
    for place in _places(wanted):
        bundles = own[place.task, place.repository]
        if len(bundles) == 1 and place.bundle not in bundles:
            (bundle,) = bundles
            kept.append(OtherBundle(task=place.task, bundle=bundle, shipped=place.bundle))
            parts += wanted[end : place.start], bundle.encode()
            end = place.start + len(place.bundle)
    return b"".join((*parts, wanted[end:])), tuple(kept)


def bundles_digest(content: bytes) -> str:
    """Return a short digest of all tasks' names and bundles, in order; empty without bundles."""
    listed = "".join(f"{place.task} {place.bundle}\n" for place in _places(content))
    return hashlib.sha256(listed.encode()).hexdigest()[:_DIGITS] if listed else ""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A bundle, its task, and its position in the text."""

    task: str
    repository: str
    bundle: str
    start: int


def _places(content: bytes) -> Iterator[_Place]:
    task = ""
    for match in _LINES.finditer(content):
        if match["task"] is not None:
            task = match["task"].decode()
        else:
            yield _Place(
                task=task,
                repository=match["repository"].decode(),
                bundle=match["bundle"].decode(),
                start=match.start("bundle"),
            )
