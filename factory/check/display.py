"""States and details of flavors as tables and text for people."""

from collections.abc import Iterator, Sequence

from factory.check.state import Details, State
from factory.check.waivers import shown
from factory.console import Table
from factory.flavor.spec import Spec

_HEADINGS = ("name", "accelerator", "torch", "python", "training hub", "index", "state")
_PUBLIC = "public"


def states_table(states: Sequence[State]) -> Table:
    """One row a flavor."""
    return Table(headings=_HEADINGS, rows=tuple(_row(state) for state in states))


def problem_lines(states: Sequence[State]) -> tuple[str, ...]:
    """Why what is broken is broken."""
    return tuple(f"{state.name}: {state.problem}" for state in states if state.problem is not None)


def details_parts(details: Details) -> tuple[str | Table, ...]:
    """The spec, what is resolved, the files with their state, and the lock."""
    files = Table(headings=("file", "state"), rows=tuple((file.path, file.state) for file in details.files))
    return (
        f"{details.name}: {details.rendering}, {details.lock}\n",
        Table(headings=("spec", ""), rows=tuple(_spec_rows(details))),
        "",
        *_list("dependencies", details.dependencies),
        *_list("constraints", details.constraints),
        *_list("overrides", details.overrides),
        *_list(
            "missing from the index", [f"{item.requirement}: {item.reason}" for item in details.spec.missing]
        ),
        *_list(
            "waivers",
            [f"{shown(waiver)}, until {waiver.expires}: {waiver.reason}" for waiver in details.spec.waivers],
        ),
        files,
        "",
        _lock_line(details),
    )


def _row(state: State) -> tuple[str, ...]:
    spec = state.spec
    if spec is None:
        return (state.name, *("?" for _ in _HEADINGS[2:]), state.words)
    return (
        state.name,
        _accelerator(spec),
        spec.torch,
        spec.python,
        spec.training_hub,
        spec.index_url or _PUBLIC,
        state.words,
    )


def _accelerator(spec: Spec) -> str:
    return " ".join(filter(None, (spec.accelerator, spec.accelerator_version)))


def _spec_rows(details: Details) -> Iterator[tuple[str, str]]:
    spec = details.spec
    yield "folder", str(details.folder)
    yield "derived name", details.derived_name
    yield "accelerator", _accelerator(spec)
    yield "torch", spec.torch
    yield "python", spec.python
    yield "training hub", spec.training_hub
    yield "index", spec.index_url or _PUBLIC
    for index in spec.indexes:
        yield f"index {index.name}", f"{index.url} for {', '.join(index.packages)}"
    yield "platforms", ", ".join(spec.platforms)
    yield "base image", spec.base_image
    yield "downstream base image", spec.downstream_base_image
    yield "template set", spec.template_set
    yield "glibc", spec.glibc


def _list(title: str, items: Sequence[str]) -> tuple[str, ...]:
    return ("\n".join((f"{title}:", *(f"  {item}" for item in items), "")),) if items else ()


def _lock_line(details: Details) -> str:
    lock = details.locked
    if lock is None:
        return f"not locked: run `factory lock {details.name}`"
    source = " and ".join((lock.index_url or "the public index", *lock.further_index_urls))
    return f"lock: {lock.packages} packages, {lock.artifacts} artifacts, from {source}"
