"""Artifacts from the index into the folder, each renamed into place only when its bytes are right."""

import zipfile
from collections.abc import Iterable

from factory.console import Progress
from factory.errors import IndexAccessError, IndexContentError
from factory.http.download import MAX_DOWNLOAD_VARIABLE
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient
from factory.prefetch.identity import wrong_identity
from factory.prefetch.locate import Located
from factory.prefetch.partial import Partial, partial_name
from factory.prefetch.problem import Kind, Problem
from factory.tree import Tree

# After so many downloads that failed for good, the index is taken to be down.
_MOST_ACCESS_FAILURES = 3


def download(
    client: IndexClient, located: Iterable[Located], artifacts: Tree, *, jobs: int, progress: Progress
) -> list[Problem]:
    """Fetch files, the largest first, and return what could not be.

    What was received of a file that failed stays as a partial, unless its bytes were wrong.

    Raises:
        RedirectError: the index sends on to a host that the spec does not name.
        StorageError: the file system refused.
    """
    order = sorted(located, key=lambda one: one.size or 0, reverse=True)
    progress.extend(sum(one.size or 0 for one in order))
    failures: list[Problem] = []

    def fetch(one: Located) -> list[Problem]:
        if len(failures) >= _MOST_ACCESS_FAILURES:
            return [Problem(kind="access", text="the rest was not tried: the index failed too often")]
        try:
            return _fetch(client, one, artifacts, progress)
        except IndexAccessError as error:
            failures.append(Problem(kind="access", text=f"{one.file_name}: {error.reason}"))
            return failures[-1:]

    return [problem for found in in_parallel(fetch, order, jobs=jobs, stop=client.stop) for problem in found]


def _fetch(client: IndexClient, one: Located, artifacts: Tree, progress: Progress) -> list[Problem]:
    name = partial_name(one.file_name, one.wanted.sha256)
    most = one.wanted.size or one.size or client.max_download
    with Partial(
        artifacts, name, size=one.size, max_bytes=most, progress=progress, stop=client.stop
    ) as partial:
        try:
            there = _receive(client, one, partial)
            problem = _judge(client, one, partial) if there else _gone(one)
        except IndexContentError as error:
            kind: Kind = "large" if MAX_DOWNLOAD_VARIABLE in error.reason else "bytes"
            problem = Problem(kind=kind, text=f"{one.file_name}: {error.reason}")
        if problem is None:
            partial.keep_as(one.file_name)
            return []
        partial.drop()
    return [problem]


def _receive(client: IndexClient, one: Located, partial: Partial) -> bool:
    resumed = partial.received > 0
    there = client.fetch(one.url, partial, size=one.size, max_bytes=one.wanted.size)
    if there and resumed and partial.sha256 != one.wanted.sha256:
        # The first part is from an earlier run, and of something else: once more, from nothing.
        partial.restart()
        there = client.fetch(one.url, partial, size=one.size, max_bytes=one.wanted.size)
    return there


def _judge(client: IndexClient, one: Located, partial: Partial) -> Problem | None:
    with partial.reopened() as file:
        if partial.sha256 == one.wanted.sha256:
            return wrong_identity(file, file_name=one.file_name, sha256=partial.sha256, cache=client.cache)
        text = (
            f"{one.file_name}: the index sent sha256:{partial.sha256}, and the lock says "
            f"sha256:{one.wanted.sha256}"
        )
        if one.file_name.endswith(".whl") and not zipfile.is_zipfile(file):
            text += "; what it sent is no whole wheel"
    return Problem(kind="bytes", text=text)


def _gone(one: Located) -> Problem:
    text = f"{one.file_name} is on its project's page, and not at the URL that the page gives"
    return Problem(kind="gone", text=text)
