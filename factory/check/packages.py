"""Rules about how packages get into the image: from the lock, verified, once, and by nothing else."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

from factory.check.finding import Problem
from factory.check.installs import PipCall, pip_call, removes_system_packages
from factory.dockerfile.instructions import Instruction
from factory.dockerfile.shell import Command

_PACKAGES = frozenset({"site-packages", "dist-packages"})
# Where the packages of the base image are, and the folders above them: all would be overlaid as one.
_ENVIRONMENT = re.compile(
    r"(?:/opt/app-root|\$\{?(?:APP_ROOT|VIRTUAL_ENV)\}?)(?:/lib(?:64)?(?:/python[0-9.]+)?)?"
)
# A virtual environment, by the names that everybody gives one, and the folders of packages in it.
_VIRTUAL = re.compile(r"(?:.*/)?(?:\.?venv|virtualenv)(?:/lib(?:64)?(?:/python[0-9.]+)?)?")
_COPYING = frozenset({"cp", "mv", "rsync"})
_RECURSIVE = re.compile(r"-[A-Za-z]*[rRa][A-Za-z]*|--recursive|--archive")
_EXTRACT = re.compile(r"-[A-Za-z]*x[A-Za-z]*|--extract|--get")
_EXTRACT_OLD = re.compile(r"[A-Za-z]*x[A-Za-z]*")
_BESIDE = frozenset({"-t", "--target", "--prefix", "--root"})
# As a shell assigns them, and as ENV declares them.
_UNVERIFIED = re.compile(
    r"(?<![A-Za-z0-9_])(?:UV_NO_VERIFY_HASHES[= ][\"']?(?:1|true|yes|on)\b|"
    r"(?:UV|PIP)_REQUIRE_HASHES[= ][\"']?(?:0|false|no|off)\b)",
    re.IGNORECASE,
)
_UV = re.compile(r"(?:.*/bin/)?uvx?\*?")


def check_packages(path: str, instruction: Instruction, locks: Collection[str]) -> Iterator[Problem]:
    """Find FAC411 to FAC413 and FAC417, inside a MIDSTREAM ONLY block as well."""
    if instruction.name in {"COPY", "ADD"}:
        yield from _copied(path, instruction)
    if instruction.name in {"ENV", "ARG", "RUN"} and (found := _UNVERIFIED.search(instruction.text)):
        yield Problem(
            code="FAC411",
            path=path,
            line=instruction.line_of(found[0]),
            message=f"`{found[0]}` turns the verification of hashes off",
            solution="Remove it, and leave the hashes in the lock; after a re-push: `factory rehash`.",
        )
    for command in instruction.commands:
        call = pip_call(command, locks=locks)
        if call is not None:
            yield from _install(path, instruction, call)
        if _copies(command, mounted=bool(instruction.origins)) or _unpacks(command):
            yield _overlay(path, instruction, command[0], f"`{' '.join(command)}` copies packages")
        if _removes_uv(command) or (call is not None and _uninstalls_uv(call)):
            yield Problem(
                code="FAC417",
                path=path,
                line=instruction.line_of(command[0]),
                package="uv",
                message=f"`{' '.join(command)}` takes uv out of the image",
                solution="Leave it: the base image brings it, and it is a few megabytes.",
            )


def _install(path: str, instruction: Instruction, call: PipCall) -> Iterator[Problem]:
    beside = next((word for word in call.arguments if word.partition("=")[0] in _BESIDE), None)
    if call.verb == "install" and beside is not None:
        what = f"`{call.shown} install {beside}` installs beside the environment of the base image"
        yield _overlay(path, instruction, beside, what)
    if not call.locks:
        return
    lock = call.locks[0]
    shown = f"`{call.shown} {call.verb}` of {lock.rpartition('/')[2]}"
    if "--require-hashes" not in call.arguments or "--no-verify-hashes" in call.arguments:
        yield Problem(
            code="FAC411",
            path=path,
            line=instruction.line_of(lock),
            message=f"{shown} without --require-hashes",
            solution="Add it, and leave the hashes in the lock; after a re-push: `factory rehash`.",
        )
    if call.verb == "install" and "--no-deps" not in call.arguments:
        yield Problem(
            code="FAC412",
            path=path,
            line=instruction.line_of(lock),
            message=f"{shown} without --no-deps",
            solution="Add it: the lock holds everything, and what it leaves out is left out on purpose.",
        )


def _copied(path: str, instruction: Instruction) -> Iterator[Problem]:
    words = instruction.words
    if _overlays(words, whole=bool(instruction.origins)):
        what = f"`{instruction.name} … {words[-1]}` copies packages"
        yield _overlay(path, instruction, words[-1], what)


def _overlays(words: Sequence[str], *, whole: bool) -> bool:
    """Return whether sources and a destination are folders of packages; ``whole``: or of an environment."""
    if len(words) < 2:  # noqa: PLR2004 - a source and a destination
        return False
    *sources, destination = words
    # One module beside the packages replaces none of them.
    modules = all(PurePosixPath(source).suffix in {".py", ".pth"} for source in sources)
    into = PurePosixPath(destination).name in _PACKAGES and not modules
    out_of = any(not _PACKAGES.isdisjoint(PurePosixPath(source).parts) for source in sources)
    folders = [(_ENVIRONMENT, destination), *((_VIRTUAL, source) for source in sources)]
    return into or out_of or (whole and any(form.fullmatch(name.rstrip("/")) for form, name in folders))


def _copies(command: Command, *, mounted: bool) -> bool:
    """Return whether a command copies packages, or a mounted environment as a whole."""
    recursive = command[0] != "cp" or any(_RECURSIVE.fullmatch(word) for word in command[1:])
    return command[0] in _COPYING and _overlays(_named(command[1:]), whole=mounted and recursive)


def _unpacks(command: Command) -> bool:
    """Return whether a tar archive is unpacked into a folder of packages."""
    if command[0] not in {"tar", "bsdtar"} or len(command) == 1:
        return False
    extracts = any(_EXTRACT.fullmatch(word) for word in command[1:]) or _EXTRACT_OLD.fullmatch(command[1])
    pairs = zip(command[1:], (*command[2:], ""), strict=True)
    into = [
        after if word in {"-C", "--directory"} else word.removeprefix("--directory=").removeprefix("-C")
        for word, after in pairs
        if word.startswith(("-C", "--directory"))
    ]
    return bool(extracts) and any(PurePosixPath(folder).name in _PACKAGES for folder in into)


def _overlay(path: str, instruction: Instruction, word: str, what: str) -> Problem:
    return Problem(
        code="FAC413",
        path=path,
        line=instruction.line_of(word),
        message=f"{what} over those that are there",
        solution="Install the lock in the final stage: uv removes what it replaces, and adds it once.",
    )


def _named(arguments: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in arguments if not word.startswith("-"))


def _removes_uv(command: Command) -> bool:
    removes = command[0] == "rm" or removes_system_packages(command)
    return removes and any(_UV.fullmatch(word) for word in command[1:])


def _uninstalls_uv(call: PipCall) -> bool:
    return call.verb == "uninstall" and any(_UV.fullmatch(word) for word in call.arguments)
