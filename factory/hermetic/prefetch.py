"""Prefetch: a flavor's locked artifacts in a folder from which it builds without a network."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from factory.console import Progress, Silent
from factory.files import exclusive, is_temporary, open_regular, storage_error
from factory.flavor.repository import Flavor
from factory.hermetic.bill import bill_of_materials, read_bill
from factory.hermetic.identity import wrong_identity
from factory.hermetic.layout import Layout
from factory.hermetic.local import take
from factory.hermetic.partial import partial_path
from factory.hermetic.plan import Fetching, Plan, by_index, make_plan
from factory.hermetic.problem import Problem, prefetch_error
from factory.hermetic.standing import Standing, look
from factory.hermetic.wanted import Wanted, is_stale, wanted_artifacts
from factory.index.cache import MetadataCache
from factory.index.parallel import in_parallel

THERE = "there"


@dataclass(frozen=True, kw_only=True)
class Prefetched:
    """A complete prefetched folder.

    ``artifacts`` files of ``size`` bytes are there, every one with the lock's digest: ``verified``
    were there before, ``linked`` came from the folders given, ``fetched`` from the index.
    ``replaced`` had a locked name and wrong bytes before; ``removed`` were an earlier lock's.
    ``stale_lock``: the lock was made from something else than ``pyproject.toml`` says now.
    """

    flavor: str
    folder: Path
    artifacts: int
    size: int
    verified: int
    linked: int
    fetched: int
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    stale_lock: bool


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a prefetch would do with one artifact: ``source`` is "there", a local path, or a URL.

    ``size`` is in bytes, None where the index does not tell it.
    """

    artifact: str
    source: str
    size: int | None

    @property
    def place(self) -> str:
        """The source in short: "there", the folder, or the host."""
        if self.source == THERE:
            return self.source
        return urlsplit(self.source).netloc or str(Path(self.source).parent)


def prefetch_flavor(
    flavor: Flavor, output: Path, *, fetching: Fetching | None = None, progress: Progress | None = None
) -> Prefetched:
    """Bring the folder to what the lock says, and return only when it is exactly that.

    What is there is hashed and kept; what is missing comes from the find-links folders, else from
    the one index that the spec gives its package. A second run only verifies.

    Args:
        flavor: a locked flavor.
        output: what a build mounts at ``/cachi2``; made if it is not there.
        fetching: find-links folders, requests at a time, timeout.
        progress: told of bytes.

    Raises:
        LockFileError: the flavor is not locked.
        PrefetchError: everything that is wrong with the lock, the folder or the index, in one message.
        IndexAccessError: the index refused, failed or did not answer.
        StorageError: the file system refused.
        BusyError: another run works on the folder.
    """
    fetching, progress = fetching or Fetching(), progress or Silent()
    wanted = wanted_artifacts(flavor)
    layout = Layout(output.absolute())
    layout.make()
    with exclusive(layout.root), exclusive(layout.output):
        standing = _look(layout, wanted, progress)
        if not standing.is_complete(wanted):
            # Before anything is asked: whatever the index does, a folder that is not complete says so.
            layout.reopen()
            _remove(standing.wrong)
        plan = make_plan(flavor, wanted, standing, fetching)
        _check_there(flavor, layout, standing)
        _clear(layout.artifacts, plan)
        problems = _take_local(layout.artifacts, plan)
        problems += _download(flavor, layout.artifacts, plan, fetching, progress)
        problems += _prove(layout.artifacts, plan.file_names, problems)
        if problems:
            layout.reopen()
            raise prefetch_error(flavor.name, problems)
        spec = flavor.project.spec
        urls = {name: spec.url_of(name) for name in spec.index_names}
        layout.complete(bill_of_materials(plan.file_names.items(), index_urls=urls))
    return _summary(flavor, layout, plan)


def plan_prefetch(
    flavor: Flavor, output: Path, *, fetching: Fetching | None = None, progress: Progress | None = None
) -> tuple[Planned, ...]:
    """What `prefetch_flavor` would do, with nothing changed; raises as it does."""
    layout = Layout(output.absolute())
    wanted = wanted_artifacts(flavor)
    standing = _look(layout, wanted, progress or Silent())
    plan = make_plan(flavor, wanted, standing, fetching or Fetching())
    _check_there(flavor, layout, standing)
    there = [
        Planned(artifact=path.name, source=THERE, size=path.stat().st_size)
        for path in plan.standing.right.values()
    ]
    local = [
        Planned(artifact=path.name, source=str(path), size=path.stat().st_size)
        for path in plan.local.values()
    ]
    remote = [Planned(artifact=one.file_name, source=one.url, size=one.size) for one in plan.located]
    return tuple(sorted((*there, *local, *remote), key=lambda planned: planned.artifact))


def _look(layout: Layout, wanted: tuple[Wanted, ...], progress: Progress) -> Standing:
    return look(layout.artifacts, wanted, earlier=read_bill(layout.bill), progress=progress)


def _check_there(flavor: Flavor, layout: Layout, standing: Standing) -> None:
    """See that the wheels that are there are valid, whoever put them there.

    Raises:
        PrefetchError: one is not; the folder is not complete then.
    """
    cache = MetadataCache(None)

    def check(item: tuple[Wanted, Path]) -> Problem | None:
        wanted, path = item
        return wrong_identity(
            partial(open_regular, path), file_name=path.name, sha256=wanted.sha256, cache=cache
        )

    found = in_parallel(check, standing.right.items(), jobs=os.cpu_count() or 1)
    cache.trim()
    if problems := [problem for problem in found if problem is not None]:
        layout.reopen()
        raise prefetch_error(flavor.name, problems)


def _clear(folder: Path, plan: Plan) -> None:
    """Take away what must not stay: an earlier lock's files, and partials that nothing goes on with."""
    partials = {partial_path(folder, one.file_name, one.wanted.sha256) for one in plan.located}
    leftovers = [path for path in folder.iterdir() if is_temporary(path) and path not in partials]
    _remove((*plan.standing.superseded, *leftovers))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise storage_error(path, error) from error


def _take_local(folder: Path, plan: Plan) -> list[Problem]:
    if not plan.local:
        return []
    problems: list[Problem] = []
    cache = MetadataCache(None)
    for wanted, source in plan.local.items():
        taken = folder / source.name
        if not take(source, taken, sha256=wanted.sha256):
            problems.append(Problem(kind="bytes", text=f"{source} changed while it was taken"))
        elif wrong := wrong_identity(
            partial(open_regular, taken), file_name=source.name, sha256=wanted.sha256, cache=cache
        ):
            problems.append(wrong)
            _remove([taken])
    return problems


def _download(
    flavor: Flavor, folder: Path, plan: Plan, fetching: Fetching, progress: Progress
) -> list[Problem]:
    if not plan.located:
        return []
    from factory.hermetic.download import download  # noqa: PLC0415 - as in `make_plan`
    from factory.index.client import Patience, client_for  # noqa: PLC0415

    patience = Patience.of_timeout(fetching.timeout_seconds)
    spec = flavor.project.spec
    problems: list[Problem] = []
    for index in by_index(one.wanted for one in plan.located):
        of_index = [one for one in plan.located if one.wanted.index == index]
        with client_for(spec, index, connections=fetching.jobs, patience=patience) as client:
            problems += download(client, of_index, folder, jobs=fetching.jobs, progress=progress)
    return problems


def _prove(folder: Path, names: Mapping[Wanted, str], known: list[Problem]) -> list[Problem]:
    """That the folder holds every locked file and nothing else, whatever happened meanwhile."""
    found = {path.name for path in folder.iterdir() if not is_temporary(path)}
    wanted = set(names.values())
    extra = [
        Problem(kind="extra", text=f"{folder / name} came while it was fetched") for name in found - wanted
    ]
    if known:
        return extra
    return extra + [
        Problem(kind="gone", text=f"{folder / name} is not there any more") for name in wanted - found
    ]


def _summary(flavor: Flavor, layout: Layout, plan: Plan) -> Prefetched:
    names = plan.file_names.values()
    return Prefetched(
        flavor=flavor.name,
        folder=layout.root,
        artifacts=len(names),
        size=sum((layout.artifacts / name).stat().st_size for name in names),
        verified=len(plan.standing.right),
        linked=len(plan.local),
        fetched=len(plan.located),
        replaced=tuple(path.name for path in plan.standing.wrong),
        removed=tuple(path.name for path in plan.standing.superseded),
        stale_lock=is_stale(flavor),
    )
