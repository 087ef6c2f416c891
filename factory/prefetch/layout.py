"""The paths in a prefetched folder, as Hermeto lays it out and Konflux mounts it."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from factory.lock.prefetched import ARTIFACTS, OUTPUT
from factory.tree import Tree

MOUNT_POINT = "/cachi2"
ARTIFACTS_IN_BUILD = f"{MOUNT_POINT}/{ARTIFACTS}"
SBOM = f"{OUTPUT}/bom.json"
ENVIRONMENT = "cachi2.env"
# What newer Konflux mounts, and a build sources as well.
_OTHER_ENVIRONMENT = "prefetch.env"
_MAX_ENVIRONMENT_BYTES = 64_000
# pip reads the PIP_ variables, which are all that Hermeto sets; uv reads only its own.
_VARIABLES = {
    "PIP_FIND_LINKS": ARTIFACTS_IN_BUILD,
    "PIP_NO_INDEX": "true",
    "UV_FIND_LINKS": ARTIFACTS_IN_BUILD,
    "UV_NO_INDEX": "1",
    "UV_OFFLINE": "1",
}
# Hermeto's values: words without special characters for a shell, quoted or not.
_EXPORT = re.compile(r"export (?P<name>[A-Z_]+)=(?P<quote>['\"]?)(?P<value>[\w./:=-]*)(?P=quote)", re.ASCII)
# Hermeto's variables of other languages, which no install step runs; they may name only places in the folder.
_OF_OTHER_LANGUAGES = re.compile(r"(?:GO|BUNDLE_|YARN_)[A-Z_]+")
_HARMLESS = re.compile(
    r"true|false|0|1|-mod=(?:vendor|readonly)|(?:file://)?/cachi2(?:/[\w-][\w.-]*)*", re.ASCII
)
# A build reads the files as another user, whatever the umask is.
FILE_MODE = 0o644
_MAX_SBOM_BYTES = 64_000_000


@dataclass(frozen=True)
class Layout:
    """The paths in a prefetched folder: ``root`` is what a build mounts at ``/cachi2``.

    They are for messages and other programs; `factory.lock.prefetched` opens the folder.
    """

    root: Path

    @property
    def output(self) -> Path:
        """Return the folder of the artifacts and their SBOM."""
        return self.root / OUTPUT

    @property
    def artifacts(self) -> Path:
        """Return the flat folder of the artifacts."""
        return self.root / ARTIFACTS

    @property
    def sbom(self) -> Path:
        """Return the SBOM, in CycloneDX JSON."""
        return self.root / SBOM

    @property
    def environment(self) -> Path:
        """Return the file that a build sources. It exists only while the folder is complete."""
        return self.root / ENVIRONMENT


def mark_incomplete(whole: Tree) -> None:
    """Remove the environment, since the folder is incomplete, or about to be.

    Raises:
        StorageError: the file system refused.
    """
    whole.remove(ENVIRONMENT)


def mark_complete(whole: Tree, sbom: bytes) -> None:
    """Write the SBOM and then the environment, each only if its content changes.

    Raises:
        StorageError: the file system refused.
    """
    for path, content in ((SBOM, sbom), (ENVIRONMENT, environment_file())):
        if not _is_own_file(whole, path) or whole.read(path, limit=_MAX_SBOM_BYTES) != content:
            whole.write(path, content, mode=FILE_MODE)


def earlier_sbom(whole: Tree) -> bytes | None:
    """Return the existing SBOM; None without one that is a regular file.

    Raises:
        StorageError: it cannot be read, or is too large.
    """
    return whole.read(SBOM, limit=_MAX_SBOM_BYTES) if _is_own_file(whole, SBOM) else None


def foreign_environment(whole: Tree) -> Path | None:
    """Return a file that a build would source and no prefetch wrote; None without one.

    Raises:
        StorageError: it is too large, or the file system refused.
    """
    if whole.status(_OTHER_ENVIRONMENT) is None:
        return None
    if _is_own_file(whole, _OTHER_ENVIRONMENT):
        content = whole.read(_OTHER_ENVIRONMENT, limit=_MAX_ENVIRONMENT_BYTES)
        if all(_is_of_a_prefetch(line) for line in content.decode(errors="replace").split("\n")):
            return None
    return whole.root / _OTHER_ENVIRONMENT


def _is_of_a_prefetch(line: str) -> bool:
    """Return whether a line is one of `environment_file`, or Hermeto's of other languages."""
    if not line:
        return True
    export = _EXPORT.fullmatch(line)
    if export is None:
        return False
    name, value = export["name"], export["value"]
    if _OF_OTHER_LANGUAGES.fullmatch(name):
        return _HARMLESS.fullmatch(value) is not None
    return _VARIABLES.get(name) == value


def environment_file() -> bytes:
    """Return the shell text that a build sources: no index, no network, only these files."""
    return "".join(f"export {name}={value}\n" for name, value in _VARIABLES.items()).encode()


def _is_own_file(whole: Tree, path: str) -> bool:
    """Return whether a path is a regular file without further names, which could change it."""
    status = whole.status(path)
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_nlink == 1
