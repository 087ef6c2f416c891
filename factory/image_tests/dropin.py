"""A user's own tests: files in a folder, run inside the image."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from factory.errors import ImageTestError
from factory.files import read_regular, storage_error
from factory.image_tests.container import STRICT, Ran
from factory.image_tests.context import Context
from factory.image_tests.definition import (
    DEFAULT_SECONDS,
    GPU_TAG,
    LEVELS,
    TAGS,
    ImageFinding,
    ImageTest,
    Level,
    Result,
    failed,
    passed,
    skipped,
)
from factory.pages import docs_command

SUFFIXES = (".py", ".sh")
_HEADER = re.compile(r"#\s*(level|tags|title|seconds):\s*(.*?)\s*", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_SKIPPED = 77
# The script is read whole before the shell starts it, so that no command in it reads the rest of it.
_SHELL = 'script=$(cat) && exec </dev/null && eval "$script"'


def drop_in_tests(folders: Iterable[Path], *, taken: Iterable[str]) -> tuple[ImageTest, ...]:
    """Return the tests in folders, the nearest first; one replaces another of its name further away.

    Raises:
        ImageTestError: a header is not acceptable, or a name is that of another test (``taken``).
        StorageError: a file cannot be read.
    """
    found: dict[str, ImageTest] = {}
    own = set(taken)
    for folder in folders:
        here: dict[str, ImageTest] = {}
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.suffix not in SUFFIXES or path.name.startswith(("_", ".")):
                continue
            test = read_test(path)
            if test.name in own or test.name in here:
                raise ImageTestError(
                    f"{path}: there is another test {test.name!r}", solution="Give the file another name."
                )
            here[test.name] = test
        found = here | found
    return tuple(found.values())


def read_test(path: Path) -> ImageTest:
    """Read a test from a file; its first comments may set title, level, tags and seconds.

    Raises:
        ImageTestError: one of them is not acceptable.
        StorageError: the file cannot be read.
    """
    try:
        text = read_regular(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ImageTestError(f"{path} is not UTF-8", solution="Save it as UTF-8.") from error
    except OSError as error:
        raise storage_error(path, error) from error
    header = read_header(text)
    level, tags = header.get("level", "quick"), header_tags(text)
    seconds = header.get("seconds", str(DEFAULT_SECONDS))
    problem = None
    if not _NAME.fullmatch(path.stem):
        problem = "the file's name is the test's: lower case letters, digits, dashes"
    elif level not in LEVELS:
        problem = f"level is {level!r}, and has to be one of {', '.join(LEVELS)}"
    elif unknown := sorted(set(tags) - {*TAGS, "any"}):
        problem = f"tags has {', '.join(unknown)}, and may have {', '.join((*TAGS, 'any'))}"
    elif not re.fullmatch(r"\d+(\.\d+)?", seconds) or float(seconds) <= 0:
        problem = f"seconds is {seconds!r}, and has to be a number above 0"
    elif path.suffix == ".py" and only_defines_tests(text):
        problem = "it only defines tests, and nothing calls them: pytest is not run in the image"
    if problem:
        raise ImageTestError(
            f"{path}: {problem}", solution=f"Fix it; {docs_command('testing-images')} has an example."
        )
    return ImageTest(
        name=path.stem,
        title=header.get("title") or f"{path.parent.name}/{path.name} ends well",
        level=cast("Level", level),
        tags=tuple(tag for tag in tags if tag != "any"),
        function=lambda context: _run(context, path, text),
        seconds=float(seconds),
        origin=str(path),
    )


def read_header(text: str) -> dict[str, str]:
    """Return the headers of a test, such as ``# level: standard``, from its first comments."""
    header: dict[str, str] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if match := _HEADER.fullmatch(line):
            header.setdefault(match[1].lower(), match[2])
    return header


def header_tags(text: str) -> tuple[str, ...]:
    """Return the tags in a test's header."""
    return tuple(re.findall(r"[^\s,]+", read_header(text).get("tags", "")))


def only_defines_tests(text: str) -> bool:
    """Return whether a Python file defines functions for pytest, and nothing runs them."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return False  # the image's Python reports it, and may be a newer one
    quiet = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    named = [node.name for node in body if isinstance(node, quiet[:3])]
    ran = [
        node for node in body if not isinstance(node, (*quiet, ast.Assign, ast.AnnAssign)) and not _text(node)
    ]
    return not ran and any(name.lower().startswith("test") for name in named)


def _text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _run(context: Context, path: Path, text: str) -> Result:
    # As for the factory's own tests: a container sees a GPU only if it is given one.
    conditions = context.gpu_conditions() if GPU_TAG in header_tags(text) else STRICT
    if path.suffix == ".py":
        ran = context.run("python3", "-", conditions=conditions, given=text)
    else:
        shell = "bash" if "bash" in text.partition("\n")[0] and text.startswith("#!") else "sh"
        ran = context.run(shell, "-c", _SHELL, conditions=conditions, given=text)
    return verdict(ran, path)


def verdict(ran: Ran, path: Path) -> Result:
    """Return passed for status 0, skipped for 77 (automake's) with the last line as reason, else failed."""
    last = (ran.output.strip().rpartition("\n")[2]) or "it printed nothing"
    if ran.status == 0:
        return passed(ran.output)
    if ran.status == _SKIPPED:
        return skipped(last)
    finding = ImageFinding(
        subject=path.name,
        problem=f"ended with status {ran.status}",
        cause=last,
        fix=f"Read its output, and {path.name} itself.",
    )
    return failed(f"it ended with status {ran.status}: {last}", finding, output=ran.output)
