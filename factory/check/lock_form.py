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
    """FAC301 to FAC310."""
    if subject.lock_error is not None:
        yield _problem("FAC302", None, subject.lock_error.reason, subject.lock_error.solution)
    elif subject.lock is None:
        # Where there is no project either, there is nothing to lock.
        if not isinstance(subject.project_error, NotFoundError):
            yield _not_locked(subject)
    else:
        relock = f"Lock again: `factory lock {subject.flavor.name}`."
        yield from _unreadable(subject.lock, relock)
        yield from _pins(subject.lock, relock)
        yield from _repeated(subject.lock, relock)
        yield from _options(subject.lock, relock)
        yield from _edited(subject.lock, relock)


def _not_locked(subject: Subject) -> Problem:
    return Problem(
        code="FAC301",
        path=PROJECT_FILE,
        message=f"the flavor is not locked: there is no {LOCK_FILE}",
        solution=f"Run `factory lock {subject.flavor.name}`.",
    )


def _unreadable(lock: LockFile, relock: str) -> Iterator[Problem]:
    for line, text in lock.unreadable:
        yield _problem(
            "FAC302",
            line,
            f"{text!r} is no requirement",
            f"{relock} What is fetched by URL cannot be locked.",
        )


def _pins(lock: LockFile, relock: str) -> Iterator[Problem]:
    for pin in lock.pins:
        if pin.version is None:
            yield _problem("FAC303", pin.line, f"{pin.text} is not pinned to one version", relock)
        if not pin.artifacts:
            yield _problem("FAC304", pin.line, f"{pin.text} has no SHA-256", relock)
        for artifact in pin.artifacts:
            if len(artifact.sha256) != _SHA256_DIGITS:
                message = f"a hash of {pin.text} has {len(artifact.sha256)} digits, not {_SHA256_DIGITS}"
                yield _problem("FAC310", pin.line, message, relock)
        if pin.marker is not None:
            yield _problem(
                "FAC305", pin.line, f"{pin.name} still has the environment marker {pin.marker}", relock
            )


def _repeated(lock: LockFile, relock: str) -> Iterator[Problem]:
    first: dict[str, Pin] = {}
    for pin in lock.pins:
        earlier = first.setdefault(pin.name, pin)
        if earlier is not pin:
            message = f"{pin.text} is locked a second time, after {earlier.text} in line {earlier.line}"
            yield _problem("FAC306", pin.line, message, relock)


def _options(lock: LockFile, relock: str) -> Iterator[Problem]:
    for option in lock.options:
        shown = f"{option.name} {option.value}".rstrip()
        if option.name in _IGNORED:
            message = f"`{shown}` names a file that Hermeto does not read"
            yield _problem("FAC308", option.line, message, f"Remove it. {relock}")
        elif option.name not in _ACCEPTED or _is_file_url(option):
            yield _problem("FAC307", option.line, f"Hermeto refuses `{shown}`", f"Remove it. {relock}")


def _edited(lock: LockFile, relock: str) -> Iterator[Problem]:
    # A lock that tells nothing was not made by the factory, which the rule about stale locks says.
    if lock.inputs is not None and not lock.as_locked:
        message = "the contents are not those that `factory lock` wrote"
        yield _problem("FAC309", None, message, f"{relock} Changes belong into pyproject.toml.")


def _is_file_url(option: Option) -> bool:
    return option.value.lower().startswith("file:")


def _problem(code: str, line: int | None, message: str, solution: str) -> Problem:
    return Problem(code=code, path=LOCK_FILE, line=line, message=message, solution=solution)
