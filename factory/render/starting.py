"""The project that a template set would start a flavor from, for whoever compares one with it."""

from jinja2 import TemplateNotFound

from factory.flavor.project import Project, parse_project
from factory.flavor.spec import Spec
from factory.render.templates import load_template_set

_PROJECT_TEMPLATE = "pyproject.toml.j2"


def starting_project(spec: Spec) -> Project | None:
    """What a new flavor of this spec would ask for; None where its template set starts none.

    Raises:
        TemplateError: there is no such template set.
        SpecError: the template gives no project that can be read.
    """
    template_set = load_template_set(spec.template_set)
    try:
        template = template_set.environment.get_template(_PROJECT_TEMPLATE)
    except TemplateNotFound:
        return None
    text = template.render(spec=spec, name=spec.folder_name)
    return parse_project(text, where=f"template set {template_set.name}")
