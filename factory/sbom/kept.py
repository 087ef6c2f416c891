"""Which flavors have a bill of materials that a new lock makes stale."""

from collections.abc import Iterable, Sequence

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE
from factory.lock.locking import Failed
from factory.render.drift import SBOM_FILE


def with_bill(flavors: Iterable[Flavor], outcomes: Sequence[object]) -> tuple[Flavor, ...]:
    """The flavors that have one and a lock that it can be of, without those whose lock failed.

    Which lock failed, the outcomes say.
    """
    failed = {outcome.flavor for outcome in outcomes if isinstance(outcome, Failed)}
    return tuple(flavor for flavor in flavors if flavor.name not in failed and _has_bill(flavor))


def _has_bill(flavor: Flavor) -> bool:
    return (flavor.folder / SBOM_FILE).is_file() and (flavor.folder / LOCK_FILE).is_file()
