"""Find locked files on the indexes of the spec: what each is called, and its core metadata."""

from collections.abc import Sequence

from factory.console import Progress
from factory.errors import IndexContentError, SbomError
from factory.flavor.spec import Spec
from factory.http.download import Spool
from factory.http.parallel import in_parallel
from factory.index.client import DISTRUST, IndexClient
from factory.index.pages import IndexFile
from factory.index.wheel import check_wheel
from factory.lock.lockfile import Artifact
from factory.lock.verify import CONNECTIONS, Page, PinnedPages, open_clients
from factory.sbom.collect import FoundFile
from factory.sbom.model import LockedPackage


def find_on_indexes(
    spec: Spec, asked: Sequence[tuple[LockedPackage, Artifact]], progress: Progress
) -> dict[Artifact, FoundFile]:
    """Return the files that the indexes have; raises as `_find_on_page`."""
    with open_clients() as clients:
        pages = PinnedPages(clients)
        pages.read((spec, item.index, item.name, item.version) for item, _ in asked)

        def ask(pair: tuple[LockedPackage, Artifact]) -> FoundFile | None:
            found = _find_on_page(*pair, pages.of(spec, pair[0].index, pair[0].name))
            progress.advance(message=pair[0].name)
            return found

        answers = in_parallel(ask, asked, jobs=CONNECTIONS)
    return {pair[1]: found for pair, found in zip(asked, answers, strict=True) if found is not None}


def _find_on_page(wanted: LockedPackage, artifact: Artifact, page: Page) -> FoundFile | None:
    """Return a package's file on its project's page, by digest; None if it is not there.

    If the page has no digest, the file that the lock names is fetched whole, and its bytes decide.

    Raises:
        SbomError: the page has the file with another digest.
        IndexAccessError: the index refused, failed or did not answer.
        IndexContentError: the metadata, or the file, is not what it is said to be.
        RedirectError: the index redirects to a host that the spec does not name.
    """
    files = page.of_version(wanted.name, wanted.version)
    if artifact.file_name is not None:
        files = tuple(file for file in files if file.file_name == artifact.file_name)
    same = next((file for file in files if file.sha256 == artifact.sha256), None)
    if same is not None:
        is_wheel = same.file_name.endswith(".whl")
        return FoundFile(
            file_name=same.file_name, metadata=page.client.core_metadata(same) if is_wheel else None
        )
    if artifact.file_name is None or not files:
        return None
    if files[0].sha256 is not None:
        raise SbomError(
            f"{artifact.file_name}: the index was pushed again: {page.index} has it now with "
            f"sha256:{files[0].sha256}, and the lock says sha256:{artifact.sha256}",
            solution="If the owners of the index say that they pushed again, run `factory rehash`.",
        )
    return _whole(page.client, files[0], artifact)


def _whole(client: IndexClient, file: IndexFile, artifact: Artifact) -> FoundFile | None:
    with Spool() as spool:
        if not client.fetch(file.url, spool, size=file.size, max_bytes=artifact.size):
            return None
        if spool.sha256 != artifact.sha256:
            raise IndexContentError(
                f"{file.file_name}: the index sent sha256:{spool.sha256}, and the lock says "
                f"sha256:{artifact.sha256}",
                solution=DISTRUST,
            )
        if not file.file_name.endswith(".whl"):
            return FoundFile(file_name=file.file_name, metadata=None)
        return FoundFile(
            file_name=file.file_name, metadata=check_wheel(spool.file, of=file.file_name).metadata
        )
