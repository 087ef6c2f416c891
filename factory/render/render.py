"""Render a spec to its folder's generated files. Pure: equal projects give equal bytes.

Of an image that is no flavor only what installs its packages is generated; the rest is its owner's.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateNotFound

from factory.clock import timed
from factory.downstream.blocks import strip_blocks
from factory.errors import SpecError, TemplateError
from factory.flavor.project import Project, parse_project
from factory.flavor.spec import Spec, check_name
from factory.render.templates import TemplateFile, TemplateSet, load_template_set


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """One generated file: its path in the flavor folder, its bytes, and whether it is a program."""

    path: str
    content: bytes
    executable: bool

    @property
    def sha256(self) -> str:
        """The digest of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


@timed("render")
def render_flavor(project: Project, *, name: str) -> tuple[RenderedFile, ...]:
    """Return every generated file of an image, by path.

    Raises:
        TemplateError: the template set is missing or does not fit the spec.
        MarkerError: a template's MIDSTREAM ONLY blocks do not pair.
    """
    if project.spec.is_flavor:
        _check_flavor_name(name)
    template_set = load_template_set(project.spec.template_set)
    _refuse_generated(project.spec.hooks.files, template_set)
    wanted = (file for file in template_set.files if _is_for(file, project.spec))
    return tuple(
        RenderedFile(
            path=file.path,
            content=_render(template_set, file, project, name),
            executable=file.executable,
        )
        for file in sorted(wanted, key=lambda file: file.path)
    )


def _check_flavor_name(name: str) -> None:
    try:
        check_name(name)
    except SpecError as error:
        raise TemplateError(error.reason, solution=error.solution) from error


def _is_for(file: TemplateFile, spec: Spec) -> bool:
    return spec.accelerator in file.accelerators if spec.is_flavor else file.every_kind


def _refuse_generated(own: tuple[str, ...], template_set: TemplateSet) -> None:
    generated = sorted(set(own) & {file.path for file in template_set.files})
    if generated:
        raise TemplateError(
            f"hooks.files names what template set {template_set.name} generates: {', '.join(generated)}",
            solution="Give the flavor's own file another name.",
        )


def _render(template_set: TemplateSet, file: TemplateFile, project: Project, name: str) -> bytes:
    spec = project.spec
    accelerator = template_set.accelerators.get(spec.accelerator)
    if accelerator is None and spec.is_flavor:
        raise TemplateError(
            f"template set {template_set.name} has no data for {spec.accelerator}",
            solution=f"Add accelerators/{spec.accelerator}.toml to it, or use another template set.",
        )
    try:
        text = template_set.environment.get_template(file.template).render(
            name=name,
            spec=spec,
            project=project,
            accelerator=accelerator,
            base_image=spec.downstream_base_image if file.downstream else spec.base_image,
        )
    except JinjaError as error:
        raise TemplateError(
            f"{file.template} of template set {template_set.name} cannot be rendered: {error}",
            solution="Fix the template, or the data that it asks for.",
        ) from error
    content = text.encode("utf-8")
    return strip_blocks(content) if file.downstream else content


def contents_of(files: Iterable[RenderedFile]) -> dict[str, tuple[bytes, bool]]:
    """Return rendered files as `factory.transaction.NewFolder` takes them."""
    return {file.path: (file.content, file.executable) for file in files}


_PROJECT_TEMPLATE = "pyproject.toml.j2"


def starting_project(spec: Spec) -> Project | None:
    """Return the first project of a new flavor of this spec; None if its templates have none.

    Raises:
        TemplateError: there is no such template set.
        SpecError: the template renders to a project that cannot be read.
    """
    template_set = load_template_set(spec.template_set)
    try:
        template = template_set.environment.get_template(_PROJECT_TEMPLATE)
    except TemplateNotFound:
        return None
    text = template.render(spec=spec, name=spec.folder_name)
    return parse_project(text, where=f"template set {template_set.name}")
