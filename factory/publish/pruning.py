"""Prune the disposable registries that ask for it (``prune-after-push``) once images were pushed to them."""

from collections.abc import Iterable
from dataclasses import dataclass

from factory.console import Progress, human_size, plural
from factory.errors import FactoryError
from factory.flavor.repository import Repository
from factory.images.registries import read_maintenance
from factory.publish.delivery import PushOutcome
from factory.registry.declared import read_registries
from factory.registry.maintenance import Cleanup, clean_up


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What was pruned after a push, or would be.

    registries: Those that were pruned.
    error: Why nothing could be pruned; errors of registries are in the cleanup.
    """

    registries: tuple[str, ...]
    cleanup: Cleanup | None = None
    error: FactoryError | None = None

    @property
    def failures(self) -> Iterable[FactoryError]:
        """The errors, its own or those of registries."""
        return filter(None, (self.error, *(self.cleanup.errors if self.cleanup else ())))

    @property
    def lines(self) -> Iterable[str]:
        """Yield what was deleted, or would be, and a line that counts."""
        if self.cleanup is None:
            return
        going = [deletion for deletion in self.cleanup.fates if deletion.state != "kept"]
        for deletion in going:
            tags = f" ({', '.join(deletion.tags)})" if deletion.tags else ""
            yield f"{deletion.state}: {deletion.reference}{tags}: {deletion.reason}"
        freed = (
            f"{human_size(self.cleanup.freed_bytes)} {'would be' if self.cleanup.dry_run else 'are'} freed"
        )
        yield f"pruned {', '.join(self.registries)}: {plural(len(going), 'manifest')}, {freed}"


def prune_after_push(
    repository: Repository, outcomes: Iterable[PushOutcome], *, dry_run: bool, progress: Progress
) -> Pruning | None:
    """Prune the registries that an image arrived in and that ask for it; None if none does.

    Only a disposable registry can ask (`factory.registry.declared`), and `clean_up` deletes from no other.
    """
    arrived = {outcome.registry for outcome in outcomes if outcome.error is None}
    declared = read_registries(repository.root).values()
    names = tuple(one.name for one in declared if one.name in arrived and one.prune_after_push)
    if not names:
        return None
    progress.begin(f"pruning {', '.join(names)}")
    try:
        maintenance = read_maintenance(repository, names)
        cleanup = clean_up(
            "prune",
            maintenance.registries,
            maintenance.names,
            maintenance.policy,
            maintenance.opener,
            dry_run=dry_run,
            progress=progress,
        )
    except FactoryError as error:
        return Pruning(registries=names, error=error)
    return Pruning(registries=names, cleanup=cleanup)
