"""Waivers: findings that are known and borne for a while, each with its reason and its last day."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from factory.flavor.table import Table

_KEYS = ("finding", "package", "reason", "expires")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A finding that a flavor bears, up to and including the day ``expires``.

    ``finding`` is the code of a rule (``FAC206``), ``drift``, or the id of an advisory
    (``CVE-2026-54058``); ``package`` (normalized) narrows it to one package, None means any.
    """

    finding: str
    package: str | None
    reason: str
    expires: dt.date

    def covers(self, finding: str, *, package: str | None) -> bool:
        """Whether it is about this finding, whatever the day."""
        return self.finding.lower() == finding.lower() and self.package in {None, package}

    def has_expired(self, today: dt.date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


def read_waivers(table: Table) -> tuple[Waiver, ...]:
    """Read ``[[tool.factory.waivers]]``.

    Raises:
        SpecError: one lacks its finding, its reason or its date.
    """
    waivers = []
    for entry in table.tables("waivers", keys=_KEYS):
        package = entry.optional_text("package")
        waivers.append(
            Waiver(
                finding=entry.reason("finding"),
                package=None if package is None else canonicalize_name(package),
                reason=entry.reason(),
                expires=entry.date("expires"),
            )
        )
    return tuple(waivers)


def waiver_for(
    waivers: Iterable[Waiver], finding: str, *, package: str | None, today: dt.date
) -> Waiver | None:
    """The waiver that holds for a finding today; None where there is none, or it has expired."""
    return next(
        (
            waiver
            for waiver in waivers
            if waiver.covers(finding, package=package) and not waiver.has_expired(today)
        ),
        None,
    )
