"""A RUN instruction of the final stage or of a builder, placed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from factory.adopt.commands import BY_TEMPLATE, SYSTEM, Part, read_run
from factory.adopt.dockerfile import OldInstruction
from factory.adopt.draft import Around, Draft, Kept
from factory.adopt.given import Given
from factory.adopt.placement import Place, Placement, not_kept, placed
from factory.adopt.rights import narrowed
from factory.check.installs import pip_call
from factory.dockerfile.instructions import expand

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
    """Whether a RUN instruction installs the lock, and does nothing that the template does not."""
    read = read_run(step)[0]
    parts = [narrowed(part, draft) if part.kind == "rights" else part for part in read]
    kinds = {part.kind for part in parts}
    plain = step.instruction.heredoc is None and "install" in kinds and kinds <= BY_TEMPLATE
    return plain and not _requirements(parts)


def place_run(step: OldInstruction, around: Around, draft: Draft, given: Given) -> Placement:
    """Place a RUN instruction of the final stage."""
    read, plain = read_run(step)
    parts = tuple(_known(read, step, around, draft, given))
    kinds = {part.kind for part in parts}
    refusal = _refusal(step, parts, plain=plain)
    if refusal is not None:
        return not_kept(step, *refusal)
    is_late = step.in_block and "packages" in kinds and any(map(_prepares_dnf, draft.kept()))
    if "midstream" in kinds or (step.in_block and "own" in kinds) or is_late:
        return _midstream(step, parts, around, draft, given, plain=plain)
    if "own" not in kinds and not _requirements(parts):
        return _packages(step, parts, draft, given)
    return _own(step, parts, around, draft, given)


def _requirements(parts: Iterable[Part]) -> tuple[str, ...]:
    """What is installed by name, and belongs into the lock."""
    names = (name for part in parts if part.kind in {"requirements", "install"} for name in part.names)
    return tuple(dict.fromkeys(names))


def _known(
    parts: Iterable[Part], step: OldInstruction, around: Around, draft: Draft, given: Given
) -> Iterator[Part]:
    """The parts, of which the template's own are not the folder's, and rights are for its own files alone."""
    earlier: list[Kept] = []
    for part in parts:
        if part.kind == "rights":
            found = narrowed(part, draft, earlier)
            # Beside other commands, which stay, it is left out alone.
            is_left_out = found.kind == "refused" and bool(earlier)
            yield replace(found, kind="rights") if is_left_out else found
        elif part.kind == "own" and part.text in given.parts:
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
    """Why a RUN instruction cannot be kept, and what to do; None where it can."""
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


def place_builder_run(step: OldInstruction, draft: Draft, *, copied: bool) -> Placement:
    """Place a RUN instruction of an earlier stage: what it installs is installed in the final one.

    ``copied`` is whether the packages of that stage are copied into the image.
    """
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
        if copied:
            draft.requirements |= dict.fromkeys(requirements, step)
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


def _packages(step: OldInstruction, parts: tuple[Part, ...], draft: Draft, given: Given) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own, said = _system_packages(names, draft, given)
    if own:
        why = "" if step.in_block else "; they are midstream's: the downstream base image has to bring them"
        return placed(step, "hook", "hooks.system-packages", f"{said}{why}")
    kinds = {part.kind for part in parts}
    kind = next((kind for kind in ("install", "packages") if kind in kinds), "template")
    return placed(step, "template", _DOES[kind], next((part.why for part in parts if part.why), ""))


def _system_packages(names: Iterable[str], draft: Draft, given: Given) -> tuple[list[str], str]:
    """Put what the template does not install into the hook; returned with what is to be said of it."""
    own = [name for name in names if not given.has_package(name)]
    draft.system_packages |= dict.fromkeys(own)
    entries = {name: given.pinned_by(name) for name in own}
    said = [
        f"{name} in place of the template's {entry}" if entry else name for name, entry in entries.items()
    ]
    return own, ", ".join(said)


def _midstream(
    step: OldInstruction, parts: tuple[Part, ...], around: Around, draft: Draft, given: Given, *, plain: bool
) -> Placement:
    """Keep in the MIDSTREAM ONLY block what is the folder's own there, without what the template installs."""
    named = [name for part in parts if part.kind in {"packages", "midstream"} for name in part.names]
    requirements = _requirements(parts)
    if not plain:
        calls = step.instruction.commands
        named = [expand(word, step.variables) for call in calls if call[0] in SYSTEM for word in call[1:]]
        requirements = tuple(word for call in map(pip_call, calls) if call for word in call.packages)
    repeated = [name for name in named if given.has_package(name)]
    if not plain and (repeated or requirements):
        return not_kept(
            step,
            f"it installs {', '.join(repeated or requirements)} in a way that cannot be taken apart, and "
            f"{'the template does as well' if repeated else 'that belongs into the lock'}",
            "Leave that out of it, and put the rest into hooks.midstream.",
        )
    draft.requirements |= dict.fromkeys(requirements, step)
    why = [] if step.in_block else ["system packages are midstream's"]
    why += [f"the template installs {', '.join(repeated)}"] if repeated else []
    why += [_beside(requirements)] if requirements else []
    to = ["hooks.midstream"]
    if repeated or requirements or any(part.kind in {"packages", "rights"} for part in parts):
        texts, early = _taken_apart(step, parts, draft, given)
        _, said = _system_packages(early, draft, given)
        to = ["hooks.midstream"] * bool(texts) + ["hooks.system-packages"] * bool(early)
        why += [said] if said else []
        text = _chained(step, texts) if texts else ""
    else:
        text = _source(step)
    if text:
        draft.keep("midstream", text, step, around.user, around.workdir)
    to += ["dependencies"] if requirements else []
    if not to:
        return placed(step, "template", _DOES["packages"], "; ".join(why))
    return placed(step, "hook", " and ".join(to), "; ".join(why))


def _taken_apart(
    step: OldInstruction, parts: tuple[Part, ...], draft: Draft, given: Given
) -> tuple[list[str], list[str]]:
    """The parts to keep in the block, and the packages that the template's own install can take.

    The template installs before the block's hook: what is installed after something that sets dnf up, such
    as another repository, stays where it is.
    """
    kept: list[Part] = []
    early: list[str] = []
    is_late = any(map(_prepares_dnf, draft.kept()))
    for part in parts:
        if part.kind in {"install", "requirements", "tools", "rights"}:
            continue
        if part.kind == "packages" and not is_late:
            early += [name for name in part.names if not given.has_package(name)]
            continue
        if part.kind in {"packages", "midstream"} and part.names:
            own = [name for name in part.names if not given.has_package(name)]
            if own:
                kept.append(replace(part, text=_without_given(part.text, step, given)))
            continue
        is_late = is_late or _SETS_DNF_UP.search(part.text) is not None
        kept.append(part)
    needs_cleaning = any(part.kind in {"packages", "midstream"} for part in kept)
    kept = [part for part in kept if needs_cleaning or not _is_cleaning(part)]
    return [part.text for part in kept] if any(part.kind != "template" for part in kept) else [], early


def _without_given(text: str, step: OldInstruction, given: Given) -> str:
    """A call of dnf without the packages that the template installs."""
    words = text.split()
    names = {word: expand(word.strip("\"'"), step.variables) for word in words}
    return " ".join(word for word in words if not given.has_package(names[word]))


def _prepares_dnf(kept: Kept) -> bool:
    return kept.step.in_block and _SETS_DNF_UP.search(kept.text) is not None


def _own(
    step: OldInstruction, parts: tuple[Part, ...], around: Around, draft: Draft, given: Given
) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own_packages, said = _system_packages(names, draft, given)
    requirements = _requirements(parts)
    draft.requirements |= dict.fromkeys(requirements, step)
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
    draft.keep(
        around.hook, _source(step) if whole else _chained(step, rest), step, around.user, around.workdir
    )
    to = [f"hooks.{around.hook}"]
    to += ["hooks.system-packages"] if own_packages else []
    to += ["dependencies"] if requirements else []
    return placed(step, "hook", " and ".join(to), "; ".join(why))


def _chained(step: OldInstruction, texts: Iterable[str]) -> str:
    """A RUN instruction of some of its parts, with the flags that it has."""
    return f"RUN {step.instruction.flags_text}" + " && \\\n    ".join(texts)


def _is_cleaning(part: Part) -> bool:
    return part.kind == "template" and _CLEANING.match(part.text) is not None


def _source(step: OldInstruction) -> str:
    """The instruction as it is written, in shell form."""
    if not step.instruction.is_exec_form:
        return step.source
    return f"RUN {step.instruction.flags_text}{step.instruction.shell_text}"
