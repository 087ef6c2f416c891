"""What can be wrong with a prefetch, and one error for everything that is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from factory.errors import FactoryError, IndexAccessError, PrefetchError

Kind = Literal["lock", "extra", "gone", "re-pushed", "unknown", "large", "bytes", "package", "access"]
_SOLUTIONS: dict[Kind, str] = {
    "lock": "Lock again: `factory lock {flavor}`.",
    "extra": "Move away what the lock does not name, or give an empty folder; nothing unknown is deleted.",
    "gone": "Name a folder that has the file with --find-links, or lock again: `factory lock {flavor}`.",
    "re-pushed": "If the owners of the index say that they pushed again, take the new hashes: "
    "`factory rehash {flavor}`.",
    "unknown": "Lock again: `factory lock {flavor}`; if the owners of the index say that they pushed again, "
    "`factory rehash {flavor}` keeps every version.",
    "large": "If such a file may be as large, set FACTORY_MAX_DOWNLOAD, as in 40G, and run the same command "
    "again.",
    "bytes": "Do not use that index until its owners have said why; nothing of it was kept.",
    "package": "Do not build with that package, and do not trust the lock that names it, until the "
    "owners of the index have said what it is; then lock again: `factory lock {flavor}`.",
    "access": "Look at the network, the index and ~/.netrc; run the same command to go on from here.",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: of which kind, and in words."""

    kind: Kind
    text: str


def prefetch_error(flavor: str, problems: Iterable[Problem]) -> FactoryError:
    """All problems of a run as one error, each once and in a stable order.

    It is an IndexAccessError where the index could not be read and nothing else was wrong.
    """
    distinct = sorted(set(problems), key=lambda problem: (list(_SOLUTIONS).index(problem.kind), problem.text))
    kinds = dict.fromkeys(problem.kind for problem in distinct)
    lines = "".join(f"\n  - {problem.text}" for problem in distinct)
    family = IndexAccessError if set(kinds) == {"access"} else PrefetchError
    return family(
        f"{flavor} could not be prefetched:{lines}",
        solution=" ".join(_SOLUTIONS[kind].format(flavor=flavor) for kind in kinds),
    )
