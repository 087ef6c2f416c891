"""The files of an image's folder that its identity counts, and the images that its Dockerfile may use."""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath

from factory.dockerfile.instructions import Instruction, declared_arguments, expand
from factory.dockerfile.model import SCRATCH, ContextSource, Dockerfile, context_sources, read_dockerfile
from factory.errors import ImageError
from factory.files import (
    STAGED_SUFFIX,
    TEMPORARY_SUFFIX,
    open_regular,
    read_regular,
    read_text,
    storage_error,
)
from factory.images.definitions import ImageDefinition
from factory.images.parents import digest_in
from factory.pages import docs_command

IGNORE_FILES = (".containerignore", ".dockerignore")
"""The files of ignore patterns, the first existing one counts (docker reads only the second)."""
_MAGIC = re.compile(r"[*?\[]")
_FEW = 5
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """The SHA-256 of an input file in hex, and whether it is executable.

    For a link, the SHA-256 covers its target's path and content.
    """

    sha256: str
    executable: bool


def read_inputs(definition: ImageDefinition) -> dict[str, InputFile]:
    """Return the input files of an image by path in its folder, sorted, with the Dockerfile.

    Files excluded by a ``.containerignore`` or ``.dockerignore`` are skipped.

    Raises:
        ImageError: a declared or copied file is missing, lies outside the folder, or is copied without being
            declared; or the Dockerfile has no ARG for a build argument, or uses an image that is not a
            declared parent.
        StorageError: a file cannot be read.
    """
    dockerfile = _dockerfile(definition)
    _refuse_unused_arguments(definition, dockerfile)
    _refuse_undeclared_images(definition, dockerfile)
    context = _Context(folder=definition.folder, ignored=_ignored(definition.folder))
    copied = _copied(definition, dockerfile, context)
    declared: Collection[str] = copied
    if definition.inputs is not None:
        declared = {definition.dockerfile, *_declared(definition, context)}
        if undeclared := sorted(copied.difference(declared)):
            raise ImageError(
                f"{definition.name}: a declared input is missing from `inputs`: no pattern covers "
                f"{_few(undeclared)}, which {definition.dockerfile} copies",
                solution="Add it to `inputs` in factory.toml (leave `inputs` out to declare all that the "
                "Dockerfile copies), or exclude it with a .containerignore.",
            )
    links: dict[str, bool] = {}
    return {path: _read(definition, path, links) for path in sorted({definition.dockerfile, *declared})}


def _dockerfile(definition: ImageDefinition) -> Dockerfile:
    path = definition.folder / definition.dockerfile
    try:
        content = read_regular(path)
    except FileNotFoundError as error:
        solution = f"Write it; `inputs` and {docs_command('images')} say what goes into {definition.name}."
        if definition.flavor is not None:
            solution = f"Run `factory sync {definition.name}`, which writes it."
        raise ImageError(
            f"{definition.name}: a declared input is missing: {path} does not exist", solution=solution
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error
    return read_dockerfile(content)


def _refuse_unused_arguments(definition: ImageDefinition, dockerfile: Dockerfile) -> None:
    """Refuse a build argument without an ARG: it would count in the identity and change nothing."""
    unused = sorted(definition.arguments.keys() - declared_arguments(dockerfile.instructions))
    if unused:
        raise ImageError(
            f"{definition.name}: no ARG of {definition.dockerfile} takes {', '.join(unused)}",
            solution=f"Write `ARG {unused[0]}` before the FROM or in the stage that uses it, or remove the "
            "argument from factory.toml or the command.",
        )


@dataclass(frozen=True, kw_only=True)
class IgnorePattern:
    """One line of an ignore file; ``included`` for an exception (``!``)."""

    expression: re.Pattern[str]
    included: bool


def read_ignore_patterns(text: str) -> tuple[IgnorePattern, ...]:
    """Return the patterns of an ignore file, in order (the form of Docker's ``.dockerignore``)."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return tuple(_ignore_pattern(line) for line in lines if line and not line.startswith("#"))


def is_ignored(path: str, patterns: Iterable[IgnorePattern]) -> bool:
    """Return whether a file is excluded; the last line matching it or a folder above decides."""
    ignored = False
    for pattern in patterns:
        if ignored == pattern.included and pattern.expression.fullmatch(path):
            ignored = not pattern.included
    return ignored


def _ignore_pattern(line: str) -> IgnorePattern:
    included = line.startswith("!")
    path = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
    # A pattern that matches a folder matches everything below it.
    return IgnorePattern(expression=re.compile(f"{_ignore_expression(path)}(?:/.*)?"), included=included)


def _ignore_expression(path: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\\.)", path)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or _ignore_part(part) for part in parts)


def _ignore_part(part: str) -> str:
    if part.startswith("[") and part.endswith("]"):
        return part.replace("\\", "\\\\") if not part.startswith("[!") else re.escape(part)
    return re.escape(part.removeprefix("\\"))


def _ignored(folder: Path) -> tuple[IgnorePattern, ...]:
    for name in IGNORE_FILES:
        path = folder / name
        try:
            return read_ignore_patterns(read_text(path, errors="replace"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error(path, error) from error
    return ()


@dataclass(frozen=True, kw_only=True)
class _Context:
    folder: Path
    ignored: tuple[IgnorePattern, ...]

    def matching(self, pattern: str) -> set[str]:
        """Return the files that a path or a pattern names, for a folder all files below it."""
        if pattern == ".":
            found: Iterable[Path] = (self.folder,)
        elif _MAGIC.search(pattern):
            # Before Python 3.13, `**` at the end matches folders only.
            found = self.folder.glob(pattern)
        else:
            found = (self.folder / pattern,)
        return {path for place in found for path in self._files(place)}

    def _files(self, place: Path) -> Iterator[str]:
        path = place.relative_to(self.folder).as_posix()
        if place.is_dir() and (place == self.folder or not place.is_symlink()):
            found = _below(f"{self.folder}/", "" if path == "." else f"{path}/")
        else:
            found = iter([path] if place.is_file() or place.is_symlink() else [])
        for name in found:
            if not _is_unfinished(name) and not is_ignored(name, self.ignored):
                yield name


def _is_unfinished(name: str) -> bool:
    return name.endswith(TEMPORARY_SUFFIX) or f"{STAGED_SUFFIX}/" in name


def _below(root: str, folder: str) -> Iterator[str]:
    """Yield the files and links below a folder, without following links to folders."""
    # Strings instead of Paths: the sources of a trainer may be thousands of files.
    with os.scandir(root + folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(root, f"{folder}{entry.name}/")
            elif entry.is_file() or entry.is_symlink():
                yield folder + entry.name


def _copied(definition: ImageDefinition, dockerfile: Dockerfile, context: _Context) -> frozenset[str]:
    copied: set[str] = set()
    for source in context_sources(dockerfile.instructions, definition.arguments):
        _check_source(definition, source)
        copier = f", and line {source.line} of {definition.dockerfile} copies it"
        copied |= _found(definition, source.pattern, context, copier)
    return frozenset(copied)


def _check_source(definition: ImageDefinition, source: ContextSource) -> None:
    where = f"{definition.name}: line {source.line} of {definition.dockerfile}"
    if "$" in source.pattern:
        raise ImageError(
            f"{where} copies {source.pattern}, whose value is not known",
            solution="Give the variable a value with ARG, ENV or build-args, or write the path out.",
        )
    if ".." in PurePosixPath(source.pattern).parts:
        raise ImageError(
            f"{where} copies {source.pattern}, which leaves the folder",
            solution=f"Copy it into {definition.folder} first: a build sees nothing outside its folder.",
        )


def _declared(definition: ImageDefinition, context: _Context) -> set[str]:
    declared: set[str] = set()
    for pattern in definition.inputs or ():
        declared |= _found(definition, pattern, context, " for `inputs`")
    return declared


def _found(definition: ImageDefinition, pattern: str, context: _Context, wanted: str) -> set[str]:
    """Return the files that match; only a pattern with a character class may match none.

    A builder copies nothing for a missing ``config.jso[n]``: that is how to write an optional file.
    """
    found = context.matching(pattern)
    if found or "[" in pattern:
        return found
    place = context.folder / pattern
    if replace(context, ignored=()).matching(pattern):
        problem, solution = (
            f"an ignore file excludes all of {place}",
            "Include it again there with a line of `!`.",
        )
    elif _MAGIC.search(pattern):
        problem = f"nothing in {context.folder} matches {pattern}"
        solution = "Put the files there, or correct it; an optional file is written as a.tx[t]."
    elif place.is_dir():
        problem = f"{place} is empty"
        solution = "Put a file there, or make the folder in the image with RUN: git keeps no empty ones."
    else:
        problem, solution = f"{place} does not exist", _put_back(definition, pattern)
    raise ImageError(f"{definition.name}: a declared input is missing: {problem}{wanted}", solution=solution)


def _put_back(definition: ImageDefinition, path: str) -> str:
    if definition.flavor is None:
        return f"Put {path} there, or remove it from `inputs` and the Dockerfile."
    command = "lock" if path.startswith("requirements") else "sync"
    return f"Run `factory {command} {definition.name}`; if it is a file of your own, put it back."


def _read(definition: ImageDefinition, path: str, links: dict[str, bool]) -> InputFile:
    """Read a file; ``links`` caches which folders are links or below one."""
    place = f"{definition.folder}/{path}"
    try:
        if _goes_through_link(f"{definition.folder}/", path, links):
            return _read_link(definition, path)
        with open_regular(place) as file:
            return _input_file(file, hashlib.sha256())
    except OSError as error:
        raise storage_error(Path(place), error) from error


def _goes_through_link(root: str, path: str, links: dict[str, bool]) -> bool:
    folder = path.rpartition("/")[0]
    if folder and folder not in links:
        links[folder] = _goes_through_link(root, folder, links)
    return links.get(folder, False) or stat.S_ISLNK(os.lstat(root + path).st_mode)


def _read_link(definition: ImageDefinition, path: str) -> InputFile:
    place = definition.folder / path
    try:
        target = place.resolve()
    except RuntimeError as error:  # before Python 3.13, a link that leads to itself
        raise ImageError(
            f"{definition.name}: the input {path} is a link that leads to itself",
            solution="Remove it, or put the file itself there.",
        ) from error
    if not target.is_relative_to(definition.folder.resolve()):
        raise ImageError(
            f"{definition.name}: the input {path} is a link that leaves the folder, to {target}",
            solution="Put the file itself there: a build sees nothing outside its folder.",
        )
    digest = hashlib.sha256()
    if place.is_symlink():
        digest.update(b"link\0" + os.fsencode(place.readlink()) + b"\0")
    if not place.is_file():
        return InputFile(sha256=digest.hexdigest(), executable=False)
    with open_regular(place) as file:
        return _input_file(file, digest)


def _input_file(file: BufferedReader, digest: "hashlib._Hash") -> InputFile:
    status = os.fstat(file.fileno())
    if status.st_size <= _CHUNK_BYTES:
        # `read` with a size, and `hashlib.file_digest`, allocate a whole chunk for each of many small files.
        digest.update(file.read())
    else:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return InputFile(sha256=digest.hexdigest(), executable=bool(status.st_mode & stat.S_IXUSR))


def _few(paths: list[str]) -> str:
    more = len(paths) - _FEW
    return ", ".join(paths[:_FEW]) + (f" and {more} more" if more > 0 else "")


def _refuse_undeclared_images(definition: ImageDefinition, dockerfile: Dockerfile) -> None:
    """Refuse an image that the identity does not know: nothing would be rebuilt when it changes.

    Allowed are the declared parents, the Dockerfile's own stages, ``scratch``, and images named by digest,
    which the Dockerfile's own text pins.

    Raises:
        ImageError: a FROM, a ``COPY --from=`` or a mount uses another image.
    """
    values = dockerfile.argument_values(definition.arguments)
    for item, text in dockerfile.outside_images():
        if item.name != "FROM" and "$" in text:
            raise _variable(definition, item, text)
        if not _is_declared(definition, text, expand(text, values)):
            raise _undeclared(definition, item, text, expand(text, values))


def _is_declared(definition: ImageDefinition, text: str, reference: str) -> bool:
    if "$" in reference:
        return False
    if reference.lower() == SCRATCH or digest_in(reference) is not None:
        return True
    external = {parent.image for parent in definition.parents if parent.is_reference}
    own = {parent.image for parent in definition.own_parents}
    # The name of an image of the repository means that image only as the value of an argument.
    return reference in external or ("$" in text and reference in own)


def _variable(definition: ImageDefinition, item: Instruction, text: str) -> ImageError:
    """Refuse a variable: engines expand them differently, and a build step's key would miss it."""
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile}"
    return ImageError(
        f"{where} takes from {text}, which an argument names",
        solution=f"Make it a stage, `FROM {text} AS NAME` above, and take from that name.",
    )


def _undeclared(definition: ImageDefinition, item: Instruction, text: str, reference: str) -> ImageError:
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile} takes from {text}"
    if "$" in reference:
        return ImageError(
            f"{where}, whose value is not known",
            solution="Write `ARG NAME` before the first FROM, and give NAME an image in `parents` of "
            "factory.toml.",
        )
    named = "" if text == reference else f" ({reference})"
    return ImageError(
        f"{where}{named}, which is none of its `parents`: nothing would be built when it changes",
        solution=f'Add it in factory.toml, parents = {{ …, NAME_IMAGE = "{reference}" }}, and take it from '
        "there: `ARG NAME_IMAGE` before the first FROM, `FROM ${NAME_IMAGE}`, and for a COPY that stage's "
        "name. Or name it by its digest: …@sha256:….",
    )
