"""Evaluating advisories: which of them a version has, and which version is rid of them.

The algorithm is the one of https://ossf.github.io/osv-schema/ ("Evaluation"), with the versions of
PEP 440. Local versions are compared by their public part: advisories know no others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.version import Version

from factory.errors import AdvisoryError
from factory.upkeep.advisories import Advisory, Affected

_EVERYTHING_BEFORE = "0"
_NO_LIMIT = "*"
# The order in which the ids of one vulnerability are told; a CVE is what a ticket names.
_SERIES = ("CVE", "GHSA", "PYSEC")


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """One vulnerability of one version of a package, however many databases describe it.

    ``ids`` begins with the one to call it by; ``fixed`` are the versions above, in order, that are
    known to be rid of it; ``rating`` and ``severity`` are a word and a CVSS vector, where they are given.
    ``cures`` are those of ``fixed`` and what other vulnerabilities of that version are fixed in, as far
    as it does not have this one.
    """

    ids: tuple[str, ...]
    summary: str
    rating: str | None
    severity: str | None
    fixed: tuple[str, ...]
    cures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The vulnerabilities of a version, and the ids of advisories that name no version to compare it with."""

    vulnerabilities: tuple[Vulnerability, ...]
    undecided: tuple[str, ...] = ()


def evaluate(package: str, pinned: str, advisories: Sequence[Advisory]) -> Evaluated:
    """What is known about a version of a package (by normalized name), from the advisories about it.

    Advisories that are aliases of each other are one vulnerability.

    Raises:
        AdvisoryError: a version in an advisory, or the pin, is not one of PEP 440 and has to be compared.
    """
    version = public_version(package, pinned)
    groups = [
        (group, affecting)
        for group in _groups(advisories)
        if (affecting := [advisory for advisory in group if _affects(advisory, package, version)])
    ]
    candidates = _named([advisory for _, affecting in groups for advisory in affecting], package)
    found = [_vulnerability(package, version, *group, candidates) for group in groups]
    undecided = (advisory.id for advisory in advisories if not _can_be_decided(advisory, package))
    return Evaluated(
        vulnerabilities=tuple(sorted(found, key=lambda one: one.ids)), undecided=tuple(sorted(undecided))
    )


def public_version(package: str, pinned: str) -> Version:
    """A version without its local part (PEP 440): ``2.11.0`` for ``2.11.0+cpu``.

    Raises:
        AdvisoryError: it is not a version of PEP 440, which nothing can be compared with.
    """
    try:
        return _public(pinned)
    except ValueError as error:
        raise AdvisoryError(
            f"{package} is pinned to {pinned!r}, which is not a version of PEP 440",
            solution="Lock again: `factory lock`.",
        ) from error


def by_name(ids: Iterable[str]) -> tuple[str, ...]:
    """Ids in the order in which they are told, each once."""
    place = {series: number for number, series in enumerate(_SERIES)}
    return tuple(sorted(set(ids), key=lambda id_: (place.get(id_.partition("-")[0], len(_SERIES)), id_)))


def _vulnerability(
    package: str,
    version: Version,
    group: Sequence[Advisory],
    affecting: Sequence[Advisory],
    candidates: Iterable[Version],
) -> Vulnerability:
    """What the advisories of one group say together; a fix is one that none of them contradicts."""
    cures = [
        candidate
        for candidate in sorted(candidates)
        if candidate > version and not any(_affects(advisory, package, candidate) for advisory in group)
    ]
    named = _named(affecting, package)
    return Vulnerability(
        ids=by_name(id_ for advisory in group for id_ in advisory.ids),
        summary=next((advisory.summary for advisory in affecting if advisory.summary), ""),
        rating=next((advisory.rating for advisory in affecting if advisory.rating), None),
        severity=next((advisory.severity for advisory in affecting if advisory.severity), None),
        fixed=tuple(str(candidate) for candidate in cures if candidate in named),
        cures=tuple(str(candidate) for candidate in cures),
    )


def _named(advisories: Iterable[Advisory], package: str) -> frozenset[Version]:
    """The versions that advisories name as fixed."""
    return frozenset(
        _version(text, advisory)
        for advisory in advisories
        for affected in _about(advisory, package)
        for events in affected.ranges
        for kind, text in events
        if kind == "fixed"
    )


def _groups(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """The advisories by vulnerability: those that share an id, directly or through a third."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in advisories:
        ids, members = set(advisory.ids), [advisory]
        apart = []
        for known, others in groups:
            if known & ids:
                ids, members = ids | known, others + members
            else:
                apart.append((known, others))
        groups = [*apart, (ids, members)]
    return [members for _, members in groups]


def _about(advisory: Advisory, package: str) -> list[Affected]:
    return [affected for affected in advisory.affected if affected.package == package]


def _can_be_decided(advisory: Advisory, package: str) -> bool:
    return any(affected.ranges or affected.versions for affected in _about(advisory, package))


def _affects(advisory: Advisory, package: str, version: Version) -> bool:
    return any(_is_affected(affected, version, advisory) for affected in _about(advisory, package))


def _is_affected(affected: Affected, version: Version, advisory: Advisory) -> bool:
    if _is_listed(affected.versions, version):
        return True
    try:
        return any(_is_in_range(events, version, advisory) for events in affected.ranges)
    except AdvisoryError:
        # The list of versions is whole where the schema's advice was followed; then it decides.
        if affected.versions:
            return False
        raise


def _is_listed(versions: Iterable[str], version: Version) -> bool:
    for text in versions:
        try:
            if _public(text) == version:
                return True
        except ValueError:  # older than PEP 440, so not the pinned one
            continue
    return False


def _is_in_range(events: Sequence[tuple[str, str]], version: Version, advisory: Advisory) -> bool:
    limits = [text for kind, text in events if kind == "limit"]
    if limits and not any(text == _NO_LIMIT or version < _version(text, advisory) for text in limits):
        return False
    from_the_start = any(event == ("introduced", _EVERYTHING_BEFORE) for event in events)
    timeline = sorted(
        (
            (_version(text, advisory), kind)
            for kind, text in events
            if kind != "limit" and (kind, text) != ("introduced", _EVERYTHING_BEFORE)
        ),
        key=lambda event: event[0],  # a stable sort: what happens at one version happens in the order given
    )
    inside = from_the_start
    for at, kind in timeline:
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str, advisory: Advisory) -> Version:
    try:
        return _public(text)
    except ValueError as error:
        raise AdvisoryError(
            f"{advisory.source} is damaged: {advisory.id} names {text!r}, which is not a version of PEP 440",
            solution="Fetch the advisories again; where it stays, mend the file by hand.",
        ) from error


def _public(text: str) -> Version:
    return Version(Version(text).public)
