"""All YAML of the repository that a cluster reads: files below tekton/ and .tekton/, blocks of the pages."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tekton.semantic import Interface, Known, Node, Parameter

ROOT = Path(__file__).parents[2]
TEKTON_KINDS = frozenset({"Task", "Pipeline", "TaskRun", "PipelineRun", "StepAction"})
PAGES = ("docs/konflux.md", "docs/tekton.md", "README.md")
SCHEMA = Path("tekton-schema", "tekton-v1-strict.schema.json")
SCHEMA_VARIABLE = "FACTORY_TEKTON_SCHEMA"
_BLOCK = re.compile(r"^(?P<indent> *)```ya?ml\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A YAML file, or a block of a page; ``name`` says which, with its first line."""

    name: str
    text: str
    is_block: bool = False


@dataclass(frozen=True, kw_only=True)
class Object:
    """One document of a source."""

    name: str
    node: Node


def sources() -> Iterator[Source]:
    """Every YAML file and every ``yaml`` block of a page, in the order of their paths."""
    for path in _files(".yaml", ".yml"):
        yield Source(name=path.relative_to(ROOT).as_posix(), text=path.read_text(encoding="utf-8"))
    pages = {*_files(".md"), *(ROOT / page for page in PAGES if (ROOT / page).is_file())}
    for page in sorted(pages):
        yield from blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())


def blocks(text: str, name: str) -> Iterator[Source]:
    """The ``yaml`` blocks of a page, without the indent that they have in a list."""
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        indent = len(match["indent"])
        unindented = "".join(
            each[indent:] if each.strip() else each for each in match["text"].splitlines(keepends=True)
        )
        yield Source(name=f"{name}:{line}", text=unindented, is_block=True)


def _files(*suffixes: str) -> list[Path]:
    folders = (ROOT / "tekton", ROOT / ".tekton")
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes)


def documents(text: str) -> list[Any]:
    """Return the documents of a YAML text, read by libyaml where PyYAML has it: there is much to read."""
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def objects(source: Source) -> Iterator[Object]:
    """The Kubernetes objects of a source; of a page's blocks those that are whole ones."""
    found = [each for each in documents(source.text) if each is not None]
    for place, node in enumerate(found):
        if source.is_block and not (isinstance(node, Mapping) and {"apiVersion", "kind"} <= set(node)):
            continue  # a fragment: a page shows a few lines of a file
        name = source.name if len(found) == 1 else f"{source.name}#{place}"
        yield Object(name=name, node=node)


@cache
def every_object() -> tuple[Object, ...]:
    """All objects of all sources."""
    return tuple(each for source in sources() for each in objects(source))


@cache
def tekton_objects() -> tuple[Object, ...]:
    """Those that Tekton reads."""
    return tuple(each for each in every_object() if each.node.get("kind") in TEKTON_KINDS)


def of_kind(kind: str) -> tuple[Object, ...]:
    """Our own Tasks or Pipelines: those in files."""
    return tuple(each for each in tekton_objects() if each.node["kind"] == kind and ".md:" not in each.name)


def schema_path() -> Path | None:
    """The strict schema of Tekton's objects, which is no part of this repository.

    It is looked for where the variable says, or in a folder ``shared`` beside the checkout or beside one of
    the folders that it lies in.
    """
    named = os.environ.get(SCHEMA_VARIABLE)
    places = [Path(named)] if named else [folder / "shared" / SCHEMA for folder in ROOT.parents]
    return next((place for place in places if place.is_file()), None)


@cache
def known() -> Known:
    """What the references in our YAML can find."""
    return Known(
        tasks={each.node["metadata"]["name"]: each.node for each in of_kind("Task")},
        pipelines={each.node["metadata"]["name"]: each.node for each in of_kind("Pipeline")},
        catalogue=_catalogue(),
    )


def _catalogue() -> Mapping[str, Interface]:
    """The interfaces of the catalogue's Tasks, as catalogue.yaml tells them."""
    (told,) = documents((Path(__file__).parent / "catalogue.yaml").read_text(encoding="utf-8"))
    return {
        name: Interface(
            params={
                param: Parameter(type=kind, required=param in task["required"])
                for param, kind in task["params"].items()
            },
            results=task["results"],
            workspaces=dict.fromkeys(task["workspaces"], True),
        )
        for name, task in told.items()
    }
