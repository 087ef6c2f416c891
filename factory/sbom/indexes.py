"""Locked files on the indexes that the spec gives them: what each is called, and its core metadata."""

from factory.errors import IndexContentError, SbomError
from factory.http.download import Spool
from factory.index.client import DISTRUST, IndexClient
from factory.index.pages import IndexFile
from factory.index.wheel import check_wheel
from factory.lock.lockfile import Artifact
from factory.lock.pages import Page
from factory.sbom.wanted import Wanted
from factory.sbom.wheels import Found


def find_on_page(wanted: Wanted, artifact: Artifact, page: Page) -> Found | None:
    """A file of a package on its project's page, by its digest; None where the page has none such.

    Where the page tells no digest, the file that the lock names is fetched whole, and its bytes decide.

    Raises:
        SbomError: the page has the file with another digest.
        IndexAccessError: the index refused, failed or did not answer.
        IndexContentError: the metadata, or the file, is not what it is said to be.
        RedirectError: the index sends on to a host that the spec does not name.
    """
    files = page.of_version(wanted.name, wanted.version)
    if artifact.file_name is not None:
        files = tuple(file for file in files if file.file_name == artifact.file_name)
    same = next((file for file in files if file.sha256 == artifact.sha256), None)
    if same is not None:
        is_wheel = same.file_name.endswith(".whl")
        return Found(file_name=same.file_name, metadata=page.client.core_metadata(same) if is_wheel else None)
    if artifact.file_name is None or not files:
        return None
    if files[0].sha256 is not None:
        raise SbomError(
            f"{artifact.file_name}: the index was pushed again: {page.index} has it now with "
            f"sha256:{files[0].sha256}, and the lock says sha256:{artifact.sha256}",
            solution="If the owners of the index say that they pushed again, run `factory rehash`.",
        )
    return _whole(page.client, files[0], artifact)


def _whole(client: IndexClient, file: IndexFile, artifact: Artifact) -> Found | None:
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
            return Found(file_name=file.file_name, metadata=None)
        return Found(file_name=file.file_name, metadata=check_wheel(spool.file, of=file.file_name).metadata)
