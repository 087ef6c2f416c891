"""Rules about the lock by itself: what pip and Hermeto make of its lines."""

from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import NotFoundError
from factory.flavor.project import PROJECT_FILE
from factory.lock.lockfile import LOCK_FILE, LockFile, Option, Pin

# Hermeto's list (docs/downstream.md). What is on none of the three lists is unknown to it, and
# refused as well.
_ACCEPTED = frozenset({"--index-url", "-i", "--require-hashes", "--trusted-host"})
_SHA256_DIGITS = 64
_IGNORED = frozenset({"--requirement", "-r", "--constraint", "-c"})


def check_lock_form(subject: Subject) -> Iterator[Problem]:
    """FAC301 to FAC310, in every lock file. A file of several that is missing is FAC333's."""
    for path, error in subject.lock_errors.items():
        yield _problem("FAC302", path, None, error.reason, error.solution)
    # Where there is no project either, there is nothing to lock.
    if not subject.locks and not subject.lock_errors and not isinstance(subject.project_error, NotFoundError):
        yield _not_locked(subject)
    for path, lock in subject.locks.items():
        yield from _unreadable(path, lock, subject.relock)
        yield from _pins(path, lock, subject.relock)
        yield from _options(path, lock, subject.relock)
        yield from _edited(path, lock, subject.relock)
    yield from _repeated(subject)


def _not_locked(subject: Subject) -> Problem:
    return Problem(
        code="FAC301",
        path=PROJECT_FILE,
        message=f"the flavor is not locked: there is no {LOCK_FILE}",
        solution=f"Run `factory lock {subject.flavor.name}`.",
    )


def _unreadable(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    for line, text in lock.unreadable:
        yield _problem(
            "FAC302",
            path,
            line,
            f"{text!r} is no requirement",
            f"{relock} What is fetched by URL cannot be locked.",
        )


def _pins(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    for pin in lock.pins:
        if pin.version is None:
            message = f"{pin.text} is not pinned to one version"
            yield _problem("FAC303", path, pin.line, message, relock, package=pin.name)
        if not pin.artifacts:
            yield _problem("FAC304", path, pin.line, f"{pin.text} has no SHA-256", relock, package=pin.name)
        for artifact in pin.artifacts:
            if len(artifact.sha256) != _SHA256_DIGITS:
                message = f"a hash of {pin.text} has {len(artifact.sha256)} digits, not {_SHA256_DIGITS}"
                yield _problem("FAC310", path, pin.line, message, relock, package=pin.name)
        if pin.marker is not None:
            message = f"{pin.name} still has the environment marker {pin.marker}"
            yield _problem("FAC305", path, pin.line, message, relock, package=pin.name)


def _repeated(subject: Subject) -> Iterator[Problem]:
    first: dict[str, tuple[str, Pin]] = {}
    for path, lock in subject.locks.items():
        for pin in lock.pins:
            where, earlier = first.setdefault(pin.name, (path, pin))
            if earlier is not pin:
                place = f"line {earlier.line}" if where == path else f"line {earlier.line} of {where}"
                message = f"{pin.text} is locked a second time, after {earlier.text} in {place}"
                yield _problem("FAC306", path, pin.line, message, subject.relock, package=pin.name)


def _options(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    for option in lock.options:
        shown = f"{option.name} {option.value}".rstrip()
        if option.name in _IGNORED:
            message = f"`{shown}` names a file that Hermeto does not read"
            yield _problem("FAC308", path, option.line, message, f"Remove it. {relock}")
        elif option.name not in _ACCEPTED or _is_file_url(option):
            yield _problem("FAC307", path, option.line, f"Hermeto refuses `{shown}`", f"Remove it. {relock}")


def _edited(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    # A lock that tells nothing was not made by the factory, which the rule about stale locks says.
    if not lock.line_endings:
        message = "its lines end as on Windows (CRLF), and the bytes are not those that `factory lock` wrote"
        solution = f"Have git keep its line feeds (.gitattributes: `{path} -text`). {relock}"
        yield _problem("FAC309", path, None, message, solution)
    elif lock.inputs is not None and not lock.as_locked:
        message = "the contents are not those that `factory lock` wrote"
        yield _problem("FAC309", path, None, message, f"{relock} Changes belong into pyproject.toml.")


def _is_file_url(option: Option) -> bool:
    return option.value.lower().startswith("file:")


def _problem(
    code: str, path: str, line: int | None, message: str, solution: str, *, package: str | None = None
) -> Problem:
    return Problem(code=code, path=path, line=line, message=message, solution=solution, package=package)
