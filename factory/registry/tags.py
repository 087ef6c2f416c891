"""Choose the tags of a push: the rules of ``--tags``, and which tags may be overwritten.

A *moving* tag is meant to name another image tomorrow (``latest``, and an image's
``moving-tag`` of factory.toml). Every other tag names the same image forever.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from factory.errors import RegistryError, SpecError

Part = Literal["major", "minor", "patch"]

PARTS: Mapping[str, Part] = {"major": "major", "minor": "minor", "patch": "patch"}
LATEST = "latest"
FIRST_VERSION = "0.1.0"
IDENTITY_DIGITS, COMMIT_DIGITS = 16, 12
# The OCI distribution specification's grammar of a tag.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# Semantic Versioning 2.0.0, of which a tag cannot hold the build part; a v before it is a custom of many.
_VERSION = re.compile(r"(?P<prefix>v?)(?P<numbers>(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){2})")
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A tag, and whether it may be moved to another image."""

    name: str
    moving: bool


@dataclass(frozen=True, kw_only=True)
class TagFacts:
    """What tags are made from.

    identity: The image's, 64 hex digits; None if it has none.
    commit: The checked out one, 40 hex digits; None without one.
    dirty: Whether there are uncommitted changes.
    fields: Further fields for a template, such as a flavor's versions.
    """

    identity: str | None
    moving_tag: str = LATEST
    commit: str | None = None
    dirty: bool = False
    moment: dt.datetime
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The input of ``semver``: the existing tags, and which part of the newest version is raised.

    ``kept`` is the version that the image has already, if any.
    """

    existing: tuple[str, ...] = ()
    raised: Part = "patch"
    kept: str | None = None


def wanted_tags(
    rules: Sequence[str], facts: TagFacts, versions: Versions, *, allow_dirty: bool = False
) -> tuple[Tag, ...]:
    """Return the tags of the rules, each once, moving ones last.

    A rule is ``auto`` (the image's identity and its moving tag), ``semver``, ``latest``, ``git-sha``, or a
    template such as ``{identity}-{date}``; any other word is the tag itself.

    Raises:
        SpecError: a template has an unknown field, a fact is not known, or the result is not a tag.
    """
    found = (tag for rule in rules for tag in _of_rule(rule, facts, versions, allow_dirty=allow_dirty))
    unique = {tag.name: tag for tag in found}
    return tuple(sorted(unique.values(), key=lambda tag: tag.moving))


def next_version(versions: Versions) -> str:
    """Return the version after the newest of the tags (Semantic Versioning 2.0.0); the first is 0.1.0.

    It counts the image, and is not a version of what the image holds, of which there are several. Skips
    tags that are not ``X.Y.Z``, pre-releases too; a ``v`` before the newest stays.
    """
    newest = newest_version(versions.existing)
    if newest is None:
        return FIRST_VERSION
    match = _VERSION.fullmatch(newest)
    major, minor, patch = _numbers(newest)
    raised = {
        "major": (major + 1, 0, 0),
        "minor": (major, minor + 1, 0),
        "patch": (major, minor, patch + 1),
    }[versions.raised]
    return f"{match['prefix'] if match else ''}{'.'.join(map(str, raised))}"


def newest_version(tags: Iterable[str]) -> str | None:
    """Return the tag with the highest ``X.Y.Z``; None if no tag is a version."""
    return max(filter(_VERSION.fullmatch, tags), key=_numbers, default=None)


def identity_tag(identity: str) -> str:
    """Return the tag of an identity: its first 16 hex digits."""
    return identity[:IDENTITY_DIGITS]


def check_unmoved(tag: Tag, *, place: str, there: str, wanted: str) -> None:
    """Check that an existing tag may be given to an image.

    Args:
        tag: The tag.
        place: Its repository, for the message.
        there: The digest that it names now.
        wanted: The digest that it is to name; empty if it is another one that is not known yet.

    Raises:
        RegistryError: it names another image and does not move.
    """
    if tag.moving or there == wanted:
        return
    raise RegistryError(
        f"{place}:{tag.name} exists already and names another image ({there})",
        solution="A tag that does not move is never overwritten. Push under another tag (--tags), or make it "
        "the image's moving-tag in factory.toml.",
    )


def _of_rule(rule: str, facts: TagFacts, versions: Versions, *, allow_dirty: bool) -> Iterable[Tag]:
    match rule:
        case "auto":
            yield _fixed(identity_tag(_identity(facts, rule)), facts)
            yield Tag(name=facts.moving_tag, moving=True)
        case "latest":
            yield Tag(name=LATEST, moving=True)
        case "semver":
            yield _fixed(versions.kept or next_version(versions), facts)
        case "git-sha":
            # Uncommitted changes may differ the next time.
            yield Tag(name=_commit(facts, allow_dirty=allow_dirty), moving=facts.dirty)
        case _:
            yield _filled(rule, facts, versions, allow_dirty=allow_dirty)


def _filled(template: str, facts: TagFacts, versions: Versions, *, allow_dirty: bool) -> Tag:
    """Return the tag of a template."""
    given = {
        "identity": lambda: identity_tag(_identity(facts, template)),
        "git-sha": lambda: _commit(facts, allow_dirty=allow_dirty),
        "semver": lambda: _bare(versions.kept or next_version(versions), template),
        "date": lambda: f"{facts.moment:%Y%m%d}",
        "time": lambda: f"{facts.moment:%H%M%S}",
    }
    known = sorted({*given, *facts.fields})

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in given:
            return given[name]()
        if name in facts.fields:
            return facts.fields[name]
        raise SpecError(
            f"--tags {template}: there is no field {{{name}}}",
            solution=f"Known fields: {', '.join(f'{{{name}}}' for name in known)}; or one of the rules auto, "
            "semver, latest, git-sha.",
        )

    tag = _fixed(_FIELD.sub(value, template), facts, of=template)
    # Uncommitted changes may differ the next time.
    return replace(tag, moving=tag.moving or (facts.dirty and "{git-sha}" in template))


def _bare(version: str, template: str) -> str:
    """Return a version as a template contains it, so that the next push can read it back."""
    if template == "{semver}":
        return version
    if template != "v{semver}":
        raise SpecError(
            f"--tags {template}: the next version is read from the tags, where it must be the whole tag",
            solution="Use semver or v{semver}, and another --tags for further facts.",
        )
    return version.removeprefix("v")


def _fixed(name: str, facts: TagFacts, *, of: str = "") -> Tag:
    """Return the tag of that name, moving only if it is latest or the image's moving tag."""
    if not _TAG.fullmatch(name):
        raise SpecError(
            f"{name!r} is not a tag{f' (from --tags {of})' if of != name and of else ''}",
            solution="A tag has up to 128 letters, digits, underscores, dots and hyphens, and begins with "
            "none of the last two.",
        )
    return Tag(name=name, moving=name in {LATEST, facts.moving_tag})


def _identity(facts: TagFacts, rule: str) -> str:
    if facts.identity is None:
        raise SpecError(
            f"--tags {rule}: the image has no identity: no label of `factory build`",
            solution="Build it with `factory build`, or give its tag with --tags.",
        )
    return facts.identity


def _commit(facts: TagFacts, *, allow_dirty: bool) -> str:
    if facts.commit is None:
        raise SpecError(
            "a tag after the commit is asked for, and the repository has no commit",
            solution="Commit what the image was built from, or choose another tag with --tags.",
        )
    if not facts.dirty:
        return facts.commit[:COMMIT_DIGITS]
    if not allow_dirty:
        raise SpecError(
            "a tag after the commit is asked for, and there are changes that are in no commit",
            solution="Commit them first. --allow-dirty pushes all the same, under COMMIT-dirty.",
        )
    return f"{facts.commit[:COMMIT_DIGITS]}-dirty"


def _numbers(tag: str) -> tuple[int, int, int]:
    match = _VERSION.fullmatch(tag)
    major, minor, patch = (match["numbers"] if match else "0.0.0").split(".")
    return int(major), int(minor), int(patch)
