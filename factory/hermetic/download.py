"""Artifacts from the index into the folder, each renamed into place only when its bytes are right."""

import threading
from collections.abc import Iterable
from pathlib import Path

from factory.console import Progress
from factory.errors import IndexAccessError
from factory.files import storage_error
from factory.hermetic.locate import Located
from factory.hermetic.partial import Partial, partial_path
from factory.hermetic.problem import Problem
from factory.index.client import IndexClient
from factory.index.parallel import in_parallel

# After so many downloads that failed for good, the index is taken to be down.
_MOST_ACCESS_FAILURES = 3


def download(
    client: IndexClient, located: Iterable[Located], folder: Path, *, jobs: int, progress: Progress
) -> list[Problem]:
    """Fetch files, the largest first, and return what could not be.

    What was received of a file that failed stays as a partial, unless its bytes were wrong.

    Raises:
        StorageError: the file system refused.
    """
    order = sorted(located, key=lambda one: one.size or 0, reverse=True)
    progress.extend(sum(one.size or 0 for one in order))
    stop = threading.Event()
    failures: list[Problem] = []

    def fetch(one: Located) -> list[Problem]:
        if len(failures) >= _MOST_ACCESS_FAILURES:
            return [Problem(kind="access", text="the rest was not tried: the index failed too often")]
        try:
            return _fetch(client, one, folder, progress, stop)
        except IndexAccessError as error:
            failures.append(Problem(kind="access", text=f"{one.file_name}: {error.reason}"))
            return failures[-1:]

    return [problem for found in in_parallel(fetch, order, jobs=jobs, stop=stop) for problem in found]


def _fetch(
    client: IndexClient, one: Located, folder: Path, progress: Progress, stop: threading.Event
) -> list[Problem]:
    path = partial_path(folder, one.file_name, one.wanted.sha256)
    with Partial(path, size=one.size, progress=progress, stop=stop) as partial:
        resumed = partial.received > 0
        there = client.fetch(one.url, partial)
        if there and resumed and partial.sha256 != one.wanted.sha256:
            # The first part is from an earlier run, and of something else: once more, from nothing.
            partial.restart()
            there = client.fetch(one.url, partial)
        digest = partial.sha256
    try:
        if there and digest == one.wanted.sha256:
            path.replace(folder / one.file_name)
            return []
        path.unlink()
    except OSError as error:
        raise storage_error(folder / one.file_name, error) from error
    if not there:
        text = f"{one.file_name} is on its project's page, and not at the URL that the page gives"
        return [Problem(kind="gone", text=text)]
    text = f"{one.file_name}: the index sent sha256:{digest}, and the lock says sha256:{one.wanted.sha256}"
    return [Problem(kind="bytes", text=text)]
