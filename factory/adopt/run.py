"""Place a RUN instruction of the final stage or of a builder."""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from factory.adopt.commands import BY_TEMPLATE, INSTALLED, SYSTEM, Part, read_run
from factory.adopt.dockerfile import OldInstruction
from factory.adopt.draft import WORKDIR, Around, Draft, Kept
from factory.adopt.placement import Place, Placement, not_kept, placed
from factory.dockerfile.instructions import expand, read_instructions
from factory.dockerfile.shell import commands

_DOES = {
    "install": "the install layer",
    "packages": "its list of system packages",
    "template": "the install layer",
}
_DROPPED = frozenset({"install", "packages", "requirements", "tools", "rights"})
# What changes the packages that dnf finds: a repository, a key, a module.
_SETS_DNF_UP = re.compile(
    r"yum\.repos\.d|rpm\s+--import|config-manager|subscription-manager|\bmodule\b|\.rpm\b"
)
_CLEANING = re.compile(r"(?:dnf5?|microdnf|yum)\s+(?:-\S+\s+)*clean\b|rm\s.*/var/cache/(?:dnf|yum)")


def only_installs(step: OldInstruction, draft: Draft) -> bool:
    """Return whether a RUN only installs the lock, as the template does."""
    read = read_run(step)[0]
    parts = [narrowed(part, draft) if part.kind == "rights" else part for part in read]
    kinds = {part.kind for part in parts}
    plain = step.instruction.heredoc is None and "install" in kinds and kinds <= BY_TEMPLATE
    return plain and not _requirements(parts)


def place_run(step: OldInstruction, around: Around) -> Placement:
    """Place a RUN instruction of the final stage."""
    read, plain = read_run(step)
    parts = tuple(_known(read, step, around))
    kinds = {part.kind for part in parts}
    refusal = _refusal(step, parts, plain=plain)
    if refusal is not None:
        return not_kept(step, *refusal)
    is_late = step.in_block and "packages" in kinds and any(map(_prepares_dnf, around.draft.kept()))
    if "midstream" in kinds or (step.in_block and "own" in kinds) or is_late:
        return _midstream(step, parts, around, plain=plain)
    if "own" not in kinds and not _requirements(parts):
        return _packages(step, parts, around)
    return _own(step, parts, around)


def _requirements(parts: Iterable[Part]) -> tuple[str, ...]:
    """Return the requirements installed by name, which belong in the lock."""
    names = (name for part in parts if part.kind in {"requirements", "install"} for name in part.names)
    return tuple(dict.fromkeys(names))


def _known(parts: Iterable[Part], step: OldInstruction, around: Around) -> Iterator[Part]:
    """Yield the parts, with rights narrowed and the template's own marked."""
    earlier: list[Kept] = []
    for part in parts:
        if part.kind == "rights":
            found = narrowed(part, around.draft, earlier)
            # Left out if it is alone; kept beside other commands.
            is_left_out = found.kind == "refused" and bool(earlier)
            yield replace(found, kind="rights") if is_left_out else found
        elif part.kind == "own" and part.text in around.template.parts:
            yield replace(part, kind="template")
        else:
            yield part
        if part.kind == "own":
            earlier.append(
                Kept(
                    text=f"RUN {part.text}",
                    step=step,
                    user=around.user,
                    workdir=around.workdir,
                    arguments={},
                )
            )


def _refusal(step: OldInstruction, parts: tuple[Part, ...], *, plain: bool) -> tuple[str, str] | None:
    """Return why a RUN cannot be kept, and a solution; None if it can."""
    kinds = {part.kind for part in parts}
    refused = [part for part in parts if part.kind == "refused"]
    if step.instruction.heredoc is not None:
        return (
            "a heredoc, which Konflux cannot rewrite (FAC406)",
            "Write it as a plain shell line: RUN first && …",
        )
    if refused:
        return refused[0].why, refused[0].solution
    if "own" not in kinds or step.in_block:
        return None
    if "midstream" in kinds:
        return (
            "it installs system packages in a way of its own and does other things as well",
            "Divide it: what dnf does goes into hooks.midstream, the rest into hooks.after-install.",
        )
    if kinds & _DROPPED and not plain:
        return (
            "it installs packages and does other things as well, in a way that cannot be taken apart",
            "Put what is the folder's own into hooks.after-install as an instruction of its own.",
        )
    return None


def place_builder_run(step: OldInstruction, around: Around) -> Placement:
    """Place a RUN of an earlier stage: its packages are installed in the final one."""
    parts, _ = read_run(step)
    requirements = _requirements(parts)
    refused = [part for part in parts if part.kind == "refused"]
    if refused:
        return not_kept(step, refused[0].why, refused[0].solution)
    if all(part.kind in BY_TEMPLATE | {"requirements"} for part in parts):
        if not requirements:
            return placed(
                step, "template", "the install layer", "packages are installed once, in the final stage"
            )
        if step.stage in around.copied:
            around.draft.requirements |= dict.fromkeys(requirements, step)
            return placed(step, "spec", "dependencies", _beside(requirements))
        return not_kept(
            step,
            f"it installs {', '.join(requirements)} in a stage whose packages are not copied into the image",
            "Nothing, where only that stage needed it; else name it in [project] dependencies.",
        )
    if all(part.kind in BY_TEMPLATE | {"packages", "midstream"} for part in parts):
        return not_kept(
            step,
            "system packages for compiling in a builder stage: the lock holds wheels, nothing is compiled",
            "Where a package has no wheel, `factory index-gaps` says so, for the index's owners to build it.",
        )
    also = f", and installs {', '.join(requirements)} there" if requirements else ""
    return not_kept(
        step,
        f"it prepares something in a builder stage of the folder's own{also}",
        "Keep the result as a file in the flavor's folder, or do it in hooks.after-install.",
    )


def _beside(requirements: Iterable[str]) -> str:
    return f"installed beside the lock until now (field note 20): {', '.join(requirements)}"


def _packages(step: OldInstruction, parts: tuple[Part, ...], around: Around) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own, said = _system_packages(names, around)
    if own:
        why = "" if step.in_block else "; they are midstream's: the downstream base image has to bring them"
        return placed(step, "hook", "hooks.system-packages", f"{said}{why}")
    kinds = {part.kind for part in parts}
    kind = next((kind for kind in ("install", "packages") if kind in kinds), "template")
    return placed(step, "template", _DOES[kind], next((part.why for part in parts if part.why), ""))


def _system_packages(names: Iterable[str], around: Around) -> tuple[list[str], str]:
    """Add packages that the template lacks to the hook; return it with a note."""
    own = [name for name in names if not around.template.has_package(name)]
    around.draft.system_packages |= dict.fromkeys(own)
    entries = {name: around.template.pinned_by(name) for name in own}
    said = [
        f"{name} in place of the template's {entry}" if entry else name for name, entry in entries.items()
    ]
    return own, ", ".join(said)


def _midstream(step: OldInstruction, parts: tuple[Part, ...], around: Around, *, plain: bool) -> Placement:
    """Keep the folder's own part of a MIDSTREAM ONLY block in its hook."""
    named = [name for part in parts if part.kind in {"packages", "midstream"} for name in part.names]
    requirements = _requirements(parts)
    if not plain:
        words = (word for call in step.instruction.commands if call[0] in SYSTEM for word in call[1:])
        named = [expand(word, step.variables) for word in words]
        requirements = tuple(word for call in step.pip_calls for word in call.packages)
    repeated = [name for name in named if around.template.has_package(name)]
    if not plain and (repeated or requirements):
        return not_kept(
            step,
            f"it installs {', '.join(repeated or requirements)} in a way that cannot be taken apart, and "
            f"{'the template does as well' if repeated else 'that belongs into the lock'}",
            "Leave that out of it, and put the rest into hooks.midstream.",
        )
    around.draft.requirements |= dict.fromkeys(requirements, step)
    why = [] if step.in_block else ["system packages are midstream's"]
    why += [f"the template installs {', '.join(repeated)}"] if repeated else []
    why += [_beside(requirements)] if requirements else []
    to = ["hooks.midstream"]
    if repeated or requirements or any(part.kind in {"packages", "rights"} for part in parts):
        texts, early = _split_parts(step, parts, around)
        _, said = _system_packages(early, around)
        to = ["hooks.midstream"] * bool(texts) + ["hooks.system-packages"] * bool(early)
        why += [said] if said else []
        text = _chained(step, texts) if texts else ""
    else:
        text = _source(step)
    if text:
        around.keep(step, text, "midstream")
    to += ["dependencies"] if requirements else []
    if not to:
        return placed(step, "template", _DOES["packages"], "; ".join(why))
    return placed(step, "hook", " and ".join(to), "; ".join(why))


def _split_parts(
    step: OldInstruction, parts: tuple[Part, ...], around: Around
) -> tuple[list[str], list[str]]:
    """Split a RUN into parts to keep, and packages for the template's own install.

    The template installs before the block's hook: packages installed after a change of dnf's setup, such as
    another repository, stay in the hook.
    """
    kept: list[Part] = []
    early: list[str] = []
    is_late = any(map(_prepares_dnf, around.draft.kept()))
    for part in parts:
        if part.kind in {"install", "requirements", "tools", "rights"}:
            continue
        if part.kind == "packages" and not is_late:
            early += [name for name in part.names if not around.template.has_package(name)]
            continue
        if part.kind in {"packages", "midstream"} and part.names:
            own = [name for name in part.names if not around.template.has_package(name)]
            if own:
                kept.append(replace(part, text=_without_template_packages(part.text, step, around)))
            continue
        is_late = is_late or _SETS_DNF_UP.search(part.text) is not None
        kept.append(part)
    needs_cleaning = any(part.kind in {"packages", "midstream"} for part in kept)
    kept = [part for part in kept if needs_cleaning or not _is_cleaning(part)]
    return [part.text for part in kept] if any(part.kind != "template" for part in kept) else [], early


def _without_template_packages(text: str, step: OldInstruction, around: Around) -> str:
    """Return a call of dnf without the packages that the template installs."""
    words = text.split()
    names = {word: expand(word.strip("\"'"), step.variables) for word in words}
    return " ".join(word for word in words if not around.template.has_package(names[word]))


def _prepares_dnf(kept: Kept) -> bool:
    return kept.step.in_block and _SETS_DNF_UP.search(kept.text) is not None


def _own(step: OldInstruction, parts: tuple[Part, ...], around: Around) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own_packages, said = _system_packages(names, around)
    requirements = _requirements(parts)
    around.draft.requirements |= dict.fromkeys(requirements, step)
    why = [_beside(requirements)] if requirements else []
    why += [said] if said else []
    if any(part.kind == "install" for part in parts):
        why.append("the template installs the lock itself")
    why += list(dict.fromkeys(part.why for part in parts if part.kind == "own" and part.why))
    why += [
        f"without {part.text}: {part.why}. {part.solution}"
        for part in parts
        if part.kind == "rights" and part.solution
    ]
    if not any(part.kind == "own" for part in parts):
        place: Place = "hook" if own_packages else "spec"
        where = "dependencies and hooks.system-packages" if own_packages else "dependencies"
        return placed(step, place, where, "; ".join(why))
    rest = [part.text for part in parts if part.kind not in _DROPPED and not _is_cleaning(part)]
    whole = not any(part.kind in _DROPPED or part.text not in step.text for part in parts)
    around.keep(step, _source(step) if whole else _chained(step, rest))
    to = [f"hooks.{around.hook}"]
    to += ["hooks.system-packages"] if own_packages else []
    to += ["dependencies"] if requirements else []
    return placed(step, "hook", " and ".join(to), "; ".join(why))


def _chained(step: OldInstruction, texts: Iterable[str]) -> str:
    """Return a RUN instruction of some of its parts, with its flags."""
    return f"RUN {step.instruction.flags_text}" + " && \\\n    ".join(texts)


def _is_cleaning(part: Part) -> bool:
    return part.kind == "template" and _CLEANING.match(part.text) is not None


def _source(step: OldInstruction) -> str:
    """Return the original instruction in shell form."""
    if not step.instruction.is_exec_form:
        return step.source
    return f"RUN {step.instruction.flags_text}{step.instruction.shell_text}"


_ENVIRONMENT = PurePosixPath("/opt/app-root")
# Folders of the environment that hold installed packages, and perhaps the folder's own files.
_SHARED = frozenset({"", "bin", "etc", "include", "lib", "lib64", "share", "src"})
_SITE = re.compile(r"lib(?:64)?/python[^/]*(?:/site-packages)?")
_MAKES = frozenset({"mkdir", "touch", "cp", "mv", "install", "ln"})
_NARROWED = "the install gives packages these rights; what the folder puts there itself keeps the command"


def narrowed(part: Part, draft: Draft, earlier: Iterable[Kept] = ()) -> Part:
    """Narrow a command that sets rights over all packages to the folder's files.

    ``earlier`` are the kept parts of the same instruction.

    Returns:
        The part itself if no kept file is below the folder of packages; a part of kind ``own`` with the paths
        that are; one of kind ``refused`` if these cannot be known.
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
    return replace(part, kind="own", text=" && ".join(_narrowed_commands(part.text, found)), why=_NARROWED)


def _narrowed_commands(text: str, paths: tuple[str, ...]) -> Iterator[str]:
    for command in commands(text):
        words = [word for word in command if not INSTALLED.fullmatch(word)]
        if command[0] == "fix-permissions":
            # It takes one path.
            yield from (shlex.join([words[0], path, *words[1:]]) for path in paths)
        else:
            yield shlex.join([*words, *paths])


def _written(kept: Kept, draft: Draft) -> Iterator[str | None]:
    """Yield the paths below the environment that an instruction writes; None if unknown."""
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
        named = [word for word in command if str(_ENVIRONMENT) in word]
        for word in named:
            plain = word[word.index(str(_ENVIRONMENT)) :]
            yield plain if word == plain else None
        if program in _MAKES:
            targets = arguments if program in {"mkdir", "touch"} else arguments[-1:]
            relative = [word for word in targets if not word.startswith(("/", "$", "~"))]
            yield from (PurePosixPath(kept.folder or WORKDIR, word).as_posix() for word in relative)


def _is_below(path: str) -> bool:
    return PurePosixPath(path).is_relative_to(_ENVIRONMENT)


def _is_shared(path: str) -> bool:
    if not _is_below(path):
        return False
    rest = PurePosixPath(path).relative_to(_ENVIRONMENT).as_posix()
    return rest == "." or rest in _SHARED or _SITE.fullmatch(rest) is not None
