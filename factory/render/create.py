"""Create a flavor: from what was asked for to a whole folder under ``flavors/``."""

from dataclasses import dataclass, replace
from pathlib import Path

from factory.errors import FlavorExistsError, SpecError, TemplateError
from factory.files import exclusive, staged_folder, write_whole
from factory.flavor.edit import retarget
from factory.flavor.name import check_name
from factory.flavor.project import PROJECT_FILE, Project, parse_project
from factory.flavor.references import check_python
from factory.flavor.repository import Flavor, Repository
from factory.flavor.spec import DEFAULT_PLATFORMS, DEFAULT_TEMPLATE_SET, Spec, check_spec
from factory.render.render import RenderedFile, render_flavor
from factory.render.templates import TemplateSet, load_template_set

_PROJECT_TEMPLATE = "pyproject.toml.j2"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a new flavor is asked to be; None and an empty tuple mean the default."""

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
class Created:
    """A flavor that was created, or would be: its files with their sizes, and what to look at."""

    name: str
    folder: Path
    spec: Spec
    files: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    written: bool


def create_flavor(
    repository: Repository, request: Request, *, source: Flavor | None = None, dry_run: bool = False
) -> Created:
    """Create a flavor folder, whole or not at all; with ``source``, from that flavor's project.

    Raises:
        SpecError: something asked for is not acceptable; nothing was written.
        FlavorExistsError: the name is taken; nothing was written.
        TemplateError: the template set does not fit; nothing was written.
        StorageError, BusyError: the file system refused, or another run holds ``flavors/``.
    """
    spec = check_spec(_spec(request, source))
    name = check_name(spec.folder_name)
    folder = repository.flavors_folder / name
    _refuse_existing(folder)
    text = _project_text(spec, name, source)
    project = parse_project(text, where=f"{name}/{PROJECT_FILE}")
    rendered = render_flavor(project, name=name)
    if not dry_run:
        with exclusive(repository.flavors_folder):
            _refuse_existing(folder)
            _write(folder, text, rendered)
    files = ((PROJECT_FILE, len(text.encode())), *((file.path, len(file.content)) for file in rendered))
    return Created(
        name=name,
        folder=folder,
        spec=spec,
        files=tuple(sorted(files)),
        notes=_notes(project, request, source),
        written=not dry_run,
    )


def _spec(request: Request, source: Flavor | None) -> Spec:
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
            base_image=request.base_image or _default_image(template_set, request, "base-image"),
            downstream_base_image=request.downstream_base_image
            or _default_image(template_set, request, "downstream-base-image"),
        ),
        request,
    )


def _spec_from(request: Request, source: Flavor) -> Spec:
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
            index_url=request.index_url or base.index_url,
            platforms=request.platforms or base.platforms,
            base_image=request.base_image or base.base_image,
            downstream_base_image=request.downstream_base_image or base.downstream_base_image,
            name=None,
        ),
        request,
    )


def _named(spec: Spec, request: Request) -> Spec:
    """The spec with an explicit name only where it is not the derived one."""
    check_spec(spec)
    if request.name is None or check_name(request.name) == spec.derived_name:
        return spec
    return replace(spec, name=request.name)


def _default_image(template_set: TemplateSet, request: Request, key: str) -> str:
    accelerator = template_set.accelerators.get(request.accelerator)
    if accelerator is None:
        raise SpecError(
            f"{request.accelerator!r} is not an accelerator",
            solution=f"Use one of {', '.join(sorted(template_set.accelerators))}.",
        )
    pattern = accelerator.get("defaults", {}).get(key)
    if not isinstance(pattern, str):
        raise TemplateError(
            f"template set {template_set.name} has no default {key} for {request.accelerator}",
            solution=f"Give --{key}.",
        )
    return pattern.format(python_digits=check_python(request.python).replace(".", ""))


def _project_text(spec: Spec, name: str, source: Flavor | None) -> str:
    if source is None:
        template = load_template_set(spec.template_set).environment.get_template(_PROJECT_TEMPLATE)
        return template.render(spec=spec, name=name)
    text = (source.folder / PROJECT_FILE).read_text(encoding="utf-8")
    return retarget(text, old=source.project.spec, new=spec, old_name=source.name, name=name)


def _refuse_existing(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise FlavorExistsError(
            f"{folder} is there already",
            solution="Give another --name, or change the flavor that is there: edit its pyproject.toml, "
            "then `factory sync` and `factory lock`.",
        )


def _write(folder: Path, text: str, rendered: tuple[RenderedFile, ...]) -> None:
    with staged_folder(folder) as staged:
        write_whole(staged / PROJECT_FILE, text.encode())
        for file in rendered:
            path = staged / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, file.content, executable=file.executable)


def _notes(project: Project, request: Request, source: Flavor | None) -> tuple[str, ...]:
    """What was taken over from the source although the versions it belongs to have changed."""
    notes = [f"{item.requirement} is recorded as missing: {item.reason}" for item in project.spec.missing]
    if source is None:
        return tuple(notes)
    old, new = source.project.spec, project.spec
    if new.index_url and request.index_url is None and old.accelerator_version != new.accelerator_version:
        notes.append(f"index-url is still that of {source.name}, for {old.accelerator_version}")
    if request.base_image is None and (old.python, old.accelerator_version) != (
        new.python,
        new.accelerator_version,
    ):
        notes.append(f"base-image is still that of {source.name}: {new.base_image}")
    if request.downstream_base_image is None and (old.python, old.accelerator_version) != (
        new.python,
        new.accelerator_version,
    ):
        notes.append(f"downstream-base-image is still that of {source.name}: {new.downstream_base_image}")
    return tuple(notes)
