"""The images of segments that are kept in the engine, so that a build goes on where an earlier one ended.

They bear names of the factory's own, ``localhost/factory-layer:KEY``; nothing else is ever removed here.
"""

from collections.abc import Iterable
from pathlib import Path

from factory.files import write_whole
from factory.image.engine import Engine, call_engine, remove_image

REPOSITORY = "localhost/factory-layer"
_RECORD = "segments"


def segment_tag(key: str) -> str:
    """The name of a segment's image."""
    return f"{REPOSITORY}:{key}"


def read_record(work: Path) -> tuple[str, ...]:
    """The keys of the segments that the image, whose folder ``work`` is, was last built from."""
    try:
        return tuple((work / _RECORD).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()


def write_record(work: Path, keys: Iterable[str]) -> None:
    """Keep which segments an image is built from.

    Raises:
        StorageError: the file system refused.
    """
    write_whole(work / _RECORD, "".join(f"{key}\n" for key in keys).encode("ascii"))


def remove_superseded(engine: Engine, work: Path, before: Iterable[str], now: Iterable[str]) -> None:
    """Remove the segments that an image was built from before, and no image of the repository is now."""
    used = {key for folder in work.parent.iterdir() if folder.is_dir() for key in read_record(folder)}
    superseded = [key for key in before if key not in used and key not in set(now)]
    # Children first: a parent whose children are gone leaves nothing behind.
    for key in reversed(superseded):
        remove_image(engine, segment_tag(key))


def prune(engine: Engine, *, dry_run: bool) -> tuple[str, ...]:
    """Remove all images of segments, whose repository they may be of; gives their names."""
    form = ("--noheading", "--filter", f"reference={REPOSITORY}", "--format", "{{.Repository}}:{{.Tag}}")
    listed = call_engine(engine, "image ls", *form, accept_failure=False)
    names = tuple(sorted(name for name in listed.stdout.split() if name.startswith(f"{REPOSITORY}:")))
    for name in () if dry_run else names:
        remove_image(engine, name)
    return names
