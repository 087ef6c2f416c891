"""The further locks of a hand-made folder: each installed as well, from an index of its own."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from factory.adopt.folder import Folder
from factory.adopt.old_lock import OldLock, read_requirements
from factory.flavor.indexes import MAIN_INDEX, FurtherIndex
from factory.masking import shown


@dataclass(frozen=True, kw_only=True)
class FurtherLock:
    """A lock beside the main one, and the index that it becomes: its packages are on that one alone."""

    lock: OldLock
    index: FurtherIndex


def read_further_locks(folder: Folder, main: OldLock | None, named: Iterable[str]) -> tuple[FurtherLock, ...]:
    """The locks that a Dockerfile installs beside the main one, where they can be indexes of a spec.

    One that names no index, or the main one, or has a package of another lock cannot be.

    Raises:
        StorageError: one cannot be read.
    """
    return tuple(_further(folder, main, named)) if main is not None else ()


def local_builds(main: OldLock | None) -> FurtherLock | None:
    """Return the index that a lock's local versions come from, if it has one beside the public one.

    The public index holds no local versions, such as torch 2.13.0+cpu: they come from the only other index
    (``--extra-index-url``) that the lock names.
    """
    if main is None or main.index_urls or len(main.extra_urls) != 1:
        return None
    url = _bare(main.extra_urls[0].value)
    pins = tuple(pin for pin in main.pins if pin.version is not None and "+" in pin.version)
    if url is None or not pins:
        return None
    names = [pin.name for pin in pins]
    index = FurtherIndex(name="torch" if "torch" in names else "local", url=url, packages=tuple(names))
    where = main.extra_urls[0].where
    places = {pin.name: main.where(pin) for pin in pins}
    lock = OldLock(path=where, pins=pins, index_urls=main.extra_urls, asked=main.asked, places=places)
    return FurtherLock(lock=lock, index=index)


def _further(folder: Folder, main: OldLock, named: Iterable[str]) -> Iterator[FurtherLock]:
    urls = {_bare(each.value) for each in main.index_urls}
    packages = {pin.name for pin in main.pins}
    names = {MAIN_INDEX}
    for path in dict.fromkeys(named):
        if path == main.path or path not in folder.paths or not path.endswith(".txt"):
            continue
        lock = read_requirements(path, folder.text(path))
        url = _bare(lock.index_urls[0].value) if lock.index_urls else None
        own = dict.fromkeys(pin.name for pin in lock.pins)
        name = _name(path)
        if url is None or url in urls or not own or packages & set(own) or name in names:
            continue
        urls.add(url)
        packages |= set(own)
        names.add(name)
        yield FurtherLock(lock=lock, index=FurtherIndex(name=name, url=url, packages=tuple(own)))


def _bare(url: str) -> str | None:
    try:
        return shown(url)
    except ValueError:
        return None


def _name(path: str) -> str:
    """The name of the index: what distinguishes the file's name."""
    words = re.findall(r"[a-z0-9]+", path.lower().removesuffix(".txt"))
    return "-".join(word for word in words if word != "requirements") or "further"
