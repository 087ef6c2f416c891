"""Hooks: what a flavor's Dockerfile has of its own, kept in the spec for the template to place."""

from dataclasses import dataclass

from factory.flavor.hook_text import (
    check_instructions,
    check_own_file,
    check_system_package,
    check_variable,
)
from factory.flavor.table import Table


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What is the flavor's own; every part may be empty.

    ``environment`` holds names and values for both builds; ``system_packages`` what dnf installs
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
        """Those of the files that tell dnf where packages are; they are for the midstream build alone."""
        return tuple(path for path in self.files if path.endswith(".repo"))


NO_HOOKS = Hooks()
"""What nearly every flavor has."""


def read_hooks(table: Table) -> Hooks:
    """Read ``[tool.factory.hooks]``.

    Raises:
        SpecError: a key is unknown, or of the wrong type, or a hook could not stand in a Dockerfile.
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


def check_hooks(hooks: Hooks) -> Hooks:
    """Return hooks that can stand in a Dockerfile that Konflux builds as well.

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


def _text(hooks: Table, key: str) -> str:
    """A hook's lines, without the empty ones around them."""
    return (hooks.optional_text(key) or "").strip("\n")
