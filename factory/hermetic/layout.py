"""Where things stand in a prefetched folder, as Hermeto lays it out and Konflux mounts it."""

from dataclasses import dataclass
from pathlib import Path

from factory.files import make_output_folder, storage_error, write_whole

MOUNT_POINT = "/cachi2"
ARTIFACTS_IN_BUILD = f"{MOUNT_POINT}/output/deps/pip"
# pip reads the PIP_ variables, which are all that Hermeto sets; uv reads only its own.
_ENVIRONMENT = {
    "PIP_FIND_LINKS": ARTIFACTS_IN_BUILD,
    "PIP_NO_INDEX": "true",
    "UV_FIND_LINKS": ARTIFACTS_IN_BUILD,
    "UV_NO_INDEX": "1",
    "UV_OFFLINE": "1",
}
# A build reads the folder as another user, whatever the umask is here.
_FOLDER_MODE = 0o755
FILE_MODE = 0o644


@dataclass(frozen=True)
class Layout:
    """A prefetched folder: ``root`` is what a build mounts at ``/cachi2``."""

    root: Path

    @property
    def output(self) -> Path:
        """What was fetched, and the bill of it."""
        return self.root / "output"

    @property
    def artifacts(self) -> Path:
        """The artifacts, flat."""
        return self.output / "deps" / "pip"

    @property
    def bill(self) -> Path:
        """The bill of materials, in CycloneDX JSON."""
        return self.output / "bom.json"

    @property
    def environment(self) -> Path:
        """What a build sources. It is there only while the folder is complete."""
        return self.root / "cachi2.env"

    def make(self) -> None:
        """Make the folders that are not there.

        Raises:
            StorageError: the file system refused.
        """
        try:
            is_new = not self.root.is_dir()
            make_output_folder(self.root)
            if is_new:
                self.root.chmod(_FOLDER_MODE)
            for folder in (self.output, self.output / "deps", self.artifacts):
                if not folder.is_dir():
                    folder.mkdir()
                    folder.chmod(_FOLDER_MODE)
        except OSError as error:
            raise storage_error(self.root, error) from error

    def reopen(self) -> None:
        """Take the environment away, since the folder is not complete, or about to be so no more.

        Raises:
            StorageError: the file system refused.
        """
        try:
            self.environment.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(self.environment, error) from error

    def complete(self, bill: bytes) -> None:
        """Write the bill and then the environment, each only where it says something new."""
        for path, content in ((self.bill, bill), (self.environment, environment_file())):
            if not path.is_file() or path.read_bytes() != content:
                write_whole(path, content)
                path.chmod(FILE_MODE)


def environment_file() -> bytes:
    """The shell text that a build sources: no index, no network, these files."""
    return "".join(f"export {name}={value}\n" for name, value in _ENVIRONMENT.items()).encode()
