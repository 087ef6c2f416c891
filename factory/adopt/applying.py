"""The pins of an old lock that are for the flavor's Python and platforms: a universal lock has others too."""

from collections.abc import Sequence
from dataclasses import replace

from packaging.markers import Marker

from factory.adopt import evidence
from factory.adopt.evidence import Sources
from factory.adopt.locks import OldLock
from factory.dockerfile.references import PLATFORMS, check_python
from factory.errors import SpecError
from factory.flavor.requirements import marker_environment
from factory.flavor.spec import DEFAULT_PLATFORMS


def only_what_applies(sources: Sources, *, python: str | None, platforms: Sequence[str]) -> Sources:
    """The sources without the pins whose markers (PEP 508) are false in the flavor; each is noted.

    ``python`` and ``platforms`` are what is asked for, where the folder is not to say it.
    """
    version = python or next(
        (each.value for each in evidence.pythons(sources) if _is_python(each.value)), None
    )
    wanted = [
        name for name in platforms or evidence.platforms(sources) or DEFAULT_PLATFORMS if name in PLATFORMS
    ]
    if version is None or not wanted:
        return sources
    return replace(
        sources,
        lock=None if sources.lock is None else _applying(sources.lock, version, wanted),
        further=tuple(replace(each, lock=_applying(each.lock, version, wanted)) for each in sources.further),
        beside=tuple(_applying(each, version, wanted) for each in sources.beside),
    )


def _applying(lock: OldLock, python: str, platforms: Sequence[str]) -> OldLock:
    left = [
        pin for pin in lock.pins if pin.marker is not None and not _applies(pin.marker, python, platforms)
    ]
    if not left:
        return lock
    names = ", ".join(dict.fromkeys(f"{pin.name}=={pin.version}" for pin in left))
    note = f"{lock.path}: left out, as not for Python {python} on {', '.join(platforms)}: {names}"
    pins = tuple(pin for pin in lock.pins if pin not in left)
    return replace(lock, pins=pins, problems=(*lock.problems, note))


def _applies(marker: str, python: str, platforms: Sequence[str]) -> bool:
    try:
        read = Marker(marker)
    except ValueError:
        return True
    return any(read.evaluate(marker_environment(python, platform)) for platform in platforms)


def _is_python(value: str) -> bool:
    try:
        check_python(value)
    except SpecError:
        return False
    return True
