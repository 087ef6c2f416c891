"""The time that an image's files and its creation are given, so that the same inputs make the same image.

The variable is that of the Reproducible Builds project's specification of ``SOURCE_DATE_EPOCH``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from factory.errors import ImageError
from factory.process import run

VARIABLE = "SOURCE_DATE_EPOCH"
STAGE_EPOCH = 315_532_800
"""1980-01-01: of stages that files are only copied out of. zip archives know no earlier time."""
# Paths in one call of git: a command line has its limit.
_AT_ONCE = 500


def choose_epoch(
    environment: Mapping[str, str], *, newest_upload: int | None, folder: Path, inputs: Iterable[str]
) -> int:
    """The time in seconds since 1970: what the variable says, else the newest upload, the commit, or 0.

    Args:
        environment: where the variable may be.
        newest_upload: of what the lock names; None where there is none.
        folder: the image's.
        inputs: its declared inputs, relative to the folder; the newest commit that changed one counts.

    Raises:
        ImageError: the variable is set and no whole number of seconds from 0 on.
    """
    if (said := said_epoch(environment)) is not None:
        return said
    if newest_upload is not None:
        return newest_upload
    return commit_epoch(folder, inputs) or 0


def said_epoch(environment: Mapping[str, str]) -> int | None:
    """What ``SOURCE_DATE_EPOCH`` says; None where it is not set or empty.

    Raises:
        ImageError: it is no whole number of seconds from 0 on.
    """
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ImageError(
            f"{VARIABLE} is {value!r}, which is no time",
            solution="Set it to seconds since 1970, as `git log -1 --format=%ct` prints them, or unset it.",
        )
    return int(value)


def commit_epoch(folder: Path, paths: Iterable[str]) -> int | None:
    """When one of the files at ``paths``, relative to the folder, was last changed by a commit.

    None where git does not know, or would say it otherwise elsewhere: a shallow clone has the time of its
    last commit for every file.
    """
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    if _git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return None
    wanted = sorted(paths)
    found = [
        _git(
            folder,
            "--literal-pathspecs",
            "log",
            "-1",
            "--format=%ct",
            "--",
            *wanted[start : start + _AT_ONCE],
        )
        for start in range(0, len(wanted), _AT_ONCE)
    ]
    return max((int(time) for time in found if time.isdigit()), default=None)


def _git(folder: Path, *words: str) -> str:
    """What git says; nothing where it refuses."""
    said = run(("git", "-C", folder, *words), accept_failure=True)
    return said.stdout.strip() if said.status == 0 else ""
