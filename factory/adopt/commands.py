"""What one part of a RUN instruction does: what the template does as well, or what is the folder's own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from factory.adopt.dockerfile import expand
from factory.check.installs import fetched, is_remote, operands, pip_call
from factory.dockerfile.shell import Command, commands
from factory.errors import SpecError
from factory.flavor.hook_text import check_system_package

Kind = Literal["install", "template", "packages", "midstream", "requirements", "own", "refused"]
# The later decides where a part holds several commands.
_ORDER: tuple[Kind, ...] = (
    "template",
    "install",
    "packages",
    "midstream",
    "requirements",
    "own",
    "refused",
)
_SYSTEM = frozenset({"dnf", "dnf5", "microdnf", "yum"})
_HARMLESS = re.compile(
    r"-y|-q|-qy|-yq|--assumeyes|--quiet|--nodocs|--best|--refresh|--noplugins|--disableplugin=.*"
    r"|--setopt=(?:install_weak_deps|tsflags|keepcache|retries|timeout|max_parallel_downloads)=.*"
)
# What changes nothing in the image by itself: settings for the command that follows, and conditions.
_QUIET = frozenset(
    {
        *(":", "[", "[[", "test", "true", "false", "for", "set", "umask", "cd", "echo", "printf", "export"),
        *("which", "command", "hash", "exit"),
    }
)
# The environment of a prefetched folder, which the install layer reads as well.
_PREFETCHED = re.compile(r"cachi2|cachito|prefetch\.env")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
# Into a file, not into another stream or nowhere.
_WRITES = re.compile(r">\|?\s*(?!&|/dev/|>|\s)")
_RIGHTS = frozenset({"chmod", "chown", "chgrp", "fix-permissions"})
_GPG_OFF = re.compile(r"--nogpgcheck|gpgcheck\s*=\s*(?:0|false|no|off)\b", re.IGNORECASE)
_INSTALLED = re.compile(r"/opt/app-root|site-packages|entrypoint|/licenses|\$\{?HOME|\$\{?VIRTUAL_ENV")
_PASSING = re.compile(
    r"(?:/var/cache|/var/lib/dnf|/\w+/\.cache|/tmp|~/\.cache|\$\{?HOME\}?/\.cache|/opt/app-root/src/\.cache)\b.*"
    r"|.*(?:requirements[^/]*\.txt|pyproject\.toml|pylock[^/]*\.toml|LICENSE\.md)"
)
_WRAPPERS = frozenset({"env", "exec", "nice", "nohup", "sudo", "time", "timeout", "xargs"})
_TOOLS = frozenset({"pip", "uv", "setuptools", "wheel", "pip-tools", "build"})
_UNHELD = {
    "FAC402": (
        "it installs what is in no lock and needs a network",
        "Have it published on the index as a wheel, then name it in [project] dependencies.",
    ),
    "FAC404": (
        "it downloads, and the downstream build has no network",
        (
            "Keep the file in the flavor's folder and copy it in hooks.after-install; or, where the "
            "downstream base image has the result, put the download into hooks.midstream."
        ),
    ),
    "FAC405": (
        "it installs from a package registry that the downstream build cannot reach",
        "Put it into hooks.midstream, and have the downstream base image provide it.",
    ),
}
_OTHERWISE = ("it installs beside the lock", "Name the package in [project] dependencies.")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a RUN instruction: its text, and what it comes to.

    ``template`` and ``install`` are done by the template; ``packages`` are for dnf; ``midstream`` is dnf
    in a way that names alone do not tell; ``requirements`` belong into the lock; ``own`` is kept;
    ``refused`` cannot be, with the reason and what to do.
    """

    text: str
    kind: Kind
    names: tuple[str, ...] = ()
    why: str = ""
    solution: str = ""


def read_part(text: str, variables: Mapping[str, str], *, in_block: bool) -> Part:
    """What a part of a shell text comes to; in a MIDSTREAM ONLY block a download may stay."""
    if _GPG_OFF.search(text):
        return Part(
            text=text,
            kind="refused",
            why="it turns the verification of package signatures off",
            solution="Name the vendor's key in the repository file (gpgcheck=1 and gpgkey), and do without.",
        )
    if text.split(maxsplit=1)[0].rpartition("/")[2] in _WRAPPERS:
        found = [part for command in commands(text) if (part := _fetching(text, command, in_block=in_block))]
        return found[0] if found else Part(text=text, kind="own")
    parts = [_read(text, command, variables, in_block=in_block) for command in commands(text)]
    if not parts:
        return Part(text=text, kind="template", why="it sets a variable for what follows")
    decisive = max(parts, key=lambda part: _ORDER.index(part.kind))
    names = tuple(name for part in parts if part.kind == decisive.kind for name in part.names)
    return Part(text=text, kind=decisive.kind, names=names, why=decisive.why, solution=decisive.solution)


def _read(text: str, command: Command, variables: Mapping[str, str], *, in_block: bool) -> Part:
    program, arguments = command[0].rpartition("/")[2], command[1:]
    if program in _SYSTEM:
        return _system(text, arguments, variables, in_block=in_block)
    if (call := pip_call(command)) is not None:
        return _pip(text, call.verb, call.arguments)
    if program in {"pip", "uv"} and (known := _python_tool(program, arguments)):
        return Part(text=text, kind="install" if known == "install" else "template", why=known)
    if (done := _done_anyway(text, program, arguments)) is not None:
        return Part(text=text, kind="template", why=done)
    return _fetching(text, command, in_block=in_block) or Part(text=text, kind="own")


def _done_anyway(text: str, program: str, arguments: Sequence[str]) -> str | None:
    """Why the template needs no such command; None where it is the folder's own."""
    if _WRITES.search(_QUOTED.sub("", text)):
        return None
    if program in _QUIET or (program in {".", "source"} and _PREFETCHED.search(text)):
        return "it prepares what follows"
    if program in _RIGHTS and all(_INSTALLED.search(word) for word in _paths(arguments)):
        return "the umask of the install step gives these rights"
    if program in {"rm", "mkdir"} and all(_is_passing(word) for word in _paths(arguments)):
        return "the template leaves no cache behind"
    return None


def _python_tool(program: str, arguments: Sequence[str]) -> str | None:
    words = [word for word in arguments if not word.startswith("-")]
    if program == "uv" and words[:1] in (["sync"], ["export"], ["venv"]):
        return "install"
    return "the template keeps no cache" if words[:1] == ["cache"] else None


def _paths(arguments: Sequence[str]) -> Iterator[str]:
    """The operands that are paths: not options, nor the mode or owner of chmod and its like."""
    words = [word for word in arguments if not word.startswith("-")]
    yield from (word for word in words if "/" in word or "$" in word or "." in word or "~" in word)


def _is_passing(word: str) -> bool:
    return _PASSING.fullmatch(word) is not None or word.rstrip("/") == "/licenses"


def _fetching(text: str, command: Command, *, in_block: bool) -> Part | None:
    fetch = fetched(command)
    if fetch is None:
        return None
    if in_block and fetch.code in {"FAC404", "FAC405"}:
        return Part(text=text, kind="own")
    why, solution = _UNHELD.get(fetch.code, _OTHERWISE)
    return Part(text=text, kind="refused", why=f"{why} ({fetch.code})", solution=solution)


def _system(text: str, arguments: Sequence[str], variables: Mapping[str, str], *, in_block: bool) -> Part:
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] in (["clean"], ["makecache"]):
        return Part(text=text, kind="template", why="the template leaves no cache behind")
    if words[:1] != ["install"]:
        return Part(
            text=text,
            kind="own" if in_block else "midstream",
            why="downstream, what the base image brings stays as it is",
        )
    names = tuple(expand(word, dict(variables)) for word in words[1:])
    plain = all(_HARMLESS.fullmatch(word) for word in arguments if word.startswith("-"))
    return Part(
        text=text, kind="packages" if plain and all(map(_is_name, names)) else "midstream", names=names
    )


def _is_name(name: str) -> bool:
    try:
        check_system_package(name)
    except SpecError:
        return False
    return True


def _pip(text: str, verb: str, arguments: Sequence[str]) -> Part:
    if verb == "uninstall":
        return Part(
            text=text,
            kind="refused",
            why="it takes out what the lock or the base image put in",
            solution="Keep it out by an override: \"NAME; sys_platform == 'never'\" in [tool.uv].",
        )
    positional, files = operands(arguments[list(arguments).index(verb) + 1 :])
    if verb == "sync":
        positional, files = [], [*files, *positional]
    if any(is_remote(word) for word in (*positional, *files)):
        why, solution = _UNHELD["FAC402"]
        return Part(text=text, kind="refused", why=f"{why} (FAC402, field note 10)", solution=solution)
    if files or any(word == "." or word.startswith(".[") for word in positional):
        return Part(text=text, kind="install")
    requirements = [_requirement(word) for word in positional]
    if not requirements or None in requirements or _names_an_index(arguments):
        return Part(text=text, kind="refused", why=_OTHERWISE[0] + " (FAC403)", solution=_OTHERWISE[1])
    named = tuple(str(item) for item in requirements if item and canonicalize_name(item.name) not in _TOOLS)
    if not named:
        return Part(text=text, kind="template", why="the base image brings uv, which installs")
    return Part(text=text, kind="requirements", names=named)


def _requirement(word: str) -> Requirement | None:
    try:
        return Requirement(word)
    except InvalidRequirement:
        return None


def _names_an_index(arguments: Sequence[str]) -> bool:
    options = {word.partition("=")[0] for word in arguments}
    return not options.isdisjoint({"--index-url", "-i", "--extra-index-url", "--index", "--default-index"})
