"""Strip one file, as it stands on disk."""

from dataclasses import dataclass
from pathlib import Path

from factory.downstream.blocks import find_blocks, strip_blocks
from factory.errors import MarkerError, NotFoundError, StorageError
from factory.files import exclusive, make_output_folder, read_regular, storage_error, write_whole


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was removed: the blocks, and their lines, of how many. ``path`` is where it was written."""

    source: Path
    path: Path | None
    blocks: int
    lines_removed: int
    lines: int

    @property
    def summary(self) -> str:
        """What was removed, in a few words."""
        return f"{self.blocks} block(s), {self.lines_removed} of {self.lines} lines removed"


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """The stripped bytes, with the report."""

    content: bytes
    report: Report

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 are escaped."""
        return self.content.decode("utf-8", errors="backslashreplace")


def strip_file(source: Path, output: Path | None) -> Stripped:
    """Strip a file and, with ``output``, write it there under the same name.

    Raises:
        NotFoundError: source is not there.
        MarkerError: its blocks do not pair; nothing was written.
        StorageError: the file system refused.
    """
    try:
        content = read_regular(source)
    except FileNotFoundError as error:
        raise NotFoundError(f"{source} is not there", solution="Give the path of a Dockerfile.") from error
    except OSError as error:
        raise storage_error(source, error) from error
    try:
        stripped = strip_blocks(content)
    except MarkerError as error:
        raise MarkerError(f"{source}: {error.reason}", solution=error.solution) from error
    target = None if output is None else output / source.name
    if target is not None and output is not None:
        if target.resolve() == source.resolve():
            raise StorageError(
                f"{target} is the file itself, and stripping it would lose its blocks",
                solution="Give another folder as --output.",
            )
        with exclusive(make_output_folder(output, within=source)):
            write_whole(target, stripped)
    lines = content.splitlines(keepends=True)
    blocks = find_blocks(lines)
    report = Report(
        source=source,
        path=target,
        blocks=len(blocks),
        lines_removed=sum(block.stop - block.start for block in blocks),
        lines=len(lines),
    )
    return Stripped(content=stripped, report=report)
