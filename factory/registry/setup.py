"""Setting registries up: creating what images need, and checking what is there."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from factory.errors import RegistryError
from factory.registry.declared import Registry
from factory.registry.drivers.driver import Driver, Finding
from factory.registry.inventory import Opener, opened


@dataclass(frozen=True, kw_only=True)
class SetUp:
    """What was created and found at one registry; ``error`` says why nothing could be."""

    registry: Registry
    findings: tuple[Finding, ...] = ()
    error: RegistryError | None = None


@dataclass(frozen=True, kw_only=True)
class SetupReport:
    """What was created and found, registry by registry."""

    dry_run: bool
    registries: tuple[SetUp, ...]

    @property
    def exit_code(self) -> int:
        """0 for all well, 1 where something is wrong, `RegistryError`'s where one could not be asked."""
        if any(one.error for one in self.registries):
            return RegistryError.exit_code
        states = {finding.state for one in self.registries for finding in one.findings}
        return 1 if "wrong" in states else 0


def set_up(
    registries: Iterable[Registry], images: Mapping[str, Collection[str]], opener: Opener, *, dry_run: bool
) -> SetupReport:
    """Create what is missing and check what is there; a second run, also at the same time, changes nothing.

    Args:
        registries: which.
        images: the names of the images that go into each, by the registry's name.
        opener: gives the driver of a registry.
        dry_run: only look.
    """
    chosen = tuple(registries)
    with opened(chosen, opener) as (drivers, failed):
        done = (
            SetUp(registry=registry, error=failed[registry.name])
            if registry.name in failed
            else _set_up(registry, images[registry.name], drivers[registry.name], dry_run=dry_run)
            for registry in chosen
        )
        return SetupReport(dry_run=dry_run, registries=tuple(done))


def _set_up(registry: Registry, images: Collection[str], driver: Driver, *, dry_run: bool) -> SetUp:
    created: tuple[Finding, ...] = ()
    try:
        if not dry_run:
            created = driver.create(images)
        found = driver.check(images)
    except RegistryError as error:
        return SetUp(registry=registry, findings=created, error=error)
    made = {finding.what for finding in created if finding.state == "created"}
    # What was created or tried just now is told once.
    tried = {finding.what: finding for finding in created if finding.state != "created"}
    told = tuple(
        replace(finding, state="created")
        if finding.what in made and finding.state == "ok"
        else tried.pop(finding.what, finding)
        for finding in found
    )
    return SetUp(registry=registry, findings=(*told, *tried.values()))
