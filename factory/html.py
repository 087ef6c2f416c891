"""One look for every page: the Jinja2 environment, and how sizes and times are written."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from factory.console import human_size, visible

_HERE = Path(__file__).parent
_MINUTE, _HOUR = 60, 3600


def render_page(folder: Path, template: str, values: Mapping[str, object]) -> str:
    """Render a self-contained HTML page: no file beside it, nothing from a network, no script.

    Args:
        folder: of the template, which extends ``base.html.j2``.
        template: its file name.
        values: for the template. Every text is escaped: it may come from an image.
    """
    return _environment(folder).get_template(template).render(**values)


def duration(seconds: float) -> str:
    """Format a duration for people: ``0.3 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


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
    environment.filters |= {"size": human_size, "duration": duration}
    return environment
