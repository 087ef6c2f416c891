"""Create a flavor: from a request to a whole folder under ``flavors/``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.console import Report, Table, human_size
from factory.dockerfile.references import check_python
from factory.errors import FlavorExistsError, SpecError, TemplateError
from factory.flavor.edit import retarget
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor, Repository
from factory.flavor.spec import DEFAULT_PLATFORMS, DEFAULT_TEMPLATE_SET, Spec, check_name, check_spec
from factory.render.drift import read_own_files
from factory.render.render import RenderedFile, contents_of, render_flavor
from factory.render.templates import TemplateSet, load_template_set
from factory.transaction import NewFolder, open_transaction

_PROJECT_TEMPLATE = "pyproject.toml.j2"


@dataclass(frozen=True, kw_only=True)
class FlavorRequest:
    """The options of a new flavor; None and an empty tuple mean the default."""

    accelerator: str
    accelerator_version: str | None
    torch: str
    python: str
    training_hub: str
    index_url: str | None = None
    platforms: tuple[str, ...] = ()
    base_image: str | None = None
    downstream_base_image: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreatedFlavor(Report):
    """A flavor that was created, or would be: its files with their sizes, and notes for a person."""

    name: str
    folder: Path
    spec: Spec
    files: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    written: bool

    def describe(self) -> tuple[str | Table, ...]:
        rows = tuple((path, human_size(size)) for path, size in self.files)
        here = Path.cwd()
        place = self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder
        table = Table(headings=("FILE", "SIZE"), rows=rows, right_aligned=frozenset({"SIZE"}))
        if not self.written:
            return (f"Would make {place}:", table)
        return (f"Made {place}:", table, f"Next: factory lock {self.name}")


def create_flavor(
    repository: Repository, request: FlavorRequest, *, source: Flavor | None = None, dry_run: bool = False
) -> CreatedFlavor:
    """Create a flavor folder, whole or not at all; with ``source``, from that flavor's project.

    Raises:
        SpecError: something asked for is not acceptable; nothing was written.
        FlavorExistsError: the name is taken; nothing was written.
        TemplateError: the template set does not fit; nothing was written.
        NotFoundError: a file that the source's hooks name is not there; nothing was written.
        StorageError, BusyError: the file system refused, or another run holds ``flavors/``.
    """
    spec = check_spec(_spec(request, source))
    name = check_name(spec.folder_name)
    refuse_existing(repository.flavors_folder / name)
    text = _project_text(spec, name, source)
    own = () if source is None else read_own_files(source.folder, spec.hooks.files)
    created = create_from_text(repository, name=name, text=text, own_files=own, dry_run=dry_run)
    project = parse_project(text, where=f"{name}/{PROJECT_FILE}")
    return replace(created, notes=creation_notes(project, source=source))


def create_from_text(
    repository: Repository,
    *,
    name: str,
    text: str,
    own_files: tuple[RenderedFile, ...] = (),
    dry_run: bool = False,
) -> CreatedFlavor:
    """Create a flavor folder from the text of its ``pyproject.toml``, whole or not at all.

    Args:
        repository: where the folder goes.
        name: of the folder.
        text: of the project; its line endings are kept.
        own_files: the files beside it and the rendered ones.
        dry_run: write nothing.

    Raises:
        SpecError, FlavorExistsError, TemplateError, StorageError, BusyError: as for `create_flavor`.
    """
    folder = repository.flavors_folder / name
    refuse_existing(folder)
    project = parse_project(text, where=f"{name}/{PROJECT_FILE}")
    edited = RenderedFile(path=PROJECT_FILE, content=text.encode(), executable=False)
    files = (edited, *render_flavor(project, name=name), *own_files)
    if not dry_run:
        with open_transaction([repository.flavors_folder]) as transaction:
            refuse_existing(folder)
            transaction.commit([NewFolder(path=folder, files=contents_of(files))])
    return CreatedFlavor(
        name=name,
        folder=folder,
        spec=project.spec,
        files=tuple(sorted((file.path, len(file.content)) for file in files)),
        notes=(),
        written=not dry_run,
    )


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that exists.

    Raises:
        FlavorExistsError: it does.
    """
    if folder.exists() or folder.is_symlink():
        raise FlavorExistsError(
            f"{folder} is there already",
            solution="Give another --name, or change the flavor that is there: edit its pyproject.toml, "
            "then `factory sync` and `factory lock`.",
        )


def _spec(request: FlavorRequest, source: Flavor | None) -> Spec:
    if source is not None:
        return _spec_from(request, source)
    template_set = load_template_set(DEFAULT_TEMPLATE_SET)
    return _named(
        Spec(
            accelerator=request.accelerator,
            accelerator_version=request.accelerator_version,
            torch=request.torch,
            python=request.python,
            training_hub=request.training_hub,
            index_url=request.index_url,
            platforms=request.platforms or DEFAULT_PLATFORMS,
            base_image=_given(
                request.base_image,
                default_image(template_set, request.accelerator, request.python, "base-image"),
            ),
            downstream_base_image=_given(
                request.downstream_base_image,
                default_image(template_set, request.accelerator, request.python, "downstream-base-image"),
            ),
        ),
        request,
    )


def _spec_from(request: FlavorRequest, source: Flavor) -> Spec:
    base = source.project.spec
    if base.accelerator != request.accelerator:
        raise SpecError(
            f"{source.name} is for {base.accelerator}, and the new flavor would be for "
            f"{request.accelerator}: their dependencies have little in common",
            solution=f"Start from a {request.accelerator} flavor, or leave --from out.",
        )
    return _named(
        replace(
            base,
            accelerator_version=request.accelerator_version,
            torch=request.torch,
            python=request.python,
            training_hub=request.training_hub,
            index_url=request.index_url if request.index_url is not None else base.index_url,
            platforms=request.platforms or base.platforms,
            base_image=_given(request.base_image, _kept_image(base.base_image, "base-image", base, request)),
            downstream_base_image=_given(
                request.downstream_base_image,
                _kept_image(base.downstream_base_image, "downstream-base-image", base, request),
            ),
            name=None,
        ),
        request,
    )


def _given(option: str | None, default: str) -> str:
    """Return the option, unless it was left out; the checks refuse an empty one."""
    return default if option is None else option


def _named(spec: Spec, request: FlavorRequest) -> Spec:
    """Return the spec with an explicit name only if it is not the derived one."""
    check_spec(spec)
    if request.name is None or check_name(request.name) == spec.derived_name:
        return spec
    return replace(spec, name=request.name)


def _kept_image(image: str, key: str, old: Spec, request: FlavorRequest) -> str:
    """Return the source's image, or if it was the default, the default for the new Python."""
    template_set = load_template_set(old.template_set)
    if image != default_image(template_set, old.accelerator, old.python, key):
        return image
    return default_image(template_set, old.accelerator, request.python, key)


def default_image(template_set: TemplateSet, accelerator: str, python: str, key: str) -> str:
    """Return the default of a template set for ``base-image`` or ``downstream-base-image``.

    Raises:
        SpecError: the accelerator or the Python is unknown.
        TemplateError: the template set has no default.
    """
    data = template_set.accelerators.get(accelerator)
    if data is None:
        raise SpecError(
            f"{accelerator!r} is not an accelerator",
            solution=f"Use one of {', '.join(sorted(template_set.accelerators))}.",
        )
    pattern = data.get("defaults", {}).get(key)
    if not isinstance(pattern, str):
        raise TemplateError(
            f"template set {template_set.name} has no default {key} for {accelerator}",
            solution=f"Give --{key}.",
        )
    return pattern.format(python_digits=check_python(python).replace(".", ""))


def _project_text(spec: Spec, name: str, source: Flavor | None) -> str:
    if source is None:
        template = load_template_set(spec.template_set).environment.get_template(_PROJECT_TEMPLATE)
        return template.render(spec=spec, name=name)
    text = read_project_text(source.folder)
    return retarget(text, old=source.project.spec, new=spec, old_name=source.name, name=name)


def creation_notes(project: Project, *, source: Flavor | None) -> tuple[str, ...]:
    """Return what the index lacks and, with a source, what fits only the source's versions."""
    return tuple(_notes(project, source))


def _notes(project: Project, source: Flavor | None) -> Iterator[str]:
    for item in project.spec.missing:
        yield f"{item.requirement} is recorded as missing: {item.reason}"
    if project.spec.index_url is None and project.spec.accelerator != "cuda":
        yield (
            f"the public index's torch for Linux is built for CUDA: for {project.spec.accelerator}, "
            + ("give --index-url" if project.spec.accelerator == "rocm" else "lock with --find-links DIR")
        )
    if source is not None:
        yield from _kept(project, source)
        yield from _ranges(project)


def _kept(project: Project, source: Flavor) -> Iterator[str]:
    old, new = source.project.spec, project.spec
    moved = old.accelerator_version != new.accelerator_version
    if moved and new.index_url is not None and new.index_url == old.index_url:
        yield f"index-url is still that of {source.name}, for {old.accelerator_version}"
    if old.python != new.python and old.base_image == new.base_image:
        yield f"base-image is still that of {source.name}, for Python {old.python}: {new.base_image}"
    if old.python != new.python and old.downstream_base_image == new.downstream_base_image:
        yield f"downstream-base-image is still that of {source.name}: {new.downstream_base_image}"
    for requirement in (*project.dependencies, *project.constraints, *project.overrides):
        if old.python != new.python and "python" in str(Requirement(requirement).marker or ""):
            yield f"{requirement} has a marker on Python, which is {new.python} now"


def _ranges(project: Project) -> Iterator[str]:
    """Yield kept ranges that rule out the spec's versions; a person had a reason for them."""
    versions = {"torch": project.spec.torch, "training-hub": project.spec.training_hub}
    for text in (*project.dependencies, *project.constraints):
        requirement = Requirement(text)
        version = versions.get(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield f"{text} rules out {version}: it was kept, and cannot be locked like this"
