"""What a kustomization of ours builds: its resources, less what a patch deletes. kubectl need not be here."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from tekton.semantic import Node

FILE = "kustomization.yaml"
# What this reader carries out, and what adds and renames none of the objects that are looked at here.
_KNOWN = {"apiVersion", "kind", "resources", "patches"} | {
    "configMapGenerator",
    "generatorOptions",
    "namespace",
    "replacements",
}


def built(folder: Path) -> list[Node]:
    """Return the objects that `kubectl kustomize FOLDER` prints, in the order of their files.

    Raises:
        ValueError: a field is not one that this reader carries out, or a patch hits nothing.
    """
    told = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    if unknown := sorted(set(told) - _KNOWN):
        raise ValueError(f"{folder / FILE}: {', '.join(unknown)}")
    found = [each for name in told["resources"] for each in _resource((folder / name).resolve())]
    for patch in told.get("patches", ()):
        text = yaml.safe_load(patch["patch"])
        if set(patch) != {"patch"} or text.get("$patch") != "delete":
            raise ValueError(f"{folder / FILE}: a patch that does not delete: {patch}")
        left = [each for each in found if _identity(each) != _identity(text)]
        if len(left) != len(found) - 1:
            raise ValueError(f"{folder / FILE}: the patch of {_identity(text)} hits nothing")
        found = left
    return found


def _resource(path: Path) -> Iterator[Node]:
    if path.is_dir():
        yield from built(path)
    else:
        yield from (each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each)


def _identity(node: Node) -> tuple[str, str, str]:
    return (node["apiVersion"], node["kind"], node["metadata"]["name"])
