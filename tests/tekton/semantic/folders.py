"""Workspaces that are one and the same folder."""

import posixpath
from collections.abc import Iterable, Iterator

from tekton.semantic.model import Problem


def one_folder_problems(bound: Iterable[tuple[str, str, str]], path: str) -> Iterator[Problem]:
    """A problem for each workspace that lies where another one does.

    Args:
        bound: the name of each workspace, that of its volume, and its path in it.
        path: where they stand.
    """
    seen: dict[tuple[str, str], str] = {}
    for name, volume, sub in bound:
        place = (volume, posixpath.normpath(f"/{sub}"))
        first = seen.setdefault(place, name)
        if first != name:
            yield Problem(path=path, message=f"the workspaces {first!r} and {name!r} are one folder")
