"""Rules about ``pyproject.toml``: the spec, what contradicts it, and the ranges of dependencies."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import NotFoundError
from factory.flavor.project import PROJECT_FILE, Asked, Project, admits, asked, parse
from factory.flavor.spec import Spec
from factory.upkeep.floors import version_after

_HONOURED = frozenset({"constraint-dependencies", "override-dependencies"})
_INDEX_KEYS = frozenset(
    {
        "default-index",
        "extra-index-url",
        "find-links",
        "index",
        "index-url",
        "no-index",
        "sources",
    }
)
_UNSAFE_STRATEGIES = frozenset({"unsafe-best-match", "unsafe-first-match"})
_FLOORS = frozenset({">=", ">", "==", "==="})
_BOUNDING = frozenset({"<", "<=", "~=", "==", "==="})


def check_project(subject: Subject) -> Iterator[Problem]:
    """Yield FAC201 to FAC211, and FAC217 to FAC219."""
    if not subject.flavor.has_packages:
        return
    if subject.project is None:
        yield _unreadable(subject)
        return
    requirements = tuple(asked(subject.project))
    if subject.flavor.is_flavor:
        yield from _folder_name(subject, subject.project)
    yield from _project_name(subject, subject.project)
    yield from _versions(subject, subject.project, requirements)
    yield from _python(subject, subject.project)
    yield from _uv_keys(subject, subject.project)
    yield from _missing(subject, subject.project)
    yield from _ranges(subject, requirements)
    yield from _layers(subject, subject.project.spec)


def _unreadable(subject: Subject) -> Problem:
    error = subject.project_error
    if isinstance(error, NotFoundError):
        return Problem(
            code="FAC201",
            path=PROJECT_FILE,
            message=f"the folder has no {PROJECT_FILE}: it is not a flavor",
            solution="Remove the folder, or restore the file; `factory new-flavor` makes a new flavor.",
        )
    reason = error.reason if error else "cannot be read"
    return Problem(
        code="FAC201",
        path=PROJECT_FILE,
        message=reason.replace(f"{subject.flavor.folder}/", ""),
        solution=error.solution if error else "Fix it.",
    )


def _folder_name(subject: Subject, project: Project) -> Iterator[Problem]:
    wanted, found = project.spec.folder_name, subject.flavor.name
    if wanted == found:
        return
    source = "the spec's name" if project.spec.name else "the name that follows from the spec"
    yield Problem(
        code="FAC202",
        path=PROJECT_FILE,
        line=subject.project_line("[tool.factory]"),
        message=f"the folder is called {found}, and {source} is {wanted}",
        solution=f"Rename the folder to {wanted} and run `factory sync {wanted}`; "
        f'or, if the name is meant, write name = "{found}" in [tool.factory].',
    )


def _project_name(subject: Subject, project: Project) -> Iterator[Problem]:
    table = project.document.get("project")
    name = table.get("name") if isinstance(table, Mapping) else None
    folder = subject.flavor.name
    if isinstance(name, str) and canonicalize_name(name) != canonicalize_name(folder):
        yield Problem(
            code="FAC210",
            path=PROJECT_FILE,
            line=subject.project_line("name", f'"{name}"'),
            message=f"[project] name is {name}, and the folder is called {folder}",
            solution=f'Write name = "{folder}" in [project].',
        )


def _versions(subject: Subject, project: Project, requirements: Iterable[Asked]) -> Iterator[Problem]:
    fixed = project.spec.fixed_versions
    for item in requirements:
        version = fixed.get(item.name)
        if version is None or admits(item.requirement.specifier, version):
            continue
        yield Problem(
            code="FAC203",
            path=PROJECT_FILE,
            line=subject.project_line(item.text),
            package=item.name,
            message=f"{item.key} asks for {item.text}, and the spec says {item.name} {version}",
            solution=f"Write {item.name}=={version}, or change {item.name} in [tool.factory].",
        )


def _python(subject: Subject, project: Project) -> Iterator[Problem]:
    table = project.document.get("project", {})
    wanted = table.get("requires-python") if isinstance(table, Mapping) else None
    if wanted is None:
        return
    python = project.spec.python
    try:
        specifier = SpecifierSet(str(wanted))
        # A bound on the patch release is fine: the base image decides it.
        fits = any(specifier.contains(f"{python}.{patch}") for patch in (0, 99))
    except ValueError:
        fits = False
    if not fits:
        yield Problem(
            code="FAC204",
            path=PROJECT_FILE,
            line=subject.project_line("requires-python"),
            message=f"requires-python is {str(wanted)!r}, and the spec says Python {python}",
            solution=f'Write requires-python = "=={python}.*", or change python in [tool.factory].',
        )


def _layers(subject: Subject, spec: Spec) -> Iterator[Problem]:
    usual = {pattern for layer in spec.usual_layers for pattern in layer.patterns}
    usual |= {missing.package for missing in spec.missing}
    locked = {pin.name for pin in subject.pins}
    # If a lock file is missing, that is the finding.
    for layer in spec.layers if set(subject.locks) == set(subject.lock_names) else ():
        for pattern in layer.patterns:
            if pattern in usual or fnmatch.filter(locked, pattern):
                continue
            yield Problem(
                code="FAC219",
                path=PROJECT_FILE,
                line=_line_in_layers(subject, pattern),
                package=pattern,
                message=f"the layer {layer.name} names {pattern}, and nothing in the lock fits that",
                solution="Write the name as the lock has it, or take it out. "
                f"`factory layers {subject.flavor.name}` shows what is in which layer.",
            )


def _line_in_layers(subject: Subject, pattern: str) -> int | None:
    """Return the line in the table of layers; a dependency may have the same text."""
    head = subject.project_line("[tool.factory.layers]") or 1
    numbered = enumerate(subject.project_lines[head - 1 :], start=head)
    quoted = (f'"{pattern}"', f"'{pattern}'")
    return next((number for number, line in numbered if any(text in line for text in quoted)), None)


def _uv_keys(subject: Subject, project: Project) -> Iterator[Problem]:
    for key, value in _uv_table(project.document):
        last = key.rpartition(".")[2]
        if last in _INDEX_KEYS:
            yield Problem(
                code="FAC205",
                path=PROJECT_FILE,
                line=subject.project_line(last),
                message=f"[tool.uv] {key} says where packages come from, and the factory does not read it",
                solution="Remove it; the index of a flavor is index-url in [tool.factory], and one for named "
                "packages is under [[tool.factory.indexes]].",
            )
        elif last == "index-strategy" and value in _UNSAFE_STRATEGIES:
            yield Problem(
                code="FAC206",
                path=PROJECT_FILE,
                line=subject.project_line(last),
                message=f"[tool.uv] {key} is {value}",
                solution="Remove it; each package has one index, and uv's default strategy is the safe one.",
            )
        elif key not in _HONOURED:
            yield Problem(
                code="FAC207",
                path=PROJECT_FILE,
                line=subject.project_line(last),
                message=f"[tool.uv] {key} has no effect on the lock",
                solution="Remove it, or write what is meant as a constraint or an override.",
            )


def _uv_table(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the keys of [tool.uv] and of [tool.uv.pip], the latter as ``pip.KEY``."""
    tool = document.get("tool")
    table = tool.get("uv") if isinstance(tool, Mapping) else None
    if not isinstance(table, Mapping):
        return
    for key, value in table.items():
        if key == "pip" and isinstance(value, Mapping):
            yield from ((f"pip.{inner}", inner_value) for inner, inner_value in value.items())
        else:
            yield str(key), value


def _missing(subject: Subject, project: Project) -> Iterator[Problem]:
    locked = {pin.name: pin for pin in subject.pins}
    wanted: dict[str, str] = {canonicalize_name(parse(text).name): text for text in project.dependencies}
    for missing in project.spec.missing:
        line = subject.project_line("requirement", f'"{missing.requirement}"')
        pin = locked.get(missing.package)
        asked_for = wanted.get(missing.package)
        if asked_for is not None:
            yield Problem(
                code="FAC211",
                path=PROJECT_FILE,
                line=line,
                package=missing.package,
                message=f"{missing.requirement} is recorded as missing, and dependencies has {asked_for}",
                solution="Take it out of [project] dependencies while the index lacks it, and out of "
                "missing when the index has it. Then lock again.",
            )
        elif pin is None:
            yield Problem(
                code="FAC208",
                path=PROJECT_FILE,
                line=line,
                package=missing.package,
                message=f"{missing.requirement} is recorded as missing from the index: {missing.reason}",
                solution="When the index has it, move it to [project] dependencies and lock again.",
            )
        else:
            yield Problem(
                code="FAC209",
                path=PROJECT_FILE,
                line=line,
                package=missing.package,
                message=f"{missing.requirement} is recorded as missing, and the lock has {pin.text}",
                solution="Take it out of missing, add it to [project] dependencies and lock again.",
            )


def _ranges(subject: Subject, requirements: Iterable[Asked]) -> Iterator[Problem]:
    """Yield FAC217 of dependencies and FAC218; without a constraint there would be no bound at all.

    What a parent has keeps the parent's version, whatever is asked for.
    """
    locked = {pin.name: pin.version for pin in subject.pins}
    given = subject.given_names
    fixed = frozenset() if subject.project is None else subject.project.spec.fixed_versions.keys()
    for item in requirements:
        if item.name in fixed or item.requirement.url is not None:
            continue
        if item.key == "dependencies" and not _is_bounded(item) and item.name not in given:
            message = f"{item.text} has no upper bound"
            solution = f"Add a cap below what has not been tried{_such_as(item, locked)}."
            yield _range_problem("FAC217", subject, item, message, solution)
        if item.key != "override-dependencies" and _is_exact(item):
            message = f"{item.key} pins {item.text}, and the lock pins versions already"
            solution = f"Write a range{_such_as(item, locked)}; the lock holds the exact version."
            yield _range_problem("FAC218", subject, item, message, solution)


def _is_bounded(item: Asked) -> bool:
    return any(clause.operator in _BOUNDING for clause in item.requirement.specifier)


def _is_exact(item: Asked) -> bool:
    return any(
        clause.operator in {"==", "==="} and not clause.version.endswith(".*")
        for clause in item.requirement.specifier
    )


def _such_as(item: Asked, locked: Mapping[str, str | None]) -> str:
    """Return an example: the requirement with a floor (its own, else the locked version) and a cap."""
    named = [clause.version for clause in item.requirement.specifier if clause.operator in _FLOORS]
    floors = [version for text in named or [locked.get(item.name) or ""] for version in _version(text)]
    if not floors:
        return ""
    floor = max(floors)
    extras = f"[{','.join(sorted(item.requirement.extras))}]" if item.requirement.extras else ""
    tried = max((floor, *_version(locked.get(item.name) or "")))
    cap = version_after(tried, "major" if tried.major else "minor")
    return f", such as {item.name}{extras}>={floor.public},<{cap}"


def _version(text: str) -> tuple[Version, ...]:
    try:
        return (Version(text),)
    except ValueError:
        return ()


def _range_problem(code: str, subject: Subject, item: Asked, message: str, solution: str) -> Problem:
    return Problem(
        code=code,
        path=PROJECT_FILE,
        line=subject.project_line(item.text),
        package=item.name,
        message=message,
        solution=solution,
    )
