"""The layers of a flavor as they are and as the rule gives them, written into its ``pyproject.toml``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from factory.documents import parse_toml_for_edit
from factory.errors import LockFileError, SpecError
from factory.flavor.layers import ACCELERATOR, REST, PackageLayer, default_layers, layer_of
from factory.flavor.project import PROJECT_FILE, parse_project, read_project_text
from factory.flavor.repository import Flavor
from factory.layers.choose import SHARE, SizedPackage, choose_layers
from factory.layers.epochs import layer_epochs
from factory.layers.sizes import installed_sizes, wheel_sizes
from factory.lock.lockset import LockSet, require_lock_set
from factory.render.drift import find_drift
from factory.render.sync import rendering_changes
from factory.transaction import Replacement, open_transaction

# Wheels shrink what they hold by different amounts: where only their sizes are known, a layer keeps clear of
# the limit.
_SHARE_OF_WHEELS = 0.05
_LINE = 100
_COMMENT = (
    "The layers of packages; what none names goes into the last one, `rest`. Chosen by `factory layers",
    "--write`, and yours to change: a package goes into the first layer that names it (* fits anything).",
)


@dataclass(frozen=True, kw_only=True)
class SizedLayer:
    """A layer of packages: its packages, their bytes together, its share of all, its newest upload.

    ``newest_upload`` is in seconds since 1970, None where the lock does not tell.
    """

    name: str
    packages: tuple[str, ...]
    size: int
    share: float
    newest_upload: int | None


@dataclass(frozen=True, kw_only=True)
class FlavorLayers:
    """The layers of a flavor. ``installed``: the sizes are of what is installed, else of the wheels.

    ``differs`` is whether the rule gave others than the flavor had, ``written`` whether they were written.
    ``problem`` says why there are none.
    """

    flavor: str
    installed: bool
    layers: tuple[SizedLayer, ...]
    differs: bool = False
    written: bool = False
    problem: str = ""


def every_layers(
    flavors: Sequence[Flavor], *, write: bool, prefetched: Path | None = None, dry_run: bool = False
) -> tuple[FlavorLayers, ...]:
    """The layers of several flavors, chosen anew with ``write``, and then recorded in all of them or in none.

    A flavor that is not locked yet is part of the report.

    Raises:
        LockFileError: the one flavor that was asked for is not locked, or a lock tells no sizes.
        SpecError, PrefetchError, BusyError, StorageError: as for `write_layers`.
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
                    layers = show_layers(flavor, prefetched=prefetched)
            except LockFileError as error:
                if not error.not_locked or len(flavors) == 1:
                    raise
                layers = FlavorLayers(flavor=flavor.name, installed=False, layers=(), problem=error.reason)
            found.append(layers)
        if writes:
            transaction.commit(changes)
    return tuple(found)


def show_layers(flavor: Flavor, *, prefetched: Path | None = None) -> FlavorLayers:
    """The layers of a flavor as they are.

    Args:
        flavor: one that is locked.
        prefetched: a prefetched folder, for the sizes of what its wheels install.

    Raises:
        SpecError, LockFileError, PrefetchError: as for `write_layers`.
    """
    spec = flavor.project.spec
    locks = require_lock_set(flavor.folder, spec)
    return FlavorLayers(
        flavor=flavor.name,
        installed=prefetched is not None,
        layers=_sized(locks, _sizes(flavor, locks, prefetched), spec.package_layers),
    )


def write_layers(flavor: Flavor, *, prefetched: Path | None = None, dry_run: bool = False) -> FlavorLayers:
    """Choose the layers of a flavor by the rule, record them in its ``pyproject.toml``, and render it.

    A package that the flavor has in a layer stays there as long as that keeps within its share.

    Raises:
        SpecError: ``pyproject.toml`` is not acceptable.
        LockFileError: the flavor is not locked, or its lock tells no sizes and ``prefetched`` is None.
        PrefetchError: a wheel is not in the folder, or is not the locked one.
        NotFoundError: the folder is no prefetched one.
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    (found,) = every_layers([flavor], write=True, prefetched=prefetched, dry_run=dry_run)
    return found


def _chosen(
    flavor: Flavor, *, prefetched: Path | None, dry_run: bool
) -> tuple[FlavorLayers, tuple[Replacement, ...]]:
    text = read_project_text(flavor.folder)
    project = parse_project(text, where=str(flavor.folder / PROJECT_FILE))
    spec = project.spec
    locks = require_lock_set(flavor.folder, spec)
    sizes = _sizes(flavor, locks, prefetched)
    stack = next(layer for layer in default_layers(spec.accelerator) if layer.name == ACCELERATOR)
    # What was recorded may rest on better sizes: it is not moved for keeping clear of a limit that it keeps.
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
    project = parse_project(new, where=str(flavor.folder / PROJECT_FILE))
    files = rendering_changes(flavor, project, find_drift(flavor, project))
    if new == text:
        return found, files
    recorded = Replacement(path=flavor.folder / PROJECT_FILE, before=text.encode(), content=new.encode())
    return found, (*files, recorded)


def with_layers(text: str, layers: Sequence[PackageLayer]) -> str:
    """The ``pyproject.toml`` of a flavor with these layers, and nothing else changed."""
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    tool: Any = document["tool"]
    table: Any = tool["factory"].get("layers")
    if table is None:
        table = tomlkit.table()
        for line in _COMMENT:
            table.add(tomlkit.comment(line))
        tool["factory"]["layers"] = table
    # What stays as it is keeps what somebody wrote beside it. A table's order is that of writing.
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
