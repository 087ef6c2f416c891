"""Starting an image that is no flavor: its folder under ``images/``, and its table in ``factory.toml``."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import FlavorExistsError, SpecError
from factory.files import read_regular
from factory.flavor.repository import Repository
from factory.images.catalogue import IMAGES_FOLDER
from factory.images.declaring import Declaration, declaration_text, with_declaration
from factory.images.definitions import Parent
from factory.images.pytorch import PyTorchRequest, pytorch_base
from factory.images.tables import IMAGES_TABLE, check_image_name, read_images_table
from factory.registry.declared import parse_registries
from factory.render.image_templates import ImageTemplate, load_image_template, render_image
from factory.render.render import RenderedFile, contents_of
from factory.settings import SETTINGS_FILE, read_document, read_text
from factory.transaction import NewFolder, Replacement, open_transaction

_PYTORCH = "pytorch-base"


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """What a new image is asked to be. ``pytorch`` and ``devel_image`` are for a pytorch-base alone."""

    name: str
    kind: str
    parent: str | None = None
    devel_image: str | None = None
    registry: str | None = None
    pytorch: PyTorchRequest | None = None


@dataclass(frozen=True, kw_only=True)
class NewImage:
    """An image that was started, or would be: its files with their sizes, its parents, its table as text."""

    name: str
    kind: str
    folder: Path
    parents: dict[str, str]
    files: tuple[tuple[str, int], ...]
    table: str
    written: bool


def new_image(repository: Repository, request: ImageRequest, *, dry_run: bool = False) -> NewImage:
    """Start an image: the folder and its table, both or neither.

    A run that was killed between the two is completed by the next one that asks for the same.

    Raises:
        SpecError: something asked for is not acceptable, such as a parent or a registry that nobody knows,
            or ``factory.toml`` is not; nothing was written.
        FlavorExistsError: the name is taken; nothing was written.
        TemplateError: there is no template for the kind.
        StorageError, BusyError: the file system refused, or another run holds the folder.
    """
    text = read_text(repository.root) or ""
    settings = read_document(text)
    _check_tables(repository, text)
    _check_free(repository, settings, check_image_name(request.name, of="the new image"))
    template = load_image_template(request.kind)
    declaration, values = _declared(template, request)
    _check_parents(repository, settings, declaration)
    files = render_image(template, values)
    _check_tables(repository, with_declaration(text, declaration))
    folder = repository.root / IMAGES_FOLDER / request.name
    _check_folder(folder, files)
    if not dry_run:
        _write(repository, folder, files, declaration)
    return NewImage(
        name=request.name,
        kind=request.kind,
        folder=folder,
        parents=dict(declaration.parents),
        files=tuple(sorted((file.path, len(file.content)) for file in files)),
        table=declaration_text(declaration),
        written=not dry_run,
    )


def _declared(template: ImageTemplate, request: ImageRequest) -> tuple[Declaration, dict[str, object]]:
    """What factory.toml is to say of the image, and what its templates ask for."""
    values: dict[str, object] = {"name": request.name}
    build_args: Mapping[str, str] = {}
    images = [request.parent, request.devel_image]
    if request.kind == _PYTORCH:
        if request.pytorch is None:
            raise SpecError(
                f"an image of the kind {_PYTORCH} has to know which PyTorch to compile, and what for",
                solution="Give --accelerator, --accelerator-version, --pytorch-version and --pytorch-commit.",
            )
        base = pytorch_base(template, request.pytorch)
        images = [request.parent or base.base_image, request.devel_image or base.devel_image]
        build_args = base.build_args
        values |= {
            "accelerator": base.accelerator,
            "arch_list": base.default_arch_list,
            "python": base.python,
            "summary": f"PyTorch compiled from source for {base.title}, Python {base.python}",
        }
    elif request.pytorch is not None or request.devel_image is not None:
        raise SpecError(
            f"a {request.kind} compiles no PyTorch",
            solution=f"Leave out what is for a {_PYTORCH}: the accelerator, PyTorch, the devel image.",
        )
    elif request.parent is None:
        raise SpecError(f"a {request.kind} stands on another image", solution="Name it with --parent.")
    parents = {argument: str(image) for argument, image in zip(template.arguments, images, strict=False)}
    return Declaration(
        name=request.name,
        kind=request.kind,
        parents=parents,
        build_args=build_args,
        registry=request.registry,
    ), values | {"parent": parents[template.arguments[0]]}


def _check_free(repository: Repository, settings: Mapping[str, Any], name: str) -> None:
    taken = (
        f"[{IMAGES_TABLE}.{name}] is in {SETTINGS_FILE} already"
        if name in settings.get(IMAGES_TABLE, {})
        else f"a flavor is named {name} already"
        if (repository.flavors_folder / name).exists()
        else None
    )
    if taken:
        raise FlavorExistsError(taken, solution="Choose another name: an image's name is its folder's.")


def _check_parents(repository: Repository, settings: Mapping[str, Any], declaration: Declaration) -> None:
    known = {*settings.get(IMAGES_TABLE, {}), *(flavor.name for flavor in repository.flavors())}
    for argument, image in declaration.parents.items():
        if image not in known and not Parent(argument=argument, image=image).is_reference:
            raise SpecError(
                f"the parent {image!r} is no image of this repository, and no reference with a tag or digest",
                solution=f"Name one that is there ({', '.join(sorted(known)) or 'none yet'}), or give "
                "registry/path:tag.",
            )


def _check_tables(repository: Repository, text: str) -> None:
    """Pass where what factory.toml is going to say of images can be read: parents and registry are there."""
    document = read_document(text)
    flavors = [flavor.name for flavor in repository.flavors()]
    read_images_table(document, registries=parse_registries(document), flavors=flavors)


def _check_folder(folder: Path, files: tuple[RenderedFile, ...]) -> None:
    """Pass where the folder is not there, or is what a killed run made of the same request."""
    if not folder.exists() and not folder.is_symlink():
        return
    wanted = {file.path: file.content for file in files}
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if there.keys() != wanted.keys() or any(read_regular(there[name]) != wanted[name] for name in wanted):
        raise FlavorExistsError(
            f"{folder} is there already", solution="Choose another name, or remove the folder first."
        )


def _write(
    repository: Repository, folder: Path, files: tuple[RenderedFile, ...], declaration: Declaration
) -> None:
    with open_transaction([repository.root]) as transaction:
        # Again, now that nobody else writes: another run may have been faster.
        before = read_text(repository.root)
        text = before or ""
        _check_free(repository, read_document(text), declaration.name)
        _check_folder(folder, files)
        settings = Replacement(
            path=repository.root / SETTINGS_FILE,
            before=None if before is None else text.encode(),
            content=with_declaration(text, declaration).encode(),
        )
        made = [] if folder.exists() else [NewFolder(path=folder, files=contents_of(files))]
        try:
            transaction.commit((*made, settings))
        finally:
            # Not empty where all went well.
            with suppress(OSError):
                folder.parent.rmdir()
