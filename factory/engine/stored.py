"""What an engine has in its storage, many references at once: starting an engine for each takes too long."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from factory.engine.engine import (
    Engine,
    Inspected,
    Operand,
    call_engine,
    list_images,
    parse_inspected,
    require_working,
)
from factory.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """An image in an engine's storage: its ID in hex, its labels, its size in bytes, when it was created.

    ``created`` is as the image's configuration has it: RFC 3339, empty where it does not tell.
    """

    id: str
    labels: dict[str, str] = field(default_factory=dict)
    size: int = 0
    created: str = ""


def find_stored(engine: Engine, references: Iterable[str]) -> dict[str, StoredImage]:
    """Those of the references, each with its tag, that an engine has. Nothing is pulled.

    Raises:
        EngineError: the engine does not work.
    """
    wanted = tuple(references)
    named = find_all_names(engine, wanted)
    return {reference: named[reference] for reference in wanted if reference in named}


def find_all_names(engine: Engine, references: Iterable[str]) -> dict[str, StoredImage]:
    """The images that the references name, by every name that each of them has. Nothing is pulled.

    Raises:
        EngineError: the engine does not work.
    """
    wanted = [Operand.image(reference) for reference in dict.fromkeys(references) if reference]
    if not wanted:
        return {}
    found = call_engine(engine, "image inspect", operands=wanted)
    documents = _documents(engine, found.stdout)
    if found.status != 0 and not documents:
        require_working(engine, found.stderr)
    return {
        tag: StoredImage(
            id=document["Id"].removeprefix("sha256:"),
            labels=(document.get("Config") or {}).get("Labels") or {},
            size=document.get("Size") or 0,
            created=document.get("Created") or "",
        )
        for document in documents
        for tag in document.get("RepoTags") or ()
    }


def find_labelled(engine: Engine, label: str, value: str) -> tuple[str, ...]:
    """Return the names of all images with a label, sorted; that takes seconds where there are many images.

    Raises:
        ProgramError: the engine does not work.
    """
    form = ("--filter", f"label={label}={value}", "--format", "{{.Repository}}:{{.Tag}}")
    listed = list_images(engine, *form)
    return tuple(sorted({name for name in listed.split() if "<none>" not in name}))


def _documents(engine: Engine, text: str) -> list[Inspected]:
    try:
        return parse_inspected(engine, text)
    except EngineError:  # none of them is there, or the engine does not work
        return []
