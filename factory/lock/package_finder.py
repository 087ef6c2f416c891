"""What a flavor's indexes and folders offer; each project is looked up once, on its own index."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient, client_for
from factory.index.metadata import Metadata, parse_metadata
from factory.index.pages import IndexFile
from factory.index.wheel import check_wheel_at
from factory.lock.find_links import WheelFolder
from factory.lock.narrow import fits, platforms_of, tag_ranks
from factory.masking import shown

_VERSIONS_SHOWN = 3
NO_PROJECT = "no-project"
NO_USABLE_VERSION = "no-usable-version"
NO_VERSION = "no-version"
SDIST_ONLY = "sdist-only"
NO_WHEEL_FOR_PYTHON = "no-wheel-for-python"
NO_WHEEL_FOR_PLATFORM = "no-wheel-for-platform"
KINDS = {
    NO_PROJECT: "no such project",
    NO_USABLE_VERSION: "no version that can be used",
    NO_VERSION: "no version that satisfies",
    SDIST_ONLY: "sdist only",
    NO_WHEEL_FOR_PYTHON: "no wheel for the Python",
    NO_WHEEL_FOR_PLATFORM: "no wheel for the platform",
}
"""The kinds of gap of an index, and their descriptions."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A file on a project's page, or in a folder. ``requires_python`` is the page's text."""

    file_name: str
    yanked: bool = False
    requires_python: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Return whether it is a wheel, by its name."""
        return self.file_name.endswith(".whl")

    @property
    def version(self) -> Version | None:
        """Return the version in its name; None if that is not a distribution's name."""
        try:
            if self.is_wheel:
                return parse_wheel_filename(self.file_name)[1]
            return parse_sdist_filename(self.file_name)[1]
        except ValueError:
            return None

    def satisfies(self, specifier: SpecifierSet) -> bool:
        """Return whether its version is in a range; pre-releases count as any other."""
        version = self.version
        return version is not None and specifier.contains(version, prereleases=True)

    def runs_on(self, python: str) -> bool:
        """Return whether a Python minor version meets Requires-Python; invalid values allow any."""
        try:
            return SpecifierSet(self.requires_python or "").contains(f"{python}.0")
        except ValueError:
            return True


def has_wheel(
    offers: Sequence[Offer], specifier: SpecifierSet, *, python: str, ranks: Mapping[Tag, int]
) -> bool:
    """Return whether an offered wheel satisfies a requirement and the platform can install it.

    Pre-releases count if the specifier names one, or if nothing else exists (PEP 440);
    yanked files if the specifier is an exact pin (PEP 592).
    """
    return any(
        offer.is_wheel and fits(offer.file_name, ranks) and offer.runs_on(python)
        for offer in _matching(offers, specifier)
    )


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Why no offer satisfies: a kind of `KINDS`, what exists instead, what would satisfy."""

    kind: str
    found: str
    would_do: str


def lack_of(
    offers: Sequence[Offer] | None,
    specifier: SpecifierSet,
    *,
    python: str,
    glibc: str,
    platforms: Sequence[str],
) -> Lack:
    """Return what exists in place of a wheel that satisfies; None if the project does not exist.

    Args:
        offers: the project's files, none of which satisfies.
        specifier: the versions that would.
        python: the minor version that a wheel is needed for.
        glibc: the version of the C library that it is needed for.
        platforms: those that it is needed for.
    """
    found = describe_lack(offers, specifier, python=python)
    wanted = f"a version {in_order(specifier)}" if specifier else "any version"
    if offers is None:
        return Lack(kind=NO_PROJECT, found=found, would_do=wanted)
    matching = _matching(offers, specifier)
    wheels = [offer for offer in matching if offer.is_wheel]
    if not matching:
        usable = any(
            has_wheel(
                offers,
                SpecifierSet(),
                python=python,
                ranks=tag_ranks(python=python, platform=platform, glibc=glibc),
            )
            for platform in platforms
        )
        return Lack(kind=NO_VERSION if usable else NO_USABLE_VERSION, found=found, would_do=wanted)
    newest = str(max(version for offer in wheels or matching if (version := offer.version) is not None))
    if not wheels:
        return Lack(kind=SDIST_ONLY, found=found, would_do=f"{newest} built as a wheel, or {wanted}")
    if not any(offer.runs_on(python) for offer in wheels):
        return Lack(
            kind=NO_WHEEL_FOR_PYTHON, found=found, would_do=f"{wanted} with a wheel for Python {python}"
        )
    where = " and ".join(platforms)
    return Lack(
        kind=NO_WHEEL_FOR_PLATFORM,
        found=found,
        would_do=f"{newest} with a wheel for Python {python} on {where}, or {wanted} that has one",
    )


def describe_lack(offers: Sequence[Offer] | None, specifier: SpecifierSet, *, python: str) -> str:
    """Describe what exists in place of a wheel that satisfies; None as for `lack_of`."""
    if not offers:
        return "the index has no such project" if offers is None else "the index has no file of this project"
    matching = _matching(offers, specifier)
    if not matching:
        yanked = [offer for offer in offers if offer.yanked and offer.satisfies(specifier)]
        versions = _versions(yanked or [offer for offer in offers if not offer.yanked] or offers)
        return f"the index has {versions}" + (
            ", yanked" if yanked or all(offer.yanked for offer in offers) else ""
        )
    wheels = [offer for offer in matching if offer.is_wheel]
    if not wheels:
        return f"the index has {_versions(matching)} as sdist only"
    running = [offer for offer in wheels if offer.runs_on(python)]
    if not running:
        return f"the index has {_versions(wheels)}, which requires Python {wheels[-1].requires_python}"
    platforms = platforms_of(offer.file_name for offer in running)
    tags = sorted({offer.file_name.removesuffix(".whl").split("-", 2)[2] for offer in running})
    where = f" for {', '.join(platforms)}" if platforms else ""
    return f"the index has {_versions(running)} with wheels{where} ({', '.join(tags[:_VERSIONS_SHOWN])})"


def nearest_version(versions: Iterable[Version], specifier: SpecifierSet) -> Version | None:
    """Return the newest version that satisfies, or else the one nearest to the range."""
    known = sorted(set(versions))
    fitting = [version for version in known if specifier.contains(version, prereleases=True)]
    if fitting or not known:
        return fitting[-1] if fitting else None
    bounds = [bound for clause in specifier if (bound := _lower_bound(clause)) is not None]
    below = [version for version in known if bounds and version <= max(bounds)]
    return below[-1] if below else known[0]


def _lower_bound(clause: Specifier) -> Version | None:
    if clause.operator not in {">=", ">", "==", "~="}:
        return None
    return Version(clause.version.removesuffix(".*"))


def in_order(specifier: SpecifierSet) -> str:
    """Return a range as people write it: the floor first, redundant bounds removed."""
    floors = [Version(clause.version) for clause in specifier if clause.operator == ">="]
    caps = [Version(clause.version) for clause in specifier if clause.operator == "<"]
    clauses = {
        str(clause)
        for clause in specifier
        if not (clause.operator == ">=" and Version(clause.version) < max(floors))
        and not (clause.operator == "<" and Version(clause.version) > min(caps))
    }
    return ",".join(sorted(clauses, key=lambda clause: (clause.startswith(("<", "!")), clause)))


def _matching(offers: Iterable[Offer], specifier: SpecifierSet) -> list[Offer]:
    versions = {offer: version for offer in offers if (version := offer.version) is not None}
    only_pre = all(version.is_prerelease for version in versions.values())
    exact = any(clause.operator in {"==", "==="} for clause in specifier)
    return [
        offer
        for offer, version in versions.items()
        if specifier.contains(version, prereleases=bool(only_pre or specifier.prereleases))
        and (exact or not offer.yanked)
    ]


def _versions(offers: Iterable[Offer]) -> str:
    versions = sorted({version for offer in offers if (version := offer.version) is not None})
    shown = ", ".join(str(version) for version in versions[-_VERSIONS_SHOWN:])
    return f"… {shown}" if len(versions) > _VERSIONS_SHOWN else shown or "nothing that can be read"


_CONNECTIONS = 8


class PackageFinder:
    """Looks up packages. No index is asked about a package that the spec assigns to another.

    Args:
        spec: the flavor's.
        folders: wheels beside the indexes.
        clients: one for each of the spec's indexes, by its name.
    """

    def __init__(
        self, spec: Spec, folders: tuple[WheelFolder, ...], clients: Mapping[str, IndexClient]
    ) -> None:
        self._spec = spec
        self._folders = folders
        self._clients = clients
        self._files: dict[str, tuple[IndexFile, ...] | None] = {}
        self._known: dict[str, tuple[Offer, ...] | None] = {}

    def look_up(self, names: Iterable[str]) -> None:
        """Look up projects by normalized names, several at a time.

        Raises:
            IndexAccessError: an index did not answer, or refused.
        """
        wanted = sorted(set(names) - self._known.keys())
        pages = in_parallel(self._page, wanted, jobs=_CONNECTIONS)
        for name, files in zip(wanted, pages, strict=True):
            local = tuple(Offer(file_name=path.name) for path in self._local(name))
            self._files[name] = files
            self._known[name] = None if files is None and not local else (*_offers(files or ()), *local)

    def offers(self, name: str) -> tuple[Offer, ...] | None:
        """Return the files of a project that was looked up; None if it does not exist."""
        return self._known[name]

    def platforms_without(self, requirement: Requirement) -> tuple[str, ...]:
        """Return the spec's platforms without an offer that satisfies a requirement."""
        offers = self._known[canonicalize_name(requirement.name)] or ()
        spec = self._spec
        return tuple(
            platform
            for platform in spec.platforms
            if not has_wheel(
                offers,
                requirement.specifier,
                python=spec.python,
                ranks=tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc),
            )
        )

    @property
    def is_empty(self) -> bool:
        """Return whether nothing that was looked up exists, as for a wrong index URL."""
        return not any(self._files.values())

    def url(self, name: str) -> str:
        """Return the index of a package, as messages show it."""
        url = self._spec.url_of(self._spec.index_of(name))
        return "the public index" if url is None else shown(url)

    def tell_python(self, requirement: Requirement, python: str) -> None:
        """Record the Python range that uv read in the metadata, if the page has none."""
        name = canonicalize_name(requirement.name)
        if offers := self._known.get(name):
            self._known[name] = tuple(
                replace(offer, requires_python=python)
                if offer.requires_python is None and offer.satisfies(requirement.specifier)
                else offer
                for offer in offers
            )

    def metadata(self, name: str, version: str) -> Metadata | None:
        """Return the metadata of a version; None if it has no wheel here.

        Raises:
            IndexAccessError: the index did not answer, or refused.
            IndexContentError: it cannot be read, or is another package's.
        """
        self.look_up([name])
        path = next((path for path in self._local(name) if _is_version(path.name, version)), None)
        if path is not None:
            return parse_metadata(check_wheel_at(path).metadata, of=path.name)
        client = self._clients[self._spec.index_of(name)]
        return metadata_of(client, self._files[name] or (), version, self._spec)

    def _page(self, name: str) -> tuple[IndexFile, ...] | None:
        return self._clients[self._spec.index_of(name)].project(name)

    def _local(self, name: str) -> list[Path]:
        paths = (path for folder in self._folders for path in sorted(folder.shown.glob("*.whl")))
        return [path for path in paths if canonicalize_name(path.name.partition("-")[0]) == name]


@contextmanager
def open_package_finder(spec: Spec, folders: tuple[WheelFolder, ...]) -> Iterator[PackageFinder]:
    """Open a flavor's package finder; it connects on the first look-up."""
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client_for(spec, name, connections=_CONNECTIONS))
            for name in spec.index_names
        }
        yield PackageFinder(spec, folders, clients)


def metadata_of(client: IndexClient, files: Iterable[IndexFile], version: str, spec: Spec) -> Metadata | None:
    """Return the metadata of a version, preferably of a fitting wheel; None without a wheel.

    Raises:
        IndexAccessError: the index did not answer, or refused.
        IndexContentError: it cannot be read, or is another package's.
    """
    ranks = [tag_ranks(python=spec.python, platform=item, glibc=spec.glibc) for item in spec.platforms]
    wheels = [
        file for file in files if file.file_name.endswith(".whl") and _is_version(file.file_name, version)
    ]
    wheels.sort(key=lambda file: not any(fits(file.file_name, rank) for rank in ranks))
    return client.metadata(wheels[0]) if wheels else None


def versions_with_wheels(offers: Iterable[Offer]) -> tuple[Version, ...]:
    """Return the versions that have a wheel of any kind and are not yanked."""
    return tuple(
        version
        for offer in offers
        if offer.is_wheel and not offer.yanked and (version := offer.version) is not None
    )


def _offers(files: Iterable[IndexFile]) -> Iterator[Offer]:
    for file in files:
        yield Offer(file_name=file.file_name, yanked=file.yanked, requires_python=file.requires_python)


def _is_version(file_name: str, version: str) -> bool:
    found = Offer(file_name=file_name).version
    return found is not None and found == Version(version)
