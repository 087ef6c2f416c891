"""The hooks under construction: kept instructions, in order, with their context."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal

from factory.adopt.dockerfile import OldInstruction
from factory.adopt.folder import Folder
from factory.adopt.template import TemplateContent
from factory.dockerfile.instructions import pair_text, references
from factory.flavor.hooks import Hooks

HookName = Literal["midstream", "before-install", "after-install"]
WORKDIR = "/opt/app-root/src"
"""The folder that the base image starts in, as does the template's image."""
NO_RELATIVE = ("/", "$", '"')
"""The start of a WORKDIR that does not depend on the one before."""
_FIRST_USER: Mapping[HookName, str] = {"midstream": "0", "before-install": "1001", "after-install": "1001"}


@dataclass(frozen=True, kw_only=True)
class Around:
    """The context for placing an instruction: folder, template content, draft, and position.

    ``copied`` are the stages whose installed packages are copied into the image. ``hook`` is where the
    instruction goes; ``user`` and ``workdir`` are those in force, several if relative to one another.
    """

    folder: Folder
    template: TemplateContent
    draft: "Draft"
    copied: frozenset[int] = frozenset()
    hook: HookName = "after-install"
    user: OldInstruction | None = None
    workdir: tuple[OldInstruction, ...] = ()

    def keep(self, step: OldInstruction, text: str, hook: HookName | None = None) -> None:
        """Append an instruction to a hook, with its context."""
        self.draft.keep(hook or self.hook, text, step, self.user, self.workdir)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An instruction in a hook, with the USER and WORKDIR in force.

    ``arguments`` are the ARG names with their values at that point.
    """

    text: str
    step: OldInstruction
    user: OldInstruction | None
    workdir: tuple[OldInstruction, ...]
    arguments: Mapping[str, str | None]

    @property
    def folder(self) -> str | None:
        """Return the full WORKDIR; None if the image's own was in force."""
        if not self.workdir:
            return None
        texts = [step.text.strip() for step in self.workdir]
        start = [] if texts[0].startswith(NO_RELATIVE) else [WORKDIR]
        return PurePosixPath(*start, *texts).as_posix()


@dataclass(kw_only=True)
class Draft:
    """The kept instructions; ``arguments`` are ARG names with their values or None.

    ``comments`` are those above the ENV instructions, by the first variable of each.
    """

    environment: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    system_packages: dict[str, None] = field(default_factory=dict)
    requirements: dict[str, OldInstruction] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    texts: dict[HookName, list[Kept]] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)

    def keep(
        self,
        hook: HookName,
        text: str,
        step: OldInstruction,
        user: OldInstruction | None = None,
        workdir: tuple[OldInstruction, ...] = (),
    ) -> None:
        """Append an instruction to a hook."""
        kept = Kept(text=text, step=step, user=user, workdir=workdir, arguments=dict(self.arguments))
        self.texts.setdefault(hook, []).append(kept)

    def snapshot(self) -> "Draft":
        """Return a copy for `restore`."""
        return replace(
            self,
            environment=dict(self.environment),
            comments=dict(self.comments),
            system_packages=dict(self.system_packages),
            requirements=dict(self.requirements),
            files=dict(self.files),
            texts={hook: list(texts) for hook, texts in self.texts.items()},
        )

    def restore(self, before: "Draft") -> None:
        """Restore a snapshot."""
        self.environment, self.comments = before.environment, before.comments
        self.system_packages = before.system_packages
        self.requirements, self.files, self.texts = before.requirements, before.files, before.texts

    def kept(self) -> Iterable[Kept]:
        """Return every kept instruction, hook by hook."""
        return (kept for texts in self.texts.values() for kept in texts)

    def variables_in_texts(self) -> frozenset[str]:
        """Return the variables that ENV instructions in the hooks set."""
        steps = [kept.step for kept in self.kept() if kept.step.name == "ENV"]
        return frozenset(name for step in steps for name, _ in step.instruction.pairs or ())

    def needed_arguments(self) -> frozenset[str]:
        """Return the ARG names that kept instructions refer to."""
        return frozenset().union(*map(_used, self.kept())) & frozenset(self.arguments)

    def hooks(self) -> Hooks:
        """Return the hooks for the spec."""
        return Hooks(
            environment=tuple(self.environment.items()),
            system_packages=tuple(self.system_packages),
            midstream=self._text("midstream"),
            before_install=self._text("before-install"),
            after_install=self._text("after-install"),
            files=tuple(self.files),
        )

    def _text(self, hook: HookName) -> str:
        texts = self.texts.get(hook, [])
        used = frozenset[str]().union(*map(_used, texts))
        declared = {
            name: next(
                kept.arguments[name] for kept in texts if name in _used(kept) and name in kept.arguments
            )
            for name in self.arguments
            if any(name in _used(kept) and name in kept.arguments for kept in texts)
        }
        lines = [_argument(name, value) for name, value in declared.items()]
        if hook == "midstream":
            # Settings of both builds go below the block.
            lines += [
                f"ENV {pair_text(name, value)}" for name, value in self.environment.items() if name in used
            ]
        user, workdir = _FIRST_USER[hook], None
        for kept in texts:
            again = {
                name: kept.arguments[name]
                for name in declared
                if name in _used(kept) and name in kept.arguments
            }
            lines += [_argument(*pair) for pair in again.items() if declared[pair[0]] != pair[1]]
            declared |= again
            wanted = {"root": "0"}.get(kept.user.text, kept.user.text) if kept.user is not None else user
            if kept.step.name == "RUN" and wanted != user:
                user = wanted
                lines.append(f"USER {user}")
            if kept.folder is not None and kept.folder != workdir:
                workdir = kept.folder
                lines.append(f"WORKDIR {workdir}")
            lines += [line for line in (kept.step.comment, kept.text) if line]
        return "\n".join(lines)


def _used(kept: Kept) -> frozenset[str]:
    """Return the names that a text refers to, also through the values of ARGs."""
    waiting = set(references(kept.text))
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= references(kept.arguments.get(name) or "") - found
    return frozenset(found)


def _argument(name: str, value: str | None) -> str:
    return f"ARG {name}" + ("" if value is None else f"={_quoted(value)}")


def _quoted(value: str) -> str:
    return value if value.isalnum() else f'"{value}"'
