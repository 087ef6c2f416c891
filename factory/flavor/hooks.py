"""Hooks: what a flavor's Dockerfile has of its own, kept in the spec for the template to place."""

from dataclasses import dataclass

from factory.flavor.table import Table


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What is the flavor's own; every part may be empty.

    ``environment`` holds names and values for both builds; ``system_packages`` what dnf installs
    midstream; ``midstream``, ``before_install`` and ``after_install`` are Dockerfile instructions, the
    first inside the MIDSTREAM ONLY block; ``files`` are the flavor's own files that those copy.
    """

    environment: tuple[tuple[str, str], ...] = ()
    system_packages: tuple[str, ...] = ()
    midstream: str = ""
    before_install: str = ""
    after_install: str = ""
    files: tuple[str, ...] = ()


NO_HOOKS = Hooks()
"""What nearly every flavor has."""


def read_hooks(table: Table) -> Hooks:
    """Read ``[tool.factory.hooks]``.

    Raises:
        SpecError: a key is unknown, or of the wrong type.
    """
    hooks = table.table("hooks")
    found = Hooks(
        environment=hooks.named_texts("environment"),
        system_packages=hooks.texts("system-packages"),
        midstream=hooks.optional_text("midstream") or "",
        before_install=hooks.optional_text("before-install") or "",
        after_install=hooks.optional_text("after-install") or "",
        files=hooks.texts("files"),
    )
    hooks.refuse_the_rest()
    return found
