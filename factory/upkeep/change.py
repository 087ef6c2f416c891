"""The generated files of a flavor that a changed project changes with it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.errors import DriftError, FactoryError, MovesError
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import Flavor
from factory.flavor.requirements import asked, marker_environment
from factory.flavor.spec import Spec
from factory.lock.availability import in_order
from factory.lock.shelf import Shelf
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


@dataclass(frozen=True, kw_only=True)
class Move:
    """A locked package that cannot stay: its versions, and each requirement that rules out the old one.

    ``why`` is empty where no index tells what its packages require.
    """

    package: str
    before: str
    after: str
    why: tuple[str, ...]


def moves_between(
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    meant: Collection[str],
    project: Project,
    shelf: Shelf,
) -> tuple[Move, ...]:
    """The packages at another version than before, other than those that are meant to be.

    Args:
        before: normalized name to version, as locked.
        after: the same, of the new lock.
        meant: the packages that are meant to change.
        project: what was locked anew.
        shelf: the flavor's indexes, which tell what a version requires, and whether it is there.

    Raises:
        IndexAccessError: an index did not answer, or refused.
    """
    changed = {name: version for name, version in after.items() if before.get(name) != version}
    moved = sorted((changed.keys() & before.keys()) - set(meant))
    return tuple(
        Move(
            package=name,
            before=before[name],
            after=after[name],
            why=_reasons(name, before[name], changed, project, shelf),
        )
        for name in moved
    )


def moves_of(error: FactoryError) -> tuple[Move, ...]:
    """The moves that an error is about; none where it is about something else."""
    found = error.moves if isinstance(error, MovesError) else ()
    return tuple(move for move in found if isinstance(move, Move))


def _reasons(
    name: str, old: str, changed: Mapping[str, str], project: Project, shelf: Shelf
) -> tuple[str, ...]:
    """What rules the old version out: the project, an index without it, or requirements.

    Requirements of extras count only where there is nothing else: which extras are asked for no metadata
    tells.
    """
    spec = project.spec
    found = {
        f"{PROJECT_FILE} asks for {line.text}": None
        for line in asked(project)
        if line.name == name and not _admits(line.requirement, old)
    }
    shelf.look_up([name])
    if without := shelf.platforms_without(Requirement(f"{name}=={old}")):
        found[f"{shelf.url(name)} has no {name} {old} for {' and '.join(without)}"] = None
    for with_extras in (False, True):
        if not found:
            found = dict.fromkeys(_conflicts(name, old, changed, _Reader(spec, shelf, with_extras)))
    return tuple(found)


def _conflicts(name: str, old: str, changed: Mapping[str, str], reader: "_Reader") -> Iterator[str]:
    """What the packages that change require of it, and what it requires itself of those that change."""
    for other, version in sorted(changed.items()):
        if other != name:
            for requirement in reader.required(other, version):
                if canonicalize_name(requirement.name) == name and not _admits(requirement, old):
                    yield f"{other} {version} requires {_plain(requirement)}"
    for requirement in reader.required(name, old):
        version = changed.get(canonicalize_name(requirement.name), "")
        if version and not _admits(requirement, version):
            yield f"{name} {old} requires {_plain(requirement)}"


@dataclass(frozen=True)
class _Reader:
    """What versions require on the flavor's platforms, with none of their extras or with all."""

    spec: Spec
    shelf: Shelf
    with_extras: bool

    def required(self, name: str, version: str) -> Iterator[Requirement]:
        metadata = self.shelf.metadata(name, version)
        if metadata is None:
            return
        environments = [
            {**marker_environment(self.spec.python, platform), "extra": extra}
            for platform in self.spec.platforms
            for extra in ("", *(sorted(metadata.extras) if self.with_extras else ()))
        ]
        for requirement in metadata.requires:
            marker = requirement.marker
            if marker is None or any(marker.evaluate(environment) for environment in environments):
                yield requirement


def _admits(requirement: Requirement, version: str) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{in_order(requirement.specifier)}"
