"""Compare two flavors, or a flavor with itself at another time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.console import Table, plural
from factory.flavor.project import Project, parse
from factory.flavor.spec import Spec
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import LockSet, index_names
from factory.lock.report import Changes, PinChange, compare_pins
from factory.markdown import code, folded, plain, table
from factory.masking import masked
from factory.upkeep.snapshot import Snapshot

VersionStep = Literal["major", "minor", "patch", "build", "other"]
"""The part of a version that differs first; ``build``: the public version (PEP 440) is the same."""
VersionRank = tuple[bool, Version]
"""The order of versions: anything that is not a version comes below all versions."""
_NOTHING = "-"
_DIGITS = 12
_REHASHED = "other hashes under the same version, from the same index"


@dataclass(frozen=True, kw_only=True)
class DiffSide:
    """One of the two that are compared; ``revision`` and ``commit`` are None for the folder as it is."""

    flavor: str
    revision: str | None
    commit: str | None
    locked: bool


@dataclass(frozen=True, kw_only=True)
class SettingDifference:
    """A key of the spec with another value; None if it has none."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class ListDifference:
    """A list of ``pyproject.toml`` whose entries differ: those of one side only, as written."""

    key: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PackageDifference:
    """A package at another version; None on the side that does not have it.

    ``direct``: one of the sides depends on it directly; ``step``: how far the versions are apart, None if
    one is missing; ``older``: the second is the older one.
    """

    name: str
    before: str | None
    after: str | None
    direct: bool
    step: VersionStep | None
    older: bool


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """An artifact of a package that kept its version: another digest, or on one side only.

    ``same_index``: both sides have it from one URL, so that the index was pushed again, or the platforms
    differ; two indexes are expected to have files of their own.
    """

    package: str
    version: str | None
    same_index: bool
    file_name: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class OtherIndex:
    """A package that comes from another index, by the indexes' names."""

    package: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class FlavorDifference:
    """All that differs; ``differs`` is whether anything does."""

    before: DiffSide
    after: DiffSide
    differs: bool
    settings: tuple[SettingDifference, ...]
    requirements: tuple[ListDifference, ...]
    changed: tuple[PackageDifference, ...]
    added: tuple[PackageDifference, ...]
    removed: tuple[PackageDifference, ...]
    rehashed: tuple[FileDifference, ...]
    moved: tuple[OtherIndex, ...]


def difference(before: Snapshot, after: Snapshot) -> FlavorDifference:
    """Return the difference of two flavors, or two states of one: spec, requirements and locks."""
    old_pins, new_pins = (snapshot.locks.pins if snapshot.locks else () for snapshot in (before, after))
    changes = compare_pins(old_pins, new_pins)
    direct = _direct(before.project) | _direct(after.project)
    settings = tuple(_settings(before.project.spec, after.project.spec))
    requirements = tuple(_requirements(before.project, after.project))
    moved = tuple(_moved(before, after))
    return FlavorDifference(
        before=_side(before),
        after=_side(after),
        differs=bool(changes or settings or requirements or moved),
        settings=settings,
        requirements=requirements,
        changed=tuple(_package(item, direct) for item in changes.changed),
        added=tuple(_package(item, direct) for item in changes.added),
        removed=tuple(_package(item, direct) for item in changes.removed),
        rehashed=tuple(_rehashed(changes, before, after)),
        moved=moved,
    )


def _side(snapshot: Snapshot) -> DiffSide:
    return DiffSide(
        flavor=snapshot.flavor,
        revision=snapshot.revision,
        commit=snapshot.commit,
        locked=snapshot.locks is not None,
    )


def _settings(before: Spec, after: Spec) -> Iterator[SettingDifference]:
    old, new = _values(before), _values(after)
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield SettingDifference(key=key, before=_shown(old.get(key)), after=_shown(new.get(key)))


def _shown(value: str | None) -> str | None:
    return None if value is None else masked(value)


def _values(spec: Spec) -> Mapping[str, str | None]:
    """Return the spec's values by the keys of ``[tool.factory]``; a further index by its name."""
    return {
        "name": spec.name,
        "accelerator": spec.accelerator,
        "accelerator-version": spec.accelerator_version,
        "torch": spec.torch,
        "python": spec.python,
        "training-hub": spec.training_hub,
        "platforms": ", ".join(spec.platforms),
        "glibc": spec.glibc,
        "index-url": spec.index_url,
        **{f"index {item.name}": f"{item.url} for {', '.join(item.packages)}" for item in spec.indexes},
        "redirect-hosts": ", ".join(spec.redirect_hosts) or None,
        "base-image": spec.base_image,
        "downstream-base-image": spec.downstream_base_image,
        "template-set": spec.template_set,
    }


def _requirements(before: Project, after: Project) -> Iterator[ListDifference]:
    old, new = _lists(before), _lists(after)
    for key, entries in old.items():
        removed = tuple(entry for entry in entries if entry not in new[key])
        added = tuple(entry for entry in new[key] if entry not in entries)
        if removed or added:
            yield ListDifference(
                key=key, removed=tuple(map(masked, removed)), added=tuple(map(masked, added))
            )


def _lists(project: Project) -> Mapping[str, tuple[str, ...]]:
    spec = project.spec
    return {
        "dependencies": project.dependencies,
        "constraint-dependencies": project.constraints,
        "override-dependencies": project.overrides,
        "missing": tuple(f"{item.requirement} ({item.reason})" for item in spec.missing),
        "waivers": tuple(
            f"{' '.join(filter(None, (item.finding, item.package)))} until {item.expires} ({item.reason})"
            for item in spec.waivers
        ),
        "hooks.environment": tuple(f"{key}={value}" for key, value in spec.hooks.environment),
        "hooks.system-packages": spec.hooks.system_packages,
        "hooks.midstream": tuple(spec.hooks.midstream.splitlines()),
        "hooks.before-install": tuple(spec.hooks.before_install.splitlines()),
        "hooks.after-install": tuple(spec.hooks.after_install.splitlines()),
        "hooks.files": spec.hooks.files,
    }


def _direct(project: Project) -> set[str]:
    return {canonicalize_name(parse(text).name) for text in project.dependencies}


def _package(change: PinChange, direct: set[str]) -> PackageDifference:
    known = change.before is not None and change.after is not None
    before, after = change.before or "", change.after or ""
    return PackageDifference(
        name=change.name,
        before=change.before,
        after=change.after,
        direct=change.name in direct,
        step=version_step(before, after) if known else None,
        older=known and is_older(before, after),
    )


def _rehashed(changes: Changes, before: Snapshot, after: Snapshot) -> Iterator[FileDifference]:
    old, new = (_by_name(snapshot.locks) for snapshot in (before, after))
    for change in changes.rehashed:
        urls = {_url(snapshot.project.spec, change.name) for snapshot in (before, after)}
        yield from _files(old[change.name], new[change.name], same_index=len(urls) == 1)


def _by_name(locks: LockSet | None) -> Mapping[str, Pin]:
    return {pin.name: pin for pin in (locks.pins if locks else ())}


def _url(spec: Spec, package: str) -> str | None:
    return spec.url_of(spec.index_of(package))


def _files(before: Pin, after: Pin, *, same_index: bool) -> Iterator[FileDifference]:
    """Yield the artifacts that two pins do not share; those without a name are paired with none."""
    common = {item.sha256 for item in before.artifacts} & {item.sha256 for item in after.artifacts}
    old = {_key(item): item for item in before.artifacts if item.sha256 not in common}
    new = {_key(item): item for item in after.artifacts if item.sha256 not in common}
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        known = one or other
        yield FileDifference(
            package=after.name,
            version=after.version,
            same_index=same_index,
            file_name=known.file_name if known else None,
            before=one.sha256 if one else None,
            after=other.sha256 if other else None,
        )


def _key(artifact: Artifact) -> str:
    return artifact.file_name or artifact.sha256


def _moved(before: Snapshot, after: Snapshot) -> Iterator[OtherIndex]:
    old, new = _origins(before.locks, before.project.spec), _origins(after.locks, after.project.spec)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield OtherIndex(package=name, before=old[name], after=new[name])


def _origins(locks: LockSet | None, spec: Spec) -> dict[str, str]:
    """Return the name of the index in whose lock file each package is."""
    names = index_names(spec)
    files = locks.files if locks else {}
    return {pin.name: names[file] for file, lock in files.items() for pin in lock.pins}


def describe_difference(found: FlavorDifference) -> tuple[str | Table, ...]:
    """Describe a difference in parts: the two sides, the spec, requirements and packages."""
    title = f"{_side_text(found.before)} -> {_side_text(found.after)}"
    if not found.differs:
        return (f"{title}: no difference",)
    parts: list[str | Table] = [title, *_not_locked(found)]
    if found.settings:
        # As lines: two URLs or two images side by side are wider than a terminal.
        settings = (
            f"  {item.key}: {item.before or 'none'} -> {item.after or 'none'}" for item in found.settings
        )
        parts += ["", "\n".join(("spec:", *settings))]
    for item in found.requirements:
        removed, added = (f"  - {line}" for line in item.removed), (f"  + {line}" for line in item.added)
        parts += ["", "\n".join((f"{item.key}:", *removed, *added))]
    packages = tuple(_package_row(item) for item in _packages(found))
    if packages:
        parts += ["", Table(headings=("package", "before", "after", "", ""), rows=packages)]
    files = tuple((item.package, item.version or "", *_file(item)) for item in _rehashed_on_one_index(found))
    if files:
        parts += ["", f"{_REHASHED}:"]
        parts += [Table(headings=("package", "version", "file", "before", "after"), rows=files)]
    parts += [f"\n{line}" for line in _other_index(found)]
    if found.moved:
        moved = tuple((item.package, item.before, item.after) for item in found.moved)
        parts += ["", Table(headings=("from another index", "before", "after"), rows=moved)]
    return (*parts, "", _count(found))


def difference_markdown(found: FlavorDifference) -> str:
    """Return the same in Markdown for a pull request; long tables are behind a click."""
    lines = [f"### {_marked(found.before)} → {_marked(found.after)}", ""]
    if not found.differs:
        return "\n".join((*lines, "No difference."))
    lines += [_count(found).capitalize() + ".", "", *(f"{plain(line)}.\n" for line in _not_locked(found))]
    if found.settings:
        rows = [(code(item.key), code(item.before or ""), code(item.after or "")) for item in found.settings]
        lines += folded("Spec", list(table(("key", "before", "after"), rows)), rows=len(rows))
    if found.requirements:
        entries = [
            (code(item.key), sign, code(line))
            for item in found.requirements
            for sign, group in (("removed", item.removed), ("added", item.added))
            for line in group
        ]
        lines += folded("pyproject.toml", list(table(("list", "", "entry"), entries)), rows=len(entries))
    for title, group in (("Changed", found.changed), ("Added", found.added), ("Removed", found.removed)):
        cells = [_package_row(item) for item in group]
        if cells:
            heading = f"{title}: {plural(len(cells), 'package')}"
            content = list(table(("package", "before", "after", "step", ""), cells))
            lines += folded(heading, content, rows=len(cells))
    files = [(item.package, item.version or "", *_file(item)) for item in _rehashed_on_one_index(found)]
    if files:
        content = list(table(("package", "version", "file", "before", "after"), files))
        lines += folded(_REHASHED.capitalize(), content, rows=len(files))
    lines += [f"{plain(line)}\n" for line in _other_index(found)]
    if found.moved:
        moved = [(item.package, item.before, item.after) for item in found.moved]
        lines += folded(
            "From another index", list(table(("package", "before", "after"), moved)), rows=len(moved)
        )
    return "\n".join(lines).rstrip("\n")


def _packages(found: FlavorDifference) -> tuple[PackageDifference, ...]:
    everything = (*found.changed, *found.added, *found.removed)
    return tuple(sorted(everything, key=lambda item: (not item.direct, item.name)))


def _package_row(item: PackageDifference) -> tuple[str, str, str, str, str]:
    said = ("added" if item.before is None else "removed") if item.step is None else item.step
    return (
        item.name,
        item.before or _NOTHING,
        item.after or _NOTHING,
        f"{said}, older" if item.older else said,
        "direct" if item.direct else "",
    )


def _rehashed_on_one_index(found: FlavorDifference) -> tuple[FileDifference, ...]:
    return tuple(item for item in found.rehashed if item.same_index)


def _other_index(found: FlavorDifference) -> Iterator[str]:
    """Yield a line with packages of one version on two indexes, whose files always differ."""
    names = dict.fromkeys(item.package for item in found.rehashed if not item.same_index)
    if names:
        yield f"the same version from another index, with hashes of its own: {', '.join(names)}"


def _file(item: FileDifference) -> tuple[str, str, str]:
    before, after = ((digest or _NOTHING)[:_DIGITS] for digest in (item.before, item.after))
    return item.file_name or _NOTHING, before, after


def _side_text(side: DiffSide) -> str:
    if side.commit is None:
        return side.flavor
    return f"{side.flavor} at {side.revision} ({side.commit[:_DIGITS]})"


def _marked(side: DiffSide) -> str:
    if side.commit is None:
        return code(side.flavor)
    return f"{code(side.flavor)} at {code(side.revision or '')} ({side.commit[:_DIGITS]})"


def _not_locked(found: FlavorDifference) -> Iterator[str]:
    for side in (found.before, found.after):
        if not side.locked:
            yield f"{_side_text(side)} is not locked"


def _count(found: FlavorDifference) -> str:
    rehashed = len({item.package for item in found.rehashed})
    counts = ((len(found.changed), "changed"), (len(found.added), "added"), (len(found.removed), "removed"))
    said = ", ".join(f"{number} {word}" for number, word in counts)
    return f"packages: {said}, {rehashed} with other hashes"


def version_step(before: str, after: str) -> VersionStep:
    """Return the first part in which two versions differ, whichever is the newer."""
    old, new = _parsed(before), _parsed(after)
    if old is None or new is None or old.epoch != new.epoch:
        return "other"
    if old.public == new.public:
        return "build"
    width = max(len(old.release), len(new.release), 3)
    a, b = ((*version.release, *([0] * width))[:width] for version in (old, new))
    differing = next((place for place in range(width) if a[place] != b[place]), None)
    if differing is None:  # a pre-release, or a post-release
        return "patch"
    return ("major", "minor")[differing] if differing < 2 else "patch"  # noqa: PLR2004 - major, minor


def is_older(before: str, after: str) -> bool:
    """Return whether the second version is older than the first."""
    old, new = _parsed(before), _parsed(after)
    return old is not None and new is not None and new < old


def without_local(version: str) -> str:
    """Return a version without its local part: 2.13.0 of 2.13.0+cpu, and of 2.13.0+cu130."""
    parsed = _parsed(version)
    return version if parsed is None else parsed.public


def version_rank(version: str) -> VersionRank:
    """Return a key that sorts versions and is the same for equal ones."""
    parsed = _parsed(version)
    return parsed is not None, parsed or Version("0")


def _parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except ValueError:
        return None
