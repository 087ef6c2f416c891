"""Adopt a hand-made folder: read it, decide, and make the flavor, or say what would come of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from factory.adopt import evidence
from factory.adopt.applying import only_what_applies
from factory.adopt.decide import NOTHING_WANTED, Decision, Origin, Wanted, decide
from factory.adopt.dockerfile import (
    Chosen,
    OldDockerfile,
    OldInstruction,
    choose,
    choose_if_clear,
    read_old_dockerfile,
    variants,
)
from factory.adopt.draft import Draft
from factory.adopt.evidence import Sources
from factory.adopt.files import place_files
from factory.adopt.folder import Evidence, Folder, read_folder
from factory.adopt.given import (
    Added,
    Given,
    installs_weak_dependencies,
    what_is_added,
    what_the_template_gives,
)
from factory.adopt.installed import copied_names, read_limits, read_locks
from factory.adopt.instructions import place_dockerfile, place_downstream
from factory.adopt.locks import FurtherLock, OldLock, local_builds, starting_point
from factory.adopt.named_installs import (
    NamedInstall,
    index_key,
    own_indexes,
    read_named_installs,
    variable_urls,
)
from factory.adopt.new_project import guessed, new_project
from factory.adopt.placement import Placement, masked
from factory.adopt.requirements import (
    REQUIREMENTS_IN,
    Asked,
    OldProject,
    read_asked,
    read_old_project,
    unreadable_dependencies,
)
from factory.errors import FlavorExistsError
from factory.flavor.repository import Repository
from factory.flavor.spec import ACCELERATORS
from factory.lock.lockfile import LOCK_FILE
from factory.lock.lockset import lock_file_name
from factory.render.create import Created, create_from_text
from factory.render.render import RenderedFile

_IGNORE = (".dockerignore", ".containerignore")


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What became of a folder, or would become of it where ``written`` is False.

    ``placements`` holds every instruction and every file exactly once; ``added`` what the folder had not
    and the flavor has; ``notes`` what contradicted what, and what is not as it was.
    """

    source: Path
    name: str
    folder: Path
    origins: tuple[Origin, ...]
    placements: tuple[Placement, ...]
    added: tuple[Added, ...]
    notes: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    written: bool

    def placed(self, place: str) -> tuple[Placement, ...]:
        """The placements of one kind."""
        return tuple(each for each in self.placements if each.place == place)


def adopt_folder(repository: Repository, source: Path, wanted: Wanted, *, write: bool) -> Adopted:
    """Make a flavor of a hand-made folder, whole or not at all; the folder itself is left as it is.

    Raises:
        SpecError: it does not say all that a spec needs, or something in it is not acceptable.
        FlavorExistsError: the flavor's name is taken, maybe by the folder itself.
        NotFoundError, StorageError, BusyError, TemplateError, MarkerError: as their names say.
    """
    asked = read_sources(source, wanted)
    sources = only_what_applies(asked, python=wanted.python, platforms=wanted.platforms)
    decision = decide(sources, wanted)
    given = what_the_template_gives(decision.spec)
    placements, draft = _placements(sources, given)
    project, notes = _project(sources, decision, draft)
    created = _create(repository, sources, decision, draft, project, write=write)
    problems = [each.problem for each in (sources.dockerfile, sources.downstream) if each and each.problem]
    return Adopted(
        source=source,
        name=created.name,
        folder=created.folder,
        origins=decision.origins,
        placements=placements,
        added=tuple(what_is_added(given, sources.dockerfile)),
        notes=tuple(
            masked(note)
            for note in (
                *decision.notes,
                *(
                    f"the MIDSTREAM ONLY blocks cannot be told, and were read as if there were none: {each}"
                    for each in problems
                ),
                *notes,
                *_of_the_folder(sources),
                *_done_otherwise(sources, given),
                *(sources.lock.problems if sources.lock else ()),
                *(problem for each in sources.further for problem in each.lock.problems),
            )
        ),
        files=created.files,
        written=write,
    )


def _of_the_folder(sources: Sources) -> Iterator[str]:
    """What the folder has, or has not, and no placement says."""
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


def _done_otherwise(sources: Sources, given: Given) -> Iterator[str]:
    """What the template does as the folder does, and yet with another effect."""
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
        if given.has_variable(name, value)
    )
    if names:
        yield (
            f"{', '.join(names)}: the template sets these in the midstream build alone, {shipped[0].path} "
            "outside of a MIDSTREAM ONLY block: where the downstream base image does not set them, name them "
            "in hooks.environment"
        )


def read_sources(root: Path, wanted: Wanted = NOTHING_WANTED) -> Sources:
    """Read everything of a hand-made folder.

    Raises:
        SpecError: several Dockerfiles could be the flavor's, or as for `adopt_folder`.
        NotFoundError, StorageError: as for `adopt_folder`.
    """
    folder = read_folder(root.resolve())
    project = read_old_project(folder)
    known = Sources(
        folder=folder,
        dockerfile=None,
        downstream=None,
        lock=read_locks(None, folder).main,
        project=project,
        base_image=wanted.base_image,
    )
    first = _chosen(known, wanted, downstream=False)
    midstream = _dockerfile(folder, first)
    second = _chosen(replace(known, dockerfile=midstream), wanted, downstream=True)
    downstream = _dockerfile(folder, second)
    if midstream is not None:
        folder = replace(folder, entrypoint=_entrypoint(midstream, folder))
    folder = replace(folder, renamed=copied_names(midstream or downstream, folder))
    locks = read_locks(midstream or downstream, folder)
    installs = read_named_installs(midstream or downstream)
    main_urls = tuple(_main_urls(locks.main, project, midstream or downstream, installs, wanted))
    builds = local_builds(locks.main)
    further = (*locks.further, *((builds,) if builds is not None else ()))
    further = (*further, *own_indexes(installs, main_urls, locks.main, further))
    named = [each.index for each in installs if not (further or each.is_extra)]
    keys = map(index_key, (*main_urls, *(each.index.url for each in further), *named))
    folder = replace(folder, locks=locks.paths, indexes=frozenset(key for key in keys if key))
    is_asked = REQUIREMENTS_IN in folder.paths and not (project and project.dependencies)
    return Sources(
        folder=folder,
        dockerfile=midstream,
        downstream=downstream,
        lock=_without(locks.main, further, builds),
        project=project,
        asked=read_asked(folder) if is_asked else None,
        further=further,
        installs=installs,
        limits=read_limits(midstream or downstream, folder),
        beside=locks.beside,
        base_image=wanted.base_image,
        chosen=(first, second),
    )


def _main_urls(
    lock: OldLock | None,
    project: OldProject | None,
    dockerfile: OldDockerfile | None,
    installs: Sequence[NamedInstall],
    wanted: Wanted,
) -> Iterator[str]:
    """The addresses of the index of everything, as far as something says that it is that."""
    named = [*(lock.index_urls if lock else ()), *(project.index_urls if project else ())]
    yield from (each.value for each in (*named, *variable_urls(dockerfile)))
    yield from (each.index for each in installs if each.has_files and each.index and not each.is_extra)
    if wanted.index_url is not None:
        yield wanted.index_url


def _without(
    lock: OldLock | None, further: Sequence[FurtherLock], builds: FurtherLock | None
) -> OldLock | None:
    """The lock without the pins of packages that come from an index of their own."""
    if lock is None:
        return None
    owned = {package for each in further for package in each.index.packages}
    extra = f"--extra-index-url {lock.extra_urls[0].value}" if builds is not None else None
    return replace(
        lock,
        pins=tuple(pin for pin in lock.pins if pin.name not in owned),
        problems=tuple(each for each in lock.problems if extra is None or extra not in each),
    )


def _chosen(known: Sources, wanted: Wanted, *, downstream: bool) -> Chosen:
    """The Dockerfile of one kind, by what is known so far of the accelerator."""
    candidates = variants(known.folder.paths, downstream=downstream)
    said = [each for each in evidence.accelerators(known) if each.value in ACCELERATORS]
    if wanted.accelerator is not None:
        said = [Evidence(value=wanted.accelerator, where="--accelerator")]
    if downstream and wanted.downstream_base_image is not None and wanted.downstream_dockerfile is None:
        return choose_if_clear(candidates, said)
    return choose(
        candidates,
        asked=wanted.downstream_dockerfile if downstream else wanted.dockerfile,
        option="downstream-dockerfile" if downstream else "dockerfile",
        accelerators=said,
        sure=wanted.accelerator is not None or known.dockerfile is not None or known.base_image is not None,
    )


def _dockerfile(folder: Folder, chosen: Chosen) -> OldDockerfile | None:
    return None if chosen.path is None else read_old_dockerfile(chosen.path, folder.content(chosen.path))


def _entrypoint(dockerfile: OldDockerfile, folder: Folder) -> str | None:
    """The file of the folder that ENTRYPOINT starts."""
    texts = [step.text for step in dockerfile.steps if step.name == "ENTRYPOINT"]
    words = re.findall(r"[\w.-]+\.sh\b", texts[-1]) if texts else []
    return next((word for word in words if word in folder.paths), None)


def _placements(sources: Sources, given: Given) -> tuple[tuple[Placement, ...], Draft]:
    draft = Draft()
    found: tuple[Placement, ...] = ()
    steps: tuple[OldInstruction, ...] = ()
    if sources.dockerfile is not None:
        steps = sources.dockerfile.steps
        found, draft = place_dockerfile(sources.dockerfile, sources.folder, given)
    if sources.downstream is not None:
        midstream = tuple(zip(steps, found, strict=True))
        found += place_downstream(sources.downstream, midstream, draft, sources.folder, given)
    left = tuple(unreadable_dependencies(sources.project)) if sources.project else ()
    left += sources.asked.left if sources.asked else ()
    left += sources.limits.left
    return (*place_files(sources, draft, given), *left, *found), draft


def _project(sources: Sources, decision: Decision, draft: Draft) -> tuple[str, tuple[str, ...]]:
    installed = [
        Asked(requirement=name, why=_installed_by(step)) for name, step in draft.requirements.items()
    ]
    asked = [
        Asked(requirement=item.requirement, why=f"installed from {each.path}")
        for each in sources.beside
        for item in guessed(each)[0]
    ]
    notes: list[str] = []
    if sources.project is None or not sources.project.dependencies:
        found, told = _asked(sources)
        asked = [*found, *asked]
        notes.append(told)
    made = new_project(
        sources.project,
        decision,
        draft,
        asked=asked,
        installed=installed,
        limits=sources.limits.asked,
        extras=sources.lock.extras if sources.lock else (),
        folder=sources.folder.root.name,
    )
    return made.text, (*notes, *made.notes)


def _installed_by(step: OldInstruction) -> str:
    """Where something is installed by name, with what the comment above it says."""
    said = " ".join(line.lstrip("#").strip() for line in step.comment.splitlines())
    why = f"installed by {step.where}, beside the lock"
    return masked(f"{why}: {said}" if said else why)


def _asked(sources: Sources) -> tuple[list[Asked], str]:
    """What a folder without dependencies in a pyproject.toml asks for."""
    if sources.asked is not None:
        return list(sources.asked.asked), f"dependencies are those of {REQUIREMENTS_IN}"
    if sources.lock is None:
        return [], "nothing says what the image adds to its base: name it in [project] dependencies"
    found, told = guessed(sources.lock)
    more = [item for each in sources.further for item in guessed(each.lock)[0]]
    return [*found, *more], f"dependencies are a guess from {sources.lock.path}: {told}. Look at them"


def _create(
    repository: Repository,
    sources: Sources,
    decision: Decision,
    draft: Draft,
    project: str,
    *,
    write: bool,
) -> Created:
    spec = decision.spec
    name = spec.folder_name
    target = repository.flavors_folder / name
    if target.resolve() == sources.folder.root:
        raise FlavorExistsError(
            f"{target} is the hand-made folder itself, where the flavor would stand",
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
