"""CEL, the language of the expressions by which Pipelines as Code starts a PipelineRun."""

import re
from collections.abc import Sequence
from typing import Literal

Event = Literal["pull_request", "push"]

_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')


def literal(text: str) -> str:
    """A string as a CEL literal (the language's definition, "String and Bytes Values")."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def starts_on(event: Event, *, target_branch: str, globs: Sequence[str]) -> str:
    """True for an event on a branch that changes a path which one of the globs matches.

    ``pathChanged`` looks at what was added, modified, deleted and renamed, by the new name. It knows no
    separator in a path: ``*``, ``**`` and ``***`` all match any number of characters, ``/`` included,
    so that ``flavors/NAME/***`` is what begins with ``flavors/NAME/``.
    """
    changed = " || ".join(f"{literal(glob)}.pathChanged()" for glob in globs)
    return f"event == {literal(event)} && target_branch == {literal(target_branch)} && ({changed})"


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return f"\\{character}" if character in '"\\' else f"\\u{ord(character):04x}"
