"""The templates of a repository's own files, as `factory init` renders them."""

from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

from jinja2 import Environment
from jinja2 import TemplateError as JinjaError

from factory.errors import TemplateError
from factory.render.templates import template_environment, templates_folder

_FOLDER = "repository"


def render_text(template: str, values: Mapping[str, object]) -> bytes:
    """Render a template of a repository's file.

    Raises:
        TemplateError: it cannot be rendered.
    """
    try:
        text = _environment().get_template(template).render(values)
    except JinjaError as error:
        raise TemplateError(
            f"{PurePosixPath(_FOLDER, template)} cannot be rendered: {error}",
            solution="Fix the template, or the value that it asks for.",
        ) from error
    return text.encode()


@cache
def _environment() -> Environment:
    return template_environment(templates_folder() / _FOLDER)
