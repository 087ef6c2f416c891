"""The templates of a repository's own files, as `factory init` renders them."""

from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

from jinja2 import Environment
from jinja2 import TemplateError as JinjaError

from factory import __version__
from factory.errors import TemplateError
from factory.render.templates import template_environment, templates_folder

_FOLDER = "repository"


def render_text(template: str, values: Mapping[str, object]) -> bytes:
    """Render a template of a repository's file; the version of the factory is among the values.

    Raises:
        TemplateError: it cannot be rendered.
    """
    try:
        text = _environment().get_template(template).render(factory_version=__version__, **values)
    except JinjaError as error:
        raise TemplateError(
            f"{PurePosixPath(_FOLDER, template)} cannot be rendered: {error}",
            solution="Fix the template, or the value that it asks for.",
        ) from error
    return text.encode()


@cache
def _environment() -> Environment:
    return template_environment(templates_folder() / _FOLDER)
