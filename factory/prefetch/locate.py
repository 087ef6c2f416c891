"""Where on the index each wanted artifact is."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from factory.errors import IndexAccessError
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient
from factory.index.pages import IndexFile
from factory.prefetch.problem import Problem
from factory.prefetch.wanted import Wanted


@dataclass(frozen=True, kw_only=True)
class Located:
    """A wanted artifact, its file name and URL, and its size in bytes where the index tells it."""

    wanted: Wanted
    file_name: str
    url: str
    size: int | None


def locate(
    client: IndexClient, wanted: Iterable[Wanted], *, jobs: int
) -> tuple[list[Located], list[Problem]]:
    """Find artifacts on the pages of their projects, and say of each that is not there why.

    The first page that the index refuses or fails to give ends the asking: the others would wait
    as long for the same answer.
    """
    projects: dict[str, list[Wanted]] = {}
    for artifact in wanted:
        projects.setdefault(artifact.name, []).append(artifact)
    refused: list[Problem] = []

    def ask(name: str) -> tuple[list[Located], list[Problem]]:
        if refused:
            return [], []
        try:
            files = client.project(
                name, keep=lambda file: any(artifact.may_be_called(file) for artifact in projects[name])
            )
        except IndexAccessError as error:
            refused.append(Problem(kind="access", text=error.reason))
            return [], []
        return _match(projects[name], files, client.url)

    located: list[Located] = []
    problems: list[Problem] = []
    for found, wrong in in_parallel(ask, projects, jobs=jobs, stop=client.stop):
        located += found
        problems += wrong
    # Pages that were asked for at the same time fail for the same reason: one of them is enough.
    return located, problems + refused[:1]


def _match(
    wanted: list[Wanted], files: tuple[IndexFile, ...] | None, index_url: str
) -> tuple[list[Located], list[Problem]]:
    located: list[Located] = []
    problems: list[Problem] = []
    digests = {artifact.sha256 for artifact in wanted}
    for artifact in wanted:
        if files is None:
            text = f"{artifact.label}: {index_url} has no project {artifact.name}"
            problems.append(Problem(kind="gone", text=text))
            continue
        named = [file for file in files if artifact.may_be_called(file.file_name)]
        chosen = [file for file in named if file.sha256 == artifact.sha256] or [
            # Without a digest on the page, the file that the lock names; its bytes decide.
            file
            for file in named
            if file.sha256 is None and artifact.file_name is not None
        ]
        if chosen:
            file = chosen[0]
            located.append(Located(wanted=artifact, file_name=file.file_name, url=file.url, size=file.size))
        else:
            problems.append(_absent(artifact, named, digests, index_url))
    return located, problems


def _absent(artifact: Wanted, named: list[IndexFile], digests: Collection[str], index_url: str) -> Problem:
    """Say why no file of that name or version is the locked artifact; ``digests`` are those of the lock."""
    with_digest = [file for file in named if file.sha256 is not None]
    if with_digest and all(file.sha256 in digests for file in with_digest):
        text = (
            f"{artifact.label}: the lock has sha256:{artifact.sha256}, which no file on {index_url} has, and "
            "the hash of each that is there beside it: it was added to the lock"
        )
        return Problem(kind="lock", text=text)
    repushed = [file for file in named if file.sha256 is not None]
    if repushed and (artifact.file_name is not None or len(repushed) == 1):
        text = (
            f"{repushed[0].file_name}: the index was pushed again: {index_url} has it now with "
            f"sha256:{repushed[0].sha256}, and the lock says sha256:{artifact.sha256}"
        )
        return Problem(kind="re-pushed", text=text)
    if repushed:
        text = (
            f"{artifact.label}: none of its {len(repushed)} files on {index_url} has "
            f"sha256:{artifact.sha256}: it was added to the lock, or a file was pushed again"
        )
        return Problem(kind="unknown", text=text)
    if named:
        text = f"{artifact.label}: {index_url} tells no digests, and the lock no file name"
        return Problem(kind="gone", text=text)
    return Problem(kind="gone", text=f"{artifact.label} is not on {index_url}")
