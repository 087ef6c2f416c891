"""The pins of a lock with the wheels and the hashes that their indexes have now, version for version."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factory.flavor.spec import Spec
from factory.index.client import IndexClient
from factory.index.pages import IndexFile
from factory.lock.availability import Offer
from factory.lock.lockfile import Artifact, Pin
from factory.lock.narrow import best_wheel, platforms_of, tag_ranks
from factory.lock.pages import Page


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A pinned version that an index cannot give as it was locked: for which platforms, and why."""

    package: str
    version: str
    platforms: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file that was not locked before, and what reads its index."""

    client: IndexClient
    file: IndexFile

    def prove(self) -> None:
        """See that it is a valid wheel of the package and version that its name says.

        Raises:
            IndexContentError: it is not, or its metadata cannot be read.
            IndexAccessError: the index refused, failed or did not answer.
        """
        self.client.check_identity(self.file)
        self.client.metadata(self.file)


@dataclass(frozen=True, kw_only=True)
class FreshPin:
    """A pin as it would be locked now, and the files of it that were not locked before."""

    pin: Pin
    new: tuple[NewFile, ...] = ()


def fresh_pin(spec: Spec, pin: Pin, page: Page) -> FreshPin | Lacking:
    """The wheel that fits each platform best, of the version that is pinned.

    A file that is yanked is taken where the version has no other (PEP 592), as for any exact pin.
    """
    version = pin.version or ""
    files = page.of_version(pin.name, version)
    if not files:
        what = f"no project {pin.name}" if page.files is None else f"no file of {pin.name} {version}"
        return _lacking(pin, spec.platforms, f"{page.index} has {what} any more")
    usable = [file for file in files if not file.yanked] or list(files)
    by_name = {
        file.file_name: file
        for file in usable
        if Offer(file_name=file.file_name, requires_python=file.requires_python).runs_on(spec.python)
    }
    chosen: dict[str, IndexFile] = {}
    without = []
    for platform in spec.platforms:
        ranks = tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
        name = best_wheel(by_name, ranks)
        if name is None:
            without.append(platform)
        else:
            chosen[name] = by_name[name]
    if without:
        return _lacking(pin, tuple(without), f"{page.index} has {_wheels_in_words(files)}")
    silent = sorted(name for name, file in chosen.items() if file.sha256 is None)
    if silent:
        return _lacking(pin, spec.platforms, f"{page.index} tells no digest of {', '.join(silent)}")
    return _fresh(pin, chosen, page)


def _fresh(pin: Pin, chosen: dict[str, IndexFile], page: Page) -> FreshPin:
    known = {artifact.sha256 for artifact in pin.artifacts}
    artifacts = tuple(
        Artifact(sha256=file.sha256 or "", file_name=name, size=file.size, uploaded=file.uploaded)
        for name, file in chosen.items()
    )
    return FreshPin(
        pin=replace(pin, artifacts=artifacts),
        new=tuple(
            NewFile(client=page.client, file=file) for file in chosen.values() if file.sha256 not in known
        ),
    )


def _lacking(pin: Pin, platforms: tuple[str, ...], reason: str) -> Lacking:
    return Lacking(package=pin.name, version=pin.version or "", platforms=platforms, reason=reason)


def _wheels_in_words(files: Sequence[IndexFile]) -> str:
    wheels = [file.file_name for file in files if file.file_name.endswith(".whl")]
    if not wheels:
        return "only an sdist of it"
    platforms = platforms_of(wheels)
    return f"wheels of it for {', '.join(platforms) or 'other platforms'} ({', '.join(sorted(wheels)[:3])})"
