"""How registries stand: whether they answer, what they hold, and what a prune would take of it."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from factory.errors import RegistryError
from factory.registry.declared import DriverName, Registry, RegistryClass
from factory.registry.drivers.driver import Driver, Finding
from factory.registry.holdings import Holding
from factory.registry.inventory import Opener, opened, read_holdings
from factory.registry.retention import Policy, Verdict, decide, freed


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One registry; the numbers are None where it could not be read.

    ``bytes`` counts what several images share once; ``prunable`` are the manifests that `prune` would
    take, and ``prunable_bytes`` what that would free.
    """

    name: str
    url: str
    kind: RegistryClass
    driver: DriverName
    findings: tuple[Finding, ...] = ()
    repositories: int | None = None
    images: int | None = None
    bytes: int | None = None
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    prunable: int | None = None
    prunable_bytes: int | None = None
    note: str = ""
    error: RegistryError | None = None


@dataclass(frozen=True, kw_only=True)
class StandingReport:
    """The registries that were asked for, in the order of ``factory.toml``."""

    registries: tuple[Standing, ...]

    @property
    def exit_code(self) -> int:
        """0, or that of `RegistryError` where one could not be read."""
        return RegistryError.exit_code if any(one.error for one in self.registries) else 0


def look_at(
    registries: Mapping[str, Registry], names: Collection[str], policy: Policy, opener: Opener
) -> StandingReport:
    """How the registries that are named stand; nothing is changed.

    Args:
        registries: all of the repository, by name; the others are read too, since they may hold children.
        names: those that were named.
        policy: what the repository says of its images.
        opener: gives the driver of a registry.
    """
    with opened(registries.values(), opener) as (drivers, failed):
        holdings = read_holdings(registries.values(), policy.images, drivers, failed)
        verdicts = decide("prune", registries, holdings, policy, registries=registries.values())
        found = tuple(
            _standing(holding, verdicts, drivers.get(holding.registry.name), policy)
            for holding in holdings
            if holding.registry.name in names
        )
    return StandingReport(registries=found)


def _standing(
    holding: Holding, verdicts: tuple[Verdict, ...], driver: Driver | None, policy: Policy
) -> Standing:
    registry = holding.registry
    error = holding.error
    findings: tuple[Finding, ...] = ()
    if driver is not None:
        findings, failed = _checked(driver, policy.images if registry.driver == "oci" else ())
        error = error or failed
    known = Standing(
        name=registry.name,
        url=registry.url,
        kind=registry.kind,
        driver=registry.driver,
        findings=findings,
        note=holding.partial,
        error=error,
    )
    if holding.error is not None:
        return known
    own = [verdict for verdict in verdicts if verdict.key[0] == registry.name]
    moments = [image.moment for image in holding.images if image.moment is not None]
    blobs = {digest: size for image in holding.images for digest, size in image.blobs.items()}
    return replace(
        known,
        repositories=len(holding.repositories),
        images=sum(image.made is not None or not image.subjects for image in holding.images),
        bytes=sum(blobs.values()),
        oldest=min(moments, default=None),
        newest=max(moments, default=None),
        prunable=sum(verdict.goes for verdict in own),
        prunable_bytes=freed(holding, own),
    )


def _checked(driver: Driver, images: Collection[str]) -> tuple[tuple[Finding, ...], RegistryError | None]:
    try:
        return driver.check(images), None
    except RegistryError as error:
        return (), error
