"""What ``factory rehash`` tells, as data and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.lock.locking import Failed
from factory.lock.rehash import FileChange, Rehashed
from factory.lock.report import ErrorBody, error_body


@dataclass(frozen=True, kw_only=True)
class RehashReport:
    """Every flavor of the run; ``errors`` by the flavors that were left as they were."""

    flavors: tuple[Rehashed, ...]
    errors: dict[str, ErrorBody]

    @property
    def exit_code(self) -> int:
        """0, or that of the first error."""
        return next((error.exit_code for error in self.errors.values()), 0)


def rehash_report(outcomes: Sequence[Rehashed | Failed]) -> RehashReport:
    """The outcomes of a run as data."""
    return RehashReport(
        flavors=tuple(item for item in outcomes if isinstance(item, Rehashed)),
        errors={item.flavor: error_body(item.error) for item in outcomes if isinstance(item, Failed)},
    )


def describe_rehashed(report: RehashReport) -> tuple[str, ...]:
    """The report in lines: each flavor, and below it each file that has another hash."""
    lines: list[str] = []
    for flavor in report.flavors:
        count = len({change.file_name for change in flavor.changes})
        files = f"{count} file{'' if count == 1 else 's'}"
        state = f"new hashes of {files}" if flavor.written else f"would take new hashes of {files}"
        if not count:
            state = "written anew, with the same hashes" if flavor.written else "every hash is what it was"
        lines.append(f"{flavor.flavor}: {state}, {flavor.packages} packages at the versions that they had")
        lines += [f"  {line}" for change in flavor.changes for line in _lines(change)]
        lines += [f"  {note}" for note in _notes(flavor)]
    lines += [
        f"{name}: not rehashed, nothing was written ({error.kind})" for name, error in report.errors.items()
    ]
    return tuple(lines)


def _lines(change: FileChange) -> Iterator[str]:
    yield f"{change.file_name}"
    yield f"  was sha256:{change.before}" if change.before else "  was not locked"
    yield f"  is  sha256:{change.after}" if change.after else "  is  locked no more"


def _notes(flavor: Rehashed) -> Iterator[str]:
    if flavor.kept:
        changed = {change.package for change in flavor.changes}
        if names := ", ".join(name for name in flavor.kept if name not in changed):
            yield f"kept, since they came from a folder of wheels and not from the index: {names}"
    if flavor.resolved:
        yield "the lock had been edited: a resolution gave the same versions"
    if flavor.stale:
        yield f"the lock is older than pyproject.toml, as it was: `factory lock {flavor.flavor}`"
    if flavor.changes:
        yield (
            "what is in the new files may require other versions: "
            f"`factory lock {flavor.flavor} --check` tells whether the requirements still agree"
        )
