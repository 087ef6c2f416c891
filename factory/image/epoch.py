"""The time that an image's files and its creation are given, so that the same inputs make the same image.

The variable is that of the Reproducible Builds project's specification of ``SOURCE_DATE_EPOCH``.
"""

from collections.abc import Mapping
from pathlib import Path

from factory.errors import ImageError
from factory.process import run

VARIABLE = "SOURCE_DATE_EPOCH"
STAGE_EPOCH = 315_532_800
"""1980-01-01: of stages that files are only copied out of. zip archives know no earlier time."""


def choose_epoch(environment: Mapping[str, str], *, newest_upload: int | None, folder: Path) -> int:
    """The time in seconds since 1970: what the variable says, else the newest upload, the commit, or 0.

    Raises:
        ImageError: the variable is set and no whole number of seconds from 0 on.
    """
    if (said := said_epoch(environment)) is not None:
        return said
    if newest_upload is not None:
        return newest_upload
    return commit_epoch(folder) or 0


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


def commit_epoch(folder: Path) -> int | None:
    """When what is in the folder was last committed; None where git does not know it."""
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    words = ("git", "-C", folder, "log", "-1", "--format=%ct", "--", ".")
    said = run(words, accept_failure=True)
    found = said.stdout.strip()
    return int(found) if said.status == 0 and found.isdigit() else None
