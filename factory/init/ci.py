"""The files of CI systems: workflows for GitHub and GitLab, the Tekton files, and Konflux's PipelineRuns."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import factory
from factory.errors import KonfluxError, NotFoundError
from factory.files import read_regular
from factory.flavor.repository import Repository
from factory.init.templates import render_text
from factory.konflux.settings import read_konflux_settings
from factory.konflux.writing import write_runs
from factory.pages import docs_command

CI_SYSTEMS = ("github", "gitlab", "tekton", "konflux")
_GITHUB, _GITLAB = ".github/workflows/images.yml", ".gitlab-ci.yml"
_TEKTON = "tekton"
# What the image of the steps is built from: that takes a clone of the factory itself.
_NOT_COPIED = "image/"


def workflow_files(systems: tuple[str, ...], values: Mapping[str, object]) -> dict[str, bytes]:
    """Return the files of CI systems that follow from templates alone, by path.

    Raises:
        TemplateError: one cannot be rendered.
        NotFoundError: the installation lacks the Tekton files.
    """
    makers: Mapping[str, Callable[[], dict[str, bytes]]] = {
        "github": lambda: {_GITHUB: render_text("ci/github.yml.j2", values)},
        "gitlab": lambda: {_GITLAB: render_text("ci/gitlab.yml.j2", values)},
        "tekton": lambda: dict(_tekton_files()),
    }
    return {
        path: content for system in systems if system in makers for path, content in makers[system]().items()
    }


def write_konflux_files(
    repository: Repository, *, name: str, application: str | None, output_image: str | None
) -> None:
    """Write the PipelineRuns of every flavor, as `factory konflux --all` does.

    The application's default follows from the repository's name.

    Raises:
        KonfluxError: it is not said where the images go, or a setting is not acceptable.
        SpecError, StorageError, BusyError: as for `write_runs`.
    """
    known = read_konflux_settings(repository.root) is not None
    if output_image is None and not known:
        raise KonfluxError(
            "Konflux has to know where the images are in a registry",
            solution="Add --output-image PLACE, such as quay.io/ORG/; "
            f"{docs_command('konflux')} explains it.",
        )
    if application is None and not known:
        application = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "images"
    options = {"application": application, "output-image": output_image}
    write_runs(repository, repository.flavors(), options=options, every=True)


def _tekton_files() -> Iterator[tuple[str, bytes]]:
    package = Path(factory.__file__).resolve().parent
    folder = next((place for place in (package / _TEKTON, package.parent / _TEKTON) if place.is_dir()), None)
    if folder is None:
        raise NotFoundError(
            f"no Tekton files are installed beside {package}",
            solution="Install the factory again: the wheel has them.",
        )
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(above, name)
            inside = path.relative_to(folder).as_posix()
            if not inside.startswith(_NOT_COPIED):
                yield f"{_TEKTON}/{inside}", read_regular(path)
