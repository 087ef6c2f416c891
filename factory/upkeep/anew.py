"""The generated files of a flavor that a changed project changes with it."""

from collections.abc import Iterator

from factory.errors import DriftError
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.render.render import render_flavor
from factory.transaction import Replacement, read_before


def rendered_anew(flavor: Flavor, *, old: Project, new: Project) -> tuple[Replacement, ...]:
    """The files whose rendering differs between two projects and that are not as the new one gives them.

    Raises:
        DriftError: one of them is not as the old project gives it either: it would be overwritten.
        TemplateError, MarkerError, SpecError: a project cannot be rendered.
    """
    return tuple(_replacements(flavor, old, new))


def _replacements(flavor: Flavor, old: Project, new: Project) -> Iterator[Replacement]:
    before = {file.path: file.content for file in render_flavor(old, name=flavor.name)}
    for file in render_flavor(new, name=flavor.name):
        present = read_before(flavor.folder / file.path)
        if file.content in {before.get(file.path), present}:
            continue
        if present not in {None, before.get(file.path)}:
            raise DriftError(
                f"{flavor.name}/{file.path} is not what its templates give, and would be written anew",
                solution=f"Look at it with `factory sync {flavor.name} --dry-run`. Keep what is wanted of it "
                "as a hook, bring it up to date with `factory sync`, and run the command again.",
            )
        yield Replacement(
            path=flavor.folder / file.path,
            before=present,
            content=file.content,
            executable=file.executable,
        )
