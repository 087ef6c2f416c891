"""The files of an image's folder that go into the image: what it declares, which is all that it copies."""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
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

IGNORE_FILES = (".containerignore", ".dockerignore")
"""Where the patterns are, the first that is there (podman; docker reads the second alone)."""
_MAGIC = re.compile(r"[*?\[]")
_FEW = 5
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One line of an ignore file: what it matches, and whether that is included again (``!``)."""

    expression: re.Pattern[str]
    included: bool


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file that goes into an image: the SHA-256 of its content in hex, and whether it can be executed.

    Of a link it is the SHA-256 of where it points to and what is there.
    """

    sha256: str
    executable: bool


def read_inputs(definition: ImageDefinition) -> dict[str, InputFile]:
    """The files that go into an image, by their paths in its folder, sorted; the Dockerfile is one of them.

    What a ``.containerignore`` or ``.dockerignore`` keeps out of the build is none of it.

    Raises:
        ImageError: a file that is declared or copied is not there, lies outside the folder, or is copied
            without being declared; or the Dockerfile does not take an argument that it is given, or takes
            from an image that is none of the parents.
        StorageError: a file cannot be read.
    """
    dockerfile = _dockerfile(definition)
    _refuse_untaken(definition, dockerfile)
    refuse_undeclared(definition, dockerfile)
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
                "Dockerfile copies), or keep it out with a .containerignore.",
            )
    links: dict[str, bool] = {}
    return {path: _read(definition, path, links) for path in sorted({definition.dockerfile, *declared})}


@dataclass(frozen=True, kw_only=True)
class _Context:
    folder: Path
    ignored: tuple[Pattern, ...]

    def matching(self, pattern: str) -> set[str]:
        """The files that a path or a pattern names; of a folder all that is below it."""
        if pattern == ".":
            found: Iterable[Path] = (self.folder,)
        elif _MAGIC.search(pattern):
            # `**` at the end names folders alone, to Python before 3.13.
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
    """The files and links below a folder; what is behind a link to a folder is not below it."""
    # No Path for each of them: a trainer's sources may be thousands.
    with os.scandir(root + folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(root, f"{folder}{entry.name}/")
            elif entry.is_file() or entry.is_symlink():
                yield folder + entry.name


def _dockerfile(definition: ImageDefinition) -> Dockerfile:
    path = definition.folder / definition.dockerfile
    try:
        content = read_regular(path)
    except FileNotFoundError as error:
        solution = f"Write it; `inputs` and docs/images.md say what goes into {definition.name}."
        if definition.flavor is not None:
            solution = f"Run `factory sync {definition.name}`, which writes it."
        raise ImageError(
            f"{definition.name}: a declared input is missing: {path} is not there", solution=solution
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error
    return read_dockerfile(content)


def _refuse_untaken(definition: ImageDefinition, dockerfile: Dockerfile) -> None:
    """An argument that nothing takes would count in the identity and change nothing."""
    given = (*(parent.argument for parent in definition.parents), *dict(definition.build_args))
    untaken = sorted(set(given) - declared_arguments(dockerfile.instructions))
    if untaken:
        raise ImageError(
            f"{definition.name}: no ARG of {definition.dockerfile} takes {', '.join(untaken)}",
            solution=f"Write `ARG {untaken[0]}` before the FROM or in the stage that uses it, or take the "
            "argument out of factory.toml or the command.",
        )


def _ignored(folder: Path) -> tuple[Pattern, ...]:
    for name in IGNORE_FILES:
        path = folder / name
        try:
            return read_ignored(read_text(path, errors="replace"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error(path, error) from error
    return ()


def _copied(definition: ImageDefinition, dockerfile: Dockerfile, context: _Context) -> frozenset[str]:
    given = {parent.argument: parent.image for parent in definition.parents} | dict(definition.build_args)
    copied: set[str] = set()
    for source in context_sources(dockerfile.instructions, given):
        _refuse_source(definition, source)
        copier = f", and line {source.line} of {definition.dockerfile} copies it"
        copied |= _found(definition, source.pattern, context, copier)
    return frozenset(copied)


def _refuse_source(definition: ImageDefinition, source: ContextSource) -> None:
    where = f"{definition.name}: line {source.line} of {definition.dockerfile}"
    if "$" in source.pattern:
        raise ImageError(
            f"{where} copies {source.pattern}, and nothing tells what that is",
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
    """The files of a path or a pattern, which are none only where it has a class of letters.

    A builder copies nothing for ``config.jso[n]`` and goes on: so a file is named that may be missing.
    """
    found = context.matching(pattern)
    if found or "[" in pattern:
        return found
    place = context.folder / pattern
    if replace(context, ignored=()).matching(pattern):
        says, solution = (
            f"an ignore file keeps all of {place} out",
            "Take it in again there with a line of `!`.",
        )
    elif _MAGIC.search(pattern):
        says = f"nothing in {context.folder} matches {pattern}"
        solution = "Put the files there, or correct it; what may be missing is written as a.tx[t]."
    elif place.is_dir():
        says = f"{place} is empty"
        solution = "Put a file there, or make the folder in the image with RUN: git keeps no empty ones."
    else:
        says, solution = f"{place} is not there", _put_back(definition, pattern)
    raise ImageError(f"{definition.name}: a declared input is missing: {says}{wanted}", solution=solution)


def _put_back(definition: ImageDefinition, path: str) -> str:
    if definition.flavor is None:
        return f"Put {path} there, or take it out of `inputs` and the Dockerfile."
    command = "lock" if path.startswith("requirements") else "sync"
    return f"Run `factory {command} {definition.name}`; a file of the flavor's own is for you to put back."


def _read(definition: ImageDefinition, path: str, links: dict[str, bool]) -> InputFile:
    """A file; ``links`` keeps which of the paths that were looked at are links."""
    place = f"{definition.folder}/{path}"
    try:
        if _goes_over_a_link(f"{definition.folder}/", path, links):
            return _read_link(definition, path)
        with open_regular(Path(place)) as file:
            executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
            return InputFile(sha256=hashlib.file_digest(file, "sha256").hexdigest(), executable=executable)
    except OSError as error:
        raise storage_error(Path(place), error) from error


def _goes_over_a_link(root: str, path: str, links: dict[str, bool]) -> bool:
    ends = (index for index, letter in enumerate(f"{path}/") if letter == "/")
    for part in (path[:end] for end in ends):
        if part not in links:
            links[part] = stat.S_ISLNK(os.lstat(root + part).st_mode)
        if links[part]:
            return True
    return False


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
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
    return InputFile(sha256=digest.hexdigest(), executable=executable)


def _few(paths: list[str]) -> str:
    more = len(paths) - _FEW
    return ", ".join(paths[:_FEW]) + (f" and {more} more" if more > 0 else "")


def refuse_undeclared(definition: ImageDefinition, dockerfile: Dockerfile) -> None:
    """Check that an identity knows all images that a Dockerfile takes from.

    These are the declared parents, its own stages, ``scratch``, and what it names by digest, which the
    identity counts as text.

    Raises:
        ImageError: a FROM, a ``COPY --from=`` or a mount takes from another image.
    """
    given = {parent.argument: parent.image for parent in definition.parents} | dict(definition.build_args)
    values = dockerfile.argument_values(given)
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
    others = {parent.image for parent in definition.parents if parent.is_reference}
    own = {parent.image for parent in definition.parents if not parent.is_reference}
    # The name of an image of the repository means that image in an argument alone.
    return reference in others or ("$" in text and reference in own)


def _variable(definition: ImageDefinition, item: Instruction, text: str) -> ImageError:
    """Engines differ in which of these they expand, and the image would not count in a part's key."""
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile}"
    return ImageError(
        f"{where} takes from {text}, which an argument names",
        solution=f"Make it a stage, `FROM {text} AS NAME` above, and take from that name.",
    )


def _undeclared(definition: ImageDefinition, item: Instruction, text: str, reference: str) -> ImageError:
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile} takes from {text}"
    if "$" in reference:
        return ImageError(
            f"{where}, and nothing tells what that is",
            solution="Write `ARG NAME` before the first FROM, and give NAME an image in `parents` of "
            "factory.toml.",
        )
    named = "" if text == reference else f" ({reference})"
    return ImageError(
        f"{where}{named}, which is none of its `parents`: nothing would be built when it changes",
        solution=f'Give it in factory.toml, parents = {{ …, NAME_IMAGE = "{reference}" }}, and take it from '
        "there: `ARG NAME_IMAGE` before the first FROM, `FROM ${NAME_IMAGE}`, and for a COPY that stage's "
        "name. Or name it by its digest: …@sha256:….",
    )


def read_ignored(text: str) -> tuple[Pattern, ...]:
    """Return the patterns of an ignore file, in order (the form of Docker's ``.dockerignore``)."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return tuple(_ignore_pattern(line) for line in lines if line and not line.startswith("#"))


def is_ignored(path: str, patterns: Iterable[Pattern]) -> bool:
    """Return whether a file stays out of the context: the last line that matches it or its folder decides."""
    ignored = False
    for pattern in patterns:
        if ignored == pattern.included and pattern.expression.fullmatch(path):
            ignored = not pattern.included
    return ignored


def _ignore_pattern(line: str) -> Pattern:
    included = line.startswith("!")
    path = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
    # What lies below a folder that is matched is matched as well.
    return Pattern(expression=re.compile(f"{_ignore_expression(path)}(?:/.*)?"), included=included)


def _ignore_expression(path: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\\.)", path)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or _ignore_part(part) for part in parts)


def _ignore_part(part: str) -> str:
    if part.startswith("[") and part.endswith("]"):
        return part.replace("\\", "\\\\") if not part.startswith("[!") else re.escape(part)
    return re.escape(part.removeprefix("\\"))
