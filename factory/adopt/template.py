"""What a flavor gets from its template: variables, system packages, labels and files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from factory.adopt.commands import read_part, read_run, split_chain
from factory.adopt.dockerfile import OldDockerfile, OldInstruction, read_old_dockerfile
from factory.flavor.project import Project
from factory.flavor.spec import Spec
from factory.render.render import render_flavor
from factory.render.templates import is_installed_by, is_pin_of

_KEPT_PATH = re.compile(r"\$\{(\w+):\+:\$\{\1\}\}")


@dataclass(frozen=True, kw_only=True)
class TemplateContent:
    """The content of a rendered flavor without hooks.

    ``environment`` and ``labels`` are those of its instructions, ``packages`` what dnf installs,
    ``repositories`` the files that configure dnf, ``links`` the symbolic links that it makes,
    ``instructions`` the text of each, in one line, ``parts`` the commands of its RUN chains, and ``files``
    the bytes of each file.
    """

    environment: Mapping[str, str]
    packages: tuple[str, ...]
    repositories: tuple[str, ...]
    links: tuple[str, ...]
    labels: frozenset[str]
    instructions: frozenset[str]
    parts: frozenset[str]
    files: Mapping[str, bytes]

    def has_package(self, name: str) -> bool:
        """Return whether dnf installs it already; a pin needs more than that."""
        return any(is_installed_by(name, entry) for entry in self.packages)

    def pinned_by(self, name: str) -> str | None:
        """Return the entry of dnf's list that a name pins; None if it pins none."""
        return next((entry for entry in self.packages if is_pin_of(name, entry)), None)

    def has_variable(self, name: str, value: str) -> bool:
        """Return whether a variable has the same value, however a search path is extended."""
        return name in self.environment and _plain(self.environment[name]) == _plain(value)


def read_template(spec: Spec) -> TemplateContent:
    """Render a flavor without hooks, and read its Dockerfile like a hand-made one.

    Raises:
        TemplateError, MarkerError: the template set does not fit the spec.
    """
    project = Project(spec=spec, dependencies=(), constraints=(), overrides=())
    files = {file.path: file.content for file in render_flavor(project, name=spec.folder_name)}
    steps = read_old_dockerfile("Dockerfile", files["Dockerfile"]).steps
    environment: dict[str, str] = {}
    labels: set[str] = set()
    packages: list[str] = []
    links: list[str] = []
    known: set[str] = set()
    for step in steps:
        if step.name == "ENV":
            environment |= dict(step.instruction.pairs or ())
        elif step.name == "LABEL":
            labels |= {name for name, _ in step.instruction.pairs or ()}
        elif step.name == "RUN":
            parts = [read_part(part, {}, in_block=True) for part in split_chain(step.text) or ()]
            known |= {part.text for part in parts}
            packages += [name for part in parts if part.kind == "packages" for name in part.names]
            links += [part.text for part in parts if part.text.startswith("ln -s")]
    return TemplateContent(
        environment=environment,
        packages=tuple(packages),
        repositories=tuple(path for path in files if path.endswith(".repo")),
        links=tuple(links),
        labels=frozenset(labels),
        instructions=frozenset(step.normal for step in steps),
        parts=frozenset(known),
        files=files,
    )


@dataclass(frozen=True, kw_only=True)
class Added:
    """What the template adds to an image: the kind, and each item."""

    what: str
    items: tuple[str, ...]


def list_additions(template: TemplateContent, dockerfile: OldDockerfile | None) -> Iterator[Added]:
    """Yield what the template adds to the folder's own instructions."""
    steps = [step for step in dockerfile.steps if dockerfile.in_image(step)] if dockerfile else []
    variables, labels = (
        {name for step in steps if step.name == kind for name, _ in step.instruction.pairs or ()}
        for kind in ("ENV", "LABEL")
    )
    texts = [step.text for step in steps if step.name == "RUN"]
    installed = [name for step in steps if step.name == "RUN" for name in _installed(step)]
    copied = " ".join(step.text for step in steps if step.name in {"COPY", "ADD"})
    missing = {
        "system packages": [
            entry
            for entry in template.packages
            if not any(is_installed_by(name, entry) or is_pin_of(name, entry) for name in installed)
        ],
        "environment": [
            f"{name}={value}" for name, value in template.environment.items() if name not in variables
        ],
        "package repositories": [
            path
            for path in template.repositories
            if not re.search(rf"(?<![\w.-]){re.escape(path)}\b", copied)
        ],
        "links": [link for link in template.links if not any(link in text for text in texts)],
        "labels": sorted(template.labels - labels),
    }
    yield from (Added(what=what, items=tuple(items)) for what, items in missing.items() if items)


def installs_weak_dependencies(step: OldInstruction) -> bool:
    """Return whether a RUN installs system packages with weak dependencies."""
    return bool(list(_installed(step))) and "install_weak_deps" not in step.text


def _installed(step: OldInstruction) -> Iterator[str]:
    """Yield the system packages that a RUN installs."""
    for part in read_run(step)[0]:
        if part.kind in {"packages", "midstream"}:
            yield from part.names


def _plain(value: str) -> str:
    """Normalize the variables in a value, for comparison."""
    return re.sub(r"\$(\w+)", r"${\1}", _KEPT_PATH.sub(r":${\1}", value))
