"""Adopt a hand-made folder: read it, decide the spec, and make the flavor, or preview it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.adopt.decide import Decision, SpecOrigin, decide_spec
from factory.adopt.draft import Draft
from factory.adopt.evidence import AdoptOptions, FolderContent, only_what_applies, read_sources
from factory.adopt.files import place_files
from factory.adopt.instructions import place_dockerfile, place_downstream
from factory.adopt.locks import starting_point
from factory.adopt.placement import Placement, printable
from factory.adopt.project import new_project
from factory.adopt.requirements import (
    unreadable_dependencies,
)
from factory.adopt.template import (
    Added,
    TemplateContent,
    installs_weak_dependencies,
    list_additions,
    read_template,
)
from factory.console import Report, Table
from factory.errors import FlavorExistsError
from factory.flavor.repository import Repository
from factory.lock.lockfile import LOCK_FILE
from factory.lock.lockset import lock_file_name
from factory.render.create import CreatedFlavor, create_from_text
from factory.render.render import RenderedFile

_IGNORE = (".dockerignore", ".containerignore")


@dataclass(frozen=True, kw_only=True)
class AdoptedFlavor(Report):
    """The result of adopting a folder, or a preview if ``written`` is False.

    ``placements`` holds every instruction and every file exactly once; ``added`` what only the flavor has;
    ``notes`` name contradictions and changes.
    """

    source: Path
    name: str
    folder: Path
    origins: tuple[SpecOrigin, ...]
    placements: tuple[Placement, ...]
    added: tuple[Added, ...]
    notes: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    written: bool

    def placed(self, place: str) -> tuple[Placement, ...]:
        """Return the placements of one kind."""
        return tuple(each for each in self.placements if each.place == place)

    def describe(self) -> Iterator[str | Table]:
        """Yield the result for each part of the folder."""
        place = f"flavors/{self.name}"
        verb = "Made" if self.written else "Would make"
        yield f"{verb} {place} from {self.source}:\n"
        rows = tuple((origin.key, origin.value or "-", origin.where) for origin in self.origins)
        yield Table(headings=("spec", "value", "says"), rows=rows, yielding=frozenset({"says"}))
        for kind, heading in _HEADINGS.items():
            found = [each for each in self.placed(kind) if not each.repeats]
            if found:
                yield "\n".join(("", f"{heading}:", *(_line(each) for each in found)))
        repeated = [each for each in self.placements if each.repeats]
        if repeated:
            one = repeated[0]
            are, go = ("is", "goes") if len(repeated) == 1 else ("are", "go")
            more = f"{len(repeated)} more of {one.path} {are} also in {one.repeats}"
            yield f"\n{more}, and {go} the same way."
        if self.added:
            lines = (f"  {each.what}\n      {', '.join(each.items)}" for each in self.added)
            yield "\n".join(("", "The template adds, and the folder had not:", *lines, f"      {_ADDED}"))
        if self.notes:
            yield "\n".join(("", "To look at:", *(f"  {note}" for note in self.notes)))
        yield "\n" + _next_command(self, place)


def adopt_folder(repository: Repository, source: Path, wanted: AdoptOptions, *, write: bool) -> AdoptedFlavor:
    """Make a flavor from a hand-made folder, whole or not at all.

    Raises:
        SpecError: it lacks something that a spec needs, or has something unacceptable.
        FlavorExistsError: the flavor's name is taken, maybe by the folder itself.
        NotFoundError, StorageError, BusyError, TemplateError, MarkerError: as their names say.
    """
    asked = read_sources(source, wanted)
    sources = only_what_applies(asked, python=wanted.python, asked=wanted.platforms)
    decision = decide_spec(sources, wanted)
    template = read_template(decision.spec)
    placements, draft = _placements(sources, template)
    project, notes = new_project(sources, decision, draft)
    created = _create(repository, sources, decision, draft, project, write=write)
    problems = [each.problem for each in (sources.dockerfile, sources.downstream) if each and each.problem]
    return AdoptedFlavor(
        source=source,
        name=created.name,
        folder=created.folder,
        origins=decision.origins,
        placements=placements,
        added=tuple(list_additions(template, sources.dockerfile)),
        notes=tuple(
            printable(note)
            for note in (
                *decision.notes,
                *(
                    f"the MIDSTREAM ONLY blocks cannot be read, and were taken for ordinary lines: {each}"
                    for each in problems
                ),
                *notes,
                *_of_the_folder(sources),
                *_done_otherwise(sources, template),
                *(sources.lock.problems if sources.lock else ()),
                *(problem for each in sources.further for problem in each.lock.problems),
            )
        ),
        files=created.files,
        written=write,
    )


def _of_the_folder(sources: FolderContent) -> Iterator[str]:
    """Yield notes on the folder beside those of its placements."""
    if sources.dockerfile is None:
        yield "there is no Dockerfile or Containerfile: the image is the template's, and no hook is filled"
    for chosen in sources.chosen:
        if chosen.path is not None and chosen.why:
            yield f"{chosen.path} was read: {chosen.why}"
    ignored = [path for path in _IGNORE if path in sources.folder.paths]
    if ignored:
        yield (
            f"{', '.join(ignored)} is not read: what it kept out of a COPY of a folder is copied now, "
            "where hooks.files names it. Look at that list"
        )


def _done_otherwise(sources: FolderContent, template: TemplateContent) -> Iterator[str]:
    """Yield notes on template instructions whose effect differs from the folder's."""
    steps = (
        [step for step in sources.dockerfile.steps if sources.dockerfile.in_image(step)]
        if sources.dockerfile
        else []
    )
    weak = [step for step in steps if step.name == "RUN" and installs_weak_dependencies(step)]
    if weak and not any("install_weak_deps" in step.text for step in steps):
        yield (
            "the template installs system packages without those that they only recommend "
            f"(install_weak_deps=False), and {weak[0].where} with them: name in "
            "hooks.system-packages what the image misses"
        )
    shipped = sources.downstream.steps if sources.downstream else steps
    names = dict.fromkeys(
        name
        for step in shipped
        if step.name == "ENV" and not step.in_block
        for name, value in step.instruction.pairs or ()
        if template.has_variable(name, value)
    )
    if names:
        yield (
            f"{', '.join(names)}: the template sets these in the midstream build alone, {shipped[0].path} "
            "outside of a MIDSTREAM ONLY block: where the downstream base image does not set them, name them "
            "in hooks.environment"
        )


def _placements(sources: FolderContent, template: TemplateContent) -> tuple[tuple[Placement, ...], Draft]:
    draft = Draft()
    found: tuple[Placement, ...] = ()
    if sources.dockerfile is not None:
        found, draft = place_dockerfile(sources.dockerfile, sources.folder, template)
    if sources.downstream is not None:
        steps = sources.dockerfile.steps if sources.dockerfile else ()
        midstream = tuple(zip(steps, found, strict=True))
        found += place_downstream(sources.downstream, midstream, draft, sources.folder, template)
    left = tuple(unreadable_dependencies(sources.project)) if sources.project else ()
    left += sources.asked.left if sources.asked else ()
    left += sources.limits.left
    return (*place_files(sources, draft, template), *left, *found), draft


def _create(
    repository: Repository,
    sources: FolderContent,
    decision: Decision,
    draft: Draft,
    project: str,
    *,
    write: bool,
) -> CreatedFlavor:
    spec = decision.spec
    name = spec.folder_name
    target = repository.flavors_folder / name
    if target.resolve() == sources.folder.root:
        raise FlavorExistsError(
            f"{target} is the hand-made folder itself, and would be the flavor's",
            solution="Move it out of flavors/ first (git mv keeps its history) and adopt it from there, or "
            "give the flavor another --name. The folder was left as it is.",
        )
    own = [sources.folder.file(path) for path in draft.files]
    if sources.lock is not None and sources.lock.pins:
        content = starting_point(sources.lock, index_url=spec.index_url, name=name)
        own.append(RenderedFile(path=LOCK_FILE, content=content, executable=False))
    for each in sources.further:
        content = starting_point(each.lock, index_url=each.index.url, name=name)
        path = lock_file_name(each.index.name)
        own.append(RenderedFile(path=path, content=content, executable=False))
    return create_from_text(repository, name=name, text=project, own_files=tuple(own), dry_run=not write)


_HEADINGS = {
    "spec": "Read into the spec",
    "hook": "Kept in the hooks",
    "template": "The template does this",
    "not kept": "Cannot be kept",
}
_ADDED = (
    "what to do: Nothing, where that is right. A variable gets another value in hooks.environment, and a "
    "system package another version in hooks.system-packages."
)


def _line(placement: Placement) -> str:
    where = placement.path if placement.line is None else f"{placement.path}:{placement.line}"
    what = "" if placement.line is None else f"  {placement.what}"
    to = f"\n      {'; '.join(part for part in (placement.to, placement.why) if part)}"
    solution = f"\n      what to do: {placement.solution}" if placement.solution else ""
    return f"  {where}{what}{to if to.strip() else ''}{solution}"


def _next_command(adopted: AdoptedFlavor, place: str) -> str:
    if not adopted.written:
        return "Nothing was written. Again with --write to make the flavor; the folder itself stays as it is."
    return (
        f"Next: look at {place}/pyproject.toml and at what cannot be kept; then\n"
        f"  factory lock {adopted.name}\n  factory check {adopted.name}\n"
        f"and remove {adopted.source} when the image is built and tested."
    )
