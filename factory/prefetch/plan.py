"""What is to be done so that a folder holds what a lock names, found out without changing anything."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from factory.flavor.repository import Flavor
from factory.http.parallel import in_parallel
from factory.prefetch.local import find_locally
from factory.prefetch.problem import Problem, prefetch_error
from factory.prefetch.standing import Standing
from factory.prefetch.wanted import Wanted

if TYPE_CHECKING:
    from factory.prefetch.locate import Located


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """How artifacts are fetched: folders that go before the index, requests at a time, read timeout.

    ``public_find_links`` serve flavors without an index URL, ``find_links`` all of them.
    """

    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()
    jobs: int = 8
    timeout_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stands in the folder, what a local folder has, and what the index has of the rest."""

    standing: Standing
    local: Mapping[Wanted, Path]
    located: tuple["Located", ...]

    @property
    def file_names(self) -> dict[Wanted, str]:
        """What each artifact is called in the folder when the plan has been carried out."""
        return (
            {artifact: entry.path for artifact, entry in self.standing.right.items()}
            | {artifact: path.name for artifact, path in self.local.items()}
            | {one.wanted: one.file_name for one in self.located}
        )


def make_plan(
    flavor: Flavor, wanted: tuple[Wanted, ...], standing: Standing, fetching: Fetching, *, folder: Path
) -> Plan:
    """Look in the local folders, then on each artifact's own index, for what the folder has not.

    ``folder`` is the artifact folder, for messages.

    Raises:
        PrefetchError: everything that is wrong, in one message.
        IndexAccessError: the index refused, failed or did not answer.
    """
    problems = [
        Problem(kind="extra", text=f"{folder / name} is {_why_extra(standing, name)}")
        for name in standing.extra
    ]
    missing = [artifact for artifact in wanted if artifact not in standing.right]
    spec = flavor.project.spec
    public = fetching.public_find_links if spec.index_url is None else ()
    local = _find_all_locally(missing, fetching.find_links + public)
    absent = [artifact for artifact in missing if artifact not in local]
    located: list[Located] = []
    if absent:
        # Imported when something is to be fetched: httpx and the page parser take half a second.
        from factory.index.client import RetryPolicy, client_for  # noqa: PLC0415
        from factory.prefetch.locate import locate  # noqa: PLC0415

        policy = RetryPolicy.with_timeout(fetching.timeout_seconds)
        for index, of_index in by_index(absent).items():
            with client_for(spec, index, connections=fetching.jobs, policy=policy) as client:
                found, not_found = locate(client, of_index, jobs=fetching.jobs)
            located += found
            problems += not_found
    plan = Plan(standing=standing, local=local, located=tuple(located))
    problems += _clashes(plan)
    if problems:
        raise prefetch_error(flavor.name, problems)
    return plan


def _why_extra(standing: Standing, name: str) -> str:
    if (kind := standing.not_files.get(name)) is not None:
        return f"{kind}: a prefetched folder holds the files themselves, whatever their names"
    return "not in the lock, and no prefetch of ours put it there"


def by_index(wanted: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    """Artifacts by the name of the index that each comes from."""
    found: dict[str, list[Wanted]] = {}
    for artifact in wanted:
        found.setdefault(artifact.index, []).append(artifact)
    return found


def _find_all_locally(missing: Sequence[Wanted], folders: Sequence[Path]) -> dict[Wanted, Path]:
    if not folders:
        return {}
    found = in_parallel(lambda artifact: find_locally(artifact, folders), missing, jobs=os.cpu_count() or 1)
    return {artifact: path for artifact, path in zip(missing, found, strict=True) if path is not None}


def _clashes(plan: Plan) -> list[Problem]:
    counted = Counter(plan.file_names.values())
    return [
        Problem(kind="lock", text=f"{name} is the name of {count} locked artifacts with different hashes")
        for name, count in counted.items()
        if count > 1
    ]
