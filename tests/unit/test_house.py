"""The house rules that no linter knows: who may import whom, print, start programs, and how long."""

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from factory.cli.main import COMMANDS
from factory.errors import FactoryError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "factory"
# Data flows one way; a module imports only from what stands before it. The blocks of a Dockerfile are
# what rendering makes Dockerfile.konflux with; a downstream context is made from what is locked;
# adopting a folder rests on what the rules know of Dockerfiles; a prefetched folder has an SBOM as well.
CHAIN = (
    "http",
    "dockerfile",
    "engine",
    "flavor",
    "downstream.blocks",
    "render",
    "index",
    "lock",
    "gaps",
    "sbom.document",
    "prefetch",
    "layers",
    "registry",
    "images",
    "build",
    "publish",
    "sbom",
    "image_tests",
    "upkeep",
    "downstream",
    "konflux",
    "rename",
    "init",
    "check",
    "status",
    "adopt",
)
SHARED = frozenset(
    {
        "errors",
        "process",
        "files",
        "tree",
        "documents",
        "transaction",
        "console",
        "html",
        "markdown",
        "clock",
        "masking",
        "settings",
        "pages",
    }
)
MAX_FUNCTION_LINES = 60
# Not modules: what the Python of an image runs, which prints what it found and starts what is in the image.
INSIDE = PACKAGE / "image_tests" / "inside"
# What opens files for all others, what opens to write, and what reads the package's own data.
OPENERS = frozenset(
    PACKAGE / name
    for name in (
        "files.py",
        "tree.py",
        "cli/main.py",
        "prefetch/download.py",
        "image_tests/context.py",
        "image_tests/causes.py",
        "konflux/flavors_check.py",
        "render/image_templates.py",
    )
)
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in SOURCES if path.parent != INSIDE]
COMMAND_SOURCES = sorted(PACKAGE / "cli" / f"{module}.py" for module, _ in COMMANDS.values())
# Written in pieces, so that this file does not name them either.
FORBIDDEN = {
    "a package registry's host": re.compile(
        "|".join(
            (
                r"\bpypi" + r"\.org\b",
                r"pythonhosted" + r"\.org\b",
                r"\bnpmjs" + r"\.(?:org|com)\b",
                r"\bdebian" + r"\.org\b",
            )
        )
    ),
    "a path of one machine": re.compile(r"(?<![\w.}-])/(?:ro" + r"ot|wo" + r"rk|home/\w+|opt/wheels)\b"),
}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def _place(module: str) -> int:
    """Where a module of the package stands in the chain; before all of it what everybody may use."""
    name = module.removeprefix("factory").removeprefix(".")
    if name.partition(".")[0] in SHARED or not name:
        return -1
    places = [place for place, link in enumerate(CHAIN) if name == link or name.startswith(f"{link}.")]
    return min(places) if places else len(CHAIN)


def test_a_module_imports_only_from_what_stands_before_it() -> None:
    assert _breaches(SOURCES, _later_imports) == {}


def _later_imports(path: Path) -> list[str]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return [
        used
        for used in _imports(_tree(path))
        if used.partition(".")[0] == "factory" and _place(used) > _place(module)
    ]


def test_a_public_name_means_one_thing_in_the_whole_package() -> None:
    places: dict[str, list[str]] = {}
    for path in MODULES:
        # Each command module has its `command`.
        if path.parent != PACKAGE / "cli":
            for node in _tree(path).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(_name(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_only_the_console_prints() -> None:
    printing = {"print", "click.echo", "click.secho"}
    modules = [path for path in MODULES if path != PACKAGE / "console.py"]
    assert _breaches(modules, lambda path: printing & set(_calls(_tree(path)))) == {}


def test_only_documents_reads_json_and_toml() -> None:
    modules = [path for path in MODULES if path != PACKAGE / "documents.py"]
    assert _breaches(modules, _readings) == {}


def _readings(path: Path) -> list[str]:
    tree = _tree(path)
    readers = (
        r"(json|tomlkit)\.(loads?|parse)|tomllib\..*|msgspec\.(json|toml|yaml|convert).*"
        r"|.*ElementTree\.(parse|fromstring|XML)"
    )
    called = [call for call in _calls(tree) if re.fullmatch(readers, call)]
    taken = {"json": {"load", "loads"}, "tomlkit": {"load", "loads", "parse"}, "tomllib": {"load", "loads"}}
    return called + [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in taken
        for alias in node.names
        if alias.name in taken[node.module]
    ]


def test_files_are_opened_by_what_refuses_fifos_and_devices() -> None:
    assert _breaches([path for path in MODULES if path not in OPENERS], _openings) == {}


def _openings(path: Path) -> list[str]:
    return [
        ast.unparse(node)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and _may_read(node, ast.unparse(node.func))
    ]


def _may_read(call: ast.Call, name: str) -> bool:
    """Whether a call reads a file of a path; a `Tree` opens by a name in it, and other modes only write."""
    given = [ast.unparse(argument) for argument in call.args]
    if re.fullmatch(r".*\.(read_text|read_bytes)", name):
        return True
    if name == "os.open":
        return not re.search(r"O_DIRECTORY|O_WRONLY", "".join(given))
    if name in {"open", "io.open"}:
        return not re.match(r"'[wax]", "".join(given[1:2]))
    return (
        name.endswith(".open")
        and name != "tarfile.open"
        and (not given or re.match(r"'r[bt+]*'", given[0]) is not None)
    )


def test_only_process_starts_programs() -> None:
    assert _breaches([path for path in MODULES if path != PACKAGE / "process.py"], _starts) == {}


def _starts(path: Path) -> list[str]:
    tree = _tree(path)
    called = [
        call for call in _calls(tree) if re.fullmatch(r"os\.(system|popen|exec\w+|spawn\w+|fork)", call)
    ]
    return called + sorted({"subprocess", "multiprocessing", "pty"} & set(_imports(tree)))


def test_a_command_holds_no_logic() -> None:
    assert _breaches(COMMAND_SOURCES, _logic) == {}


def _logic(path: Path) -> list[str]:
    tree = _tree(path)
    logic = (ast.While, ast.Try, ast.ClassDef)
    touching = r"(.*\.)?(open|read_text|read_bytes|write_text|write_bytes|mkdir|unlink|rename|rglob|iterdir)"
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, logic)] + [
        call for call in _calls(tree) if re.fullmatch(touching, call)
    ]


def test_a_file_says_what_it_is_for() -> None:
    assert [_name(path) for path in SOURCES if not ast.get_docstring(_tree(path))] == []


def test_functions_are_short() -> None:
    assert _breaches(SOURCES, _long_functions) == {}


def _long_functions(path: Path) -> list[str]:
    return [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]


def test_nothing_that_is_committed_names_a_registry_or_a_machine() -> None:
    assert _breaches(_committed(), _forbidden) == {}


def _committed() -> list[Path]:
    folders = ("factory", "templates", "flavors", "docs", "tests", "benchmarks", "scripts", ".ci")
    inside = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    beside = (path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"} or path.name == "Makefile")
    return sorted(path for path in (*inside, *beside) if "__pycache__" not in path.parts)


def _forbidden(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [f"{what}: {match[0]}" for what, pattern in FORBIDDEN.items() if (match := pattern.search(text))]


def _breaches(paths: Iterable[Path], found: Callable[[Path], Iterable[str]]) -> dict[str, list[str]]:
    """What a rule finds in each file where it finds something."""
    return {_name(path): breaches for path in paths if (breaches := list(found(path)))}


def _errors(kind: type[FactoryError]) -> Iterator[type[FactoryError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _errors(subclass)


def test_every_error_has_an_exit_code_of_its_own() -> None:
    importlib.import_module("factory.cli.main")
    codes = [error.exit_code for error in _errors(FactoryError)]
    assert len(codes) >= 14
    assert len(set(codes)) == len(codes)
    # 0 and 1 are results, 2 is wrong usage, 10 is nobody's, and from 126 on the shell speaks.
    assert all(10 < code < 126 for code in codes)


def test_every_error_of_the_package_stands_in_errors() -> None:
    for path in SOURCES:
        if path.parent == INSIDE:
            continue
        importlib.import_module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        )
    assert {error.__module__ for error in _errors(FactoryError)} == {"factory.errors"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_options_that_all_have(name: str) -> None:
    module_name, short_help = COMMANDS[name]
    module = importlib.import_module(f"factory.cli.{module_name}")
    command: click.Command = module.command
    assert command.name in {name, "command"}
    assert command.help
    # `factory --help` shows the table's, and imports no command for it.
    assert command.short_help == short_help
    assert len(command.short_help) > 10
    # As `factory --help` shows it in 80 columns, with nothing cut off.
    assert len(command.short_help) + max(map(len, COMMANDS)) + 4 <= 78
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--root", "--json"} <= options
    undocumented = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not undocumented
