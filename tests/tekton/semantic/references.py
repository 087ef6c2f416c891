"""Finds what Tekton substitutes: ``$(params.x[*])``, ``$(tasks.build.results.IMAGE_URL)`` and their like."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# One word with a dot or a bracket in it and no blank: no shell command looks like this, so that a
# misspelt root (`$(workspace.source.path)`) is seen in a script as well.
_REFERENCE = re.compile(r"\$\((?P<inner>[A-Za-z][\w-]*(?:\.[^()\s.\[\]$]+|\[[^()\[\]$]*\])+)\)")
_SEGMENT = re.compile(
    r"\.(?P<name>[^.\[\]]+)|\[(?P<quote>['\"])(?P<quoted>.+?)(?P=quote)\]|\[(?P<index>[^\]]*)\]"
)
WHOLE = "*"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """``$(root.parts…[index])``; the index is ``*``, digits, or nothing."""

    text: str
    root: str
    parts: tuple[str, ...]
    index: str | None = None


def references(text: str) -> Iterator[Reference]:
    """Everything in a text that Tekton would take for a variable."""
    for match in _REFERENCE.finditer(text):
        inner = match["inner"]
        root = re.match(r"[\w-]+", inner)
        assert root is not None
        parts: list[str] = []
        index: str | None = None
        for segment in _SEGMENT.finditer(inner, root.end()):
            if segment["index"] is not None:
                index = segment["index"]
            else:
                parts.append(segment["name"] or segment["quoted"])
        yield Reference(text=match[0], root=root[0], parts=tuple(parts), index=index)


def alone(text: str) -> Reference | None:
    """The reference that is the whole text, where it is one: only that can be an array."""
    found = list(references(text))
    return found[0] if len(found) == 1 and found[0].text == text else None


def strings(node: object, path: str) -> Iterator[tuple[str, str]]:
    """Every string below a node with its place; what people read (descriptions) is not among them."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key not in {"description", "displayName"}:
                yield from strings(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from strings(value, f"{path}[{place}]")
