"""Asking a service in the network about pinned versions, with pip-audit and OSV."""

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.documents import read_json
from factory.errors import AdvisoryError, DocumentError
from factory.files import scratch_folder
from factory.process import Finished, run
from factory.upkeep.documents import objects, one_line, optional_text, text, texts, typed
from factory.upkeep.osv import Vulnerability, by_name, public_version

_TIMEOUT_SECONDS = 600.0
_MODULE = "pip_audit"
_OFFLINE = "give a folder of advisories with --advisories, which needs no network"
Pinned = tuple[str, str]


def ask(pins: Iterable[Pinned], *, url: str | None) -> dict[Pinned, tuple[Vulnerability, ...]]:
    """Ask about every pair of normalized name and version: all of them leave this machine.

    Args:
        pins: what is asked about; local versions are asked about by their public part.
        url: the query address of a service that speaks as OSV does; None is OSV's own.

    Raises:
        AdvisoryError: pip-audit is not installed, or could not tell.
        ProgramError: it did not end in time, or was stopped.
    """
    if importlib.util.find_spec(_MODULE) is None:
        raise AdvisoryError(
            "without a folder of advisories the network is asked, with pip-audit, and that is not installed",
            solution=f'Install it with `pip install "universal-image-factory[audit]"`, or {_OFFLINE}.',
        )
    public = {pin: (pin[0], str(public_version(*pin))) for pin in pins}
    told: dict[Pinned, tuple[Vulnerability, ...]] = {}
    for batch in _batches(set(public.values())):
        told |= _ask(batch, url)
    missing = sorted(set(public.values()) - told.keys())
    if missing:
        raise AdvisoryError(
            "pip-audit told nothing about " + ", ".join("==".join(pin) for pin in missing),
            solution=f"Run it again, or {_OFFLINE}.",
        )
    return {pin: told[asked] for pin, asked in public.items()}


def _batches(pins: Iterable[Pinned]) -> list[dict[str, str]]:
    """Pins in as few parts as there are versions of one package: pip-audit takes each name once."""
    batches: list[dict[str, str]] = []
    for name, version in sorted(pins):
        batch = next((batch for batch in batches if name not in batch), None)
        if batch is None:
            batch = {}
            batches.append(batch)
        batch[name] = version
    return batches


def _ask(batch: Mapping[str, str], url: str | None) -> dict[Pinned, tuple[Vulnerability, ...]]:
    with scratch_folder() as folder:
        asked, answer = folder / "requirements.txt", folder / "answer.json"
        asked.write_text("".join(f"{package}=={version}\n" for package, version in batch.items()))
        finished = run(
            (
                *(sys.executable, "-m", _MODULE, "--requirement", asked, "--no-deps", "--disable-pip"),
                *("--vulnerability-service", "osv", *(() if url is None else ("--osv-url", url))),
                *("--format", "json", "--output", answer, "--progress-spinner", "off"),
            ),
            cwd=folder,
            environment=os.environ,
            # 1 is both "there are vulnerabilities" and "it did not work"; only the first writes an answer.
            accept_failure=True,
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            return _read(read_json(answer, dict[str, Any]))
        except (OSError, DocumentError, ValueError) as error:
            raise AdvisoryError(
                f"pip-audit could not tell: {_last_line(finished)}",
                solution=f"Look whether {url or 'OSV'} can be reached from here, or {_OFFLINE}.",
            ) from error


def _read(answer: object) -> dict[Pinned, tuple[Vulnerability, ...]]:
    return {
        (canonicalize_name(text(entry, "name")), text(entry, "version")): _vulnerabilities(entry)
        for entry in objects(typed(answer, dict, "the answer"), "dependencies")
        if "skip_reason" not in entry
    }


def _vulnerabilities(entry: Mapping[str, object]) -> tuple[Vulnerability, ...]:
    """What a version has; above the last fix of one, what another is fixed in is rid of both."""
    version, found = Version(text(entry, "version")), objects(entry, "vulns")
    fixes = [{fix for fix in _fixes(one) if fix > version} for one in found]
    every = set[Version]().union(*fixes)
    return tuple(
        _vulnerability(one, own, {fix for fix in every if own and (fix in own or fix > max(own))})
        for one, own in zip(found, fixes, strict=True)
    )


def _fixes(found: Mapping[str, object]) -> Iterator[Version]:
    for fix in texts(found, "fix_versions"):
        # A local version is told by its public part, as the pins are asked about.
        yield Version(Version(fix).public)


def _vulnerability(
    found: Mapping[str, object], fixed: Iterable[Version], cures: Iterable[Version]
) -> Vulnerability:
    return Vulnerability(
        ids=by_name((text(found, "id"), *texts(found, "aliases"))),
        summary=one_line(optional_text(found, "description") or ""),
        rating=None,
        severity=None,
        fixed=tuple(str(fix) for fix in sorted(fixed)),
        cures=tuple(str(fix) for fix in sorted(cures)),
    )


def _last_line(finished: Finished) -> str:
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with status {finished.status} and wrote nothing"
