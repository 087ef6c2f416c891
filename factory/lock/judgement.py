"""Judge a lock: everything that is wrong with it, for every command that reads one.

`judge_lock` reads lock files and ``pyproject.toml`` alone; check, prefetch, ``lock --verify``, rehash, sbom,
audit, build and strip use it. It finds every edit that does not update the ``# contents:`` digest. Of edits
that do, it finds whatever the factory, pip, uv and Hermeto might read differently: the lock must be byte for
byte what the factory writes for its pins.

`judge_requirements` needs the metadata of the locked wheels as well, and finds what no digest can hide: a
package that a wheel requires and that is not locked, or is locked at a version that the wheel excludes.
Prefetch, and a build from prefetched wheels, have the wheels; ``lock --verify`` and rehash ask the index or
its cached answers. Check, sbom, audit and strip have no metadata and cannot find it.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.clock import today
from factory.console import plural
from factory.errors import FactoryError, LockFileError, OtherBuildError
from factory.flavor.project import (
    Asked,
    Project,
    admits,
    asked,
    dropped,
    marker_environment,
    parse,
)
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec, waiver_for
from factory.index.metadata import project_of
from factory.lock.given import NOTHING_GIVEN, GivenPackages, given_packages, parent_moved, parent_unreadable
from factory.lock.lockfile import LOCK_FILE, Artifact, LockFile, Option, Pin
from factory.lock.lockset import (
    LockSet,
    index_names,
    inputs_digest,
    lock_file_name,
    misplaced,
    require_lock_set,
)
from factory.lock.narrow import best_wheel, fits, tag_ranks
from factory.masking import masked

# Findings that check reports as warnings. Every command refuses a lock with any other.
WARNINGS = frozenset({"FAC331", "FAC332"})
# Problems that make a lock unreadable as pins of hashed files, each reported once, for the file of its index.
UNREADABLE = frozenset({"FAC302", "FAC303", "FAC304", "FAC306", "FAC310", "FAC333", "FAC334"})
# Refused unless the spec waives it: these compare the lock with pyproject.toml, which people edit.
# A waiver of any other rule silences check alone.
_WAIVABLE = frozenset({"FAC321", "FAC322", "FAC323", "FAC324", "FAC329", "FAC330", "FAC337"})
# Hermeto's lists (docs/downstream.md). An option on neither is unknown to it, and refused as well.
_ACCEPTED = frozenset({"--index-url", "-i", "--require-hashes", "--trusted-host"})
_IGNORED = frozenset({"--requirement", "-r", "--constraint", "-c"})
_SHA256_DIGITS = 64
_END_OF_HEADERS = re.compile(r"\r?\n\r?\n")
# Includes continuation lines, which begin with a space; the email parser takes ten times as long.
_REQUIRES_DIST = re.compile(r"^requires-dist:(.*(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_CREDENTIALS = re.compile(r"://[^/\s]*@")

Requires = Callable[[Pin, str], Iterable[str]]
"""Returns what a pin's wheel for a platform requires (PEP 508 texts of ``Requires-Dist``)."""


@dataclass(frozen=True, kw_only=True)
class LockProblem:
    """One problem of a lock. ``code`` is the rule's in docs/rules.md.

    ``package`` is the normalized name of the package concerned, or None.
    ``in_project``: the fault is in pyproject.toml, and `factory lock` would write the same lock again.
    """

    code: str
    path: str
    message: str
    solution: str
    line: int | None = None
    package: str | None = None
    in_project: bool = False

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path} line {self.line}"
        return f"{place}: {masked(self.message)} ({self.code})"


def judge_lock(
    name: str,
    project: Project | None,
    locks: Mapping[str, LockFile],
    errors: Mapping[str, FactoryError] | None = None,
) -> Iterator[LockProblem]:
    """Yield every problem of a flavor's lock files.

    Args:
        name: the flavor's.
        project: None if it cannot be read; then only the lock itself is judged.
        locks: the existing lock files, by file name.
        errors: why a lock file cannot be read, by file name.
    """
    judge = _Judge(name=name, locks=locks, errors=errors or {})
    yield from judge.form()
    if project is not None and locks:
        given = _given(project)
        yield from judge.files(project.spec)
        yield from judge.content(project, given)
        yield from judge.parent(project, given)
        yield from judge.artifacts(project.spec)


def judge_requirements(
    name: str, project: Project, locks: LockSet, requires: Requires
) -> Iterator[LockProblem]:
    """Yield each requirement of a locked wheel that the lock does not meet on some platform.

    What the parents have is met by them: their locks and this one are complete together. Packages that
    overrides replace or remove, and those recorded as missing, need not be locked.
    """
    given = _given(project)
    own = {pin.name: pin for pin in locks.pins}
    pins = {**_pins_of(given), **own}
    files = dict.fromkeys(pins, LOCK_FILE)
    files |= {pin.name: path for path, lock in locks.files.items() for pin in lock.pins}
    overrides = (*project.overrides, *given.overrides)
    overridden = (
        {canonicalize_name(parse(text).name) for text in overrides} | dropped(project) | given.missing
    )
    roots = [parse(text) for text in (*project.dependencies, *project.overrides)]
    found: dict[tuple[str, str], LockProblem] = {}
    for platform in project.spec.platforms:
        environment = marker_environment(project.spec.python, platform)
        waiting = [item for item in roots if _applies(item, environment, "")]
        seen: set[tuple[str, str]] = set()
        while waiting:
            item = waiting.pop()
            owner = canonicalize_name(item.name)
            pin = pins.get(owner)
            for extra in ("", *item.extras):
                if pin is None or pin.version is None or (owner, extra) in seen:
                    continue
                seen.add((owner, extra))
                for wanted in _parsed(requires(pin, platform)):
                    target = canonicalize_name(wanted.name)
                    if target in overridden or not _applies(wanted, environment, extra):
                        continue
                    waiting.append(wanted)
                    problem = _unmet(name, files[owner], pin, wanted, pins.get(target))
                    if problem is not None:
                        found.setdefault((owner, target), problem)
    yield from found.values()


def _given(project: Project) -> GivenPackages:
    """Return what the parents have; nothing if they cannot be read, which `_Judge.parent` reports."""
    try:
        return given_packages(project)
    except FactoryError:
        return NOTHING_GIVEN


def _pins_of(given: GivenPackages) -> dict[str, Pin]:
    """Return a pin for everything that the parents have; without artifacts if no lock holds it."""
    return {
        name: given.pins.get(name)
        or Pin(
            line=0,
            text=f"{name}=={version}",
            name=name,
            version=version,
            marker=None,
            artifacts=(),
        )
        for name, version in given.versions.items()
    }


def requires_of(spec: Spec, names: Mapping[str, str], read: Callable[[str, str], bytes | None]) -> Requires:
    """Return a reader of a pin's requirements from its wheels' METADATA, for `judge_requirements`.

    Args:
        spec: the flavor's.
        names: SHA-256 to file name, of the wheels whose metadata may be known.
        read: returns the METADATA of a wheel by its file name and SHA-256; None if it is not at hand.
    """
    ranks = {
        platform: tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
        for platform in spec.platforms
    }
    known: dict[str, tuple[str, ...]] = {}

    def requires(pin: Pin, platform: str) -> tuple[str, ...]:
        digests = {
            names[artifact.sha256]: artifact.sha256 for artifact in pin.artifacts if artifact.sha256 in names
        }
        name = best_wheel(digests, ranks[platform])
        if name is None:
            return ()
        if name not in known:
            known[name] = _requires_dist(read(name, digests[name]) or b"")
        return known[name]

    return requires


def refusals(project: Project, problems: Iterable[LockProblem]) -> tuple[LockProblem, ...]:
    """Return the problems that make commands refuse a lock: errors of check that are not waived."""
    day, waivers = today(), project.spec.waivers
    return tuple(
        problem
        for problem in problems
        if problem.code not in WARNINGS
        and not problem.in_project
        and not (
            problem.code in _WAIVABLE
            and waiver_for(waivers, problem.code, package=problem.package, today=day)
        )
    )


def refusals_of(flavor: Flavor, locks: LockSet) -> tuple[LockProblem, ...]:
    """Return why commands refuse a flavor's lock; empty if they accept it."""
    return refusals(flavor.project, judge_lock(flavor.name, flavor.project, locks.files))


def require_sound_lock(flavor: Flavor, *, error: type[FactoryError] = LockFileError) -> LockSet:
    """Return the lock of a flavor if check has no error about it.

    Raises:
        LockFileError: no lock exists, one of its files is missing, or they are of different runs.
        FactoryError: ``error``, with everything that is wrong.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    locks = require_lock_set(flavor.folder, flavor.project.spec)
    refuse(flavor.name, refusals_of(flavor, locks), error=error)
    return locks


def refuse(name: str, problems: Iterable[LockProblem], *, error: type[FactoryError] = LockFileError) -> None:
    """Raise an error that lists the problems, if there are any."""
    lines = [f"\n  - {problem}" for problem in problems]
    if lines:
        raise error(
            f"the lock of {name} is not what `factory lock` writes:{''.join(lines)}",
            solution=f"Lock again: `factory lock {name}`; `factory check {name}` says more.",
        )


def is_file_of(file_name: str, name: str, version: str) -> bool:
    """Return whether a file name belongs to a package's version and is not a path."""
    try:
        return "/" not in file_name and project_of(file_name) == (name, Version(version))
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class _Judge:
    name: str
    locks: Mapping[str, LockFile]
    errors: Mapping[str, FactoryError]

    @property
    def relock(self) -> str:
        return f"Lock again: `factory lock {self.name}`."

    def form(self) -> Iterator[LockProblem]:
        """FAC302 to FAC310: how pip and Hermeto read the lines of each file."""
        for path, error in self.errors.items():
            yield LockProblem(code="FAC302", path=path, message=error.reason, solution=error.solution)
        for path, lock in self.locks.items():
            for line, text in lock.unreadable:
                yield LockProblem(
                    code="FAC302",
                    path=path,
                    line=line,
                    message=f"{text!r} is no requirement",
                    solution=f"{self.relock} What is fetched by URL cannot be locked.",
                )
            for pin in lock.pins:
                yield from self._pin(path, pin)
            yield from self._options(path, lock)
            yield from self._edited(path, lock)
        yield from self._repeated()

    def _pin(self, path: str, pin: Pin) -> Iterator[LockProblem]:
        if pin.version is None:
            yield self._about(pin, "FAC303", path, f"{pin.text} is not pinned to one version")
        if not pin.artifacts:
            yield self._about(pin, "FAC304", path, f"{pin.text} has no SHA-256")
        for artifact in pin.artifacts:
            if len(artifact.sha256) != _SHA256_DIGITS:
                message = f"a hash of {pin.text} has {len(artifact.sha256)} digits, not {_SHA256_DIGITS}"
                yield self._about(pin, "FAC310", path, message)
        if pin.marker is not None:
            message = f"{pin.name} still has the environment marker {pin.marker}"
            yield self._about(pin, "FAC305", path, message)

    def _options(self, path: str, lock: LockFile) -> Iterator[LockProblem]:
        solution = f"Remove it. {self.relock}"
        for option in lock.options:
            shown = f"{option.name} {option.value}".rstrip()
            if option.name in _IGNORED:
                code, message = "FAC308", f"`{shown}` names a file that Hermeto does not read"
            elif option.name not in _ACCEPTED or option.value.lower().startswith("file:"):
                code, message = "FAC307", f"Hermeto refuses `{shown}`"
            else:
                continue
            yield LockProblem(code=code, path=path, line=option.line, message=message, solution=solution)

    def _edited(self, path: str, lock: LockFile) -> Iterator[LockProblem]:
        # A lock without recorded inputs is not the factory's; the rule about stale locks reports that.
        if not lock.line_endings:
            message = (
                "its lines end as on Windows (CRLF), and the bytes are not those that `factory lock` wrote"
            )
            solution = f"Have git keep its line feeds (.gitattributes: `{path} -text`). {self.relock}"
            yield LockProblem(code="FAC309", path=path, message=message, solution=solution)
        elif lock.inputs is not None and not lock.as_locked:
            line, message = None, "the contents are not those that `factory lock` wrote"
            solution = f"{self.relock} Changes belong into pyproject.toml."
            if lock.odd_line is not None:
                line, text = lock.odd_line
                message = (
                    f"the form is not the one that `factory lock` writes, from {masked(text.strip())!r} on: "
                    "it is an older one, or an edited one"
                )
            yield LockProblem(code="FAC309", path=path, line=line, message=message, solution=solution)

    def _repeated(self) -> Iterator[LockProblem]:
        first: dict[str, tuple[str, Pin]] = {}
        for path, lock in self.locks.items():
            for pin in lock.pins:
                where, earlier = first.setdefault(pin.name, (path, pin))
                if earlier is not pin:
                    place = f"line {earlier.line}" if where == path else f"line {earlier.line} of {where}"
                    message = f"{pin.text} is locked a second time, after {earlier.text} in {place}"
                    yield self._about(pin, "FAC306", path, message)

    def files(self, spec: Spec) -> Iterator[LockProblem]:
        """FAC333 to FAC335: the files of a lock are complete, in order, and of one resolution."""
        names = index_names(spec)
        missing = [name for name in names if name not in {*self.locks, *self.errors}]
        for name in missing:
            message = f"the lock has no {name}, the file of the index {names[name]!r}"
            yield LockProblem(code="FAC333", path=name, message=message, solution=self.relock)
        locks = LockSet(files=self.locks)
        for item in misplaced(locks, spec):
            found, right = names[item.file_name], names[item.belongs_into]
            yield self._about(
                item.pin,
                "FAC334",
                item.file_name,
                f"{item.pin.text} stands in the file of the index {found!r}, and the spec has {right!r} "
                "for it",
                f"{self.relock} Or change `packages` of [[tool.factory.indexes]], if that is meant.",
            )
        # An edited, unreadable or missing file has a finding already, with the same remedy.
        is_whole = not missing and not self.errors and locks.as_locked
        if is_whole and not locks.belongs_together:
            message = f"{' and '.join(self.locks)} are not of one resolution"
            path = next(iter(self.locks))
            yield LockProblem(code="FAC335", path=path, message=message, solution=self.relock)

    def parent(self, project: Project, given: GivenPackages) -> Iterator[LockProblem]:
        """FAC337 and FAC338: the lock compared with those of the image's parents."""
        path = next(iter(self.locks))
        moved = parent_moved(LockSet(files=self.locks), project)
        # A lock that does not say what it was made from has that finding.
        if moved is not None and self.locks[path].inputs is not None:
            unreadable = parent_unreadable(project)
            solution = (
                f"{unreadable.solution} Then: `factory lock {self.name}`." if unreadable else self.relock
            )
            yield LockProblem(code="FAC337", path=path, message=moved, solution=solution)
        for path, lock in self.locks.items():
            for pin in lock.pins:
                theirs = given.versions.get(pin.name)
                if theirs is not None and (theirs == pin.version or pin.name not in project.spec.replaces):
                    yield self._on_parent(path, pin, given)

    def _on_parent(self, path: str, pin: Pin, given: GivenPackages) -> LockProblem:
        owner = given.owners.get(pin.name, self.name)
        theirs = f"{pin.name} {given.versions[pin.name]}"
        same = given.versions[pin.name] == pin.version
        return self._about(
            pin,
            "FAC338",
            path,
            f"{pin.text} is locked, and {owner} has {theirs}{' already' if same else ''}",
            f"{self.relock} It leaves out what the parent has; if the image is meant to replace it, "
            "give --allow-replacing.",
        )

    def content(self, project: Project, given: GivenPackages) -> Iterator[LockProblem]:
        """FAC321 to FAC328: the lock compared with the spec and the dependencies."""
        spec, names = project.spec, index_names(project.spec)
        yield from self._dependencies(project, given)
        yield from self._spec_packages(project)
        for path, lock in self.locks.items():
            if lock.inputs != inputs_digest(project):
                message = "pyproject.toml has changed since the lock was made"
                if lock.inputs is None:
                    message = "the lock does not say what it was made from"
                yield LockProblem(code="FAC321", path=path, message=message, solution=self.relock)
            yield from self._spec_versions(path, spec, lock)
            yield from self._index(path, lock, spec.url_of(names[path]))

    def _dependencies(self, project: Project, given: GivenPackages) -> Iterator[LockProblem]:
        pins = {pin.name: (path, pin) for path, lock in self.locks.items() for pin in lock.pins}
        left_out = dropped(project)
        for item in asked(project):
            path, pin = pins.get(item.name, (lock_file_name(project.spec.index_of(item.name)), None))
            theirs = given.versions.get(item.name)
            if pin is None and theirs is not None:
                if path in self.locks and not admits(item.requirement.specifier, theirs):
                    yield self._unmet_by_parent(path, item, given)
            elif pin is None:
                # A missing file is one finding that covers its contents, and so is a parent that cannot be
                # read: it may have the package.
                known = path in self.locks and given is not NOTHING_GIVEN
                if item.key == "dependencies" and item.name not in left_out and known:
                    yield LockProblem(
                        code="FAC322",
                        path=path,
                        message=f"the dependency {item.text} is not in the lock",
                        solution=self.relock,
                        package=item.name,
                    )
            elif _is_version(pin.version) and not admits(item.requirement.specifier, str(pin.version)):
                message = f"{pin.text} is locked, and {item.key} asks for {item.text}"
                yield self._about(pin, "FAC323", path, message)

    def _unmet_by_parent(self, path: str, item: Asked, given: GivenPackages) -> LockProblem:
        owner, theirs = given.owners.get(item.name, self.name), given.versions[item.name]
        return LockProblem(
            code="FAC323",
            path=path,
            message=f"{owner} has {item.name} {theirs}, and {item.key} asks for {item.text}",
            solution=f"{self.relock} It says what would be replaced.",
            package=item.name,
        )

    def _spec_versions(self, path: str, spec: Spec, lock: LockFile) -> Iterator[LockProblem]:
        fixed = spec.fixed_versions
        for pin in lock.pins:
            wanted = fixed.get(pin.name)
            if wanted is not None and _is_version(pin.version) and not _is_same(str(pin.version), wanted):
                message = f"{pin.text} is locked, and the spec says {pin.name} {wanted}"
                solution = f"Write {pin.name}=={wanted} in [project] dependencies. {self.relock}"
                yield self._about(pin, "FAC324", path, message, solution)

    def _spec_packages(self, project: Project) -> Iterator[LockProblem]:
        """Yield the spec's packages that no lock file pins, unless a dependency requires them."""
        spec = project.spec
        if set(self.locks) != set(index_names(spec)):
            return
        known = {pin.name for lock in self.locks.values() for pin in lock.pins}
        known |= {missing.package for missing in spec.missing}
        known |= {item.name for item in asked(project) if item.key == "dependencies"}
        for name, version in spec.fixed_versions.items():
            if name not in known:
                yield LockProblem(
                    code="FAC324",
                    path=lock_file_name(spec.index_of(name)),
                    message=f"the spec says {name} {version}, and the lock has no {name}",
                    solution=f"Write {name}=={version} in [project] dependencies. {self.relock}",
                    package=name,
                    in_project=True,
                )

    def _index(self, path: str, lock: LockFile, url: str | None) -> Iterator[LockProblem]:
        for option in lock.options:
            if _CREDENTIALS.search(option.value):
                yield LockProblem(
                    code="FAC328",
                    path=path,
                    line=option.line,
                    message=f"{option.name} carries credentials",
                    solution="Change the password, put it into ~/.netrc instead, and take the URL without "
                    f"it. {self.relock}",
                )
        lines = [option for option in lock.options if option.name in {"--index-url", "-i"}]
        if not lines:
            if url is not None:
                message = f"the line `--index-url {url}` is missing"
                yield LockProblem(code="FAC325", path=path, message=message, solution=self.relock)
            return
        for line in lines[1:]:
            message = f"a second index, after the one of line {lines[0].line}: {line.value}"
            yield LockProblem(code="FAC327", path=path, line=line.line, message=message, solution=self.relock)
        yield from self._another_index(path, lines[0], url)

    def _another_index(self, path: str, line: Option, url: str | None) -> Iterator[LockProblem]:
        found = _CREDENTIALS.sub("://", line.value)
        if found == url:
            return
        message = f"the lock names the index {found}, and the spec {'none' if url is None else url}"
        solution = (
            f"{self.relock} It takes every hash afresh; `factory lock --verify` says whether the hashes "
            "that stand there are the index's."
        )
        if url is None:
            solution = (
                f"Write it as index-url in [tool.factory], or lock against the public index. {self.relock}"
            )
        yield LockProblem(code="FAC326", path=path, line=line.line, message=message, solution=solution)

    def artifacts(self, spec: Spec) -> Iterator[LockProblem]:
        """FAC329 to FAC332. The first two skip pins whose artifacts the lock does not name."""
        ranks = {
            platform: tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
            for platform in spec.platforms
        }
        for path, lock in self.locks.items():
            for pin in lock.pins:
                if pin.artifacts and all(artifact.file_name for artifact in pin.artifacts):
                    yield from self._platforms(path, pin, ranks)
                    yield from self._file_names(path, pin)
                if pin.name in lock.beside_index:
                    message = (
                        f"{pin.text} came from a folder of wheels when this was locked, not from the index"
                    )
                    solution = (
                        "Have the index's owners add it, or give --find-links to prefetch and build as well."
                    )
                    yield self._about(pin, "FAC331", path, message, solution)
            for_gpus = [pin for pin in lock.pins if pin.name.startswith(FOR_GPUS)]
            if spec.accelerator == "cpu" and for_gpus:
                first = for_gpus[0]
                count = f"{plural(len(for_gpus), 'package')} for GPUs, {first.name} the first of them"
                message = f"a CPU {spec.kind} locks {count}"
                solution = (
                    f"Give a CPU build of torch with --find-links, or an index that has one. {self.relock}"
                )
                yield self._about(first, "FAC332", path, message, solution)

    def _platforms(
        self, path: str, pin: Pin, ranks: Mapping[str, Mapping[Tag, int]]
    ) -> Iterator[LockProblem]:
        served: set[str] = set()
        for artifact in pin.artifacts:
            platforms = _platforms_of(pin, artifact, ranks)
            served |= platforms
            if not platforms:
                message = f"{artifact.file_name} fits no platform of the flavor, or is not of {pin.text}"
                yield self._about(pin, "FAC329", path, message)
        for platform in ranks:
            if platform not in served:
                solution = f"{self.relock} It says who needs the package, and what the index has instead."
                yield self._about(pin, "FAC330", path, f"{pin.text} has no artifact for {platform}", solution)

    def _file_names(self, path: str, pin: Pin) -> Iterator[LockProblem]:
        """FAC329: files that share a name would overwrite each other in a folder."""
        names = Counter(artifact.file_name for artifact in pin.artifacts)
        for file_name, count in names.items():
            if count > 1:
                yield self._about(pin, "FAC329", path, f"{file_name} is locked with {count} hashes")

    def _about(
        self, pin: Pin, code: str, path: str, message: str, solution: str | None = None
    ) -> LockProblem:
        return LockProblem(
            code=code,
            path=path,
            line=pin.line,
            message=message,
            solution=solution or self.relock,
            package=pin.name,
        )


def _platforms_of(pin: Pin, artifact: Artifact, ranks: Mapping[str, Mapping[Tag, int]]) -> set[str]:
    """Return the flavor's platforms that can install an artifact of a pin."""
    file_name = artifact.file_name or ""
    if not _is_of(file_name, pin):
        return set()
    return {platform for platform, tags in ranks.items() if fits(file_name, tags)}


def _is_of(file_name: str, pin: Pin) -> bool:
    """Return whether a wheel's file name (PEP 427) names the pinned package and version."""
    if "/" in file_name:
        return False
    name, version = (*file_name.split("-"), "", "")[:2]
    if canonicalize_name(name) != pin.name:
        return False
    try:
        return version == pin.version or Version(version) == Version(pin.version or version)
    except ValueError:
        return False


def _is_version(text: str | None) -> bool:
    try:
        Version(text or "")
    except ValueError:
        return False
    return True


def _is_same(pinned: str, wanted: str) -> bool:
    """Return whether a pin has the spec's version; its local part is up to the index."""
    found = Version(pinned)
    return found == Version(wanted) or (
        Version(wanted).local is None and Version(found.public) == Version(wanted)
    )


def _requires_dist(metadata: bytes) -> tuple[str, ...]:
    """Return the requirements in a METADATA, whose headers end at the first empty line (RFC 822)."""
    headers = _END_OF_HEADERS.split(metadata.decode("utf-8", "replace"), maxsplit=1)[0]
    return tuple(" ".join(match[1].split()) for match in _REQUIRES_DIST.finditer(headers))


def _parsed(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        # uv interprets an unreadable requirement in its own way, and locks accordingly.
        with suppress(InvalidRequirement):
            yield parse(text)


def _applies(requirement: Requirement, environment: Mapping[str, str], extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})


def _unmet(name: str, path: str, owner: Pin, wanted: Requirement, pin: Pin | None) -> LockProblem | None:
    """Return how the lock breaks a requirement of a locked package; None if it meets it."""
    if pin is None:
        target = canonicalize_name(wanted.name)
        return LockProblem(
            code="FAC322",
            path=path,
            line=owner.line,
            message=f"{owner.text} requires {wanted.name}{wanted.specifier}, which is not in the lock",
            solution=f"Lock again: `factory lock {name}`.",
            package=target,
        )
    if _is_version(pin.version) and not admits(wanted.specifier, str(pin.version)):
        return LockProblem(
            code="FAC323",
            path=path,
            line=pin.line,
            message=f"{pin.text} is locked, and {owner.text} requires {wanted.name}{wanted.specifier}",
            solution=f"Lock again: `factory lock {name}`.",
            package=pin.name,
        )
    return None


FOR_GPUS = ("nvidia-", "cuda-")
"""Name prefixes of the packages that a CUDA build of torch requires."""
_BUILD = re.compile(r"(?P<accelerator>cuda|cu(?=\d)|rocm|cpu)(?P<version>\d[\d.]*)?(?![a-z])")


def built_for(version: str) -> tuple[str, str] | None:
    """Return the accelerator that a version (PEP 440) is built for, and its version's digits.

    ``2.13.0+cu130`` returns ``("cuda", "130")``, ``2.13.0+cpu`` returns ``("cpu", "")``. Returns None if no
    local version says.
    """
    match = _BUILD.match(version.partition("+")[2].lower())
    if match is None:
        return None
    accelerator = {"cu": "cuda"}.get(match["accelerator"], match["accelerator"])
    return accelerator, (match["version"] or "").replace(".", "")


def refuse_other_builds(
    spec: Spec, before: Sequence[Pin], after: Sequence[Pin], *, upgraded: Collection[str] | None
) -> None:
    """Check that a new lock keeps its packages' builds, or has those that the spec asks for.

    Args:
        spec: the flavor's.
        before: the pins of the lock so far; without any, nothing is refused.
        after: the pins of the new lock.
        upgraded: packages whose local version may change as well, such as when the index's owners replaced
            a build; None for all.

    Raises:
        OtherBuildError: a package would change to a build for another accelerator, or of another kind.
    """
    changed = list(_changed(spec, before, after, upgraded))
    gpus = [] if any(_for_gpus(pin) for pin in before) else [pin for pin in after if _for_gpus(pin)]
    if spec.accelerator != "cpu" or not before:
        gpus = []
    if not changed and not gpus:
        return
    parts = [f"another build would take the place of the one that is locked: {', '.join(changed)}"]
    if gpus:
        count = f"{len(gpus)} packages" if len(gpus) > 1 else "a package"
        names = f"{gpus[0].name} the first" if len(gpus) > 1 else gpus[0].name
        parts.append(f"{count} for GPUs would come into a CPU flavor, {names}")
    raise OtherBuildError(
        "; ".join(parts if changed else parts[1:]),
        solution="Name the index that has the build: index-url, or an entry of [[tool.factory.indexes]] for "
        "these packages alone; or give their wheels with --find-links. If the change is meant, give "
        "--allow-other-build. Nothing was written.",
    )


def _changed(
    spec: Spec, before: Sequence[Pin], after: Sequence[Pin], upgraded: Collection[str] | None
) -> Iterator[str]:
    known = {pin.name: pin.version for pin in before}
    for pin in after:
        old, new = known.get(pin.name), pin.version
        if old is None or new is None or old.partition("+")[2] == new.partition("+")[2]:
            continue
        was, now = built_for(old), built_for(new)
        rebuilt = old.partition("+")[0] == new.partition("+")[0]
        asked = upgraded is None or pin.name in upgraded
        if _is_build_of(spec, now) or (was == now and (not rebuilt or (asked and "+" in new))):
            continue
        yield f"{pin.name} {old} -> {new}"


def _is_build_of(spec: Spec, build: tuple[str, str] | None) -> bool:
    """Return whether a build is for a spec's accelerator, as far as its version says."""
    if build is None or build[0] != spec.accelerator:
        return False
    wanted = (spec.accelerator_version or "").replace(".", "")
    return wanted.startswith(build[1]) or build[1].startswith(wanted)


def _for_gpus(pin: Pin) -> bool:
    return pin.name.startswith(FOR_GPUS)
