"""The hooks as they come together: what is kept, in its order, with what it needs around it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from factory.adopt.dockerfile import Step, references
from factory.adopt.pairs import written
from factory.flavor.hooks import Hooks

HookName = Literal["midstream", "before-install", "after-install"]
_FIRST_USER: Mapping[HookName, str] = {"midstream": "0", "before-install": "1001", "after-install": "1001"}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An instruction in a hook; ``user`` and ``workdir`` are the steps that were in force for it."""

    text: str
    step: Step
    user: Step | None
    workdir: Step | None


@dataclass(kw_only=True)
class Draft:
    """What is kept so far. ``arguments`` holds ARG names and their values, None for none.

    ``comments`` are those above the ENV instructions, by the first variable of each.
    """

    environment: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    system_packages: dict[str, None] = field(default_factory=dict)
    requirements: dict[str, Step] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    texts: dict[HookName, list[Kept]] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)

    def keep(self, hook: HookName, text: str, step: Step, user: Step | None, workdir: Step | None) -> None:
        """Put an instruction at the end of a hook."""
        kept = Kept(text=text, step=step, user=user, workdir=workdir)
        self.texts.setdefault(hook, []).append(kept)

    def snapshot(self) -> "Draft":
        """A copy to go back to."""
        return replace(
            self,
            environment=dict(self.environment),
            system_packages=dict(self.system_packages),
            requirements=dict(self.requirements),
            files=dict(self.files),
            texts={hook: list(texts) for hook, texts in self.texts.items()},
        )

    def restore(self, before: "Draft") -> None:
        """Go back to a copy."""
        self.environment, self.system_packages = before.environment, before.system_packages
        self.requirements, self.files, self.texts = before.requirements, before.files, before.texts

    def kept(self) -> Iterable[Kept]:
        """Every instruction that is kept, hook by hook."""
        return (kept for texts in self.texts.values() for kept in texts)

    def needed_arguments(self) -> frozenset[str]:
        """The ARG names that what is kept refers to."""
        return self._used(kept.text for kept in self.kept()) & frozenset(self.arguments)

    def _used(self, texts: Iterable[str]) -> frozenset[str]:
        """The names that texts refer to, and those that the values of such ARGs refer to."""
        waiting = set().union(*(references(text) for text in texts))
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            found.add(name)
            waiting |= references(self.arguments.get(name) or "") - found
        return frozenset(found)

    def hooks(self) -> Hooks:
        """The hooks as they go into the spec."""
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
        used = self._used(kept.text for kept in texts)
        lines = [
            f"ARG {name}" + ("" if value is None else f"={_quoted(value)}")
            for name, value in self.arguments.items()
            if name in used
        ]
        if hook == "midstream":
            # What is set for both builds stands below the block.
            lines += [
                f"ENV {written(name, value)}" for name, value in self.environment.items() if name in used
            ]
        user, workdir = _FIRST_USER[hook], None
        for kept in texts:
            wanted = {"root": "0"}.get(kept.user.text, kept.user.text) if kept.user is not None else user
            if kept.step.name == "RUN" and wanted != user:
                user = wanted
                lines.append(f"USER {user}")
            if kept.workdir is not None and kept.workdir.text != workdir:
                workdir = kept.workdir.text
                lines.append(f"WORKDIR {workdir}")
            lines += [line for line in (kept.step.comment, kept.text) if line]
        return "\n".join(lines)


def _quoted(value: str) -> str:
    return value if value.isalnum() else f'"{value}"'
