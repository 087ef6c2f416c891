"""One look for every page: the Jinja2 environment, and how addresses and names are written."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from factory.clock import duration
from factory.console import human_size, plural, visible

_HERE = Path(__file__).parent
_COMMAND = re.compile(r"`([^`]+)`")
_DIGEST = re.compile(r"\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b")
_SPACES = re.compile(r"(\s+)")
_SEPARATOR = re.compile(r"([/,:@=&]+)(?=\S)")


def render_page(folder: Path, template: str, values: Mapping[str, object]) -> str:
    """Render a self-contained HTML page: no file beside it, nothing from a network, no script.

    Args:
        folder: of the template, which extends ``base.html.j2``.
        template: its file name.
        values: for the template. Every text is escaped: it may come from an image.
    """
    return _environment(folder).get_template(template).render(**values)


def breakable(text: str) -> Markup:
    """Return text, escaped: addresses may break behind their separators alone, `commands` are code."""
    parts = (
        Markup("<code>") + escape(part) + Markup("</code>") if number % 2 else _with_breaks(part)
        for number, part in enumerate(_COMMAND.split(visible(text)))
    )
    return Markup("").join(parts)


def _with_breaks(text: str) -> Markup:
    # The pattern has a group: every second piece is a separator.
    pieces = _SEPARATOR.split(text)
    return Markup("").join(
        escape(piece) + Markup("<wbr>") if number % 2 else _with_whole_names(piece)
        for number, piece in enumerate(pieces)
    )


def _with_whole_names(text: str) -> Markup:
    """Return text in which a browser breaks no word at its hyphens."""
    return Markup("").join(
        Markup('<span class="whole">') + escape(word) + Markup("</span>") if "-" in word else escape(word)
        for word in _SPACES.split(text)
    )


def short_digests(text: str) -> str:
    """Return text in which digests have twelve digits, as engines show them."""
    return _DIGEST.sub(r"\1…", text)


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        undefined=StrictUndefined,
        autoescape=True,
        # What an image printed may turn or hide the text around it, also where it is not markup.
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": human_size,
        "duration": duration,
        "breakable": breakable,
        "short_digests": short_digests,
        "plural": plural,
    }
    return environment
