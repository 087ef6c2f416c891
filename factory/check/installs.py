"""Find what a shell command downloads: packages by name, by URL, files, system packages."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name

from factory.dockerfile.shell import Command
from factory.lock.lockfile import LOCK_FILE

_PIP = re.compile(r"pip[0-9.]*")
_PYTHON = re.compile(r"python[0-9.]*")
_REMOTE = re.compile(
    r"(?:.+@\s*)?(?:(?:git|hg|svn|bzr)\+\S+|(?:https?|ftp|git|ssh)://\S+)|[\w.-]+@[\w.-]+:[^\s/]\S*",
    re.IGNORECASE,
)
_SETUP = "setup.py"
_SETUP_VERBS = frozenset({"install", "develop", "easy_install"})
# Options of the interpreter that take the next word if nothing is joined to them.
_PYTHON_VALUED = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_MODULE = re.compile(r"-[A-Za-ln-z]*m(?P<module>.*)")
_PYTHON_TOOLS = frozenset({"pipx", "poetry", "pdm"})
_UV_FETCHES = (("add",), ("sync",), ("run",), ("tool", "install"), ("tool", "upgrade"))
_SYSTEM_TOOLS = frozenset(
    {
        *("apk", "apt", "apt-get", "dnf", "dnf5", "microdnf", "rpm", "tdnf", "yum", "zypper"),
        *("conda", "mamba", "micromamba", "npm", "pnpm", "yarn", "gem", "cargo", "go"),
    }
)
_VERBS = frozenset(
    {
        *("install", "add", "ci", "create", "get", "update", "upgrade", "build", "fetch", "download"),
        *("groupinstall", "localinstall", "reinstall", "distro-sync", "swap", "builddep", "env"),
        *("-i", "-U", "-Uvh", "-ivh", "--install", "--upgrade"),
    }
)
_REMOVING = frozenset({"remove", "erase", "autoremove", "purge", "del", "-e", "--erase"})
_DOWNLOADERS = frozenset({"aria2c", "curl", "wget"})
_GIT_VERBS = frozenset({"clone", "fetch", "pull", "submodule"})
_MODEL_TOOLS = frozenset({"hf", "huggingface-cli"})
_FETCHING_VERBS = frozenset({"install", "download", "wheel", "sync"})
_PIP_VERBS = frozenset({"install", "sync", "uninstall"})
_OFFLINE = frozenset({"--require-hashes", "--no-index", "--offline"})
# Options of pip and uv that take the next word as their value.
_VALUED = frozenset(
    {
        *("-c", "--constraint", "-f", "--find-links", "-i", "--index-url", "--extra-index-url", "--index"),
        *("--default-index", "-t", "--target", "--prefix", "--root", "-p", "--python", "--python-version"),
        *("--platform", "--python-platform", "--abi", "--implementation", "--only-binary", "--no-binary"),
        *("--cache-dir", "--log", "--report", "--timeout", "--retries", "--proxy", "--trusted-host"),
        *("--src", "--index-strategy", "--link-mode", "--override", "--overrides", "--resolution"),
        *("--prerelease", "--config-settings", "-C", "--exclude-newer", "--progress-bar", "--group"),
        *("-b", "--build-constraint", "--build-constraints", "--allow-insecure-host", "--keyring-provider"),
        *("--upgrade-strategy", "--root-user-action", "--use-feature", "--use-deprecated", "--exists-action"),
        *("--cert", "--client-cert", "--resume-retries", "--torch-backend", "--fork-strategy"),
        *("--python-preference", "--refresh-package", "--exclude-newer-package", "--color", "--directory"),
        *("--config-file", "--project", "--extra", "--no-build-package", "--no-binary-package"),
        *("-d", "--dest", "-w", "--wheel-dir", "--upgrade-package", "-P", "--reinstall-package"),
    }
)
# A name, extras and versions perhaps: no path, no URL, nothing that a shell fills in.
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?![A-Za-z0-9._/$:-])(?!.*://)"
)
_PREFETCHED = re.compile(r"FIND_LINKS|/cachi2")
_REQUIREMENT_FILES = frozenset({"-r", "--requirement", "--requirements"})
_EDITABLE = frozenset({"-e", "--editable"})
# What a direct reference says of its name: before the URL, or behind it.
_REFERRED = re.compile(
    r"(?P<before>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*@|.*[#&]egg=(?P<egg>[A-Za-z0-9._-]+)"
)


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Something that a command fetches: the rule's code, and the words that show it.

    ``package`` is the normalized name of what it installs, if that is one named package.
    """

    code: str
    what: str
    word: str
    package: str | None = None


def fetched(command: Command, *, locks: Collection[str] = (LOCK_FILE,)) -> Fetch | None:
    """Return what a command downloads in a build without a network; None if nothing.

    ``locks`` are the names of the flavor's lock files, from which it may install.
    """
    program, arguments = _program(command)
    if _PIP.fullmatch(program):
        return _pip(arguments, shown=program, locks=locks)
    if program == "uv":
        return _uv(arguments, locks)
    if program == "uvx":
        return _tool(arguments, shown="uvx")
    if _is_python_install(program, arguments):
        return Fetch(code="FAC403", what=_shown(program, arguments), word=program)
    if program in _SYSTEM_TOOLS and _has_verb(arguments):
        return Fetch(code="FAC405", what=_shown(program, arguments), word=program)
    return _download(program, arguments)


@dataclass(frozen=True, kw_only=True)
class PipCall:
    """A call of pip, or of uv's pip: its verb and all its words.

    ``locks`` are the lock files that it is given, ``packages`` the requirements that it names, as written.
    """

    shown: str
    verb: str
    arguments: tuple[str, ...]
    locks: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def operands(self) -> tuple[list[str], list[str]]:
        """Return the requirements to install, and the requirements files; ``sync`` takes only files."""
        positional, files = operands(self.arguments[self.arguments.index(self.verb) + 1 :])
        return ([], [*files, *positional]) if self.verb == "sync" else (positional, files)

    def values(self, *options: str) -> Iterator[str]:
        """Yield the values of options, joined by ``=`` or in the next word."""
        for word, following in zip(self.arguments, (*self.arguments[1:], ""), strict=True):
            option, has_value, value = word.partition("=")
            if option in options:
                yield value if has_value else following


def pip_call(command: Command, *, locks: Collection[str] = (LOCK_FILE,)) -> PipCall | None:
    """Return a command's call of pip; None if it does not call pip for something.

    ``locks`` are the names of the flavor's lock files.
    """
    program, arguments = _program(command)
    shown = program
    if program == "uv":
        if "pip" not in arguments:
            return None
        shown, arguments = "uv pip", arguments[arguments.index("pip") + 1 :]
    elif not _PIP.fullmatch(program):
        return None
    verb = next((argument for argument in arguments if argument in _PIP_VERBS), None)
    if verb is None:
        return None
    call = PipCall(shown=shown, verb=verb, arguments=tuple(arguments), locks=(), packages=())
    named, files = call.operands
    return replace(
        call,
        locks=tuple(name for name in files if _base(name) in locks),
        packages=tuple(word for word in named if _REQUIREMENT.match(word) and verb == "install"),
    )


def not_locked(call: PipCall, pinned: Collection[str]) -> tuple[str, ...]:
    """Return the packages that a call installs offline and that the lock lacks.

    A folder of the Dockerfile's own (``--find-links``) may hold packages that the lock lacks.
    """
    folders = call.values("-f", "--find-links")
    if _OFFLINE.isdisjoint(call.arguments) or not all(map(_PREFETCHED.search, folders)):
        return ()
    found = ((word, _REQUIREMENT.match(word)) for word in call.packages if not word.endswith(".whl"))
    return tuple(word for word, match in found if match and canonicalize_name(match["name"]) not in pinned)


def _is_python_install(program: str, arguments: Sequence[str]) -> bool:
    """Return whether a program that is neither pip nor uv installs Python packages."""
    if program == _SETUP:
        return not _SETUP_VERBS.isdisjoint(arguments)
    if program == "easy_install":
        return any(not argument.startswith("-") for argument in arguments)
    return program in _PYTHON_TOOLS and _has_verb(arguments)


def named_package(words: Sequence[str]) -> str | None:
    """Return the normalized name of the one package that requirements name, else None."""
    names = {_name(word) for word in words}
    return names.pop() if len(names) == 1 else None


def _name(word: str) -> str | None:
    if is_remote(word):
        referred = _REFERRED.match(word)
        name = (referred["before"] or referred["egg"]) if referred else None
    else:
        required = _REQUIREMENT.match(word)
        name = required["name"] if required else None
    return canonicalize_name(name) if name else None


def installs_system_packages(command: Command) -> bool:
    """Return whether a command is one of a system's package manager, asked to install something."""
    program, arguments = _program(command)
    return program in _SYSTEM_TOOLS and _has_verb(arguments)


def removes_system_packages(command: Command) -> bool:
    """Return whether a command is one of a system's package manager, asked to remove something."""
    program, arguments = _program(command)
    return program in _SYSTEM_TOOLS and not _REMOVING.isdisjoint(arguments)


def _program(command: Command) -> tuple[str, list[str]]:
    """Return a command's program and arguments, also of ``python -m`` and setup.py."""
    program, *arguments = command
    program = program.rpartition("/")[2]
    return (_PYTHON.fullmatch(program) and _run_by_python(arguments)) or (program, arguments)


def _run_by_python(arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the module or setup.py that an interpreter runs, with its arguments."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if _base(word) == _SETUP:
            return _SETUP, list(arguments[position + 1 :])
        if word in _PYTHON_VALUED:
            position += 1
        elif not word.startswith("-") or word.startswith("-c"):
            return None
        elif not word.startswith("--") and (match := _MODULE.fullmatch(word)):
            words = [match["module"], *arguments[position + 1 :]]
            module, *rest = words if words[0] else words[1:] or [""]
            return module, rest
        position += 1
    return None


def is_remote(word: str) -> bool:
    """Return whether a word names something on the network: a URL, or a version-control requirement."""
    return _REMOTE.fullmatch(word) is not None


def _download(program: str, arguments: Sequence[str]) -> Fetch | None:
    named = [argument for argument in arguments if not argument.startswith("-")]
    downloads = (
        (program in _DOWNLOADERS and bool(named))
        or (program == "git" and not _GIT_VERBS.isdisjoint(named))
        or (program in _MODEL_TOOLS and "download" in named)
    )
    return Fetch(code="FAC404", what=_shown(program, arguments), word=program) if downloads else None


def _uv(arguments: Sequence[str], locks: Collection[str]) -> Fetch | None:
    positional = [argument for argument in arguments if not argument.startswith("-")]
    if positional[:1] == ["pip"]:
        return _pip(arguments[arguments.index("pip") + 1 :], shown="uv pip", locks=locks)
    if positional[:2] == ["tool", "run"]:
        return _tool(arguments[arguments.index("run") + 1 :], shown="uv tool run")
    if not _OFFLINE.isdisjoint(arguments):
        return None
    if any(tuple(positional[: len(verbs)]) == verbs for verbs in _UV_FETCHES):
        return Fetch(code="FAC403", what=_shown("uv", arguments), word="uv")
    if positional[:1] == ["python"] and positional[1:2] in (["install"], ["upgrade"]):
        return Fetch(code="FAC404", what=_shown("uv", arguments), word="uv")
    return None


def _tool(arguments: Sequence[str], *, shown: str) -> Fetch | None:
    """Return the program that ``uvx`` or ``uv tool run`` downloads for one run."""
    if not operands(arguments)[0] or not _OFFLINE.isdisjoint(arguments):
        return None
    return Fetch(code="FAC403", what=_shown(shown, arguments), word=shown.partition(" ")[0])


def _pip(arguments: Sequence[str], *, shown: str, locks: Collection[str]) -> Fetch | None:
    verb = next((argument for argument in arguments if argument in _FETCHING_VERBS), None)
    if verb is None:
        return None
    positional, files = operands(arguments[arguments.index(verb) + 1 :])
    for word in (*positional, *files):
        if is_remote(word):
            package = named_package([word])
            return Fetch(code="FAC402", what=f"{shown} {verb} {word}", word=word, package=package)
    if verb == "sync":
        files, positional = positional, []
    strangers = [name for name in files if _base(name) not in locks]
    named = [word for word in positional if not word.endswith(".whl")]
    if (named or strangers) and _OFFLINE.isdisjoint(arguments):
        unlocked = (*named, *strangers)
        package = None if strangers else named_package(named)
        what = f"{shown} {verb} {' '.join(unlocked)}"
        return Fetch(code="FAC403", what=what, word=unlocked[0], package=package)
    return None


def operands(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the requirements to install, and the requirements files, without options' values."""
    positional: list[str] = []
    files: list[str] = []
    words = iter(arguments)
    for word in words:
        option, has_value, value = word.partition("=")
        if word in _REQUIREMENT_FILES:
            files += [next(words, "")]
        elif option in _REQUIREMENT_FILES and has_value:
            files += [value]
        elif word in _EDITABLE:
            positional += [next(words, "")]
        elif option in _EDITABLE and has_value:
            positional += [value]
        elif word[:2] in {"-r", "-e"}:
            (files if word[1] == "r" else positional).append(word[2:].removeprefix("="))
        elif word in _VALUED:
            next(words, None)
        elif not word.startswith("-"):
            positional += [word]
    return positional, files


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _has_verb(arguments: Sequence[str]) -> bool:
    return not _VERBS.isdisjoint(arguments)


def _shown(program: str, arguments: Sequence[str]) -> str:
    words = [program, *arguments]
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")  # noqa: PLR2004
