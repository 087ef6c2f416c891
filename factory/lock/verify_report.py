"""What ``factory lock --verify`` tells, as data and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.errors import LockFileError
from factory.lock.locking import Failed
from factory.lock.report import ErrorBody, error_body
from factory.lock.verify import Finding, Verified

_FINDINGS = 1


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """Every flavor of the run; ``errors`` by the flavors that could not be verified.

    ``not_locked`` are those of the latter that have no lock at all.
    """

    flavors: tuple[Verified, ...]
    errors: dict[str, ErrorBody]
    not_locked: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of the first error; 1 where something is not as it was locked; else 0."""
        if self.errors:
            return next(iter(self.errors.values())).exit_code
        wrong = any(not finding.warning for flavor in self.flavors for finding in flavor.findings)
        return _FINDINGS if wrong else 0


def verify_report(outcomes: Sequence[Verified | Failed]) -> VerifyReport:
    """The outcomes of a run as data."""
    return VerifyReport(
        flavors=tuple(item for item in outcomes if isinstance(item, Verified)),
        errors={item.flavor: error_body(item.error) for item in outcomes if isinstance(item, Failed)},
        not_locked=tuple(
            item.flavor
            for item in outcomes
            if isinstance(item, Failed) and isinstance(item.error, LockFileError) and item.error.not_locked
        ),
    )


def describe_verified(report: VerifyReport) -> tuple[str, ...]:
    """The report in lines: each flavor, and below it each file that is not as it was locked."""
    lines: list[str] = []
    for flavor in report.flavors:
        wrong = sum(not finding.warning for finding in flavor.findings)
        state = f"{wrong} finding{'' if wrong == 1 else 's'}" if wrong else "as it was locked"
        lines.append(f"{flavor.flavor}: {state}, {flavor.verified} of {flavor.artifacts} artifacts verified")
        lines += [f"  {line}" for finding in flavor.findings for line in _lines(finding)]
        if flavor.unverified:
            lines.append(
                f"  not verified, since they came from a folder of wheels and not from the index: "
                f"{', '.join(flavor.unverified)} (give the folder with --find-links)"
            )
        lines += [f"  what to do: {advice}" for advice in _advice(flavor)]
    lines += [f"{name}: not verified ({error.kind})" for name, error in report.errors.items()]
    return tuple(lines)


def headline(finding: Finding) -> str:
    """A finding in one line."""
    return next(_lines(finding))


def _lines(finding: Finding) -> Iterator[str]:
    package = f"{finding.package} {finding.version}"
    name = finding.file_name or package
    instead = " or ".join(f"sha256:{digest}" for digest in finding.found)
    text = {
        "re-pushed": f"re-pushed: {name} has other bytes on {finding.index}",
        "unknown hash": f"no file of {package} on {finding.index} has sha256:{finding.locked}: "
        "it was added to the lock, or a file was pushed again",
        "file gone": f"gone: {name} is not on {finding.index} any more, which has other files of {package}",
        "version gone": f"gone: {finding.index} has {finding.package}, and not {finding.version} any more",
        "project gone": f"gone: {finding.index} has no project {finding.package} any more",
        "no digest": f"cannot be verified: {finding.index} tells no digest of {name}",
        "no hash": f"cannot be verified: {finding.lock_file} has no hash for {package}",
        "not pinned": f"cannot be verified: {finding.lock_file} has {finding.package!r}, which pins nothing",
        "other index": f"{finding.lock_file} names {' and '.join(finding.found) or 'no index'}, "
        f"and the spec {finding.index}",
        "wrong file": f"{package} is in {finding.lock_file}, and the spec gives it to {finding.index}: "
        f"it belongs into {' '.join(finding.found)}",
        "edited": " ".join(finding.found),
        "yanked": f"warning: yanked: {name} is marked on {finding.index} as not to be used any more",
    }
    yield text[finding.kind]
    if finding.kind == "re-pushed":
        yield f"  locked sha256:{finding.locked}"
        yield f"  now    {instead}"


def _advice(flavor: Verified) -> Iterator[str]:
    kinds = {finding.kind for finding in flavor.findings}
    if "re-pushed" in kinds:
        yield (
            f"ask the owners of the index whether they pushed again; if so, `factory rehash {flavor.flavor}` "
            "takes the new hashes and keeps every version"
        )
    if kinds & {"file gone", "version gone", "project gone"}:
        yield (
            f"`factory index-gaps {flavor.flavor}` says what the index lacks; `factory lock {flavor.flavor}` "
            "takes what it has"
        )
    if kinds & {"unknown hash", "no hash", "not pinned", "other index", "wrong file", "edited"}:
        yield f"lock again: `factory lock {flavor.flavor}`"
    if "no digest" in kinds:
        yield "ask the owners of the index to publish hashes (PEP 503)"
