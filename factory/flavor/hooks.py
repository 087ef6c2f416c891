"""Hooks: the flavor's own parts of its Dockerfile, kept in the spec and placed by the template."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from factory.dockerfile.instructions import (
    Instruction,
    opens_heredoc,
    read_differently,
    read_instructions,
    unsafe_run_options,
)
from factory.documents import TableReader
from factory.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """The flavor's own parts of its Dockerfile; each may be empty.

    ``environment`` holds names and values for both builds; ``system_packages`` is what dnf installs
    midstream; ``midstream``, ``before_install`` and ``after_install`` are Dockerfile instructions, the
    first inside the MIDSTREAM ONLY block; ``files`` are the flavor's own files that those copy. Files
    that end in ``.repo`` are copied for dnf by the template.
    """

    environment: tuple[tuple[str, str], ...] = ()
    system_packages: tuple[str, ...] = ()
    midstream: str = ""
    before_install: str = ""
    after_install: str = ""
    files: tuple[str, ...] = ()

    @property
    def repositories(self) -> tuple[str, ...]:
        """The files that configure dnf's repositories, for the midstream build alone."""
        return tuple(path for path in self.files if path.endswith(".repo"))


NO_HOOKS = Hooks()
"""The hooks of nearly every flavor."""


def read_hooks(table: TableReader) -> Hooks:
    """Read ``[tool.factory.hooks]``.

    Raises:
        SpecError: a key is unknown or of the wrong type, or a hook cannot be in a Dockerfile.
    """
    hooks = table.table("hooks")
    found = Hooks(
        environment=hooks.named_texts("environment"),
        system_packages=hooks.texts("system-packages"),
        midstream=_text(hooks, "midstream"),
        before_install=_text(hooks, "before-install"),
        after_install=_text(hooks, "after-install"),
        files=hooks.texts("files"),
    )
    hooks.refuse_the_rest()
    return check_hooks(found)


def _text(hooks: TableReader, key: str) -> str:
    """Return a hook's lines without the empty ones around them."""
    return (hooks.optional_text(key) or "").strip("\n")


def check_hooks(hooks: Hooks) -> Hooks:
    """Return hooks that can be in a Dockerfile that Konflux builds too.

    Raises:
        SpecError: one of them cannot; the message names it.
    """
    for name, value in hooks.environment:
        check_variable(name, value)
    for package in hooks.system_packages:
        check_system_package(package)
    for name, text in (
        ("midstream", hooks.midstream),
        ("before-install", hooks.before_install),
        ("after-install", hooks.after_install),
    ):
        check_instructions(text, of=f"hooks.{name}")
    for path in hooks.files:
        check_own_file(path)
    return hooks


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# A reference as both engines' Dockerfile parsers expand it: $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word},
# where a word may hold references itself; and a dollar that means itself.
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


_INNER = rf"\$\{{{_NAME}(?::[-+][^\s${{}}\"\\]*)?\}}|\${_NAME}"


_REFERENCE = re.compile(rf"\$\{{{_NAME}(?::[-+](?:[^\s${{}}\"\\]|{_INNER})*)?\}}|\${_NAME}|\\\$")


_PACKAGE = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._+*?:~^-]*")


_PATH_PART = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+@-]*")


# Files that other rules check, or that would change the build from outside of the Dockerfile.
_NOT_OWN = re.compile(
    r"pyproject\.toml|requirements(?:-.*)?\.txt|pylock(?:\..*)?\.toml|Dockerfile.*|\.(?:docker|container)ignore"
    r"|.*\.factory-tmp",
    re.IGNORECASE,
)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


_MARKER = re.compile(r"^[ \t]*#.*MIDSTREAM[ \t_-]*ONLY|^[ \t]*#{8,}[ \t]*$", re.IGNORECASE | re.MULTILINE)


_LINE_THAT_KONFLUX_TAKES_FOR_RUN = re.compile(r"\s*run\s", re.IGNORECASE)


_ALLOWED = frozenset(
    {"ADD", "ARG", "COPY", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME"}
    | {"WORKDIR"}
)


_REFUSED = {
    "FROM": "a hook stands inside a stage, and stages are the template's",
    "ENTRYPOINT": "the entry point is the template's, and would take its place",
    "CMD": "the entry point is the template's, and would take its place",
    "SHELL": "podman ignores it in OCI images and docker does not",
    "ONBUILD": "it would run in another build",
    "MAINTAINER": "it is a label since years: write LABEL",
}


# The template itself sets it.
_TAKEN = frozenset({"BASE_IMAGE"})


def check_variable(name: str, value: str) -> None:
    r"""Check a variable whose value goes between double quotes in an ENV instruction.

    ``$NAME``, ``${NAME}``, ``${NAME:-word}`` and ``${NAME:+word}`` refer to variables of the base image
    or above; ``\$`` is a dollar that means itself.

    Raises:
        SpecError: the name is not a variable's, or engines read the value in different ways.
    """
    if not _VARIABLE.fullmatch(name) or name in _TAKEN:
        raise SpecError(
            f"hooks.environment: {name!r} cannot be the name of a variable",
            solution="Use letters, digits and underscores, no digit first; BASE_IMAGE is the template's.",
        )
    rest = _REFERENCE.sub("", value)
    if "\n" in value or "\t" in value or _CONTROL.search(value):
        problem = "more than one line, or a control character"
    elif "\\" in rest:
        problem = "a backslash, which podman and docker read in different ways"
    elif "$" in rest:
        problem = "a $ that begins no reference"
    else:
        return
    raise SpecError(
        f"hooks.environment: the value of {name} has {problem}",
        solution=r"Write one line; ${NAME} refers to a variable and \$ is a dollar. What needs more is "
        "an ENV instruction in hooks.before-install.",
    )


def check_system_package(name: str) -> None:
    """Check a package or group for dnf: a name with an optional version, globs allowed.

    Raises:
        SpecError: it is an option, a path, a URL, or has characters that a shell would read.
    """
    if not _PACKAGE.fullmatch(name):
        raise SpecError(
            f"hooks.system-packages: {name!r} is not the name of a system package",
            solution="Write names such as libibverbs-utils or gcc-c++-11*; an option or a URL belongs into a "
            "RUN instruction in hooks.midstream.",
        )


def check_own_file(path: str) -> None:
    """Check the path of a file of the flavor's own, relative to its folder.

    Raises:
        SpecError: it leaves the folder, or is the name of a file that every flavor folder has.
    """
    parts = path.split("/")
    plain = all(_PATH_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
    if not plain or _NOT_OWN.fullmatch(PurePosixPath(path).name):
        raise SpecError(
            f"hooks.files: {path!r} cannot be a file of the flavor's own",
            solution="Give a plain path inside the folder, such as sitecustomize.py; not a Dockerfile, a "
            "lock or pyproject.toml.",
        )


def check_instructions(text: str, *, of: str) -> None:
    """Check that a hook is whole Dockerfile instructions that change nothing outside of it.

    Raises:
        SpecError: one is cut short or unknown, begins a stage, or is in a form that Konflux cannot
            rewrite (exec form, heredoc); or the text has the marker of a MIDSTREAM ONLY block.
    """
    problem = next(_problems(text), None)
    if problem is not None:
        raise SpecError(
            f"{of}: {problem}",
            solution="Write whole instructions, RUN as a plain shell line; what is for the midstream "
            "build alone goes into hooks.midstream.",
        )


def _problems(text: str) -> Iterator[str]:
    if _CONTROL.search(text):
        yield "it has a control character"
    if _MARKER.search(text):
        yield "it has the marker or the banner of a MIDSTREAM ONLY block, which is the template's"
    lines = text.split("\n")
    written = [line.rstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if written and written[-1].endswith("\\"):
        yield "its last instruction is cut short: it ends in a backslash"
    if re.match(r"\s*#\s*escape\s*=", text, re.IGNORECASE):
        yield "it has a parser directive, which stands in the first line of a Dockerfile alone"
    for number, what in read_differently(lines):
        yield f"line {number} has {what}"
    for instruction in read_instructions(lines):
        yield from (f"line {instruction.line}: {problem}" for problem in _of_one(instruction))


def _of_one(instruction: Instruction) -> Iterator[str]:
    name, text = instruction.name, instruction.text
    first = instruction.pieces[0][1].split()[0].upper()
    if first in _REFUSED:
        yield f"{first} is not for a hook: {_REFUSED[first]}"
    elif name not in _ALLOWED:
        yield f"{name!r} begins no instruction"
    elif not text:
        yield f"{name} has nothing after it"
    if instruction.heredoc is not None or (name in {"RUN", "COPY", "ADD"} and opens_heredoc(text)):
        yield "a heredoc, which Konflux cannot rewrite"
    if name == "RUN" and instruction.is_exec_form:
        yield "RUN in exec form, which Konflux cannot rewrite"
    for option in unsafe_run_options(instruction):
        yield f"RUN {option}, which opens the build to what is outside of it"
    if name == "ARG" and not _TAKEN.isdisjoint(instruction.declared):
        yield "ARG BASE_IMAGE is the template's"
    if name == "ENV" and re.search(r"(?:^|\s)BASE_IMAGE[=\s]", text):
        yield "ENV BASE_IMAGE would take the place of the template's"
    if any(_LINE_THAT_KONFLUX_TAKES_FOR_RUN.match(piece) for _, piece in instruction.pieces[1:]):
        yield "a continued line begins with RUN, which Konflux would rewrite"
