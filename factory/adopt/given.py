"""What the template gives a flavor anyway: variables, system packages, labels and files."""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass

from factory.adopt.chain import split_chain
from factory.adopt.commands import read_part
from factory.adopt.dockerfile import read_dockerfile
from factory.adopt.pairs import read_pairs
from factory.flavor.project import Project
from factory.flavor.spec import Spec
from factory.render.render import render_flavor

_KEPT_PATH = re.compile(r"\$\{(\w+):\+:\$\{\1\}\}")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a rendered flavor without hooks has.

    ``environment`` and ``labels`` are those of its instructions, ``packages`` what dnf installs,
    ``instructions`` the text of each, in one line, ``parts`` those that its RUN instructions are chained
    from, and ``files`` the bytes of each file.
    """

    environment: Mapping[str, str]
    packages: tuple[str, ...]
    labels: frozenset[str]
    instructions: frozenset[str]
    parts: frozenset[str]
    files: Mapping[str, bytes]

    def has_package(self, name: str) -> bool:
        """Whether dnf installs it already, by this name or by a pattern that it fits."""
        return any(fnmatch.fnmatchcase(name, pattern) or name == pattern for pattern in self.packages)

    def has_variable(self, name: str, value: str) -> bool:
        """Whether it is set to the same, whichever way a search path is continued."""
        return name in self.environment and _plain(self.environment[name]) == _plain(value)


def what_the_template_gives(spec: Spec) -> Given:
    """Render a flavor without hooks, and read its Dockerfile as a hand-made one is read.

    Raises:
        TemplateError, MarkerError: the template set does not fit the spec.
    """
    project = Project(spec=spec, dependencies=(), constraints=(), overrides=())
    files = {file.path: file.content for file in render_flavor(project, name=spec.folder_name)}
    steps = read_dockerfile("Dockerfile", files["Dockerfile"]).steps
    environment: dict[str, str] = {}
    labels: set[str] = set()
    packages: list[str] = []
    known: set[str] = set()
    for step in steps:
        if step.name == "ENV":
            environment |= dict(read_pairs(step.text) or ())
        elif step.name == "LABEL":
            labels |= {name for name, _ in read_pairs(step.text) or ()}
        elif step.name == "RUN":
            parts = [read_part(part, {}, in_block=True) for part in split_chain(step.text) or ()]
            known |= {part.text for part in parts}
            packages += [name for part in parts if part.kind == "packages" for name in part.names]
    return Given(
        environment=environment,
        packages=tuple(packages),
        labels=frozenset(labels),
        instructions=frozenset(step.normal for step in steps),
        parts=frozenset(known),
        files=files,
    )


def _plain(value: str) -> str:
    """``${NAME:+:${NAME}}`` as the ``:${NAME}`` that hand-made files write, and ``$NAME`` as ``${NAME}``."""
    return re.sub(r"\$(\w+)", r"${\1}", _KEPT_PATH.sub(r":${\1}", value))
