"""The images of segments that are kept in the engine, so that a build goes on where an earlier one ended.

They bear names of the repository's own, ``localhost/factory-layer/REPOSITORY:KEY``, where REPOSITORY is its
mark on the engine; nothing else is ever removed here. What another repository of this engine keeps under the
same key is the same, and gets this one's name as well.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from factory.engine.engine import Engine
from factory.engine.images import EngineImage, find_image, list_images, remove_image, tag_image
from factory.errors import ProgramError
from factory.files import read_text, write_whole

REPOSITORY = "localhost/factory-layer"
_RECORD = "segments"


def segment_tag(repository: str, key: str) -> str:
    """Return the name of a segment's image."""
    return f"{REPOSITORY}/{repository}:{key}"


def find_segment(engine: Engine, repository: str, key: str) -> EngineImage | None:
    """Return the image of a segment, which a repository of this engine has built; None if none has.

    Raises:
        EngineError: the engine does not work.
    """
    name = segment_tag(repository, key)
    if (image := find_image(engine, name)) is not None:
        return image
    try:
        others = _names(engine, f"{REPOSITORY}/*:{key}")
    except ProgramError:
        return None  # what hinders podman from listing images hinders no build from building
    if others and (image := find_image(engine, others[0])) is not None:
        tag_image(engine, image.id, name)
    return image


def read_record(work: Path) -> tuple[str, ...]:
    """The keys of the segments that the image, whose folder ``work`` is, was last built from."""
    try:
        return tuple(read_text(work / _RECORD).split())
    except FileNotFoundError:
        return ()


def write_record(work: Path, keys: Iterable[str]) -> None:
    """Keep which segments an image is built from.

    Raises:
        StorageError: the file system refused.
    """
    write_whole(work / _RECORD, "".join(f"{key}\n" for key in keys).encode("ascii"))


def remove_superseded(
    engine: Engine, repository: str, work: Path, *, before: Iterable[str], now: Iterable[str]
) -> None:
    """Remove the segments that an image was built from before, and no image of the repository is now."""
    used = {key for folder in work.parent.iterdir() if folder.is_dir() for key in read_record(folder)}
    superseded = [key for key in before if key not in used and key not in set(now)]
    # Children first: a parent whose children are gone leaves nothing behind.
    for key in reversed(superseded):
        remove_image(engine, segment_tag(repository, key))


def prune(engine: Engine, repository: str, *, dry_run: bool) -> tuple[str, ...]:
    """Remove the images of a repository's segments; return their names."""
    names = _names(engine, f"{REPOSITORY}/{repository}")
    for name in () if dry_run else names:
        remove_image(engine, name)
    return names


def _names(engine: Engine, pattern: str) -> tuple[str, ...]:
    """Return the names of segments that fit a pattern of the engine's, sorted."""
    form = ("--filter", f"reference={pattern}", "--format", "{{.Repository}}:{{.Tag}}")
    listed = list_images(engine, *form)
    wanted = re.compile(re.escape(pattern).replace(r"\*", "[^/:]*") + ("" if ":" in pattern else ":.*"))
    return tuple(sorted(name for name in listed.split() if wanted.fullmatch(name)))
