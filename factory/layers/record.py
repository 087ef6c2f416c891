"""Show the layers of flavors, or choose them by the rule and record them in ``pyproject.toml``."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from factory.console import Report, Table, human_size
from factory.documents import parse_toml_for_edit
from factory.errors import LockFileError, SpecError
from factory.flavor.project import PROJECT_FILE, parse_project, read_project_text
from factory.flavor.repository import NO_IMAGES, Flavor
from factory.flavor.spec import ACCELERATOR, REST, PackageLayer, layer_of
from factory.layers.choose import SHARE, SizedPackage, choose_layers
from factory.layers.contents import installed_sizes, layer_epochs, wheel_sizes
from factory.lock.lockset import LockSet, require_lock_set
from factory.render.drift import find_drift, rendering_changes
from factory.transaction import Replacement, open_transaction

# Wheels are compressed by different amounts: if only their sizes are known, layers get a smaller share.
_SHARE_OF_WHEELS = 0.05
_LINE = 100
_COMMENT = (
    "The layers of packages; what none names goes into the last one, `rest`. Chosen by `factory layers",
    "--write`, and yours to change: a package goes into the first layer that names it (* fits anything).",
)
_SHOWN_PACKAGES = 4


@dataclass(frozen=True, kw_only=True)
class SizedLayer:
    """A layer of packages: its packages, their bytes together, its share of all, its newest upload.

    ``newest_upload`` is in seconds since 1970, None if the lock records none.
    """

    name: str
    packages: tuple[str, ...]
    size: int
    share: float
    newest_upload: int | None


@dataclass(frozen=True, kw_only=True)
class FlavorLayers:
    """The layers of a flavor, with sizes of what is ``installed``, else of the wheels.

    ``differs`` is whether the rule chose others than the flavor had, ``written`` whether they were written.
    ``problem`` says why there are none.
    """

    flavor: str
    installed: bool
    layers: tuple[SizedLayer, ...]
    differs: bool = False
    written: bool = False
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class LayersReport(Report):
    """The layers of several flavors; ``chosen`` is whether they are those of the rule."""

    flavors: tuple[FlavorLayers, ...]
    chosen: bool

    def data(self) -> dict[str, object]:
        """Return the flavors."""
        return {"flavors": self.flavors}

    def describe(self) -> Iterator[str | Table]:
        """Yield a table for each flavor, and below it what was done."""
        if not self.flavors:
            yield NO_IMAGES
        for flavor in self.flavors:
            if flavor.problem:
                yield flavor.problem
                continue
            sizes = "INSTALLED" if flavor.installed else "WHEELS"
            yield f"{flavor.flavor}:"
            yield Table(
                headings=("LAYER", "PACKAGES", sizes, "SHARE", "NEWEST UPLOAD", "LARGEST"),
                rows=tuple(_row(layer) for layer in flavor.layers),
                right_aligned=frozenset({"PACKAGES", sizes, "SHARE"}),
            )
            if flavor.written:
                yield "recorded in pyproject.toml, and the Dockerfiles rendered"
            elif self.chosen:
                yield (
                    "would be recorded in pyproject.toml" if flavor.differs else "unchanged: nothing to write"
                )


def _row(layer: SizedLayer) -> tuple[str, ...]:
    newest = "-"
    if layer.newest_upload is not None:
        newest = dt.datetime.fromtimestamp(layer.newest_upload, dt.UTC).strftime("%Y-%m-%d")
    more = len(layer.packages) - _SHOWN_PACKAGES
    largest = ", ".join(layer.packages[:_SHOWN_PACKAGES]) + (f" and {more} more" if more > 0 else "")
    return (
        layer.name,
        str(len(layer.packages)),
        human_size(layer.size),
        f"{100 * layer.share:.1f} %",
        newest,
        largest or "-",
    )


def report_layers(
    flavors: Sequence[Flavor], *, write: bool, prefetched: Path | None = None, dry_run: bool = False
) -> LayersReport:
    """Return the layers of flavors; with ``write``, choose and record them in all or none.

    A package that a flavor has in a layer stays there as long as that is within its share. A flavor that is
    not locked yet is part of the report. ``prefetched`` is a folder for the sizes of what its wheels install.

    Raises:
        LockFileError: the only flavor asked for is not locked, or a lock records no sizes and ``prefetched``
            is None.
        SpecError: ``pyproject.toml`` is not acceptable.
        PrefetchError: a wheel is not in the folder, or is not the locked one.
        NotFoundError: the folder is not a prefetched one.
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    writes = write and not dry_run
    found: list[FlavorLayers] = []
    changes: list[Replacement] = []
    with open_transaction([flavor.folder for flavor in flavors] if writes else []) as transaction:
        for flavor in flavors:
            try:
                if write:
                    layers, files = _chosen(flavor, prefetched=prefetched, dry_run=dry_run)
                    changes += files
                else:
                    layers = _current(flavor, prefetched=prefetched)
            except LockFileError as error:
                if not error.not_locked or len(flavors) == 1:
                    raise
                layers = FlavorLayers(flavor=flavor.name, installed=False, layers=(), problem=error.reason)
            found.append(layers)
        if writes:
            transaction.commit(changes)
    return LayersReport(flavors=tuple(found), chosen=write)


def _current(flavor: Flavor, *, prefetched: Path | None) -> FlavorLayers:
    spec = flavor.project.spec
    locks = require_lock_set(flavor.folder, spec)
    return FlavorLayers(
        flavor=flavor.name,
        installed=prefetched is not None,
        layers=_sized(locks, _sizes(flavor, locks, prefetched), spec.package_layers),
    )


def _chosen(
    flavor: Flavor, *, prefetched: Path | None, dry_run: bool
) -> tuple[FlavorLayers, tuple[Replacement, ...]]:
    text = read_project_text(flavor.folder)
    project = parse_project(text, where=str(flavor.folder / PROJECT_FILE), image=flavor)
    spec = project.spec
    locks = require_lock_set(flavor.folder, spec)
    sizes = _sizes(flavor, locks, prefetched)
    no_stack = PackageLayer(name=ACCELERATOR, patterns=())
    stack = next((layer for layer in spec.usual_layers if layer.name == ACCELERATOR), no_stack)
    # Recorded layers may have been chosen by better sizes: the smaller share moves none of them.
    share = SHARE if prefetched is not None or spec.layers else _SHARE_OF_WHEELS
    chosen = choose_layers(sizes, stack=stack, before=spec.layers, share=share)
    differs = chosen != spec.layers
    found = FlavorLayers(
        flavor=flavor.name,
        installed=prefetched is not None,
        layers=_sized(locks, sizes, chosen),
        differs=differs,
        written=differs and not dry_run,
    )
    new = with_layers(text, chosen) if differs else text
    project = parse_project(new, where=str(flavor.folder / PROJECT_FILE), image=flavor)
    files = rendering_changes(flavor, project, find_drift(flavor, project))
    if new == text:
        return found, files
    recorded = Replacement(path=flavor.folder / PROJECT_FILE, before=text.encode(), content=new.encode())
    return found, (*files, recorded)


def with_layers(text: str, layers: Sequence[PackageLayer]) -> str:
    """Return a flavor's ``pyproject.toml`` with these layers, and nothing else changed."""
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    tool: Any = document["tool"]
    table: Any = tool["factory"].get("layers")
    if table is None:
        table = tomlkit.table()
        for line in _COMMENT:
            table.add(tomlkit.comment(line))
        tool["factory"]["layers"] = table
    # An unchanged entry keeps its comment. A table is in the order of writing.
    if list(table) != [layer.name for layer in layers][: len(table)]:
        for name in list(table):
            del table[name]
    for layer in layers:
        if tuple(table.get(layer.name, ())) == layer.patterns:
            continue
        array = tomlkit.array()
        array.extend(layer.patterns)
        table[layer.name] = array.multiline(len(str(layer.patterns)) > _LINE)
    return tomlkit.dumps(document)


def _sizes(flavor: Flavor, locks: LockSet, prefetched: Path | None) -> tuple[SizedPackage, ...]:
    if prefetched is not None:
        return installed_sizes(locks.pins, prefetched)
    return wheel_sizes(locks.pins, flavor=flavor.name)


def _sized(
    locks: LockSet, sizes: Sequence[SizedPackage], layers: Sequence[PackageLayer]
) -> tuple[SizedLayer, ...]:
    whole = sum(package.size for package in sizes) or 1
    epochs = layer_epochs(locks, layers)
    found = []
    for name in (*(layer.name for layer in layers), REST):
        inside = sorted(
            (package for package in sizes if layer_of(package.name, layers) == name),
            key=lambda package: (-package.size, package.name),
        )
        size = sum(package.size for package in inside)
        found.append(
            SizedLayer(
                name=name,
                packages=tuple(package.name for package in inside),
                size=size,
                share=round(size / whole, 4),
                newest_upload=epochs[name],
            )
        )
    return tuple(found)
