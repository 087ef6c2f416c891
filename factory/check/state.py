"""The state of a flavor: whether it is rendered and locked as its spec says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.check.lock_content import is_stale
from factory.errors import FactoryError
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.lock.lockset import LockSet, lock_file_names, read_lock_set
from factory.masking import masked
from factory.render.drift import find_drift
from factory.render.render import render_flavor

Rendering = Literal["rendered", "drifted", "broken"]
Locking = Literal["locked", "stale", "not locked", "broken"]


@dataclass(frozen=True, kw_only=True)
class State:
    """One flavor as ``factory list`` shows it; ``spec`` is None, and ``problem`` says why, where broken."""

    name: str
    rendering: Rendering
    lock: Locking
    problem: str | None
    spec: Spec | None

    @property
    def words(self) -> str:
        """Both states, for people."""
        return "broken" if self.spec is None else f"{self.rendering}, {self.lock}"


@dataclass(frozen=True, kw_only=True)
class FileState:
    """One file of a flavor folder: generated and current, missing, changed, …; or a person's."""

    path: str
    state: str


@dataclass(frozen=True, kw_only=True)
class LockSummary:
    """How much a lock holds in all of its files, and the indexes that these name, the main one's first."""

    packages: int
    artifacts: int
    index_url: str | None
    inputs: str | None
    files: tuple[str, ...]
    further_index_urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Details:
    """One flavor as ``factory show`` shows it."""

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


def flavor_state(flavor: Flavor) -> State:
    """The state of a flavor, whatever is wrong with it."""
    try:
        project = flavor.project
    except FactoryError as error:
        return State(name=flavor.name, rendering="broken", lock="broken", problem=error.reason, spec=None)
    rendering, problem = _rendering(flavor)
    lock, lock_problem = _locking(flavor, project)
    return State(
        name=flavor.name, rendering=rendering, lock=lock, problem=problem or lock_problem, spec=project.spec
    )


def flavor_details(flavor: Flavor) -> Details:
    """Everything about one flavor.

    Raises:
        SpecError: its ``pyproject.toml`` cannot be read.
        TemplateError, MarkerError: it cannot be rendered.
        LockFileError: its lock cannot be read.
    """
    project = flavor.project
    lock = read_lock_set(flavor.folder, project.spec)
    files = _files(flavor)
    return Details(
        name=flavor.name,
        folder=flavor.folder,
        derived_name=project.spec.derived_name,
        rendering=_rendering(flavor)[0],
        lock=_lock_state(project, lock),
        spec=project.spec,
        dependencies=project.dependencies,
        constraints=project.constraints,
        overrides=project.overrides,
        files=files,
        locked=None if lock is None else _summary(lock),
    )


def _rendering(flavor: Flavor) -> tuple[Rendering, str | None]:
    try:
        differences = find_drift(flavor)
    except FactoryError as error:
        return "broken", error.reason
    # A stray file is a finding of `factory check`; what the templates make may still be current.
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
    is_current = complete and not any(is_stale(project, lock) for lock in locks.files.values())
    return "locked" if is_current else "stale"


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
