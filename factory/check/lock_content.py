"""Rules about the lock against the spec and the dependencies that it was made from."""

import re
from collections.abc import Iterator, Mapping

from packaging.version import InvalidVersion, Version

from factory.check.finding import Problem
from factory.check.requirements import admits, asked, dropped
from factory.check.subject import Subject
from factory.flavor.project import Project
from factory.flavor.spec import Spec
from factory.lock.inputs import inputs_digest
from factory.lock.lockfile import LOCK_FILE, LockFile, Option

_CREDENTIALS = re.compile(r"://[^/\s]*@")


def check_lock_content(subject: Subject) -> Iterator[Problem]:
    """FAC321 to FAC328. Says nothing where the spec or the lock cannot be read."""
    if subject.project is None or subject.lock is None:
        return
    relock = f"Lock again: `factory lock {subject.flavor.name}`."
    yield from _stale(subject.project, subject.lock, relock)
    yield from _dependencies(subject.project, subject.lock, relock)
    yield from _spec_versions(subject.project.spec, subject.lock, relock)
    yield from _index(subject.project.spec, subject.lock, relock)


def is_stale(project: Project, lock: LockFile) -> bool:
    """Whether a lock was made from something else than what ``pyproject.toml`` says now."""
    return lock.inputs != inputs_digest(project)


def _stale(project: Project, lock: LockFile, relock: str) -> Iterator[Problem]:
    if not is_stale(project, lock):
        return
    message = (
        "the lock does not say what it was made from"
        if lock.inputs is None
        else "pyproject.toml has changed since the lock was made"
    )
    yield _problem("FAC321", None, message, relock)


def _dependencies(project: Project, lock: LockFile, relock: str) -> Iterator[Problem]:
    pins = {pin.name: pin for pin in lock.pins}
    left_out = dropped(project)
    for item in asked(project):
        pin = pins.get(item.name)
        if pin is None:
            if item.key == "dependencies" and item.name not in left_out:
                yield _problem("FAC322", None, f"the dependency {item.text} is not in the lock", relock)
        elif _is_version(pin.version) and not admits(item.requirement.specifier, str(pin.version)):
            message = f"{pin.text} is locked, and {item.key} asks for {item.text}"
            yield _problem("FAC323", pin.line, message, relock)


def _spec_versions(spec: Spec, lock: LockFile, relock: str) -> Iterator[Problem]:
    fixed: Mapping[str, str] = {"torch": spec.torch, "training-hub": spec.training_hub}
    for pin in lock.pins:
        wanted = fixed.get(pin.name)
        if wanted is not None and _is_version(pin.version) and not _is_same(str(pin.version), wanted):
            message = f"{pin.text} is locked, and the spec says {pin.name} {wanted}"
            solution = f"Write {pin.name}=={wanted} in [project] dependencies. {relock}"
            yield _problem("FAC324", pin.line, message, solution)


def _index(spec: Spec, lock: LockFile, relock: str) -> Iterator[Problem]:
    lines = [option for option in lock.options if option.name in {"--index-url", "-i"}]
    yield from _credentials(lock, relock)
    if not lines:
        if spec.index_url is not None:
            yield _problem("FAC325", None, f"the line `--index-url {spec.index_url}` is missing", relock)
        return
    for line in lines[1:]:
        message = f"a second index, after the one of line {lines[0].line}: {line.value}"
        yield _problem("FAC327", line.line, message, relock)
    yield from _another_index(spec, lines[0], relock)


def _credentials(lock: LockFile, relock: str) -> Iterator[Problem]:
    solution = f"Change the password, put it into ~/.netrc instead, and take the URL without it. {relock}"
    for option in lock.options:
        if _CREDENTIALS.search(option.value):
            yield _problem("FAC328", option.line, f"{option.name} carries credentials", solution)


def _another_index(spec: Spec, line: Option, relock: str) -> Iterator[Problem]:
    found = _CREDENTIALS.sub("://", line.value)
    if spec.index_url is None:
        message = f"the lock names the index {found}, and the spec none"
        solution = f"Write it as index-url in [tool.factory], or lock against the public index. {relock}"
        yield _problem("FAC326", line.line, message, solution)
    elif found != spec.index_url:
        message = f"the lock names the index {found}, and the spec {spec.index_url}"
        yield _problem("FAC326", line.line, message, f"{relock} It takes every hash afresh.")


def _is_version(text: str | None) -> bool:
    try:
        Version(text or "")
    except InvalidVersion:
        return False
    return True


def _is_same(pinned: str, wanted: str) -> bool:
    """Whether a pin is the spec's version; a local part such as +cpu is the index's business."""
    found = Version(pinned)
    return found == Version(wanted) or (
        Version(wanted).local is None and Version(found.public) == Version(wanted)
    )


def _problem(code: str, line: int | None, message: str, solution: str) -> Problem:
    return Problem(code=code, path=LOCK_FILE, line=line, message=message, solution=solution)
