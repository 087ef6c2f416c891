"""Find packages that a Dockerfile installs by name, and the indexes for those alone."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.adopt.commands import TOOLS, expanded, is_install, requirements_of
from factory.adopt.dockerfile import OldDockerfile, OldInstruction
from factory.adopt.folder import Evidence, Folder
from factory.adopt.locks import FurtherLock, OldLock, installed_files, read_requirements, resolved_file
from factory.adopt.placement import Placement
from factory.adopt.requirements import AskedRequirement, read_asked
from factory.dockerfile.instructions import expand
from factory.flavor.spec import MAIN_INDEX, FurtherIndex
from factory.lock.lockfile import Pin
from factory.masking import shown

INDEX_VARIABLES = frozenset({"PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"})
"""The variables that set the index of every install."""


@dataclass(frozen=True, kw_only=True)
class NamedInstall:
    """A call of pip or uv's pip: the packages and the index that it names.

    ``index`` is None if it names none, and ``is_extra`` if it is added to the usual one. ``has_files``: it
    installs requirements files. ``where`` is the file and the line of the call.
    """

    requirements: tuple[Requirement, ...]
    index: str | None
    is_extra: bool
    has_files: bool
    where: str

    def exact(self, package: str) -> str | None:
        """Return the one version that it names of a package; None if it names none."""
        found = (each for each in self.requirements if canonicalize_name(each.name) == package)
        return next((version for each in found if (version := exact_version(each)) is not None), None)


def read_named_installs(dockerfile: OldDockerfile | None) -> tuple[NamedInstall, ...]:
    """Read every call of pip in a Dockerfile that installs something."""
    steps = dockerfile.steps if dockerfile else ()
    return tuple(found for step in steps if step.name == "RUN" for found in read_calls(step))


def own_indexes(
    installs: Sequence[NamedInstall], main: Iterable[str], lock: OldLock | None, taken: Iterable[FurtherLock]
) -> tuple[FurtherLock, ...]:
    """Return the indexes that serve named packages alone, with those packages' pins.

    An index that every install names is the main one. An additional one (``--extra-index-url``) is known only
    by local versions, such as 2.13.0+cpu, which the public index does not have. ``main`` are the addresses of
    the index of everything else, ``taken`` the indexes that are known already.
    """
    known = {index_key(url) for url in main}
    candidates = [each for each in installs if _is_alone(each) and index_key(each.index) not in known]
    others = [each for each in installs if each not in candidates and not _is_of_tools(each)]
    is_everything = len({index_key(each.index) for each in candidates}) == 1
    if is_everything and not others and (lock is None or not lock.pins):
        return ()
    found: dict[str, list[NamedInstall]] = {}
    for each in candidates:
        if (key := index_key(each.index)) is not None:
            found.setdefault(key, []).append(each)
    owned = {package for each in taken for package in each.index.packages}
    names = {MAIN_INDEX, *(each.index.name for each in taken)}
    result: list[FurtherLock] = []
    for calls in found.values():
        url = shown(calls[0].index or "")
        packages = dict.fromkeys(
            name
            for each in calls
            for item in each.requirements
            if (name := canonicalize_name(item.name)) not in owned
        )
        if packages:
            index = FurtherIndex(name=_name(packages, names), url=url, packages=tuple(packages))
            owned |= set(packages)
            names.add(index.name)
            result.append(FurtherLock(lock=_pinned(calls, url), index=index))
    return tuple(result)


def index_key(url: str | None) -> str | None:
    """Normalize an index's address for comparison; None if it cannot be parsed."""
    try:
        return None if url is None else shown(url).rstrip("/")
    except ValueError:
        return None


def exact_version(requirement: Requirement) -> str | None:
    """Return the one version that a requirement allows; None if it allows several."""
    exact = [part.version for part in requirement.specifier if part.operator in {"==", "==="}]
    return exact[0] if len(exact) == 1 and not exact[0].endswith(".*") else None


def unversioned(installs: Iterable[NamedInstall], package: str) -> Evidence | None:
    """Return the call that installs a package without naming one version."""
    for each in installs:
        for item in each.requirements:
            if canonicalize_name(item.name) == package and exact_version(item) is None:
                known = index_key(each.index)
                said = f"installs {item}" + (f" from {known}" if known else "")
                return Evidence(value=f"{said}, which is no one version", where=each.where)
    return None


def _is_of_tools(install: NamedInstall) -> bool:
    """Return whether a call installs only tools, from any index."""
    names = {canonicalize_name(item.name) for item in install.requirements}
    return bool(names) and names <= TOOLS and not install.has_files


def _is_alone(install: NamedInstall) -> bool:
    """Return whether the index of a call serves only the packages that the call names."""
    if install.index is None or install.has_files or not install.requirements:
        return False
    return not install.is_extra or all("+" in (exact_version(item) or "") for item in install.requirements)


def read_calls(step: OldInstruction) -> Iterator[NamedInstall]:
    """Yield the calls of pip in a RUN instruction that install something."""
    for written in step.pip_calls:
        if written.verb == "install":
            call = expanded(written, step.variables)
            index = _url(call.values("-i", "--index-url", "--default-index"))
            extra = _url(call.values("--extra-index-url", "--index"))
            first = written.packages[0] if written.packages else (index or extra or "")
            yield NamedInstall(
                requirements=requirements_of(call),
                index=index or extra,
                is_extra=index is None and extra is not None,
                has_files=bool(call.operands[1]),
                where=f"{step.path}, line {step.instruction.line_of(first)}",
            )


def _url(values: Iterator[str]) -> str | None:
    value = next(values, None)
    # uv takes NAME=URL as well.
    return None if value is None else re.sub(r"^[\w.-]+=(?=https?://)", "", value)


def _pinned(calls: Sequence[NamedInstall], url: str) -> OldLock:
    pins: dict[str, Pin] = {}
    places: dict[str, str] = {}
    for each in calls:
        for item in each.requirements:
            name, version = canonicalize_name(item.name), exact_version(item)
            if version is not None:
                pins[name] = Pin(
                    line=0, text=f"{name}=={version}", name=name, version=version, marker=None, artifacts=()
                )
                places[name] = each.where
    return OldLock(
        path=calls[0].where,
        pins=tuple(pins.values()),
        index_urls=(Evidence(value=url, where=calls[0].where),),
        asked=frozenset(pins),
        places=places,
    )


def _name(packages: Iterable[str], taken: Iterable[str]) -> str:
    """Return the name of an index: its main package's."""
    names = list(packages)
    first = "torch" if "torch" in names else names[0]
    plain = re.sub(r"[^a-z0-9]+", "-", first).strip("-")
    return next(name for number in range(1, 100) if (name := plain + "-further" * (number - 1)) not in taken)


def variable_urls(dockerfile: OldDockerfile | None) -> Iterator[Evidence]:
    """Yield the indexes that ENV and ARG name for every install."""
    for step in dockerfile.steps if dockerfile else ():
        for name, value in step.instruction.pairs or () if step.name in {"ENV", "ARG"} else ():
            if name in INDEX_VARIABLES and value.startswith("http"):
                yield Evidence(value=expand(value, step.variables), where=step.where)


_NAMED_LIMITS = "Name the limits in constraint-dependencies of [tool.uv]."


def copied_names(dockerfile: OldDockerfile | None, folder: Folder) -> dict[str, str]:
    """Map the names to which a COPY renames files to the files' own."""
    steps = dockerfile.steps if dockerfile else ()
    read = [step.instruction for step in steps if step.name == "COPY"]
    found = {
        each.destination.rpartition("/")[2]: each.sources[0].removeprefix("./")
        for each in read
        if not each.origins and len(each.sources) == 1
    }
    return {name: source for name, source in found.items() if name and source in folder.paths}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The constraints (``-c``) of a Dockerfile's installs, and their files.

    ``left`` are lines of these without a constraint.
    """

    asked: tuple[AskedRequirement, ...] = ()
    left: tuple[Placement, ...] = ()
    files: frozenset[str] = frozenset()


NO_LIMITS = Limits()
"""The limits of a Dockerfile without constraints."""


def read_limits(dockerfile: OldDockerfile | None, folder: Folder) -> Limits:
    """Read the constraint files of a Dockerfile's installs; they bind the lock too.

    Raises:
        StorageError: one cannot be read.
    """
    steps = dockerfile.steps if dockerfile else ()
    named = ((step, word) for step in steps for word in _constraints(step))
    paths = dict.fromkeys(
        path for step, word in named if (path := resolved_file(word, step, folder)) is not None
    )
    read = [read_asked(folder, path) for path in paths]
    return Limits(
        asked=tuple(item for each in read for item in each.asked),
        left=tuple(item for each in read for item in each.left),
        files=frozenset(path for each in read for path in each.files),
    )


def _constraints(step: OldInstruction) -> Iterator[str]:
    """Yield the constraint files that a RUN instruction names."""
    for call in step.pip_calls:
        yield from call.values("-c", "--constraint", "--constraints")


def not_taken_over(step: OldInstruction, folder: Folder) -> tuple[str, str] | None:
    """Return why an install is not fully taken over, and a solution.

    Raises:
        StorageError: a file that it installs cannot be read.
    """
    if folder.locks is None:
        return None
    problems = [
        f"{word} is not in the folder, and what it limits is not known"
        for word in _constraints(step)
        if resolved_file(word, step, folder) is None
    ]
    if not is_install(step):
        return ("; ".join(problems), _NAMED_LIMITS) if problems else None
    for word in installed_files(step):
        path = resolved_file(word, step, folder)
        if path is None:
            problems.append(f"{word} is not in the folder, and what it asks for is not known")
        elif path not in folder.locks:
            names = [pin.text for pin in read_requirements(path, folder.text(path)).pins]
            problems.append(f"{path} is not taken over: {', '.join(names) or 'it pins nothing'}")
    if not problems:
        return None
    solution = "Name what it asks for in [project] dependencies; the template installs the lock."
    return "; ".join(problems), solution
