"""Classify the parts of a RUN instruction: done by the template, or the folder's own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from factory.adopt.dockerfile import OldInstruction
from factory.check.installs import PipCall, fetched, is_remote, pip_call
from factory.dockerfile.instructions import expand
from factory.dockerfile.references import parse_requirement
from factory.dockerfile.shell import Command, commands
from factory.errors import SpecError
from factory.flavor.hooks import check_system_package

Kind = Literal[
    "install", "template", "tools", "rights", "packages", "midstream", "requirements", "own", "refused"
]
BY_TEMPLATE: frozenset[Kind] = frozenset({"template", "tools", "rights", "install"})
"""The kinds of parts without an effect of their own."""
# If a part holds several commands, the later kind decides.
_ORDER: tuple[Kind, ...] = (
    "template",
    "tools",
    "rights",
    "install",
    "packages",
    "midstream",
    "requirements",
    "own",
    "refused",
)
LAYER_SCRIPT = "package-layers.sh"
"""The script of a flavor's folder that splits the lock and installs each layer of packages."""
SYSTEM = frozenset({"dnf", "dnf5", "microdnf", "yum"})
"""The programs that install system packages in these images."""
_HARMLESS = re.compile(
    r"-y|-q|-qy|-yq|--assumeyes|--quiet|--nodocs|--best|--refresh|--noplugins|--disableplugin=.*"
    r"|--setopt=(?:install_weak_deps|tsflags|keepcache|retries|timeout|max_parallel_downloads)=.*"
)
# What changes nothing in the image: settings for the next command, and conditions.
_QUIET = frozenset(
    {
        *(":", "[", "[[", "test", "true", "false", "for", "set", "umask", "cd", "echo", "printf", "export"),
        *("which", "command", "hash", "exit"),
    }
)
# The environment of a prefetched folder, which the install layer reads as well.
_PREFETCHED = re.compile(r"cachi2|cachito|prefetch\.env")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
# Commands that parse text again, in which a quote does not protect a redirection.
_READ_AGAIN = re.compile(r"\b(?:sh|bash|dash|ash|zsh)\s+(?:-\S+\s+)*-\w*c\b|\beval\b|\$\(|`")
# Into a file, not into another stream or /dev/null.
_WRITES = re.compile(r">\|?\s*(?!&|/dev/|>|\s)")
_GPG_OFF = re.compile(r"--nogpgcheck|gpgcheck\s*=\s*(?:0|false|no|off)\b", re.IGNORECASE)
INSTALLED = re.compile(r"(?:/opt/app-root|\$\{?VIRTUAL_ENV\}?)(?:/(?:lib|lib64)(?:/.*)?)?/?")
"""The paths of the install step; its umask of 002 and user 1001 of group 0 set the rights there."""
_GIVEN_MODE = re.compile(r"u?g\+r?wX?|[ug]*\+rX|g=u")
_GIVEN_OWNERS = frozenset({"0", ":0", "root", ":root", "1001:0", "default:root", "default:0", "1001"})
# The script that the template copies itself, with its modes.
_ENTRY = re.compile(r"/usr/local/bin/entrypoint-universal\.sh|/licenses(?:/.*)?")
_ENTRY_MODE = re.compile(r"[augo]*\+r?x|0?755")
_CACHE = re.compile(
    r"/var/cache/(?:dnf|yum)(?:/.*)?|/var/lib/dnf(?:/.*)?"
    r"|(?:/\w+|/opt/app-root(?:/src)?|~|\$\{?HOME\}?)/\.cache(?:/(?:pip|uv)(?:/.*)?|/\*)?/?"
    r"|(?:.*/)?(?:requirements[^/]*\.txt|pyproject\.toml|pylock[^/]*\.toml)"
)
_WRAPPERS = frozenset({"env", "exec", "nice", "nohup", "sudo", "time", "timeout", "xargs"})
TOOLS = frozenset({"pip", "uv", "setuptools", "wheel", "pip-tools", "build"})
"""Installers of packages, useless in an image whose packages are locked."""
_UPGRADES = re.compile(r"--upgrade|-[a-zA-Z]*U[a-zA-Z]*|--force-reinstall|--reinstall")
# Options of pip and uv that install outside of the image's environment.
_ELSEWHERE = frozenset({"-t", "--target", "--prefix", "--root"})
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
    """A part of a RUN instruction, and its kind.

    - ``template``, ``install``: the template does it
    - ``tools``: installs tools that only an install needs
    - ``rights``: gives rights that installed packages have anyway
    - ``packages``: dnf with plain ``names``; ``midstream``: dnf in another way
    - ``requirements``: ``names`` that belong in the lock, as do those of an ``install``
    - ``own``: kept as it is
    - ``refused``: cannot be kept, with ``why`` and ``solution``
    """

    text: str
    kind: Kind
    names: tuple[str, ...] = ()
    why: str = ""
    solution: str = ""


def read_run(step: OldInstruction) -> tuple[tuple[Part, ...], bool]:
    """Return the parts of a RUN instruction, and whether it is a plain chain."""
    text = step.instruction.shell_text
    parts = split_chain(text)
    chained = parts or (text,)
    found = tuple(read_part(part, step.variables, in_block=step.in_block) for part in chained if part)
    return found, parts is not None


def is_install(step: OldInstruction) -> bool:
    """Return whether a RUN instruction installs the lock."""
    return step.name == "RUN" and any(part.kind == "install" for part in read_run(step)[0])


def read_part(text: str, variables: Mapping[str, str], *, in_block: bool) -> Part:
    """Classify a part of a shell text; in a MIDSTREAM ONLY block a download may stay."""
    if _GPG_OFF.search(text):
        return Part(
            text=text,
            kind="refused",
            why="it turns the verification of package signatures off",
            solution="Name the vendor's key in the repository file (gpgcheck=1 and gpgkey), and do without.",
        )
    if text.split(maxsplit=1)[0].rpartition("/")[2] in _WRAPPERS:
        call = next(filter(None, map(pip_call, commands(text))), None)
        if call is not None:
            return _pip(text, expanded(call, variables))
        found = [part for command in commands(text) if (part := _fetching(text, command, in_block=in_block))]
        return found[0] if found else Part(text=text, kind="own")
    parts = [_read(text, command, variables, in_block=in_block) for command in commands(text)]
    if not parts:
        return Part(text=text, kind="template", why="by itself it changes no file of the image")
    decisive = max(parts, key=lambda part: _ORDER.index(part.kind))
    names = tuple(name for part in parts if part.kind == decisive.kind for name in part.names)
    return Part(text=text, kind=decisive.kind, names=names, why=decisive.why, solution=decisive.solution)


def _read(text: str, command: Command, variables: Mapping[str, str], *, in_block: bool) -> Part:
    program, arguments = command[0].rpartition("/")[2], command[1:]
    if program in SYSTEM:
        return _system(text, arguments, variables, in_block=in_block)
    if (call := pip_call(command)) is not None:
        return _pip(text, expanded(call, variables))
    if known := _install_tool(program, arguments):
        return Part(text=text, kind="install" if known == "install" else "template", why=known)
    paths = _operands(program, arguments)
    if paths and _is_given_right(program, arguments, paths):
        return Part(text=text, kind="rights", why="the umask of the install step gives these rights")
    if (done := _done_anyway(text, program, paths)) is not None:
        return Part(text=text, kind="template", why=done)
    return _fetching(text, command, in_block=in_block) or Part(text=text, kind="own")


def _done_anyway(text: str, program: str, paths: Sequence[str]) -> str | None:
    """Return why the template makes a command unnecessary; None if it is the folder's own."""
    if _WRITES.search(text if _READ_AGAIN.search(text) else _QUOTED.sub("", text)):
        return None
    if program in {".", "source"} and _PREFETCHED.search(text):
        return "the install layer reads it"
    if program in _QUIET:
        return "by itself it changes no file of the image"
    if program == "rm" and paths and all(_CACHE.fullmatch(word) for word in paths):
        return "the template leaves no cache and no copied requirements behind"
    if program == "mkdir" and paths and all(word.rstrip("/") == "/licenses" for word in paths):
        return "the template makes it"
    return None


def _is_given_right(program: str, arguments: Sequence[str], paths: Sequence[str]) -> bool:
    """Return whether the install step sets this mode or owner anyway."""
    if program == "fix-permissions":
        return all(INSTALLED.fullmatch(word) for word in paths)
    first = next((word for word in arguments if not word.startswith("-")), "")
    if program == "chmod" and _ENTRY_MODE.fullmatch(first) and all(map(_ENTRY.fullmatch, paths)):
        return True
    if not any(re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive", word) for word in arguments):
        return False
    known = {
        "chmod": all(_GIVEN_MODE.fullmatch(part) for part in first.split(",")),
        "chown": first in _GIVEN_OWNERS,
        "chgrp": first in {"0", "root"},
    }
    return known.get(program, False) and all(INSTALLED.fullmatch(word) for word in paths)


def _install_tool(program: str, arguments: Sequence[str]) -> str | None:
    """Return "install" for what installs the lock, or why the template needs no such call."""
    words = [word for word in arguments if not word.startswith("-")]
    if program == "sh" and words and words[0].rpartition("/")[2] == LAYER_SCRIPT:
        return "install" if "install" in words else "the builder stage splits the lock"
    if program not in {"pip", "uv"}:
        return None
    if program == "uv" and words[:1] in (["sync"], ["export"], ["venv"]):
        return "install"
    return "the template keeps no cache" if words[:1] == ["cache"] else None


def _operands(program: str, arguments: Sequence[str]) -> list[str]:
    """Return the words that name files, without options, modes and owners."""
    words = [word for word in arguments if not word.startswith("-")]
    return words[1:] if program in {"chmod", "chown", "chgrp"} else words


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
    names = tuple(expand(word, variables) for word in words[1:])
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


def expanded(call: PipCall, variables: Mapping[str, str]) -> PipCall:
    """Expand known variables in a call; several requirements in one word become several."""
    found: list[str] = []
    for word in call.arguments:
        whole = expand(word, variables)
        parts = whole.split()
        several = whole != word and len(parts) > 1 and all(map(_requirement, parts))
        found += parts if several else [whole]
    return replace(call, arguments=tuple(found))


def _pip(text: str, call: PipCall) -> Part:
    positional, files = call.operands
    local = [word for word in positional if word == "." or word.startswith(".[")]
    found = [_requirement(word) for word in positional if word not in local]
    alone = not (files or local)
    refusal = _not_locked(call, (*positional, *files))
    if refusal is None and (None in found or (alone and not found)):
        refusal = (_OTHERWISE[0] + " (FAC403)", _OTHERWISE[1])
    if refusal is not None:
        return Part(text=text, kind="refused", why=refusal[0], solution=refusal[1])
    named, tools = _wanted_and_tools([item for item in found if item], call)
    if not alone:
        return Part(text=text, kind="install", names=named)
    if not named:
        why = f"for installing alone: the base image brings uv. Where the image needs {', '.join(tools)} "
        return Part(text=text, kind="tools", why=f"{why}itself, name it in [project] dependencies")
    return Part(text=text, kind="requirements", names=named)


def _not_locked(call: PipCall, operands: Sequence[str]) -> tuple[str, str] | None:
    """Return why a lock cannot hold a pip call's requirements, and a solution."""
    if call.verb == "uninstall":
        return (
            "it takes out what the lock or the base image put in",
            "Keep it out by an override: \"NAME; sys_platform == 'never'\" in [tool.uv].",
        )
    if any(is_remote(word) for word in operands):
        why, solution = _UNHELD["FAC402"]
        return f"{why} (FAC402, field note 10)", solution
    if elsewhere := next((word for word in call.arguments if word.partition("=")[0] in _ELSEWHERE), None):
        why = f"{elsewhere} installs into a place of its own, and the lock is one environment (FAC403)"
        return why, _OTHERWISE[1]
    return None


def requirements_of(call: PipCall) -> tuple[Requirement, ...]:
    """Return the requirements that a call of pip names."""
    found = (None if is_remote(word) else _requirement(word) for word in call.operands[0])
    return tuple(item for item in found if item is not None)


def _wanted_and_tools(found: Sequence[Requirement], call: PipCall) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requirements that the image keeps, and the tools that it does not need.

    A tool that is upgraded or given a version is wanted itself: the base image's copy was too old, such as a
    pip with a known vulnerability (field note 32).
    """
    upgrades = any(map(_UPGRADES.fullmatch, call.arguments))
    single = map(_requirement, call.values("-P", "--upgrade-package"))
    upgraded = [item for item in single if item is not None and item.specifier]
    tools = tuple(
        item.name
        for item in found
        if canonicalize_name(item.name) in TOOLS and not (upgrades or item.specifier or item.url)
    )
    wanted = [item for item in found if item.name not in tools]
    return tuple(dict.fromkeys(str(item) for item in (*wanted, *upgraded))), tools


def _requirement(word: str) -> Requirement | None:
    try:
        return parse_requirement(word)
    except InvalidRequirement:
        return None


_COMPOUND_COMMAND = re.compile(r"(?:if|for|while|until|case|select|function)\b|[({]")


def split_chain(text: str) -> tuple[str, ...] | None:
    """Return the parts of a plain chain of commands; None if it is not one.

    Only such a text can lose a part and keep its meaning: no loops, conditions, groups, ``||``, background
    jobs or here-documents.
    """
    parts: list[str] = []
    start = position = depth = 0
    quote = ""
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif depth == 0 and (end := _separator(text, position)) is not None:
            if end < 0:
                return None
            parts.append(text[start:position].strip())
            start = position = end
            continue
        position += 1
    parts.append(text[start:].strip())
    found = tuple(part for part in parts if part)
    return None if quote or depth or any(_COMPOUND_COMMAND.match(part) for part in found) else found


def _separator(text: str, position: int) -> int | None:
    """Return the end of the separator here; None without one, -1 for another operator."""
    if text.startswith("&&", position):
        return position + 2
    if text[position] == ";":
        return -1 if text.startswith(";;", position) else position + 1
    if text.startswith("||", position):
        return -1
    is_redirection = text[position - 1 : position] in {">", "<"} or text[position + 1 : position + 2] == ">"
    return -1 if text[position] == "&" and not is_redirection else None
