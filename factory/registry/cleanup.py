"""Pruning and tearing down: read everything, decide, delete what goes where that was asked for, and tell."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from factory.console import Progress
from factory.errors import RegistryError
from factory.registry.declared import Registry
from factory.registry.drivers.driver import Driver
from factory.registry.inventory import Opener, opened, read_holdings
from factory.registry.removal import Removed, remove
from factory.registry.retention import Policy, Purpose, Verdict, decide, freed

State = Literal["kept", "would be deleted", "deleted", "gone already", "failed"]


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one manifest, and why; ``by_hand`` is the command that deletes it all the same."""

    registry: str
    reference: str
    tags: tuple[str, ...]
    bytes: int
    moment: dt.datetime | None
    state: State
    reason: str
    by_hand: str


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """What was deleted, or would be, and what stays.

    ``freed_bytes`` is what nothing that stays names any more, which a registry has free when it has
    collected its garbage.
    """

    purpose: Purpose
    dry_run: bool
    fates: tuple[Fate, ...]
    freed_bytes: int
    notes: tuple[str, ...]
    removed_repositories: tuple[str, ...] = ()
    errors: tuple[RegistryError, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or that of `RegistryError` where a registry could not be read, or something not be deleted."""
        return RegistryError.exit_code if self.errors else 0


def clean_up(
    purpose: Purpose,
    registries: Mapping[str, Registry],
    names: Collection[str],
    policy: Policy,
    opener: Opener,
    *,
    dry_run: bool,
    progress: Progress,
) -> Cleanup:
    """Prune or tear down the registries that are named; from a persistent one nothing is ever deleted.

    All registries are read, since what one holds may stand on what another does.

    Args:
        purpose: which of both.
        registries: all of the repository, by name.
        names: those that were named; of the rest everything stays.
        policy: what the repository says of its images.
        opener: gives the driver of a registry.
        dry_run: only say what would be deleted.
        progress: is told of each that is deleted.
    """
    with opened(registries.values(), opener) as (drivers, failed):
        holdings = read_holdings(registries.values(), policy.images, drivers, failed)
        verdicts = decide(purpose, names, holdings, policy, registries=registries.values())
        persistent = [one for one in registries.values() if one.kind == "persistent"]
        removed = {} if dry_run else remove(verdicts, drivers, progress=progress, persistent=persistent)
        emptied: list[str] = []
        if purpose == "teardown" and not dry_run:
            emptied = _empty_repositories(verdicts, removed, drivers)
        fates = tuple(_fate(verdict, removed.get(verdict.key), registries, drivers) for verdict in verdicts)
    left = tuple(_after(verdict, removed.get(verdict.key)) for verdict in verdicts)
    errors = [holding.error for holding in holdings if holding.error is not None]
    errors += [one.error for one in removed.values() if one.error is not None]
    return Cleanup(
        purpose=purpose,
        dry_run=dry_run,
        fates=fates,
        freed_bytes=sum(freed(holding, left) for holding in holdings),
        notes=tuple(f"{one.registry.name}: {one.partial}" for one in holdings if one.partial),
        removed_repositories=tuple(emptied),
        errors=tuple(errors),
    )


def _after(verdict: Verdict, removed: Removed | None) -> Verdict:
    """The verdict as it came out: what could not be deleted stays."""
    return replace(verdict, goes=False) if removed is not None and not removed.is_gone else verdict


def _empty_repositories(
    verdicts: tuple[Verdict, ...],
    removed: Mapping[tuple[str, str, str], Removed],
    drivers: Mapping[str, Driver],
) -> list[str]:
    """Delete the repositories of which all went, where the service can."""
    went = {verdict.key[:2] for verdict in verdicts if verdict.goes}
    stays = {verdict.key[:2] for verdict in verdicts if not verdict.goes}
    stays |= {key[:2] for key, one in removed.items() if not one.is_gone}
    found = []
    for name, repository in sorted(went - stays):
        try:
            if drivers[name].delete_repository(repository):
                found.append(f"{name}: {repository}")
        except RegistryError:
            # It is empty: the images, which were what counted, are gone.
            continue
    return found


def _fate(
    verdict: Verdict,
    removed: Removed | None,
    registries: Mapping[str, Registry],
    drivers: Mapping[str, Driver],
) -> Fate:
    name, repository, digest = verdict.key
    state: State = "would be deleted" if verdict.goes else "kept"
    reason = verdict.reason
    if removed is not None:
        state, reason = removed.state, removed.reason or verdict.reason
    return Fate(
        registry=name,
        reference=f"{registries[name].host}/{repository}@{digest}",
        tags=verdict.image.tags,
        bytes=verdict.image.size,
        moment=verdict.image.moment,
        state=state,
        reason=reason,
        by_hand=drivers[name].by_hand(repository, digest),
    )
