"""What the indexes and folders of a flavor offer, each project looked up once, on its own index only."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient, client_for
from factory.index.metadata import Metadata, parse_metadata
from factory.index.pages import IndexFile
from factory.index.wheel import check_wheel_at
from factory.lock.availability import Offer, has_wheel
from factory.lock.find_links import WheelFolder
from factory.lock.narrow import fits, tag_ranks
from factory.masking import shown

_CONNECTIONS = 8


class Shelf:
    """What can be had. Nothing is asked of an index about a package that the spec gives to another.

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
        """Ask for projects, by normalized names, several at a time.

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
        """The files of a project that was looked up; None where there is no such project."""
        return self._known[name]

    def platforms_without(self, requirement: Requirement) -> tuple[str, ...]:
        """The platforms of the spec that nothing on offer satisfies the requirement for."""
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
        """Whether no index has anything that was looked up, as where the URL is that of no index."""
        return not any(self._files.values())

    def url(self, name: str) -> str:
        """The index that a package comes from, as messages show it."""
        url = self._spec.url_of(self._spec.index_of(name))
        return "the public index" if url is None else shown(url)

    def tell_python(self, requirement: Requirement, python: str) -> None:
        """What uv read in the metadata, where the project's page does not tell it."""
        name = canonicalize_name(requirement.name)
        if offers := self._known.get(name):
            self._known[name] = tuple(
                replace(offer, requires_python=python)
                if offer.requires_python is None and offer.satisfies(requirement.specifier)
                else offer
                for offer in offers
            )

    def metadata(self, name: str, version: str) -> Metadata | None:
        """What a version says of itself; None where it has no wheel here.

        Raises:
            IndexAccessError: the index did not answer, or refused.
            IndexContentError: it cannot be read, or is not what it is said to be.
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
def open_shelf(spec: Spec, folders: tuple[WheelFolder, ...]) -> Iterator[Shelf]:
    """The shelf of a flavor; nothing is connected before the first look."""
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client_for(spec, name, connections=_CONNECTIONS))
            for name in spec.index_names
        }
        yield Shelf(spec, folders, clients)


def metadata_of(client: IndexClient, files: Iterable[IndexFile], version: str, spec: Spec) -> Metadata | None:
    """The metadata of a version, of a wheel that fits the flavor where one does; None without a wheel.

    Raises:
        IndexAccessError: the index did not answer, or refused.
        IndexContentError: it cannot be read, or is not what it is said to be.
    """
    ranks = [tag_ranks(python=spec.python, platform=item, glibc=spec.glibc) for item in spec.platforms]
    wheels = [
        file for file in files if file.file_name.endswith(".whl") and _is_version(file.file_name, version)
    ]
    wheels.sort(key=lambda file: not any(fits(file.file_name, rank) for rank in ranks))
    return client.metadata(wheels[0]) if wheels else None


def versions_with_wheels(offers: Iterable[Offer]) -> tuple[Version, ...]:
    """The versions that have a wheel of any kind, without those that are yanked."""
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
