"""Rules about the lock against the spec and the dependencies that it was made from."""

import re
from collections.abc import Iterator, Mapping

from packaging.version import Version

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.flavor.project import Project
from factory.flavor.requirements import admits, asked, dropped
from factory.flavor.spec import Spec
from factory.lock.inputs import inputs_digest
from factory.lock.lockfile import LockFile, Option
from factory.lock.lockset import index_names, lock_file_name

_CREDENTIALS = re.compile(r"://[^/\s]*@")


def check_lock_content(subject: Subject) -> Iterator[Problem]:
    """FAC321 to FAC328. Says nothing where the spec cannot be read, or nothing is locked."""
    if subject.project is None or not subject.locks:
        return
    spec = subject.project.spec
    indexes = index_names(spec)
    yield from _dependencies(subject, subject.project)
    yield from _spec_packages(subject, spec)
    for path, lock in subject.locks.items():
        yield from _stale(path, subject.project, lock, subject.relock)
        yield from _spec_versions(path, spec, lock, subject.relock)
        yield from _index(path, lock, spec.url_of(indexes[path]), subject.relock)


def is_stale(project: Project, lock: LockFile) -> bool:
    """Whether a lock was made from something else than what ``pyproject.toml`` says now."""
    return lock.inputs != inputs_digest(project)


def _stale(path: str, project: Project, lock: LockFile, relock: str) -> Iterator[Problem]:
    if not is_stale(project, lock):
        return
    message = (
        "the lock does not say what it was made from"
        if lock.inputs is None
        else "pyproject.toml has changed since the lock was made"
    )
    yield _problem("FAC321", path, None, message, relock)


def _dependencies(subject: Subject, project: Project) -> Iterator[Problem]:
    pins = {pin.name: (path, pin) for path, lock in subject.locks.items() for pin in lock.pins}
    left_out = dropped(project)
    for item in asked(project):
        path, pin = pins.get(item.name, (lock_file_name(project.spec.index_of(item.name)), None))
        if pin is None:
            # A file that is not there is a finding of its own, for all that should be in it.
            if item.key == "dependencies" and item.name not in left_out and path in subject.locks:
                message = f"the dependency {item.text} is not in the lock"
                yield _problem("FAC322", path, None, message, subject.relock, package=item.name)
        elif _is_version(pin.version) and not admits(item.requirement.specifier, str(pin.version)):
            message = f"{pin.text} is locked, and {item.key} asks for {item.text}"
            yield _problem("FAC323", path, pin.line, message, subject.relock, package=pin.name)


def _spec_versions(path: str, spec: Spec, lock: LockFile, relock: str) -> Iterator[Problem]:
    fixed: Mapping[str, str] = {"torch": spec.torch, "training-hub": spec.training_hub}
    for pin in lock.pins:
        wanted = fixed.get(pin.name)
        if wanted is not None and _is_version(pin.version) and not _is_same(str(pin.version), wanted):
            message = f"{pin.text} is locked, and the spec says {pin.name} {wanted}"
            solution = f"Write {pin.name}=={wanted} in [project] dependencies. {relock}"
            yield _problem("FAC324", path, pin.line, message, solution, package=pin.name)


def _spec_packages(subject: Subject, spec: Spec) -> Iterator[Problem]:
    """What the spec says that the image holds and no lock file pins, unless a dependency asks for it."""
    if set(subject.locks) != set(subject.lock_names) or subject.project is None:
        return
    known = {pin.name for pin in subject.pins} | {missing.package for missing in spec.missing}
    known |= {item.name for item in asked(subject.project) if item.key == "dependencies"}
    for name, version in (("torch", spec.torch), ("training-hub", spec.training_hub)):
        if name not in known:
            message = f"the spec says {name} {version}, and the lock has no {name}"
            path = lock_file_name(spec.index_of(name))
            solution = f"Write {name}=={version} in [project] dependencies. {subject.relock}"
            yield _problem("FAC324", path, None, message, solution, package=name)


def _index(path: str, lock: LockFile, url: str | None, relock: str) -> Iterator[Problem]:
    lines = [option for option in lock.options if option.name in {"--index-url", "-i"}]
    yield from _credentials(path, lock, relock)
    if not lines:
        if url is not None:
            yield _problem("FAC325", path, None, f"the line `--index-url {url}` is missing", relock)
        return
    for line in lines[1:]:
        message = f"a second index, after the one of line {lines[0].line}: {line.value}"
        yield _problem("FAC327", path, line.line, message, relock)
    yield from _another_index(path, lines[0], url, relock)


def _credentials(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    solution = f"Change the password, put it into ~/.netrc instead, and take the URL without it. {relock}"
    for option in lock.options:
        if _CREDENTIALS.search(option.value):
            yield _problem("FAC328", path, option.line, f"{option.name} carries credentials", solution)


def _another_index(path: str, line: Option, url: str | None, relock: str) -> Iterator[Problem]:
    found = _CREDENTIALS.sub("://", line.value)
    if url is None:
        message = f"the lock names the index {found}, and the spec none"
        solution = f"Write it as index-url in [tool.factory], or lock against the public index. {relock}"
        yield _problem("FAC326", path, line.line, message, solution)
    elif found != url:
        message = f"the lock names the index {found}, and the spec {url}"
        solution = (
            f"{relock} It takes every hash afresh; `factory lock --verify` tells whether the hashes that "
            "stand there are the index's."
        )
        yield _problem("FAC326", path, line.line, message, solution)


def _is_version(text: str | None) -> bool:
    try:
        Version(text or "")
    except ValueError:
        return False
    return True


def _is_same(pinned: str, wanted: str) -> bool:
    """Whether a pin is the spec's version; a local part such as +cpu is the index's business."""
    found = Version(pinned)
    return found == Version(wanted) or (
        Version(wanted).local is None and Version(found.public) == Version(wanted)
    )


def _problem(
    code: str, path: str, line: int | None, message: str, solution: str, *, package: str | None = None
) -> Problem:
    return Problem(code=code, path=path, line=line, message=message, solution=solution, package=package)
