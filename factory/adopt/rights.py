"""Narrow commands that give rights over all installed packages to the files that are the folder's own.

The install step gives its files these rights by its umask. Given again later, such as by ``fix-permissions``
as root at the end, they write every package into a second layer.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from factory.adopt.commands import INSTALLED, Part
from factory.adopt.draft import WORKDIR, Draft, Kept
from factory.dockerfile.instructions import read_instructions
from factory.dockerfile.shell import commands

_ROOT = PurePosixPath("/opt/app-root")
# Folders of the environment that hold what was installed, beside what a folder of one's own puts there.
_SHARED = frozenset({"", "bin", "etc", "include", "lib", "lib64", "share", "src"})
_SITE = re.compile(r"lib(?:64)?/python[^/]*(?:/site-packages)?")
_MAKES = frozenset({"mkdir", "touch", "cp", "mv", "install", "ln"})
_NARROWED = "the install gives packages these rights; what the folder puts there itself keeps the command"


def narrowed(part: Part, draft: Draft, earlier: Iterable[Kept] = ()) -> Part:
    """Return a command that gives rights over the packages, for what is kept before it alone.

    ``earlier`` is what is kept of the same instruction.

    Returns:
        The part itself if nothing that is kept is below the folder of packages; a part of kind ``own`` with
        the paths that are; one of kind ``refused`` if these cannot be known.
    """
    if not any(INSTALLED.fullmatch(word) for command in commands(part.text) for word in command):
        return part
    kept = (*draft.kept(), *earlier)
    paths = dict.fromkeys(path for each in kept for path in _written(each, draft))
    if not paths:
        return part
    if None in paths:
        return replace(
            part,
            kind="refused",
            why="over all packages it would write each into a second layer, and what the folder put there "
            "itself cannot be known: its install gives packages these rights already",
            solution="Give the rights to the folder's own files alone, in hooks.after-install: "
            "RUN fix-permissions FOLDER.",
        )
    found = tuple(path for path in paths if path is not None)
    return replace(part, kind="own", text=" && ".join(_narrowed(part.text, found)), why=_NARROWED)


def _narrowed(text: str, paths: tuple[str, ...]) -> Iterator[str]:
    for command in commands(text):
        words = [word for word in command if not INSTALLED.fullmatch(word)]
        if command[0] == "fix-permissions":
            # It takes one path.
            yield from (shlex.join([words[0], path, *words[1:]]) for path in paths)
        else:
            yield shlex.join([*words, *paths])


def _written(kept: Kept, draft: Draft) -> Iterator[str | None]:
    """The paths below the environment that an instruction writes; None for one that cannot be known."""
    if kept.step.name in {"COPY", "ADD"}:
        found: Iterable[str | None] = _copied(kept, draft)
    elif kept.step.name == "RUN":
        found = _made(kept)
    else:
        return
    for path in found:
        if path is None:
            yield None
        elif _is_below(path):
            yield None if _is_shared(path) else path


def _copied(kept: Kept, draft: Draft) -> Iterator[str]:
    copied = kept.step.instruction
    target = PurePosixPath(kept.folder or WORKDIR, copied.destination)
    into = copied.destination.endswith("/") or len(copied.sources) > 1 or _is_shared(target.as_posix())
    for source in copied.sources:
        plain = PurePosixPath(source).as_posix().lstrip("/")
        below = [path.removeprefix(f"{plain}/") for path in draft.files if path.startswith(f"{plain}/")]
        if below and not _is_shared(target.as_posix()):
            yield target.as_posix()
        elif below:
            names = dict.fromkeys(path.partition("/")[0] for path in below)
            yield from ((target / name).as_posix() for name in names)
        elif "*" in plain or "?" in plain:
            names = dict.fromkeys(
                PurePosixPath(path).name for path in draft.files if PurePosixPath(path).match(plain)
            )
            yield from ((target / name).as_posix() for name in names)
        else:
            yield (target / PurePosixPath(plain).name if into else target).as_posix()


def _made(kept: Kept) -> Iterator[str | None]:
    read = read_instructions(kept.text.split("\n"))
    for command in (found for each in read for found in each.commands):
        program, arguments = command[0], [word for word in command[1:] if not word.startswith("-")]
        named = [word for word in command if str(_ROOT) in word]
        for word in named:
            plain = word[word.index(str(_ROOT)) :]
            yield plain if word == plain else None
        if program in _MAKES:
            targets = arguments if program in {"mkdir", "touch"} else arguments[-1:]
            relative = [word for word in targets if not word.startswith(("/", "$", "~"))]
            yield from (PurePosixPath(kept.folder or WORKDIR, word).as_posix() for word in relative)


def _is_below(path: str) -> bool:
    return PurePosixPath(path).is_relative_to(_ROOT)


def _is_shared(path: str) -> bool:
    if not _is_below(path):
        return False
    rest = PurePosixPath(path).relative_to(_ROOT).as_posix()
    return rest == "." or rest in _SHARED or _SITE.fullmatch(rest) is not None
