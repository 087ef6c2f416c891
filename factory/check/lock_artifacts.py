"""Rules about the lock's artifacts: a file of that version for every platform, and no other."""

from collections.abc import Iterator, Mapping

from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.flavor.spec import Spec
from factory.lock.builds import FOR_GPUS
from factory.lock.lockfile import Artifact, LockFile, Pin
from factory.lock.narrow import fits, tag_ranks


def check_lock_artifacts(subject: Subject) -> Iterator[Problem]:
    """FAC329 to FAC332. The first two say nothing of pins whose artifacts the lock does not name."""
    if subject.project is None or not subject.locks:
        return
    ranks = _ranks(subject.project.spec)
    for path, lock in subject.locks.items():
        for pin in lock.pins:
            if pin.artifacts and all(artifact.file_name for artifact in pin.artifacts):
                yield from _pin(path, pin, ranks, subject.relock)
        yield from _beside_index(path, lock)
        if subject.project.spec.accelerator == "cpu":
            yield from _for_gpus(path, lock, subject.relock)


def _beside_index(path: str, lock: LockFile) -> Iterator[Problem]:
    for pin in lock.pins:
        if pin.name in lock.beside_index:
            message = f"{pin.text} came from a folder of wheels when this was locked, not from the index"
            solution = "Have the index's owners add it, or give --find-links to prefetch and build as well."
            yield _problem("FAC331", path, pin, message, solution)


def _for_gpus(path: str, lock: LockFile, relock: str) -> Iterator[Problem]:
    found = [pin for pin in lock.pins if pin.name.startswith(FOR_GPUS)]
    if found:
        message = f"a CPU flavor locks {len(found)} packages for GPUs, {found[0].name} the first of them"
        solution = f"Give a CPU build of torch with --find-links, or an index that has one. {relock}"
        yield _problem("FAC332", path, found[0], message, solution)


def _ranks(spec: Spec) -> Mapping[str, Mapping[Tag, int]]:
    return {
        platform: tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
        for platform in spec.platforms
    }


def _pin(path: str, pin: Pin, ranks: Mapping[str, Mapping[Tag, int]], relock: str) -> Iterator[Problem]:
    served: set[str] = set()
    for artifact in pin.artifacts:
        platforms = _platforms(pin, artifact, ranks)
        served |= platforms
        if not platforms:
            message = f"{artifact.file_name} fits no platform of the flavor, or is not of {pin.text}"
            yield _problem("FAC329", path, pin, message, relock)
    for platform in ranks:
        if platform not in served:
            message = f"{pin.text} has no artifact for {platform}"
            solution = f"{relock} It says who needs the package, and what the index has instead."
            yield _problem("FAC330", path, pin, message, solution)


def _platforms(pin: Pin, artifact: Artifact, ranks: Mapping[str, Mapping[Tag, int]]) -> set[str]:
    """The flavor's platforms that can install an artifact as what is pinned."""
    name = artifact.file_name or ""
    if not _is_of(name, pin):
        return set()
    return {platform for platform, tags in ranks.items() if fits(name, tags)}


def _is_of(file_name: str, pin: Pin) -> bool:
    """Whether a wheel's file name (PEP 427) tells the pinned package and version."""
    name, version = (*file_name.split("-"), "", "")[:2]
    if canonicalize_name(name) != pin.name:
        return False
    try:
        return version == pin.version or Version(version) == Version(pin.version or version)
    except ValueError:
        return False


def _problem(code: str, path: str, pin: Pin, message: str, solution: str) -> Problem:
    return Problem(code=code, path=path, line=pin.line, message=message, solution=solution, package=pin.name)
