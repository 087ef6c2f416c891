"""The downstream build context: a flavor's folder as the product build gets it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.console import Report, plural
from factory.errors import DriftError, StorageError
from factory.files import (
    exclusive,
    is_own_ignore_file,
    is_temporary,
    make_output_folder,
    read_regular,
    staged_folder,
    write_whole,
)
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor
from factory.lock.judgement import require_sound_lock
from factory.lock.lockset import lock_file_names
from factory.render.drift import SBOM_FILE, find_drift, read_own_files
from factory.render.render import RenderedFile, render_flavor

DOWNSTREAM_DOCKERFILE = "Dockerfile.konflux"
MIDSTREAM_DOCKERFILE = "Dockerfile"


@dataclass(frozen=True, kw_only=True)
class DownstreamContext(Report):
    """A written downstream context: its folder, its files, and the repository files left out."""

    folder: Path
    base_image: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]

    def describe(self) -> Iterator[str]:
        """Yield where it was written, its files, and what it leaves out."""
        yield f"Wrote {plural(len(self.files), 'file')} to {self.folder}: {', '.join(self.files)}"
        yield f"Base image: {self.base_image}"
        yield f"Left out: {', '.join(self.left_out) or 'nothing'}"


def downstream_dockerfile(flavor: Flavor) -> bytes:
    """Return the downstream Dockerfile that the flavor's spec renders.

    Raises:
        SpecError, TemplateError, MarkerError: the flavor cannot be rendered.
    """
    rendered = {file.path: file for file in render_flavor(flavor.project, name=flavor.name)}
    return rendered[DOWNSTREAM_DOCKERFILE].content


def write_context(flavor: Flavor, output: Path) -> DownstreamContext:
    """Write the whole downstream context, in which the stripped Dockerfile is called ``Dockerfile``.

    Left out are the repository files of the MIDSTREAM ONLY block and the midstream Dockerfile. The
    rest is copied byte for byte. Writing into a context of the same flavor brings it up to date.

    Raises:
        LockFileError: the flavor is not locked.
        DriftError: the flavor has drifted.
        SpecError: its project cannot be read.
        StorageError: output holds something that is no part of the context; nothing was written.
    """
    _refuse_drift(flavor)
    require_sound_lock(flavor)
    rendered = render_flavor(flavor.project, name=flavor.name)
    files = _files(flavor, rendered)
    output.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(output.parent):
        _refuse_strangers(output, files)
        if output.is_dir():
            with exclusive(make_output_folder(output, within=flavor.folder)):
                _write(output, files)
        else:
            with staged_folder(output) as staged:
                make_output_folder(staged, within=flavor.folder)
                _write(staged, files)
    return DownstreamContext(
        folder=output,
        base_image=flavor.project.spec.downstream_base_image,
        files=tuple(sorted(files)),
        left_out=tuple(sorted(path for path in _all_paths(flavor, rendered) if path.endswith(".repo"))),
    )


def _files(flavor: Flavor, rendered: tuple[RenderedFile, ...]) -> dict[str, tuple[bytes, bool]]:
    files = {
        file.path: (file.content, file.executable)
        for file in rendered
        if not _is_midstream(file.path) and file.path != DOWNSTREAM_DOCKERFILE
    }
    files[MIDSTREAM_DOCKERFILE] = (downstream_dockerfile(flavor), False)
    for name in (PROJECT_FILE, *lock_file_names(flavor.project.spec)):
        files[name] = (read_regular(flavor.folder / name), False)
    if os.path.lexists(flavor.folder / SBOM_FILE):
        files[SBOM_FILE] = (read_regular(flavor.folder / SBOM_FILE), False)
    own = (name for name in flavor.project.spec.hooks.files if not _is_midstream(name))
    return files | {file.path: (file.content, file.executable) for file in read_own_files(flavor.folder, own)}


def _all_paths(flavor: Flavor, rendered: tuple[RenderedFile, ...]) -> tuple[str, ...]:
    return (*(file.path for file in rendered), *flavor.project.spec.hooks.files)


def _is_midstream(path: str) -> bool:
    return path == MIDSTREAM_DOCKERFILE or path.endswith(".repo")


def _refuse_drift(flavor: Flavor) -> None:
    drifted = [difference.path for difference in find_drift(flavor) if difference.kind != "stray"]
    if drifted:
        raise DriftError(
            f"{flavor.name} has drifted from its spec: {', '.join(drifted)}",
            solution=f"Run `factory sync {flavor.name}`, and look at what it changes; files of its own "
            "that are not there are for you to put back.",
        )


def _refuse_strangers(output: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise StorageError(f"{output} is not a folder", solution="Give the folder that the context goes to.")
    strangers = sorted(
        path.relative_to(output).as_posix()
        for path in output.rglob("*")
        if not path.is_dir()
        and not is_temporary(path)
        and not is_own_ignore_file(path)
        and path.relative_to(output).as_posix() not in files
    )
    if strangers:
        raise StorageError(
            f"{output} holds what is no part of the context: {', '.join(strangers[:5])}"
            + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""),  # noqa: PLR2004
            solution="Give a new or empty folder as --output, or remove those files. Nothing was written.",
        )


def _write(folder: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    for path, (content, executable) in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, content, executable=executable)
