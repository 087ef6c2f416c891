"""The state of an image, and its details: whether it is rendered and locked as its spec says."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.check.waivers import waiver_text
from factory.console import Report, Table, plural
from factory.errors import FactoryError
from factory.flavor.kinds import Kind
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.lock.given import parent_moved
from factory.lock.lockset import LockSet, inputs_digest, lock_file_names, read_lock_set
from factory.masking import masked
from factory.render.drift import find_drift
from factory.render.render import render_flavor

Rendering = Literal["rendered", "drifted", "broken"]
Locking = Literal["locked", "stale", "not locked", "broken", "no packages"]
_INDEX = "index"
_HEADINGS = ("name", "kind", "accelerator", "torch", "python", "training hub", _INDEX, "state")
_PUBLIC = "public"


@dataclass(frozen=True, kw_only=True)
class FlavorState:
    """One image in ``factory list``. If it is broken, ``spec`` is None and ``problem`` says why.

    ``spec`` is None as well if the image installs no packages.
    """

    name: str
    rendering: Rendering
    lock: Locking
    problem: str | None
    spec: Spec | None
    kind: Kind = "flavor"
    parents: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Both states, for people."""
        if self.lock == "no packages":
            return "no packages"
        return "broken" if self.spec is None else f"{self.rendering}, {self.lock}"


def flavor_state(flavor: Flavor) -> FlavorState:
    """Return the state of an image, whatever is wrong with it."""
    parents = tuple(parent.image for parent in flavor.parents)
    if not flavor.has_packages:
        return FlavorState(
            name=flavor.name,
            rendering="rendered",
            lock="no packages",
            problem=None,
            spec=None,
            kind=flavor.kind,
            parents=parents,
        )
    try:
        project = flavor.project
    except FactoryError as error:
        return FlavorState(
            name=flavor.name,
            rendering="broken",
            lock="broken",
            problem=error.reason,
            spec=None,
            kind=flavor.kind,
            parents=parents,
        )
    rendering, problem = _rendering(flavor)
    lock, lock_problem = _locking(flavor, project)
    return FlavorState(
        name=flavor.name,
        rendering=rendering,
        lock=lock,
        problem=problem or lock_problem,
        spec=project.spec,
        kind=flavor.kind,
        parents=parents,
    )


def describe_states(states: Sequence[FlavorState]) -> Iterator[str | Table]:
    """Yield a table with one row for each image, and why broken ones are broken."""
    yield Table(headings=_HEADINGS, rows=tuple(map(_row, states)), yielding=frozenset({_INDEX}))
    yield from (f"{state.name}: {state.problem}" for state in states if state.problem is not None)


def _row(state: FlavorState) -> tuple[str, ...]:
    spec = state.spec
    if spec is None:
        unknown = "-" if state.lock == "no packages" else "?"
        return (state.name, state.kind, *(unknown for _ in _HEADINGS[3:]), state.words)
    return (
        state.name,
        state.kind,
        _accelerator(spec) or "-",
        spec.torch or "-",
        spec.python,
        spec.training_hub or "-",
        spec.index_url or _PUBLIC,
        state.words,
    )


def _accelerator(spec: Spec) -> str:
    return " ".join(filter(None, (spec.accelerator, spec.accelerator_version)))


def _rendering(flavor: Flavor) -> tuple[Rendering, str | None]:
    try:
        differences = find_drift(flavor)
    except FactoryError as error:
        return "broken", error.reason
    # A stray file is a finding of `factory check`; the rendered files may still be current.
    return ("drifted" if any(item.kind != "stray" for item in differences) else "rendered"), None


def _locking(flavor: Flavor, project: Project) -> tuple[Locking, str | None]:
    try:
        return _lock_state(project, read_lock_set(flavor.folder, project.spec)), None
    except FactoryError as error:
        return "broken", error.reason


def _lock_state(project: Project, locks: LockSet | None) -> Locking:
    if locks is None:
        return "not locked"
    complete = tuple(locks.files) == lock_file_names(project.spec) and locks.belongs_together
    inputs = inputs_digest(project)
    current = complete and all(lock.inputs == inputs for lock in locks.files.values())
    return "locked" if current and parent_moved(locks, project) is None else "stale"


@dataclass(frozen=True, kw_only=True)
class FileState:
    """A file of a flavor folder, and whether it is generated and current, missing, changed, or a person's."""

    path: str
    state: str


@dataclass(frozen=True, kw_only=True)
class LockSummary:
    """How much the files of a lock hold, and the indexes that they name, the main one's first."""

    packages: int
    artifacts: int
    index_url: str | None
    inputs: str | None
    files: tuple[str, ...]
    further_index_urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FlavorDetails(Report):
    """One image as ``factory show`` shows it: the spec, what is resolved, the files and the lock."""

    name: str
    folder: Path
    derived_name: str
    rendering: Rendering
    lock: Locking
    spec: Spec
    dependencies: tuple[str, ...]
    constraints: tuple[str, ...]
    overrides: tuple[str, ...]
    files: tuple[FileState, ...]
    locked: LockSummary | None
    kind: Kind = "flavor"
    parents: tuple[str, ...] = ()

    def describe(self) -> Iterator[str | Table]:
        yield f"{self.name}: {self.rendering}, {self.lock}\n"
        yield Table(headings=("spec", ""), rows=tuple(_spec_rows(self)))
        yield ""
        missing = [f"{item.requirement}: {item.reason}" for item in self.spec.missing]
        waivers = [f"{waiver_text(item)}, until {item.expires}: {item.reason}" for item in self.spec.waivers]
        lists = {
            "dependencies": self.dependencies,
            "constraints": self.constraints,
            "overrides": self.overrides,
            "missing from the index": missing,
            "waivers": waivers,
        }
        for title, items in lists.items():
            if items:
                yield "\n".join((f"{title}:", *(f"  {item}" for item in items), ""))
        yield Table(headings=("file", "state"), rows=tuple((file.path, file.state) for file in self.files))
        yield ""
        yield _lock_line(self)


def flavor_details(flavor: Flavor) -> FlavorDetails:
    """Return everything about one image.

    Raises:
        SpecError: its ``pyproject.toml`` cannot be read.
        TemplateError, MarkerError: it cannot be rendered.
        LockFileError: its lock cannot be read.
    """
    project = flavor.project
    lock = read_lock_set(flavor.folder, project.spec)
    files = _files(flavor)
    return FlavorDetails(
        name=flavor.name,
        folder=flavor.folder,
        derived_name=project.spec.derived_name if flavor.is_flavor else flavor.name,
        rendering=_rendering(flavor)[0],
        lock=_lock_state(project, lock),
        spec=project.spec,
        dependencies=project.dependencies,
        constraints=project.constraints,
        overrides=project.overrides,
        files=files,
        locked=None if lock is None else _summary(lock),
        kind=flavor.kind,
        parents=tuple(parent.image for parent in flavor.parents),
    )


@dataclass(frozen=True, kw_only=True)
class PlainImageDetails(Report):
    """An image that installs no packages, as ``factory show`` shows it; what it has is its parent's."""

    name: str
    folder: Path
    kind: Kind
    parents: tuple[str, ...]
    files: tuple[str, ...]

    def describe(self) -> Iterator[str | Table]:
        yield f"{self.name}: a {self.kind} that adds no packages to its parent\n"
        rows = (("folder", str(self.folder)), ("kind", self.kind), ("parent", ", ".join(self.parents)))
        yield Table(headings=("spec", ""), rows=rows)
        yield ""
        yield Table(headings=("file", "state"), rows=tuple((path, "edited by people") for path in self.files))


def image_details(image: Flavor) -> FlavorDetails | PlainImageDetails:
    """Return everything about an image of any kind; raises what `flavor_details` does."""
    if image.has_packages:
        return flavor_details(image)
    return PlainImageDetails(
        name=image.name,
        folder=image.folder,
        kind=image.kind,
        parents=tuple(parent.image for parent in image.parents),
        files=tuple(
            sorted(
                str((Path(place) / name).relative_to(image.folder))
                for place, _, names in os.walk(image.folder)
                for name in names
            )
        ),
    )


def _files(flavor: Flavor) -> tuple[FileState, ...]:
    differences = {item.path: item.kind for item in find_drift(flavor)}
    generated = {file.path: "generated" for file in render_flavor(flavor.project, name=flavor.name)}
    own = dict.fromkeys(flavor.project.spec.hooks.files, "the flavor's own")
    known = {PROJECT_FILE: "edited by people"}
    known |= dict.fromkeys(lock_file_names(flavor.project.spec), "locked")
    present = {path: state for path, state in known.items() if (flavor.folder / path).is_file()}
    return tuple(
        FileState(path=path, state=state)
        for path, state in sorted((present | generated | own | differences).items())
    )


def _summary(locks: LockSet) -> LockSummary:
    named = [next(iter(map(masked, lock.index_urls)), None) for lock in locks.files.values()]
    return LockSummary(
        packages=len(locks.pins),
        artifacts=sum(len(pin.artifacts) for pin in locks.pins),
        index_url=named[0],
        inputs=locks.inputs,
        files=tuple(locks.files),
        further_index_urls=tuple(url for url in named[1:] if url is not None),
    )


def _spec_rows(details: FlavorDetails) -> Iterator[tuple[str, str]]:
    spec = details.spec
    yield "folder", str(details.folder)
    if spec.is_flavor:
        yield "derived name", details.derived_name
    else:
        yield "kind", details.kind
        yield "parent", ", ".join(details.parents)
    if spec.accelerator:
        yield "accelerator", _accelerator(spec)
        yield "torch", spec.torch
    yield "python", spec.python
    if spec.training_hub:
        yield "training hub", spec.training_hub
    yield "index", spec.index_url or _PUBLIC
    for index in spec.indexes:
        yield f"index {index.name}", f"{index.url} for {', '.join(index.packages)}"
    yield "platforms", ", ".join(spec.platforms)
    if spec.is_flavor:
        yield "base image", spec.base_image
        yield "downstream base image", spec.downstream_base_image
    yield "template set", spec.template_set
    yield "glibc", spec.glibc
    if spec.replaces:
        yield "replaces", ", ".join(spec.replaces)
    if spec.provides:
        yield "provides", ", ".join(spec.provides)


def _lock_line(details: FlavorDetails) -> str:
    lock = details.locked
    if lock is None:
        return f"not locked: run `factory lock {details.name}`"
    source = " and ".join((lock.index_url or "the public index", *lock.further_index_urls))
    return f"lock: {plural(lock.packages, 'package')}, {plural(lock.artifacts, 'artifact')}, from {source}"
