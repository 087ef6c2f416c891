"""Give an image another name, in one transaction.

The change is made in a copy of the repository first, by the functions that make such changes anyway:
generated files are rendered, PipelineRuns are written, and the result is read again. What differs from the
repository afterwards is the transaction.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit

from factory.console import Report, plural
from factory.documents import parse_toml_for_edit
from factory.errors import FactoryError, FlavorExistsError, SbomError, SpecError, StorageError
from factory.files import (
    clone_folder,
    read_regular,
    scratch_folder,
    storage_error,
    write_whole,
)
from factory.flavor.edit import rename_in_comments, renamed, retarget
from factory.flavor.kinds import IMAGES_FOLDER, IMAGES_TABLE, check_image_name
from factory.flavor.project import PROJECT_FILE, ImageFolder, read_project_text
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import DOCKERFILE
from factory.konflux.files import flavors_built
from factory.konflux.pipeline_run import EVENTS, file_name
from factory.konflux.settings import TABLE, read_konflux_settings
from factory.konflux.writing import write_runs
from factory.process import run
from factory.render.drift import SBOM_FILE, sync_flavor
from factory.sbom.committed import parse_sbom
from factory.settings import FLAVORS_FOLDER, LOCAL_SETTINGS_FILE, SETTINGS_FILE, read_document
from factory.transaction import (
    Change,
    NewFolder,
    RemovedFolder,
    Replacement,
    forget_finished,
    open_transaction,
    read_before,
)

_MAX_MENTIONS = 20
# Larger is no text that a rename changes; it moves along.
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class RenameReport(Report):
    """A rename that was made, or would be.

    folder: The new place of the image's folder, from the root; ``former`` is the old one.
    changed: The files whose content changes, and ``removed`` those that go, each by its path.
    rebuilt: The images whose identity changes: this one, and all that are built on it.
    mentions: Files that still have the old name in them, for a person to look at.
    notes: What else there is to do.
    """

    image: str
    new_name: str
    kind: str
    folder: str
    former: str
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    rebuilt: tuple[str, ...]
    mentions: tuple[str, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def describe(self) -> Iterator[str]:
        """Yield what changes, what will be rebuilt, and what is left to do."""
        would = "would be " if self.dry_run else ""
        yield f"{self.former}: {would}renamed to {self.folder}"
        yield from (f"{path}: {would}changed" for path in self.changed)
        yield from (f"{path}: {would}removed" for path in self.removed)
        count = plural(len(self.rebuilt), "image")
        yield f"{count} to rebuild with `factory build`: {', '.join(self.rebuilt)}"
        shown = ", ".join(self.mentions[:_MAX_MENTIONS])
        more = len(self.mentions) - _MAX_MENTIONS
        if self.mentions:
            yield f"{self.image} is still named in {shown}{f' and {more} more' if more > 0 else ''}"
        yield from self.notes


def rename_image(repository: Repository, name: str, new_name: str, *, dry_run: bool = False) -> RenameReport:
    """Rename an image of any kind, with everything in the repository that is named after it.

    Raises:
        NotFoundError: there is no such image.
        FlavorExistsError: there is an image or a folder of the new name.
        SpecError, KonfluxError: the new name, or what would come of it, is not acceptable.
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was changed.
    """
    image = repository.image(name)
    _check(repository, image, new_name)
    try:
        return _renamed(repository, image, new_name, dry_run=dry_run)
    except StorageError:
        repository.image(name)  # if another run has renamed it meanwhile, that is the error
        raise


def _renamed(repository: Repository, image: ImageFolder, new_name: str, *, dry_run: bool) -> RenameReport:
    root = repository.root
    folders = [root, *(each.folder for each in repository.images())]
    with open_transaction([] if dry_run else folders) as transaction, _copied(root) as copy:
        notes = _rename_in(Repository(copy), image.name, new_name)
        former = image.folder.relative_to(root).as_posix()
        folder = f"{former.rpartition('/')[0]}/{new_name}"
        changes = tuple(_changes(root, copy, former=former, folder=folder))
        rebuilt = _with_descendants(Repository(copy), new_name)
        report = RenameReport(
            image=image.name,
            new_name=new_name,
            kind=image.kind,
            folder=folder,
            former=former,
            changed=tuple(sorted(_changed_paths(root, changes, folder))),
            removed=tuple(sorted(_removed_paths(root, changes))),
            rebuilt=rebuilt,
            mentions=_mentions(root, copy, image.name, former=former, folder=folder),
            notes=notes,
            dry_run=dry_run,
        )
        if not dry_run:
            transaction.commit(changes)
    return report


def _check(repository: Repository, image: ImageFolder, new_name: str) -> None:
    check_image_name(new_name, of="the new name")
    root = repository.root
    if image.folder.parent not in {root / FLAVORS_FOLDER, root / IMAGES_FOLDER} or image.folder.is_symlink():
        raise SpecError(
            f"{image.folder} is not a folder of this repository",
            solution=f"Rename an image below {FLAVORS_FOLDER}/ or {IMAGES_FOLDER}/, which is no link.",
        )
    taken = {each.name for each in repository.images()}
    places = (root / FLAVORS_FOLDER / new_name, root / IMAGES_FOLDER / new_name)
    if new_name in taken or any(map(os.path.lexists, places)):
        raise FlavorExistsError(
            f"there is an image or a folder named {new_name} already", solution="Choose another name."
        )


@contextmanager
def _copied(root: Path) -> Iterator[Path]:
    """Yield a copy of what a rename may change, which is removed at the end."""
    settings = read_konflux_settings(root)
    names = [FLAVORS_FOLDER, IMAGES_FOLDER, *(() if settings is None else (settings.out,))]
    with scratch_folder() as scratch:
        # This run holds the scratch folder itself.
        copy = scratch / "repository"
        try:
            copy.mkdir()
            for name in names:
                if (root / name).is_dir():
                    clone_folder(root / name, copy / name, max_bytes=_MAX_BYTES)
            for name in (SETTINGS_FILE, LOCAL_SETTINGS_FILE):
                content = read_before(root / name)
                if content is not None:
                    write_whole(copy / name, content)
            yield copy
        except FactoryError as error:
            # Nobody knows the copy, and it is removed.
            error.reason = error.reason.replace(f"{copy}/", f"{root}/")
            raise
        except OSError as error:
            raise storage_error(root, error) from error


def _rename_in(repository: Repository, name: str, new_name: str) -> tuple[str, ...]:
    """Rename an image in a repository that nobody else uses; return what is left to do, in words."""
    root = repository.root
    image = repository.image(name)
    if image.has_packages:
        _write(image.folder / PROJECT_FILE, _renamed_project(image, new_name))
    for each in repository.images():
        _rename_in_locks(each.folder, name, new_name)
    children = [each for each in repository.images() if any(parent.image == name for parent in each.parents)]
    for child in children:
        _rename_in_child(child.folder, name, new_name)
    if not image.is_flavor:
        _rename_in_dockerfile(image.folder / DOCKERFILE, name, new_name)
    notes = _rename_in_sbom(image.folder / SBOM_FILE, name, new_name)
    image.folder.rename(image.folder.with_name(new_name))
    if (text := read_before(root / SETTINGS_FILE)) is not None:
        _write(root / SETTINGS_FILE, renamed_settings(text.decode(), name, new_name))
    found = repository.image(new_name)
    if found.has_packages:
        sync_flavor(found)
    notes += _rename_runs(repository, name, new_name)
    # The result is read as every command would read it.
    catalogue = read_catalogue(repository)
    catalogue.select(include_broken=True)
    catalogue.definition(new_name)
    # What was written so far is in the copy.
    forget_finished()
    return notes


def _rename_runs(repository: Repository, name: str, new_name: str) -> tuple[str, ...]:
    """Write the PipelineRuns of an image, and of those built on it, as far as Konflux builds them."""
    settings = read_konflux_settings(repository.root)
    if settings is None:
        return ()
    folder = repository.root / settings.out
    was_built = name in flavors_built(repository.root, [name], [settings.out])
    for event in EVENTS:
        old, new = (folder / file_name(each, event) for each in (name, new_name))
        if old.exists():
            old.rename(new)
    others = flavors_built(repository.root, _with_descendants(repository, new_name)[1:], [settings.out])
    built = [repository.image(each) for each in (*((new_name,) if was_built else ()), *sorted(others))]
    if built:
        write_runs(repository, built, options={}, every=False)
    note = f"Konflux: make the component of {new_name}, and remove that of {name} with its images."
    return (note,) if was_built else ()


def _renamed_project(image: ImageFolder, new_name: str) -> str:
    text = read_project_text(image.folder)
    if not image.is_flavor:
        return renamed(text, old_name=image.name, name=new_name)
    old = image.project.spec
    new = replace(old, name=None if new_name == old.derived_name else new_name)
    return retarget(text, old=old, new=new, old_name=image.name, name=new_name)


def _rename_in_locks(folder: Path, name: str, new_name: str) -> None:
    """Rename an image in the heads of locks: its own, and those of its children. No digest covers a head."""
    command = re.compile(rf"\A# Locked by `factory lock {re.escape(name)}`")
    parent = re.compile(rf"^# parent: {re.escape(name)} (?=sha256:)", re.MULTILINE)
    for path in sorted(folder.glob("requirements*.txt")):
        text = read_regular(path).decode(errors="surrogateescape")
        after = parent.sub(
            f"# parent: {new_name} ", command.sub(f"# Locked by `factory lock {new_name}`", text)
        )
        if after != text:
            _write(path, after)


def _rename_in_dockerfile(path: Path, name: str, new_name: str) -> None:
    """Rename an image in its own Dockerfile: in comments, labels, and the path of its locks."""
    content = read_before(path)
    if content is None:
        return
    text = _rename_in_labels(content.decode(errors="surrogateescape"), name, new_name)
    place = rf"(?<=/usr/share/factory/){re.escape(name)}(?=[/\s]|$)"
    _write(path, re.sub(place, new_name, text, flags=re.MULTILINE))


def _rename_in_labels(text: str, name: str, new_name: str) -> str:
    """Rename an image in a Dockerfile's comments and in the values of labels, which are in lower case."""
    whole = re.compile(rf"(?<![\w.-]){re.escape(name)}(?=-container\"|\.?(?![\w.-]))")
    label = re.compile(r'^([ \t]*(?:LABEL[ \t]+)?[a-z][a-z0-9.-]*=")([^"\n]*)(?=")', re.MULTILINE)
    labelled = label.sub(lambda match: match[1] + whole.sub(new_name, match[2] + '"')[:-1], text)
    return rename_in_comments(labelled, name, new_name)


def _rename_in_child(folder: Path, name: str, new_name: str) -> None:
    """Rename a parent in the comments and labels of a child's files that a person edits."""
    for file, changed in ((PROJECT_FILE, rename_in_comments), (DOCKERFILE, _rename_in_labels)):
        if (content := read_before(folder / file)) is not None:
            _write(folder / file, changed(content.decode(errors="surrogateescape"), name, new_name))


def _rename_in_sbom(path: Path, name: str, new_name: str) -> tuple[str, ...]:
    content = read_before(path)
    if content is None:
        return ()
    try:
        sbom = parse_sbom(content)
    except SbomError:
        return (
            f"the bill of materials stayed as it is: write it again by `factory sbom {new_name} --write`.",
        )
    if sbom.flavor == name:
        # Imported when one is written: its library is slow to start.
        from factory.sbom.cyclonedx import to_cyclonedx  # noqa: PLC0415

        write_whole(path, to_cyclonedx(replace(sbom, flavor=new_name)))
    return ()


def renamed_settings(text: str, name: str, new_name: str) -> str:
    """Return the text of a ``factory.toml`` in which an image has another name, the rest unchanged.

    Raises:
        SpecError: its table is written so that it cannot be renamed; the message says what to write.
    """
    written = "|".join(re.escape(quote + name + quote) for quote in ("", '"', "'"))
    header = re.compile(
        rf"^([ \t]*\[[ \t]*{IMAGES_TABLE}[ \t]*\.[ \t]*)(?:{written})(?=[ \t]*[.\]])", re.MULTILINE
    )
    key = tomlkit.key(new_name).as_string()
    renamed_tables = header.sub(lambda match: match[1] + key, text)
    # What Konflux has built of it, in [konflux.parents] or as parents.NAME of [konflux].
    built = re.compile(
        rf"^(\[{TABLE}\.parents\][^\[]*?^[ \t]*|\[{TABLE}\][^\[]*?^[ \t]*parents\.)(?:{written})(?=[ \t]*=)",
        re.MULTILINE,
    )
    document = parse_toml_for_edit(
        built.sub(lambda match: match[1] + key, renamed_tables), source=SETTINGS_FILE, error=SpecError
    )
    for table in document.get(IMAGES_TABLE, {}).values():
        if isinstance(table, dict) and table.get("parent") == name:
            table["parent"] = new_name
        parents = table.get("parents", {}) if isinstance(table, dict) else {}
        for argument in [each for each, image in parents.items() if image == name]:
            parents[argument] = new_name
    after = rename_in_comments(tomlkit.dumps(document), name, new_name)
    if read_document(after) != _renamed_document(read_document(text), name, new_name):
        raise SpecError(
            f"{name} is in {SETTINGS_FILE} in a form in which it cannot be renamed",
            solution=f"Write its tables as [{IMAGES_TABLE}.{name}] and [{TABLE}.parents], and run it again.",
        )
    return after


def _renamed_document(document: dict[str, Any], name: str, new_name: str) -> dict[str, Any]:
    def image(table: Any) -> Any:  # noqa: ANN401 - a value of TOML
        if not isinstance(table, dict):
            return table
        parents = {
            key: new_name if value == name else value for key, value in table.get("parents", {}).items()
        }
        changed = {"parent": new_name} if table.get("parent") == name else {}
        return table | changed | ({"parents": parents} if parents else {})

    def keys(table: dict[str, Any]) -> dict[str, Any]:
        return {new_name if key == name else key: value for key, value in table.items()}

    result = dict(document)
    if IMAGES_TABLE in document:
        result[IMAGES_TABLE] = {key: image(table) for key, table in keys(document[IMAGES_TABLE]).items()}
    konflux = document.get(TABLE, {})
    if isinstance(konflux, dict) and isinstance(konflux.get("parents"), dict):
        result[TABLE] = konflux | {"parents": keys(konflux["parents"])}
    return result


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode(errors="surrogateescape"))


def _changes(root: Path, copy: Path, *, former: str, folder: str) -> Iterator[Change]:
    """Yield what makes the repository what the copy is."""
    before, after = _files(root, copy), _files(copy, copy)
    edits = {
        path.removeprefix(f"{folder}/"): (read_regular(copy / path), _is_program(copy / path))
        for path in after
        if path.startswith(f"{folder}/")
        and not _is_same(root / former / path[len(folder) + 1 :], copy / path)
    }
    yield NewFolder(path=root / folder, files=edits, source=root / former)
    yield RemovedFolder(path=root / former)
    inside = (f"{former}/", f"{folder}/")
    for path in sorted((before | after) - {path for path in before | after if path.startswith(inside)}):
        if path in before and path in after and _is_same(root / path, copy / path):
            continue
        yield Replacement(
            path=root / path,
            before=read_before(root / path),
            content=read_before(copy / path),
            executable=_is_program(copy / path if path in after else root / path),
        )


def _files(root: Path, copy: Path) -> set[str]:
    """Return the paths of the files in those parts of a repository that the copy has."""
    tops = [path.name for path in copy.iterdir()]
    parts = [root / name for name in tops if (root / name).exists()]
    return {
        path.relative_to(root).as_posix()
        for part in parts
        for path in (part.rglob("*") if part.is_dir() else (part,))
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_BYTES
    }


def _is_same(one: Path, other: Path) -> bool:
    if not one.is_file():
        return False
    return one.samefile(other) or (
        _is_program(one) == _is_program(other) and read_regular(one) == read_regular(other)
    )


def _is_program(path: Path) -> bool:
    return os.access(path, os.X_OK)


def _changed_paths(root: Path, changes: Iterable[Change], folder: str) -> Iterator[str]:
    for change in changes:
        if isinstance(change, NewFolder):
            yield from (f"{folder}/{name}" for name in change.files)
        elif isinstance(change, Replacement) and change.content is not None:
            yield change.path.relative_to(root).as_posix()


def _removed_paths(root: Path, changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, Replacement) and change.content is None:
            yield change.path.relative_to(root).as_posix()


def _with_descendants(repository: Repository, name: str) -> tuple[str, ...]:
    """Return an image and all that are built on it, parents first; their identities have its name."""
    found = [name]
    for image in repository.images():
        if image.name != name and any(parent.image in found for parent in image.parents):
            found.append(image.name)
    return tuple(found)


def _mentions(root: Path, copy: Path, name: str, *, former: str, folder: str) -> tuple[str, ...]:
    """Return the files that have the old name as a word of its own, as far as git knows or may know them.

    Of a folder that is no git work tree, and where git is not installed, nothing is known.
    """
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ()
    words = ("git", "-C", root, "grep", "--untracked", "-z", "-lIF", "-e", name)
    listed = run(words, accept_failure=True).stdout.split("\0")
    whole = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])".encode())
    found = []
    for path in sorted(filter(None, listed)):
        new = f"{folder}/{path.removeprefix(f'{former}/')}" if path.startswith(f"{former}/") else path
        # What was removed from the copy is in neither.
        known = (copy / new.partition("/")[0]).exists()
        place = copy / new if known else root / path
        content = read_regular(place) if place.is_file() else b""
        if new == SETTINGS_FILE:
            # A kind may be a name as well.
            content = re.sub(rb"(?m)^[ \t]*kind[ \t]*=.*$", b"", content)
        if whole.search(content):
            found.append(new)
    return tuple(found)
