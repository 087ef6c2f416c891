"""Template sets: where they are, which files a set makes, and the Jinja2 environment that makes them."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NotRequired, TypedDict

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import factory
from factory.documents import read_toml
from factory.errors import TemplateError

_SET_FILE = "template-set.toml"


@dataclass(frozen=True, kw_only=True)
class TemplateFile:
    """One file of a set: its template, its path in the folder, and for which accelerators.

    ``every_kind``: images of other kinds than flavors have it as well.
    """

    template: str
    path: str
    accelerators: frozenset[str]
    executable: bool
    downstream: bool
    every_kind: bool = False


@dataclass(frozen=True, kw_only=True)
class TemplateSet:
    """The templates of flavor folders. ``accelerators`` holds the data of each, by name."""

    name: str
    folder: Path
    files: tuple[TemplateFile, ...]
    accelerators: Mapping[str, Mapping[str, Any]]
    environment: Environment


@cache
def load_template_set(name: str) -> TemplateSet:
    """Read a template set once a run.

    Raises:
        TemplateError: there is no such set, or its description is incomplete.
    """
    folder = templates_folder() / name
    try:
        description = read_toml(folder / _SET_FILE, _Description, error=TemplateError)
        accelerators = {
            path.stem: read_toml(path, dict[str, Any], error=TemplateError)
            for path in sorted((folder / "accelerators").glob("*.toml"))
        }
        files = tuple(_file(entry, frozenset(accelerators)) for entry in description["files"])
    except (FileNotFoundError, NotADirectoryError) as error:
        known = sorted(path.parent.name for path in templates_folder().glob(f"*/{_SET_FILE}"))
        raise TemplateError(
            f"there is no template set {name!r}", solution=f"Use one of: {', '.join(known)}."
        ) from error
    return TemplateSet(
        name=name,
        folder=folder,
        files=files,
        accelerators=accelerators,
        environment=template_environment(folder),
    )


_Entry = TypedDict(
    "_Entry",
    {
        "template": str,
        "path": str,
        "accelerators": NotRequired[list[str]],
        "executable": NotRequired[bool],
        "downstream": NotRequired[bool],
        "every-kind": NotRequired[bool],
    },
)


class _Description(TypedDict):
    files: list[_Entry]


def _file(entry: _Entry, accelerators: frozenset[str]) -> TemplateFile:
    path = PurePosixPath(entry["path"])
    if path.is_absolute() or ".." in path.parts:
        raise TemplateError(
            f"a template set would write {path}, outside of the flavor folder",
            solution="Give paths relative to the flavor folder.",
        )
    return TemplateFile(
        template=entry["template"],
        path=path.as_posix(),
        accelerators=frozenset(entry.get("accelerators", accelerators)),
        executable=entry.get("executable", False),
        downstream=entry.get("downstream", False),
        every_kind=entry.get("every-kind", False),
    )


@cache
def templates_folder() -> Path:
    """Return the folder of template sets: inside the package in a wheel, else beside it."""
    package = Path(factory.__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if folder.is_dir():
            return folder
    raise TemplateError(
        f"no templates are installed beside {package}",
        solution="Install the factory again: the wheel carries its templates.",
    )


def template_environment(*folders: Path) -> Environment:
    """Return what renders the templates of folders, the first first; an undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Dockerfiles, shell scripts and TOML: nothing here is HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters["unpinned"] = unpinned
    environment.globals["factory_version"] = factory.__version__
    return environment


# Where a pattern begins to say a version: libnccl-2*+cuda13.* is about libnccl.
_VERSION_PATTERN = re.compile(r"-\d[^-]*[*?\[].*")
_VERSION = re.compile(r"-(?:\d+:)?\d.*|\.(?:x86_64|aarch64|noarch|i686)")


def is_pin_of(package: str, entry: str) -> bool:
    """Return whether a package pins the version of an entry that would install it too.

    ``libnccl-2.30.7-1+cuda13.3`` is one of ``libnccl-2*+cuda13.*``, and ``rdma-core-46.0`` of ``rdma-core``.
    dnf refuses to install both, so the pin has to replace the entry.
    """
    if package == entry:
        return False
    rest = package.removeprefix(_name(entry))
    said = rest != package and _VERSION.fullmatch(rest) is not None
    return said or fnmatch.fnmatchcase(package, entry)


def is_installed_by(package: str, entry: str) -> bool:
    """Return whether an entry installs what a package asks for: the same, or any version of it."""
    return package in {entry, _name(entry)}


def unpinned(entries: Iterable[str], pins: Sequence[str]) -> list[str]:
    """Return the entries that no pin replaces."""
    return [entry for entry in entries if not any(is_pin_of(pin, entry) for pin in pins)]


def _name(entry: str) -> str:
    return _VERSION_PATTERN.sub("", entry)
