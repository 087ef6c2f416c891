"""Start an image that is not a flavor: its folder under ``images/``, and its table in ``factory.toml``."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import InvalidRequirement

from factory.console import Report, Table, human_size
from factory.dockerfile.references import (
    check_accelerator_version,
    check_image,
    check_python,
    check_version,
    parse_requirement,
)
from factory.documents import parse_toml
from factory.errors import FlavorExistsError, SpecError
from factory.files import read_regular
from factory.flavor.kinds import BASE_IMAGE, IMAGES_FOLDER, IMAGES_TABLE, Kind, Parent, check_image_name
from factory.flavor.project import PROJECT_FILE, ImageFolder, parse_project
from factory.flavor.repository import Repository
from factory.flavor.spec import DEFAULT_TEMPLATE_SET
from factory.images.catalogue import read_images_table
from factory.registry.declared import parse_registries
from factory.render.create import default_image
from factory.render.image_templates import ImageTemplate, load_image_template, render_image
from factory.render.render import RenderedFile, contents_of, render_flavor
from factory.render.templates import load_template_set
from factory.settings import SETTINGS_FILE, read_document, read_settings_text
from factory.transaction import NewFolder, Replacement, open_transaction

_PYTORCH = "pytorch-base"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ARCHITECTURES = {
    "cuda": (re.compile(r"[0-9]{1,2}\.[0-9][af]?(?:\+PTX)?"), "8.0;9.0+PTX"),
    "rocm": (re.compile(r"gfx[0-9a-f]{3,5}(?::(?:xnack|sramecc)[+-])*"), "gfx90a;gfx942"),
}
_PATCH_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class PyTorchRequest:
    """The PyTorch that a pytorch-base compiles; ``arch_list`` None for the default of the template."""

    accelerator: str
    accelerator_version: str
    version: str
    commit: str
    python: str = "3.12"
    arch_list: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """The image to start.

    ``pytorch`` and ``devel_image`` are for a pytorch-base only. ``python``: the Python of an external parent.
    ``extras`` are groups of packages of a stack, ``packages`` further requirements of any other kind than a
    pytorch-base. ``keep_entrypoint``: a launcher starts what its parent starts.
    """

    name: str
    kind: Kind
    parent: str | None = None
    devel_image: str | None = None
    registry: str | None = None
    pytorch: PyTorchRequest | None = None
    python: str | None = None
    extras: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    keep_entrypoint: bool = False


@dataclass(frozen=True, kw_only=True)
class NewImage(Report):
    """An image that was started, or would be: files with sizes, parents, table as text.

    ``locks``: it installs packages, and has to be locked before it is built.
    """

    name: str
    kind: str
    folder: Path
    parents: dict[str, str]
    files: tuple[tuple[str, int], ...]
    table: str
    locks: bool
    written: bool

    def describe(self) -> Iterable[str | Table]:
        """Yield the files, the table of factory.toml, and the next command."""
        rows = tuple((path, human_size(size)) for path, size in self.files)
        here = Path.cwd()
        folder = self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder
        yield f"{'Made' if self.written else 'Would make'} {folder}:"
        yield Table(headings=("FILE", "SIZE"), rows=rows, right_aligned=frozenset({"SIZE"}))
        yield f"{'Added' if self.written else 'Would add'} to {SETTINGS_FILE}:"
        yield from self.table.splitlines()
        if self.written:
            lock = f"factory lock {self.name} && " if self.locks else ""
            yield f"Next: {lock}factory build {self.name}"


def new_image(repository: Repository, request: ImageRequest, *, dry_run: bool = False) -> NewImage:
    """Start an image: write its folder and its table, both or neither.

    A run that was killed between the two is completed by the next run of the same request.

    Raises:
        SpecError: the request or ``factory.toml`` is not acceptable; nothing was written.
        FlavorExistsError: the name is in use; nothing was written.
        TemplateError: there is no template for the kind.
        StorageError, BusyError: the file system refused, or another run holds the folder.
    """
    text = read_settings_text(repository.root) or ""
    settings = read_document(text)
    _check_tables(repository, text)
    _check_free(repository, settings, check_image_name(request.name, of="the new image"))
    template = load_image_template(request.kind)
    _check_options(template, request)
    declaration, values = _declare(template, request)
    _check_parents(repository, settings, declaration)
    folder = repository.root / IMAGES_FOLDER / request.name
    files = _render(repository, template, declaration, values, folder)
    _check_tables(repository, with_declaration(text, declaration))
    _check_folder(folder, files)
    if not dry_run:
        _write(repository, folder, files, declaration)
    return NewImage(
        name=request.name,
        kind=request.kind,
        folder=folder,
        parents=dict(declaration.parents),
        files=tuple(sorted((file.path, len(file.content)) for file in files)),
        table=_declaration_text(declaration),
        locks=bool(values["installs"]),
        written=not dry_run,
    )


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The content of ``[images.NAME]``; ``parents`` maps build arguments to images."""

    name: str
    kind: Kind
    parents: Mapping[str, str]
    build_args: Mapping[str, str]
    registry: str | None = None


def _check_options(template: ImageTemplate, request: ImageRequest) -> None:
    """Refuse options that are for another kind, and requirements that no lock can have."""
    if request.keep_entrypoint and request.kind != "launcher":
        raise SpecError(
            f"a {request.kind} has the entry point that its Dockerfile says",
            solution="Leave out --keep-entrypoint, which is for a launcher, and edit the Dockerfile.",
        )
    if request.extras and request.kind != "stack":
        raise SpecError(
            f"a {request.kind} has no {', '.join(request.extras)} to choose",
            solution="Leave out --with, which is for a stack; --package names a package of any other kind.",
        )
    if request.packages and template.build_packages:
        raise SpecError(
            f"a {request.kind} has the packages that compiling and running PyTorch need",
            solution="Leave out --package: put a stack on it, or edit its pyproject.toml.",
        )
    for text in request.packages:
        try:
            unacceptable = parse_requirement(text).url is not None
        except InvalidRequirement:
            unacceptable = True
        if unacceptable:
            raise SpecError(
                f"--package: {text!r} is not a requirement that an index can have (PEP 508)",
                solution="Write a name with a range, such as 'trl>=0.24,<2'.",
            )


def _render(
    repository: Repository,
    template: ImageTemplate,
    declaration: Declaration,
    values: dict[str, object],
    folder: Path,
) -> tuple[RenderedFile, ...]:
    """Return the files of the new folder, with what `factory sync` would generate in it."""
    parents = tuple(Parent(argument=argument, image=image) for argument, image in declaration.parents.items())
    above = None if parents[0].is_reference else repository.image(parents[0].image)
    image = ImageFolder(folder, kind=declaration.kind, parents=parents, parent=above)
    if values["installs"] and values["python"] is None and image.given_by is None:
        raise SpecError(
            f"{declaration.name} installs packages for the Python of {parents[0].image}, which is not known",
            solution="Say it with --python, such as --python 3.12.",
        )
    files = {file.path: file for file in render_image(template, values)}
    if (project := files.get(PROJECT_FILE)) is not None:
        read = parse_project(project.content.decode(), where=str(folder / PROJECT_FILE), image=image)
        files |= {file.path: file for file in render_flavor(read, name=declaration.name)}
    return tuple(files.values())


def _declare(template: ImageTemplate, request: ImageRequest) -> tuple[Declaration, dict[str, object]]:
    """Return the table of the image, and the values that its templates need."""
    values: dict[str, object] = {
        "name": request.name,
        "installs": template.installs_packages or bool(request.packages),
        "python": None if request.python is None else check_python(request.python),
        "extras": request.extras,
        "packages": request.packages,
        "keep_entrypoint": request.keep_entrypoint,
        "build_packages": template.build_packages,
    }
    build_args: Mapping[str, str] = {}
    images = [request.parent, request.devel_image]
    if request.kind == _PYTORCH:
        if request.pytorch is None:
            raise SpecError(
                f"an image of the kind {_PYTORCH} needs to know which PyTorch to compile, and for which GPUs",
                solution="Give --accelerator, --accelerator-version, --pytorch-version and --pytorch-commit.",
            )
        base = _pytorch_base(template, request.pytorch)
        images = [request.parent or base.base_image, request.devel_image or base.devel_image]
        build_args = base.build_args
        values |= base.template_values
    elif request.pytorch is not None or request.devel_image is not None:
        raise SpecError(
            f"a {request.kind} compiles no PyTorch",
            solution=f"Leave out the options for a {_PYTORCH}: the accelerator, PyTorch, the devel image.",
        )
    elif request.parent is None:
        raise SpecError(f"a {request.kind} is built on another image", solution="Name it with --parent.")
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
        raise FlavorExistsError(taken, solution="Choose another name: an image has the name of its folder.")


def _check_parents(repository: Repository, settings: Mapping[str, Any], declaration: Declaration) -> None:
    known = {*settings.get(IMAGES_TABLE, {}), *(flavor.name for flavor in repository.flavors())}
    for argument, image in declaration.parents.items():
        if image in known:
            continue
        if Parent(argument=argument, image=image).is_reference:
            check_image(image, of=f"the parent {argument}")
        else:
            raise SpecError(
                f"the parent {image!r} is neither an image of this repository nor a reference with a tag or "
                "digest",
                solution=f"Name an existing image ({', '.join(sorted(known)) or 'none yet'}), or give "
                "registry/path:tag.",
            )


def _check_tables(repository: Repository, text: str) -> None:
    """Check that the images in the text of a ``factory.toml`` are acceptable."""
    document = read_document(text)
    flavors = [flavor.name for flavor in repository.flavors()]
    read_images_table(document, registries=parse_registries(document), flavors=flavors)


def _check_folder(folder: Path, files: tuple[RenderedFile, ...]) -> None:
    """Check that the folder is missing, or is a killed run's of the same request."""
    if not folder.exists() and not folder.is_symlink():
        return
    wanted = {file.path: file.content for file in files}
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if found.keys() != wanted.keys() or any(read_regular(found[name]) != wanted[name] for name in wanted):
        raise FlavorExistsError(
            f"{folder} exists already", solution="Choose another name, or remove the folder first."
        )


def _write(
    repository: Repository, folder: Path, files: tuple[RenderedFile, ...], declaration: Declaration
) -> None:
    with open_transaction([repository.root]) as transaction:
        # Checked again, now that nobody else writes: another run may have been faster.
        before = read_settings_text(repository.root)
        text = before or ""
        _check_free(repository, read_document(text), declaration.name)
        _check_folder(folder, files)
        settings = Replacement(
            path=repository.root / SETTINGS_FILE,
            before=None if before is None else text.encode(),
            content=with_declaration(text, declaration).encode(),
        )
        new = [] if folder.exists() else [NewFolder(path=folder, files=contents_of(files))]
        try:
            transaction.commit((*new, settings))
        finally:
            # Fails, as it should, unless images/ is empty after a failure.
            with suppress(OSError):
                folder.parent.rmdir()


def _declaration_text(declaration: Declaration) -> str:
    """Return the table as text; a single parent under ``BASE_IMAGE`` is written as ``parent``."""
    # A name with a dot in it has to be quoted.
    lines = [
        f"[{IMAGES_TABLE}.{tomlkit.key(declaration.name).as_string()}]",
        f"kind = {_quoted(declaration.kind)}",
    ]
    if list(declaration.parents) == [BASE_IMAGE]:
        lines.append(f"parent = {_quoted(declaration.parents[BASE_IMAGE])}")
    else:
        lines += [f"parents.{argument} = {_quoted(image)}" for argument, image in declaration.parents.items()]
    lines += [
        f"build-args.{argument} = {_quoted(value)}" for argument, value in declaration.build_args.items()
    ]
    if declaration.registry is not None:
        lines.append(f"registry = {_quoted(declaration.registry)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return tomlkit.item(text).as_string()


def with_declaration(text: str, declaration: Declaration) -> str:
    """Return the text of a ``factory.toml`` with one more image at its end, the rest unchanged.

    Raises:
        SpecError: the text is not TOML, or its table of images is written so that none can follow.
    """
    before = read_document(text)
    where = f"[{IMAGES_TABLE}.{declaration.name}] cannot be added to {SETTINGS_FILE}"
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = newline if text.strip() else ""
    head = text if not text or text.endswith("\n") else text + newline
    after = head + gap + _declaration_text(declaration).replace("\n", newline)
    changed = parse_toml(
        after,
        dict[str, Any],
        source=f"{where}: the result",
        error=SpecError,
        solution=f"Write each image as a table of its own, [{IMAGES_TABLE}.NAME], and run it again.",
    )
    added = changed[IMAGES_TABLE].pop(declaration.name)
    if not changed[IMAGES_TABLE] and IMAGES_TABLE not in before:
        del changed[IMAGES_TABLE]
    if changed != before or not added:
        raise SpecError(
            f"{where} without changing other tables",
            solution=f"Add it by hand:\n{_declaration_text(declaration)}",
        )
    return after


@dataclass(frozen=True, kw_only=True)
class _PyTorchBase:
    """A checked `PyTorchRequest`, with the accelerator's default parents and the template's values."""

    base_image: str
    devel_image: str
    build_args: Mapping[str, str]
    template_values: Mapping[str, object]


def _pytorch_base(template: ImageTemplate, request: PyTorchRequest) -> _PyTorchBase:
    """Check which PyTorch is to be compiled, and add the defaults of the accelerator.

    Raises:
        SpecError: a version, the commit or an architecture is not acceptable.
    """
    data = template.accelerators.get(request.accelerator)
    if data is None:
        raise SpecError(
            f"PyTorch is not compiled for {request.accelerator!r} here",
            solution=f"Use one of {', '.join(sorted(template.accelerators))}.",
        )
    version = check_accelerator_version(request.accelerator_version)
    python = check_python(request.python)
    check_version(request.version, of="PyTorch")
    if not _COMMIT.fullmatch(request.commit):
        raise SpecError(
            f"{request.commit!r} is not a commit",
            solution="Give all 40 hex digits, as `git ls-remote` of PyTorch's repository prints them for the "
            f"tag v{request.version} (the line that ends in ^{{}}, if there is one).",
        )
    default = _default_architectures(data, version)
    architectures = default if request.arch_list is None else request.arch_list
    return _PyTorchBase(
        base_image=_image(data, "base-image", version)
        or default_image(load_template_set(DEFAULT_TEMPLATE_SET), request.accelerator, python, "base-image"),
        devel_image=_image(data, "devel-image", version),
        build_args={
            "PYTORCH_VERSION": request.version,
            "PYTORCH_COMMIT": request.commit,
            data["argument"]: _check_architectures(architectures, request.accelerator),
        },
        template_values={
            "accelerator": request.accelerator,
            "arch_list": default,
            "glibc": data["glibc"],
            "python": python,
            "version": request.version,
            "summary": f"PyTorch compiled from source for {data['title']} {version}, Python {python}",
        },
    )


def _default_architectures(data: Mapping[str, Any], version: str) -> str:
    numbers = [int(part) for part in version.split(".")]
    return str([entry["list"] for entry in data["arch-lists"] if entry["since"] <= numbers][-1])


def _image(data: Mapping[str, Any], key: str, version: str) -> str:
    parts = version.split(".")
    padded = (*parts, *["0"] * (_PATCH_PARTS - len(parts)))
    return str(data.get(key, "")).format(version=version, patch_version=".".join(padded))


def _check_architectures(arch_list: str, accelerator: str) -> str:
    pattern, example = _ARCHITECTURES[accelerator]
    entries = arch_list.replace(";", " ").split()
    wrong = [entry for entry in entries if not pattern.fullmatch(entry)]
    if wrong or not entries:
        raise SpecError(
            f"{wrong[0] if wrong else arch_list!r} is not an architecture of {accelerator}",
            solution=f'Give numbers, not names, with semicolons between them, such as "{example}".',
        )
    return ";".join(entries)
