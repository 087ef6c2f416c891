"""Prefetch a flavor's locked artifacts into a folder from which it builds without a network."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from factory.console import Progress, Silent
from factory.files import is_temporary
from factory.flavor.repository import Flavor
from factory.http.parallel import in_parallel
from factory.index.cache import MetadataCache
from factory.index.client import RetryPolicy, client_for
from factory.index.wheel import check_wheel
from factory.lock.given import is_stale
from factory.lock.judgement import judge_requirements, refusals, requires_of
from factory.lock.lockset import LockSet
from factory.lock.prefetched import ARTIFACTS, OUTPUT, PrefetchedFolder, make_prefetched, open_prefetched
from factory.masking import shown
from factory.prefetch.artifacts import (
    LockedArtifact,
    PrefetchProblem,
    locked_artifacts,
    prefetch_error,
    wrong_identity,
)
from factory.prefetch.download import download_all, partial_name
from factory.prefetch.layout import Layout, earlier_sbom, foreign_environment, mark_complete, mark_incomplete
from factory.prefetch.plan import (
    Fetching,
    FolderStatus,
    PrefetchPlan,
    by_index,
    is_unchanged,
    leftovers,
    make_plan,
    read_status,
    take,
)
from factory.prefetch.sbom import listed_files, prefetch_sbom
from factory.tree import Entry, Tree

THERE = "there"


@dataclass(frozen=True, kw_only=True)
class Prefetched:
    """A complete prefetched folder.

    It has ``artifacts`` files of ``size`` bytes, each with the lock's digest: ``verified`` existed before,
    ``linked`` came from the given folders, ``fetched`` from the index. ``replaced`` had a locked name and
    wrong bytes before; ``removed`` were an earlier lock's. ``stale_lock``: the lock was made from other
    inputs than ``pyproject.toml`` has now.
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
class PlannedArtifact:
    """What a prefetch would do with one artifact: ``source`` is "there", a local path, or a URL.

    ``size`` is in bytes, None if the index does not have it.
    """

    artifact: str
    source: str
    size: int | None

    @property
    def place(self) -> str:
        """Return the source in short: "there", the folder, or the host."""
        if self.source == THERE:
            return self.source
        return urlsplit(self.source).netloc or str(Path(self.source).parent)


def prefetch_flavor(
    flavor: Flavor, output: Path, *, fetching: Fetching | None = None, progress: Progress | None = None
) -> Prefetched:
    """Bring the folder to the lock's content; return only if it is exactly that.

    Existing files are hashed and kept; missing ones come from the find-links folders, else from
    the one index that the spec assigns to the package. A second run only verifies.

    Args:
        flavor: a locked flavor.
        output: what a build mounts at ``/cachi2``; made if it is missing.
        fetching: find-links folders, requests at a time, timeout.
        progress: counts bytes.

    Raises:
        LockFileError: the flavor is not locked.
        PrefetchError: everything that is wrong with the lock, the folder or the index, in one message.
        IndexAccessError: the index refused, failed or did not answer.
        StorageError: the file system refused.
        BusyError: another run uses the folder.
    """
    fetching, progress = fetching or Fetching(), progress or Silent()
    locks, wanted = locked_artifacts(flavor)
    layout = Layout(output.absolute())
    with (
        make_prefetched(layout.root) as folder,
        folder.whole.exclusive(),
        folder.whole.below(OUTPUT) as inner,
        inner.exclusive(),
    ):
        run = _Run(flavor=flavor, locks=locks, layout=layout, folder=folder, cache=MetadataCache(None))
        plan = run.bring(wanted, fetching, progress)
        return run.summary(plan)


def plan_prefetch(
    flavor: Flavor, output: Path, *, fetching: Fetching | None = None, progress: Progress | None = None
) -> tuple[PlannedArtifact, ...]:
    """Return what `prefetch_flavor` would do, changing nothing; raises as it does."""
    layout = Layout(output.absolute())
    locks, wanted = locked_artifacts(flavor)
    status = FolderStatus(right={})
    if layout.artifacts.is_dir():
        with open_prefetched(layout.root) as folder:
            run = _Run(flavor=flavor, locks=locks, layout=layout, folder=folder, cache=MetadataCache(None))
            status = run.read_status(wanted, progress or Silent())
            if problems := run.wrong_there(status):
                raise prefetch_error(flavor.name, problems)
    plan = make_plan(flavor, wanted, status, fetching or Fetching(), folder=layout.artifacts)
    there = [
        PlannedArtifact(artifact=entry.path, source=THERE, size=entry.status.st_size)
        for entry in plan.status.right.values()
    ]
    local = [
        PlannedArtifact(artifact=path.name, source=str(path), size=path.stat().st_size)
        for path in plan.local.values()
    ]
    remote = [
        PlannedArtifact(artifact=one.file_name, source=shown(one.url), size=one.size) for one in plan.located
    ]
    return tuple(sorted((*there, *local, *remote), key=lambda planned: planned.artifact))


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run on an open prefetched folder."""

    flavor: Flavor
    locks: LockSet
    layout: Layout
    folder: PrefetchedFolder
    cache: MetadataCache

    def bring(
        self, wanted: tuple[LockedArtifact, ...], fetching: Fetching, progress: Progress
    ) -> PrefetchPlan:
        """Bring the folder to the lock's content; raises as `prefetch_flavor`."""
        whole, artifacts = self.folder.whole, self.folder.artifacts
        status = self.read_status(wanted, progress)
        if not status.is_complete(wanted):
            # Before any request: whatever the index does, an incomplete folder must say so.
            mark_incomplete(whole)
            for name in status.wrong:
                artifacts.remove(name)
        plan = make_plan(self.flavor, wanted, status, fetching, folder=self.layout.artifacts)
        problems = self.wrong_there(status)
        if not problems:
            self._clear(plan)
            problems = self._take_local(plan)
            problems += _download(self.flavor, artifacts, plan, fetching, progress)
            problems += self._verify(plan, problems)
        if not problems:
            problems = self._unmet(plan)
        if problems:
            mark_incomplete(whole)
            raise prefetch_error(self.flavor.name, problems)
        spec = self.flavor.project.spec
        urls = {name: spec.url_of(name) for name in spec.index_names}
        mark_complete(whole, prefetch_sbom(plan.file_names.items(), index_urls=urls))
        self.cache.trim()
        return plan

    def read_status(self, wanted: tuple[LockedArtifact, ...], progress: Progress) -> FolderStatus:
        """Hash the folder's files."""
        earlier = listed_files(earlier_sbom(self.folder.whole))
        return read_status(self.folder.artifacts, wanted, earlier=earlier, progress=progress)

    def wrong_there(self, status: FolderStatus) -> list[PrefetchProblem]:
        """Return the problems of files that have the right bytes, whatever wrote them."""

        def check(item: tuple[LockedArtifact, Entry]) -> PrefetchProblem | None:
            wanted, entry = item
            with self.folder.artifacts.open(entry.path) as file:
                if not is_unchanged(entry, os.fstat(file.fileno())):
                    return PrefetchProblem(kind="bytes", text=f"{entry.path} changed while it was read")
                return wrong_identity(file, file_name=entry.path, sha256=wanted.sha256, cache=self.cache)

        found = in_parallel(check, status.right.items(), jobs=os.cpu_count() or 1)
        problems = [problem for problem in found if problem is not None]
        if (path := foreign_environment(self.folder.whole)) is not None:
            text = f"{path} is what a build sources, and no prefetch of ours put it there"
            problems.append(PrefetchProblem(kind="extra", text=text))
        return problems

    def summary(self, plan: PrefetchPlan) -> Prefetched:
        """Return what was done."""
        names = set(plan.file_names.values())
        entries = [entry for entry in self.folder.artifacts.entries() if entry.path in names]
        return Prefetched(
            flavor=self.flavor.name,
            folder=self.layout.root,
            artifacts=len(names),
            size=sum(entry.status.st_size for entry in entries),
            verified=len(plan.status.right),
            linked=len(plan.local),
            fetched=len(plan.located),
            replaced=plan.status.wrong,
            removed=plan.status.superseded,
            # Only if the flavor's spec waives it; otherwise it is refused.
            stale_lock=is_stale(self.locks, self.flavor.project),
        )

    def _unmet(self, plan: PrefetchPlan) -> list[PrefetchProblem]:
        """Return requirements of the present wheels that the lock lacks or contradicts."""
        names = {wanted.sha256: name for wanted, name in plan.file_names.items()}
        requires = requires_of(self.flavor.project.spec, names, self._metadata)
        found = judge_requirements(self.flavor.name, self.flavor.project, self.locks, requires)
        return [PrefetchProblem(kind="lock", text=str(item)) for item in refusals(self.flavor.project, found)]

    def _metadata(self, file_name: str, sha256: str) -> bytes | None:
        """Return the METADATA of a wheel in the folder, cached when it was checked."""
        known = self.cache.get_checked(file_name, sha256)
        if known is not None:
            return known

        with self.folder.artifacts.open(file_name) as file:
            return check_wheel(file, of=file_name).metadata

    def _clear(self, plan: PrefetchPlan) -> None:
        """Remove an earlier lock's files, and partials that no download resumes."""
        artifacts = self.folder.artifacts
        partials = {partial_name(one.file_name, one.wanted.sha256) for one in plan.located}
        for name in (*plan.status.superseded, *leftovers(artifacts)):
            if name not in partials:
                artifacts.remove(name)

    def _take_local(self, plan: PrefetchPlan) -> list[PrefetchProblem]:
        taken = [
            take(source, self.folder.artifacts, wanted, cache=self.cache)
            for wanted, source in plan.local.items()
        ]
        return [problem for problem in taken if problem is not None]

    def _verify(self, plan: PrefetchPlan, known: list[PrefetchProblem]) -> list[PrefetchProblem]:
        """Check that the folder has every locked file and nothing else, whatever happened meanwhile."""
        found = {
            entry.path: entry
            for entry in self.folder.artifacts.entries()
            if not is_temporary(Path(entry.path)) or entry.is_folder
        }
        wanted = set(plan.file_names.values())
        place = self.layout.artifacts
        problems = [
            PrefetchProblem(kind="extra", text=f"{place / name} came while it was fetched")
            for name in found.keys() - wanted
        ]
        if known:
            return problems
        problems += [
            PrefetchProblem(kind="gone", text=f"{place / name} is not there any more")
            for name in wanted - found.keys()
        ]
        verified = {entry.path: entry for entry in plan.status.right.values()}
        problems += [
            PrefetchProblem(kind="bytes", text=f"{place / name} changed while the rest was fetched")
            for name, entry in found.items()
            if not entry.is_file or (name in verified and not is_unchanged(verified[name], entry.status))
        ]
        here = self.folder.whole.status(ARTIFACTS)
        with self.folder.artifacts.folder() as opened:
            if here is None or not os.path.samestat(here, os.fstat(opened)):
                problems.append(PrefetchProblem(kind="gone", text=f"{place} is another folder now"))
        return problems


def _download(
    flavor: Flavor, artifacts: Tree, plan: PrefetchPlan, fetching: Fetching, progress: Progress
) -> list[PrefetchProblem]:
    if not plan.located:
        return []

    policy = RetryPolicy.with_timeout(fetching.timeout_seconds)
    spec = flavor.project.spec
    problems: list[PrefetchProblem] = []
    for index in by_index(one.wanted for one in plan.located):
        of_index = [one for one in plan.located if one.wanted.index == index]
        with client_for(spec, index, connections=fetching.jobs, policy=policy) as client:
            problems += download_all(client, of_index, artifacts, jobs=fetching.jobs, progress=progress)
    return problems
