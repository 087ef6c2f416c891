"""The layers of flavors as tables for a terminal."""

import datetime as dt
from collections.abc import Iterator, Sequence

from factory.console import Table, human_size
from factory.layers.record import FlavorLayers, SizedLayer

_SHOWN = 4


def layers_parts(found: Sequence[FlavorLayers], *, wrote: bool) -> tuple[str | Table, ...]:
    """A table for each flavor, and below it what was done."""
    return tuple(part for flavor in found for part in _parts(flavor, wrote=wrote))


def _parts(flavor: FlavorLayers, *, wrote: bool) -> Iterator[str | Table]:
    if flavor.problem:
        yield flavor.problem
        return
    sizes = "INSTALLED" if flavor.installed else "WHEELS"
    yield f"{flavor.flavor}:"
    yield Table(
        headings=("LAYER", "PACKAGES", sizes, "SHARE", "NEWEST UPLOAD", "LARGEST"),
        rows=tuple(_row(layer) for layer in flavor.layers),
        right_aligned=frozenset({"PACKAGES", sizes, "SHARE"}),
    )
    if flavor.written:
        yield "recorded in pyproject.toml, and the Dockerfiles rendered"
    elif wrote:
        yield "would be recorded in pyproject.toml" if flavor.differs else "as they were: nothing to write"


def _row(layer: SizedLayer) -> tuple[str, ...]:
    newest = "-"
    if layer.newest_upload is not None:
        newest = dt.datetime.fromtimestamp(layer.newest_upload, dt.UTC).strftime("%Y-%m-%d")
    more = len(layer.packages) - _SHOWN
    largest = ", ".join(layer.packages[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return (
        layer.name,
        str(len(layer.packages)),
        human_size(layer.size),
        f"{100 * layer.share:.1f} %",
        newest,
        largest or "-",
    )
