"""A RUN instruction of the final stage or of a builder, placed."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from factory.adopt.chain import split_chain
from factory.adopt.commands import BY_TEMPLATE, Part, read_part
from factory.adopt.dockerfile import Step
from factory.adopt.draft import Draft, HookName, Kept
from factory.adopt.given import Given
from factory.adopt.placement import Place, Placement, not_kept, placed
from factory.dockerfile.shell import exec_form

_FLAGS = re.compile(r"^(?:--[a-z]+(?:=\S+)?\s+)*")
_DOES = {
    "install": "the install layer",
    "packages": "its list of system packages",
    "template": "the install layer",
}
_DROPPED = frozenset({"install", "packages", "requirements", "tools"})
_CLEANING = re.compile(r"(?:dnf5?|microdnf|yum)\s+(?:-\S+\s+)*clean\b|rm\s.*/var/cache/(?:dnf|yum)")


@dataclass(frozen=True, kw_only=True)
class Around:
    """Where an instruction of the final stage stands: its hook, and the USER and WORKDIR in force.

    ``workdir`` are several where they are relative to one another.
    """

    hook: HookName
    user: Step | None
    workdir: tuple[Step, ...]


def read_run(step: Step) -> tuple[tuple[Part, ...], bool]:
    """The parts of a RUN instruction, and whether they can be taken apart."""
    text = shell_text(step)
    parts = split_chain(text)
    chained = parts or (text,)
    found = tuple(read_part(part, step.variables, in_block=step.in_block) for part in chained if part)
    return found, parts is not None


def shell_text(step: Step) -> str:
    """What the shell is given: exec form as a shell line, without the flags of RUN."""
    text = _FLAGS.sub("", step.text)
    words = exec_form(text)
    return text if words is None else shlex.join(words)


def is_install(step: Step) -> bool:
    """Whether a RUN instruction installs the lock."""
    return step.name == "RUN" and any(part.kind == "install" for part in read_run(step)[0])


def only_installs(step: Step) -> bool:
    """Whether a RUN instruction installs the lock, and does nothing that the template does not."""
    parts = read_run(step)[0]
    kinds = {part.kind for part in parts}
    plain = step.instruction.heredoc is None and "install" in kinds and kinds <= BY_TEMPLATE
    return plain and not _requirements(parts)


def place_run(step: Step, around: Around, draft: Draft, given: Given) -> Placement:
    """Place a RUN instruction of the final stage."""
    read, plain = read_run(step)
    parts = tuple(_known(part, draft, given) for part in read)
    kinds = {part.kind for part in parts}
    refusal = _refusal(step, parts, plain=plain)
    if refusal is not None:
        return not_kept(step, *refusal)
    if not kinds & {"own", "midstream"} and not _requirements(parts):
        return _packages(step, parts, draft, given)
    if (step.in_block and "own" in kinds) or "midstream" in kinds:
        draft.keep("midstream", _source(step), step, around.user, around.workdir)
        why = "" if step.in_block else "system packages are midstream's"
        return placed(step, "hook", "hooks.midstream", why)
    return _own(step, parts, around, draft, given)


def _requirements(parts: Iterable[Part]) -> tuple[str, ...]:
    """What is installed by name, and belongs into the lock."""
    names = (name for part in parts if part.kind in {"requirements", "install"} for name in part.names)
    return tuple(dict.fromkeys(names))


def _known(part: Part, draft: Draft, given: Given) -> Part:
    """A part that the template has as well is no longer the folder's own.

    Rights are, where something of the folder's own stands beside what the template installs.
    """
    if part.kind == "rights":
        return replace(part, kind="own") if any(map(_writes_there, draft.kept())) else part
    return replace(part, kind="template") if part.text in given.parts and part.kind == "own" else part


def _writes_there(kept: Kept) -> bool:
    """Whether what is kept may put files below the folder that packages are installed to."""
    if kept.step.name in {"COPY", "ADD"}:
        return re.search(r"\s(?:/opt/app-root|[^/\s])\S*$", kept.text.rstrip()) is not None
    return kept.step.name == "RUN" and "/opt/app-root" in kept.text


def _refusal(step: Step, parts: tuple[Part, ...], *, plain: bool) -> tuple[str, str] | None:
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


def place_builder_run(step: Step, draft: Draft, *, copied: bool) -> Placement:
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
    return f"{', '.join(requirements)} was installed beside the lock (field note 20)"


def _packages(step: Step, parts: tuple[Part, ...], draft: Draft, given: Given) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own = [name for name in names if not given.has_package(name)]
    if own:
        draft.system_packages |= dict.fromkeys(own)
        why = "" if step.in_block else "; they are midstream's: the downstream base image has to bring them"
        return placed(step, "hook", "hooks.system-packages", f"{', '.join(own)}{why}")
    kinds = {part.kind for part in parts}
    kind = next((kind for kind in ("install", "packages") if kind in kinds), "template")
    return placed(step, "template", _DOES[kind], next((part.why for part in parts if part.why), ""))


def _own(step: Step, parts: tuple[Part, ...], around: Around, draft: Draft, given: Given) -> Placement:
    names = [name for part in parts if part.kind == "packages" for name in part.names]
    own_packages = [name for name in names if not given.has_package(name)]
    draft.system_packages |= dict.fromkeys(own_packages)
    requirements = _requirements(parts)
    draft.requirements |= dict.fromkeys(requirements, step)
    why = [_beside(requirements)] if requirements else []
    if any(part.kind == "install" for part in parts):
        why.append("the template installs the lock itself")
    if not any(part.kind == "own" for part in parts):
        place: Place = "hook" if own_packages else "spec"
        where = "dependencies and hooks.system-packages" if own_packages else "dependencies"
        return placed(step, place, where, "; ".join(why))
    rest = [part for part in parts if part.kind not in _DROPPED and not _is_cleaning(part)]
    whole = not any(part.kind in _DROPPED for part in parts)
    text = _source(step) if whole else "RUN " + " && \\\n    ".join(part.text for part in rest)
    draft.keep(around.hook, text, step, around.user, around.workdir)
    to = [f"hooks.{around.hook}"]
    to += ["hooks.system-packages"] if own_packages else []
    to += ["dependencies"] if requirements else []
    return placed(step, "hook", " and ".join(to), "; ".join(why))


def _is_cleaning(part: Part) -> bool:
    return part.kind == "template" and _CLEANING.match(part.text) is not None


def _source(step: Step) -> str:
    """The instruction as it is written, in shell form."""
    flags = _FLAGS.match(step.text)
    if exec_form(_FLAGS.sub("", step.text)) is None:
        return step.source
    return f"RUN {flags[0] if flags else ''}{shell_text(step)}"
