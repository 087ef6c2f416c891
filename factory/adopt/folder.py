"""Read the files of a hand-made folder, including dnf's repository files."""

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from factory.errors import NotFoundError
from factory.files import is_temporary, read_regular, storage_error
from factory.render.render import RenderedFile

_PASSED_OVER = frozenset({".git", "__pycache__", ".DS_Store"})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A value and its source: a file, perhaps with a line."""

    value: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The paths below a folder (relative, POSIX), without links, and those that are links.

    ``others`` are neither files, folders nor links: sockets, named pipes, devices.

    ``entrypoint`` is the script that the Dockerfile starts, if it is one of the files; ``locks`` are the
    files whose pins are taken over, None if that is not known; ``indexes`` the addresses, without a slash at
    the end, that become indexes of the flavor; ``renamed`` maps the names that files are copied to by the
    Dockerfile to their own.
    """

    root: Path
    paths: tuple[str, ...]
    links: tuple[str, ...]
    others: tuple[str, ...] = ()
    entrypoint: str | None = None
    locks: frozenset[str] | None = None
    indexes: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def content(self, path: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return read_regular(self.root / path)
        except OSError as error:
            raise storage_error(self.root / path, error) from error

    def text(self, path: str) -> str:
        """Return a file as text, with bytes that are not UTF-8 replaced. Raises as `content` does."""
        return self.content(path).decode("utf-8", "replace")

    def file(self, path: str) -> RenderedFile:
        """Return a file for the flavor's folder. Raises as `content` does."""
        executable = os.access(self.root / path, os.X_OK)
        return RenderedFile(path=path, content=self.content(path), executable=executable)

    def matching(self, source: str) -> tuple[str, ...]:
        """Return the files that a COPY's source means: a file, a pattern's, or a folder's.

        Returns nothing for a missing source, and for the whole folder, which is not a choice of files.
        """
        plain = PurePosixPath(source.removeprefix("./").lstrip("/")).as_posix()
        if plain in {".", ""}:
            return ()
        below = tuple(path for path in self.paths if path.startswith(f"{plain}/"))
        return below or tuple(path for path in self.paths if fnmatchcase(path, plain))


def read_folder(root: Path) -> Folder:
    """List what is in a folder.

    Raises:
        NotFoundError: it does not exist, or is not a folder.
        StorageError: it cannot be read.
    """
    if not root.is_dir():
        raise NotFoundError(
            f"{root} is not a folder", solution="Give the folder that holds the Dockerfile of the image."
        )
    paths: list[str] = []
    links: list[str] = []
    others: list[str] = []
    try:
        for place, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
            for name in sorted((*files, *folders)):
                path = Path(place) / name
                relative = path.relative_to(root).as_posix()
                if path.is_symlink():
                    links.append(relative)
                elif path.is_file() and name not in _PASSED_OVER and not is_temporary(path):
                    paths.append(relative)
                elif not path.is_file() and not path.is_dir():
                    others.append(relative)
    except OSError as error:
        raise storage_error(root, error) from error
    return Folder(root=root, paths=tuple(paths), links=tuple(links), others=tuple(others))


_OFF = re.compile(r"0|false|no|off", re.IGNORECASE)
_REPOSITORY_SOLUTION = (
    "Write gpgcheck=1 and the vendor's key in gpgkey, put the file into the flavor's folder, and name it in "
    "hooks.files."
)


def repository_problem(content: bytes) -> tuple[str, str] | None:
    """Return why a repository file cannot be kept, and a solution; None if it can."""
    parser = _parse_repository(content)
    if parser is None or not parser.sections():
        return (
            "it is not a repository file",
            "Write it as dnf reads it: sections with name, baseurl and gpgkey.",
        )
    for section in parser.sections():
        value = parser[section].get("gpgcheck", "1").strip()
        if _OFF.fullmatch(value):
            return (
                f"[{section}] has gpgcheck={value} (FAC407): packages of unknown origin",
                _REPOSITORY_SOLUTION,
            )
    return None


def base_urls(content: bytes) -> frozenset[str]:
    """Return the addresses that a repository file names."""
    parser = _parse_repository(content)
    if parser is None:
        return frozenset()
    urls = (parser[section].get("baseurl", "") for section in parser.sections())
    return frozenset(url.strip().rstrip("/") for url in urls if url.strip())


def _parse_repository(content: bytes) -> configparser.ConfigParser | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(content.decode("utf-8", "replace"))
    except configparser.Error:
        return None
    return parser
