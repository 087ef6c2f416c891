"""A Dockerfile's RUN instructions, given a mount where the engine has no volumes at build time."""

import re
from collections.abc import Iterator

_RUN = re.compile(r"(?P<instruction>[ \t]*run)(?=\s)", re.IGNORECASE)
_COMMENT = re.compile(r"[ \t]*#")


def mount_in_every_run(text: str, mount: str) -> str:
    """The Dockerfile with ``--mount=…`` in every RUN; all else is kept.

    ``docker build`` knows no ``--volume``; BuildKit's bind mount from a named context does the same.
    """
    return "".join(_lines(text, f" --mount={mount}"))


def _lines(text: str, flag: str) -> Iterator[str]:
    continued = False
    for line in text.splitlines(keepends=True):
        match = None if continued else _RUN.match(line)
        yield line if match is None else match["instruction"] + flag + line[match.end() :]
        # A comment inside a continued instruction does not end it.
        if not (continued and _COMMENT.match(line)):
            continued = not _COMMENT.match(line) and line.rstrip().endswith("\\")
