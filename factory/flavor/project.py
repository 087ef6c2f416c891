"""An image folder and its ``pyproject.toml``, the only file that a person edits."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.dockerfile.references import PLATFORMS, parse_requirement
from factory.documents import parse_toml
from factory.errors import NotFoundError, SpecError
from factory.files import read_regular, storage_error
from factory.flavor.kinds import Kind, Parent
from factory.flavor.spec import Spec, parse_child_spec, parse_spec

PROJECT_FILE = "pyproject.toml"


@dataclass(frozen=True)
class ImageFolder:
    """The folder of an image, whose project is read on first use.

    ``parents`` are those that ``factory.toml`` names, that of the final stage first; a flavor has none, since
    its spec names its base image. ``parent`` is the first of them if it is an image of the repository.
    """

    folder: Path
    kind: Kind = "flavor"
    parents: tuple[Parent, ...] = ()
    parent: "ImageFolder | None" = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def is_flavor(self) -> bool:
        """Return whether it is a flavor."""
        return self.kind == "flavor"

    @property
    def has_packages(self) -> bool:
        """Return whether the image installs Python packages; a flavor always does."""
        return self.is_flavor or os.path.lexists(self.folder / PROJECT_FILE)

    @property
    def given_by(self) -> "ImageFolder | None":
        """The nearest parent that installs packages, which this image's packages are added to."""
        above = self.parent
        while above is not None and not above.has_packages:
            above = above.parent
        return above

    @property
    def above(self) -> "tuple[ImageFolder, ...]":
        """The parents that install packages, the nearest first."""
        parent = self.given_by
        return () if parent is None else (parent, *parent.above)

    @cached_property
    def project(self) -> "Project":
        """The content of its ``pyproject.toml``; raises as `read_project` does."""
        return self.read_project()

    def read_project(self) -> "Project":
        """Return the content of its ``pyproject.toml`` as it is now; raises as `read_project` does."""
        return read_project(self.folder, image=self)


@dataclass(frozen=True, kw_only=True)
class Project:
    """The spec and what is resolved: PEP 508 requirements, constraints and overrides, as written.

    ``document`` is the whole file as data. ``parent`` is the image of the repository whose packages these
    are added to; None for a flavor.
    """

    spec: Spec
    dependencies: tuple[str, ...]
    constraints: tuple[str, ...]
    overrides: tuple[str, ...]
    document: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    parent: ImageFolder | None = field(default=None, repr=False, compare=False)


def read_project(folder: Path, *, image: ImageFolder | None = None) -> Project:
    """Read the ``pyproject.toml`` of an image folder; ``image`` says which kind it is, if not a flavor.

    Raises:
        NotFoundError: it does not exist.
        SpecError: it is not TOML, has no spec, or holds something unacceptable.
        StorageError: it cannot be read.
    """
    return parse_project(read_project_text(folder), where=str(folder / PROJECT_FILE), image=image)


def read_project_text(folder: Path) -> str:
    """Return the text of an image's ``pyproject.toml``, with its line endings as they are.

    Raises:
        NotFoundError: it does not exist.
        SpecError: it is not UTF-8, or begins with a byte order mark, which TOML does not allow.
        StorageError: it cannot be read.
    """
    path = folder / PROJECT_FILE
    try:
        text = read_regular(path).decode("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{folder} has no {PROJECT_FILE}",
            solution="Name an image that installs packages: `factory list` shows which do. "
            "`factory new-flavor` and `factory new-image` make one.",
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8", solution="Save it as UTF-8; TOML knows no other.") from error
    except OSError as error:
        raise storage_error(path, error) from error
    if text.startswith("\ufeff"):
        raise SpecError(
            f"{path} begins with a byte order mark", solution="Save it as UTF-8 without one (BOM)."
        )
    return text


def parse_project(
    text: str, *, where: str, image: ImageFolder | None = None, parent_spec: Spec | None = None
) -> Project:
    """Read the text of a ``pyproject.toml``.

    Args:
        text: the file's.
        where: names it in messages.
        image: the image whose file it is; a flavor if None.
        parent_spec: the spec of the nearest parent that installs packages, if not that in its folder.

    Raises:
        SpecError: as for `read_project`.
    """
    document = parse_toml(
        text, dict[str, Any], source=where, error=SpecError, solution="Fix the line that it names."
    )
    tool = _table(document, "tool", where)
    is_flavor = image is None or image.is_flavor
    if is_flavor and "factory" not in tool:
        raise SpecError(
            f"{where} has no [tool.factory]: it is not a flavor",
            solution="Make a flavor with `factory new-flavor`, or add the table.",
        )
    if "project" not in document:
        raise SpecError(
            f"{where} has no [project]: nothing says what the image adds to its base",
            solution="Add [project] with name, version, requires-python and dependencies.",
        )
    project = _table(document, "project", where)
    uv = _table(tool, "uv", where)
    return Project(
        spec=_spec(_table(tool, "factory", where), where, image, parent_spec),
        dependencies=_requirements(project, "dependencies", where),
        constraints=_requirements(uv, "constraint-dependencies", where),
        overrides=_requirements(uv, "override-dependencies", where),
        document=document,
        parent=None if image is None or is_flavor else image.given_by,
    )


def _spec(
    table: Mapping[str, object], where: str, image: ImageFolder | None, parent_spec: Spec | None
) -> Spec:
    if image is None or image.is_flavor:
        return parse_spec(table, where=where)
    above = image.given_by
    return parse_child_spec(
        table,
        where=where,
        kind=image.kind,
        base=next((parent.image for parent in image.parents), ""),
        parent=parent_spec or (None if above is None else above.project.spec),
    )


def _table(parent: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise SpecError(f"{where}: {key} is not a table", solution=f"Write [{key}] and its keys below it.")
    return value


def _requirements(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SpecError(f"{where}: {key} is not a list of strings", solution='Write it as ["name>=1.0", …].')
    for item in value:
        try:
            parse(item)
        except InvalidRequirement as error:
            raise SpecError(
                f"{where}: {key}: {item!r} is not a PEP 508 requirement: {error}",
                solution="Write it as name, name>=1.0 or name[extra]==1.0.",
            ) from error
    return tuple(value)


_LOCAL = re.compile(r"\+[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A requirement of ``pyproject.toml``: its key, as written, and parsed."""

    key: str
    text: str
    requirement: Requirement
    name: str


def asked(project: Project) -> Iterator[Asked]:
    """Yield the requirements in force on one of the flavor's platforms.

    As in uv, an override replaces the dependencies on the same package and leaves the constraints in force;
    one whose marker is never true removes the package.
    """
    overridden = {canonicalize_name(parse(text).name) for text in project.overrides}
    tables = (
        ("dependencies", project.dependencies),
        ("constraint-dependencies", project.constraints),
        ("override-dependencies", project.overrides),
    )
    for key, texts in tables:
        for text in texts:
            requirement = parse(text)
            name = canonicalize_name(requirement.name)
            replaced = name in overridden and key == "dependencies"
            if not replaced and applies(requirement, project.spec):
                yield Asked(key=key, text=text, requirement=requirement, name=name)


def dropped(project: Project) -> frozenset[str]:
    """Return the packages that the lock leaves out: overridden, or recorded as missing."""
    overrides = [parse(text) for text in project.overrides]
    present = {canonicalize_name(item.name) for item in overrides if applies(item, project.spec)}
    absent = {canonicalize_name(item.name) for item in overrides} - present
    return frozenset(absent | {missing.package for missing in project.spec.missing})


@lru_cache(maxsize=4096)
def parse(text: str) -> Requirement:
    """Parse a PEP 508 requirement, each text once a run: flavors share most of theirs."""
    return parse_requirement(text)


def applies(requirement: Requirement, spec: Spec) -> bool:
    """Return whether the requirement's marker is true on one of the flavor's platforms."""
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate(marker_environment(spec.python, name)) for name in spec.platforms)


def admits(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a specifier admits a version (PEP 440); 2.13.0 fits a pin on 2.13.0+cpu."""
    if Version(version).local is None and "+" in str(specifier):
        specifier = SpecifierSet(_LOCAL.sub("", str(specifier)))
    return specifier.contains(version, prereleases=True)


@lru_cache(maxsize=64)
def marker_environment(python: str, platform: str) -> Mapping[str, str]:
    """Return the environment of markers on a platform (PEP 508), without an extra."""
    # The patch release is the base image's; uv resolves for .0 as well when it is given X.Y.
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": PLATFORMS[platform],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
