"""Strip one Dockerfile on disk, and list the images that a stripped one needs pulled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.console import Report, plural
from factory.dockerfile.instructions import declared_arguments, expand
from factory.dockerfile.model import SCRATCH, Dockerfile, read_dockerfile
from factory.dockerfile.references import check_pullable
from factory.downstream.blocks import find_blocks, strip_blocks
from factory.errors import MarkerError, NotFoundError, SpecError, StorageError
from factory.files import exclusive, make_output_folder, read_regular, storage_error, write_whole


@dataclass(frozen=True, kw_only=True)
class StripReport(Report):
    """What was removed from ``source``; ``path`` is where the result was written."""

    source: Path
    path: Path | None
    blocks: int
    lines_removed: int
    lines: int

    def describe(self) -> Iterator[str]:
        """Yield where it was written, and what was removed."""
        lines = f"{self.lines_removed} of {plural(self.lines, 'line')}"
        yield f"Wrote {self.path}: {plural(self.blocks, 'block')}, {lines} removed"


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """The stripped bytes, with the report."""

    content: bytes
    report: StripReport

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 are escaped."""
        return self.content.decode("utf-8", errors="backslashreplace")


def strip_file(source: Path, output: Path | None) -> Stripped:
    """Strip a file and, with ``output``, write it there under the same name.

    Raises:
        NotFoundError: source does not exist.
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
    report = StripReport(
        source=source,
        path=target,
        blocks=len(blocks),
        lines_removed=sum(block.stop - block.start for block in blocks),
        lines=len(lines),
    )
    return Stripped(content=stripped, report=report)


BASE_IMAGE = "BASE_IMAGE"


@dataclass(frozen=True, kw_only=True)
class BaseImages(Report):
    """The images that the FROMs of a Dockerfile name, once each, as tools pull them."""

    images: tuple[str, ...]

    def describe(self) -> Iterator[str]:
        """Yield the images, one a line."""
        yield from self.images


def base_images(stripped: bytes, *, base_image: str | None = None) -> BaseImages:
    """Return the images that the FROMs of a stripped Dockerfile name, without stages and ``scratch``.

    ``base_image`` is the value of the build argument BASE_IMAGE, in place of the default that the
    Dockerfile gives it.

    Raises:
        SpecError: a FROM names no image that can be pulled beforehand, or there is no FROM at all, or no
            ARG BASE_IMAGE takes the base image that was given.
    """
    dockerfile = read_dockerfile(stripped)
    if not dockerfile.stages:
        raise SpecError(
            "the Dockerfile has no FROM, so it builds nothing", solution="Give the path of a Dockerfile."
        )
    if base_image is not None and BASE_IMAGE not in declared_arguments(dockerfile.arguments):
        raise SpecError(
            f"no ARG {BASE_IMAGE} before the first FROM takes the base image {base_image}",
            solution=f"Write `ARG {BASE_IMAGE}=...` and `FROM ${{{BASE_IMAGE}}}`, or give no base image.",
        )
    given = {} if base_image is None else {BASE_IMAGE: base_image}
    return BaseImages(images=tuple(dict.fromkeys(_named(dockerfile, dockerfile.argument_values(given)))))


def _named(dockerfile: Dockerfile, values: dict[str, str]) -> Iterator[str]:
    stages: set[str] = set()
    for stage in dockerfile.stages:
        image, line = expand(stage.image, values), stage.head.line
        if not stage.is_valid or "$" in image or not image:
            raise SpecError(
                f"line {line} of the Dockerfile: `FROM {stage.head.text}` names no image",
                solution="Name one, or a variable that has a value from an ARG before the first FROM.",
            )
        # Builders compare names of stages without regard to case.
        if image.lower() not in stages and image != SCRATCH:
            yield check_pullable(image, of=f"the FROM in line {line} of the Dockerfile")
        stages.update(stage.names[1:])
