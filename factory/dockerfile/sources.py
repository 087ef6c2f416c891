"""What a Dockerfile takes from its build context, and which arguments it takes."""

import csv
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.shell import exec_form
from factory.dockerfile.stages import FROM, assign, expand

_SAFE_VALUES = {"--network": ("none", "default"), "--security": ("sandbox",)}
_TARGET = {"type", "target", "dst", "destination", "ro", "readonly", "rw", "readwrite", "z", "Z"}
_SAFE_MOUNTS = {
    "bind": frozenset({*_TARGET, "source", "src", "from"}),
    "cache": frozenset({*_TARGET, "id", "sharing", "from", "source", "src", "mode", "uid", "gid"}),
    "tmpfs": frozenset({*_TARGET, "size", "tmpfs-size", "mode", "tmpfs-mode"}),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one COPY, ADD or bind mount takes from the context: a path or a pattern, relative to its root.

    ``.`` is the whole context. ``pattern`` may still hold a variable that nothing sets.
    """

    line: int
    pattern: str


def arguments(instructions: Sequence[Instruction]) -> frozenset[str]:
    """The names of the build arguments that a Dockerfile takes."""
    return frozenset(name for item in instructions if item.name == "ARG" for name in _names(item))


def context_sources(instructions: Sequence[Instruction], given: Mapping[str, str]) -> tuple[Source, ...]:
    """What a Dockerfile takes from its context, in its order; ``given`` are build arguments.

    Sources that are other images, stages, addresses and heredocs are none of it.
    """
    found: list[Source] = []
    outer: dict[str, str] = {}
    stages: dict[str, dict[str, str]] = {}
    scope = outer
    for item in instructions:
        if item.name == "FROM":
            match = FROM.fullmatch(item.text)
            # A stage goes on with the variables of the one that it stands on.
            scope = dict(stages.get(match["image"].lower(), {})) if match else {}
            if match and match["stage"]:
                stages[match["stage"].lower()] = scope
        elif item.name in {"ARG", "ENV"}:
            assign(item, scope, outer)
            if item.name == "ARG":
                scope |= {name: given[name] for name in _names(item) if name in given}
        else:
            found += [
                Source(line=item.line, pattern=_in_context(expand(text, scope))) for text in _sources(item)
            ]
    return tuple(found)


def _names(item: Instruction) -> tuple[str, ...]:
    return tuple(word.partition("=")[0] for word in _words(item.text))


def _sources(item: Instruction) -> Iterator[str]:
    options = item.flags
    if item.name in {"COPY", "ADD"}:
        if not any(option.startswith("--from=") for option in options):
            yield from (word for word in _words(item.operands)[:-1] if not _is_elsewhere(word))
    elif item.name == "RUN":
        for option in options:
            if option.startswith("--mount="):
                yield from _bound(option.removeprefix("--mount="))


def _words(text: str) -> Sequence[str]:
    words = exec_form(text)
    if words is not None:
        return words
    try:
        return shlex.split(text)
    except ValueError:  # a quote that does not close; the builder will say so
        return text.split()


def _is_elsewhere(word: str) -> bool:
    return "://" in word or word.startswith(("<<", "git@"))


def unsafe_run_options(instruction: Instruction) -> tuple[str, ...]:
    """Return the options of a RUN that open the build to what is outside of it, as written.

    That is another network than none, privileges, what the person or service that builds holds (secrets, SSH
    agents), and mounts with options that are not plain. Caches, temporary folders and bind mounts from the
    context or a stage are not among them.
    """
    if instruction.name != "RUN":
        return ()
    return tuple(flag for flag in instruction.flags if not _is_safe(flag))


def _is_safe(flag: str) -> bool:
    option, _, value = flag.partition("=")
    if option == "--mount":
        options = mount_options(value)
        allowed = _SAFE_MOUNTS.get(options.get("type", "bind"))
        return allowed is not None and set(options) <= allowed
    return value in _SAFE_VALUES.get(option, ())


def mount_options(mount: str) -> dict[str, str]:
    """Return the options of a mount, the value of ``--mount=``, by name; a switch has an empty value."""
    row = next(csv.reader([mount]), [])
    return dict(part.partition("=")[::2] for part in row)


def _bound(mount: str) -> Iterator[str]:
    """What a bind mount shows of the context; bind is what a mount without a type is."""
    options = mount_options(mount)
    if options.get("type", "bind") == "bind" and not options.get("from"):
        yield options.get("source") or options.get("src") or "."


def _in_context(path: str) -> str:
    """A path as the builder takes it: relative to the context's root, with whatever leads out kept."""
    return posixpath.normpath(path.lstrip("/") or ".")
