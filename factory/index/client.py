"""A client for package indexes that speak PEP 503 (HTML) or PEP 691 (JSON).

It reads project pages, metadata and files. Answers of one index never count for another, and "not found"
(404, 410) is always distinguished from "not allowed" (401, 403).
"""

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from factory.documents import MAX_BYTES
from factory.errors import IndexAccessError, IndexContentError, RedirectError
from factory.flavor.spec import Spec
from factory.http.client import HttpClient, HttpRequest, HttpResponse, ServerErrors
from factory.http.download import CONTENT_RANGE, Sink, Spool, download, read_max_download
from factory.http.origins import same_origin
from factory.http.retry import RetryPolicy
from factory.index.cache import MetadataCache
from factory.index.configured import public_index_url
from factory.index.credentials import login_variables, read_logins
from factory.index.metadata import MOST_METADATA_BYTES, Metadata, check_identity, parse_metadata
from factory.index.pages import UNREACHABLE, IndexFile, every, parse_page
from factory.index.wheel import check_wheel, read_directory
from factory.masking import shown
from factory.process import Cancellation, current_cancellation

__all__ = ("IndexClient", "IndexFile", "RetryPolicy", "Sink", "client_for")
DISTRUST = "Do not use that index until its owners have said why."
# The public index's largest page has some 40 MB.
_MAX_PAGE_BYTES = MAX_BYTES
# JSON before HTML (PEP 691).
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.01"
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_ABSENT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_ERRORS = ServerErrors(
    access=IndexAccessError,
    content=IndexContentError,
    solution=UNREACHABLE,
)


class IndexClient:
    """Reads one index; a context manager, safe to use from several threads.

    Every method that sends a request raises IndexAccessError if the index refuses, fails, does not answer or
    answers nonsense, RedirectError if it redirects to a host that is not named, and ProgramError if the work
    is stopped.

    Args:
        index_url: The index, or None for the public one as this machine is configured.
        name: The flavor's name of the index ("main", or a further one's), which the variables with its
            credentials have in their names (``UV_INDEX_<NAME>_USERNAME``, ``…_PASSWORD``).
        connections: The most connections at a time.
        policy: Timeouts and retries.
        environment: Where ``UV_*``, ``PIP_*``, ``NETRC`` and ``HOME`` are looked up.
        redirect_hosts: Hosts, beside those it links to, to which a server may redirect.
        stop: Cancels requests; this thread's `current_cancellation` if None.
        cache: The folder of the metadata cache; in the user's cache folder if None.

    Raises:
        IndexAccessError: ``.netrc`` or uv's configuration cannot be read.
        SpecError: ``FACTORY_MAX_DOWNLOAD`` is not a size.
    """

    def __init__(
        self,
        index_url: str | None,
        *,
        name: str | None = None,
        connections: int = 8,
        policy: RetryPolicy | None = None,
        environment: Mapping[str, str] | None = None,
        redirect_hosts: tuple[str, ...] = (),
        stop: Cancellation | None = None,
        cache: Path | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        # A login for "main" in the environment belongs to a private index, never to the public one.
        self._name = name if index_url else None
        bare, self._logins = read_logins(
            index_url or public_index_url(environment), environment, name=self._name
        )
        self.url = bare.rstrip("/") + "/"
        self.stop = stop or current_cancellation()
        self.max_download = read_max_download(environment)
        self.cache = MetadataCache(cache)
        named = frozenset(redirect_hosts)
        self._http = HttpClient(
            policy=policy or RetryPolicy(),
            connections=connections,
            stop=self.stop,
            errors=_ERRORS,
            check_redirect=lambda url, target: check_redirect(url, target, named=named),
        )

    def __enter__(self) -> Self:
        """Nothing is connected before the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()
        self.cache.trim()

    def project(
        self, name: str, *, keep: Callable[[str], bool] | None = None
    ) -> tuple[IndexFile, ...] | None:
        """Return the files on a project's page; None if the index has no such project.

        Args:
            name: The project, in any spelling.
            keep: Which files, by name, are of interest. Pages of ten thousand files are not rare,
                and to read an entry costs more than to skip it.

        Raises:
            IndexContentError: The page has a malformed digest, or is too large.
        """
        url = f"{self.url}{canonicalize_name(name)}/"
        headers = {"Accept": _ACCEPT}
        answer = self._read(url, headers=headers, max_bytes=_MAX_PAGE_BYTES)
        if answer is None:
            return None
        kind = answer.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
        return parse_page(
            answer.content,
            kind=kind,
            encoding=answer.encoding,
            url=answer.url,
            name=canonicalize_name(name),
            keep=keep or every,
        )

    def fetch(self, url: str, sink: Sink, *, size: int | None = None, max_bytes: int | None = None) -> bool:
        """Download a file into the sink, from its end on; return False if it does not exist.

        A dropped connection is resumed (`factory.http.download`). ``size`` is the file's by the index's page,
        ``max_bytes`` by the lock; without both, ``FACTORY_MAX_DOWNLOAD`` and the disk limit it.

        Raises:
            IndexContentError: The file is larger or smaller than the page says, or larger than it may be.
        """
        return download(
            self._http,
            HttpRequest(url=url, authorization=self._logins.authorization(url)),
            sink,
            size=size,
            max_bytes=max_bytes,
            max_download=self.max_download,
            is_there=self._exists,
        )

    def metadata(self, file: IndexFile) -> Metadata:
        """Return a file's core metadata: as the index serves it (PEP 658, PEP 714), or the wheel's.

        A wheel's directory and METADATA are read by range requests (RFC 9110); a server without ranges has to
        send it whole. If the page has the file's digest, the metadata is cached. The digest does not verify
        what is read by ranges: that takes the whole file.

        Raises:
            IndexContentError: The metadata is not what its digest says, cannot be read, or is of another
                package than the file's name says; the wheel is cut short; or the file is an sdist whose
                metadata is not served.
        """
        return parse_metadata(self.core_metadata(file), of=file.file_name)

    def check_identity(self, file: IndexFile) -> None:
        """Check that a file is its name's package and version, and a valid wheel.

        The directory of a wheel is read by range requests even if the index serves its metadata, as far
        as `read_directory` goes. If a server without ranges serves the metadata, nothing else is requested.

        Raises:
            IndexContentError: As for `metadata`, but a requirement that cannot be read does not matter here.
        """
        if self.cache.get(self.url, file, opened=True) is not None:
            return
        is_served_wheel = file.metadata_url is not None and file.file_name.endswith(".whl")
        content = self._metadata_by_ranges(file) if is_served_wheel else None
        if content is None:
            self.core_metadata(file)
        else:
            self.cache.put(self.url, file, content, opened=True)

    def core_metadata(self, file: IndexFile) -> bytes:
        """Return the core metadata of a file as bytes, checked against the file's name.

        Raises:
            IndexContentError: As for `check_identity`.
        """
        content = self.cache.get(self.url, file)
        if content is not None:
            check_identity(content, of=file.file_name)
            return content
        content = self._served_metadata(file)
        opened = content is None
        if content is None:
            content = self._metadata_in_wheel(file)
        check_identity(content, of=file.file_name)
        self.cache.put(self.url, file, content, opened=opened)
        return content

    def _served_metadata(self, file: IndexFile) -> bytes | None:
        if file.metadata_url is None:
            return None
        answer = self._read(file.metadata_url, headers={}, max_bytes=MOST_METADATA_BYTES)
        if answer is None:
            # The index announced metadata that it does not serve; the wheel has it too.
            return None
        digest = hashlib.sha256(answer.content).hexdigest()
        if file.metadata_sha256 not in {None, digest}:
            raise IndexContentError(
                f"the metadata of {file.file_name} that the index sent has sha256:{digest}, "
                f"and its project's page says sha256:{file.metadata_sha256}",
                solution=DISTRUST,
            )
        return answer.content

    def _metadata_in_wheel(self, file: IndexFile) -> bytes:
        name = file.file_name
        if not name.endswith(".whl"):
            raise IndexContentError(
                f"the index serves no metadata of {name}, which is no wheel",
                solution="Only a build would show it; ask the owners of the index for a wheel.",
            )
        content = self._metadata_by_ranges(file)
        return self._metadata_in_whole_wheel(file) if content is None else content

    def _metadata_by_ranges(self, file: IndexFile) -> bytes | None:
        """Return a wheel's METADATA without downloading the rest; None if the server has no ranges."""
        first = self._range(file, 0, 1)
        if first is None:
            return None
        _, size = first
        if file.size not in {None, size}:
            raise IndexContentError(
                f"{file.file_name} has {size:,} bytes on the server, and the index says {file.size:,}",
                solution=DISTRUST,
            )
        pieces = RangeFile(lambda start, end: self._piece(file, start, end), size)
        return read_directory(pieces, of=file.file_name).metadata

    def _metadata_in_whole_wheel(self, file: IndexFile) -> bytes:
        with Spool() as spool:
            if not self.fetch(file.url, spool, size=file.size):
                raise _lost(file)
            if file.sha256 not in {None, spool.sha256}:
                raise IndexContentError(
                    f"{file.file_name}: the index sent sha256:{spool.sha256}, "
                    f"and its page says sha256:{file.sha256}",
                    solution=DISTRUST,
                )
            return check_wheel(spool.file, of=file.file_name).metadata

    def _piece(self, file: IndexFile, start: int, end: int) -> bytes:
        found = self._range(file, start, end)
        if found is None or len(found[0]) != end - start:
            raise IndexContentError(f"{file.file_name} changed while it was read", solution=DISTRUST)
        return found[0]

    def _range(self, file: IndexFile, start: int, end: int) -> tuple[bytes, int] | None:
        """Return the bytes from start to before end, and the file's size; None without ranges."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
        answer = self._read(file.url, headers=headers, max_bytes=end - start)
        if answer is None:
            raise _lost(file)
        ranges = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        partial = answer.status == HTTPStatus.PARTIAL_CONTENT
        if not partial or not ranges or ranges[1] != str(start) or not ranges[2].isdecimal():
            return None
        return answer.content, int(ranges[2])

    def _read(self, url: str, *, headers: Mapping[str, str], max_bytes: int) -> HttpResponse | None:
        """Return small content, whole; None if it does not exist.

        If the headers ask for a range and the server sends the whole file instead, which may be large, the
        status is 200 and the content empty.
        """
        partial = "Range" in headers
        answer = self._http.send(
            HttpRequest(
                url=url,
                headers=headers,
                authorization=self._logins.authorization(url),
                max_bytes=max_bytes,
                read_statuses=frozenset({HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK}),
            )
        )
        return answer if self._exists(answer.url, answer.status, partial=partial) else None

    def _exists(self, url: str, status: int, *, partial: bool) -> bool:
        """Return whether a URL exists.

        Raises:
            IndexAccessError: the server refuses access, or answers as no index does.
        """
        if status in _REFUSALS:
            raise self._refused(url, status)
        if status in _ABSENT:
            return False
        if status != HTTPStatus.OK and not (partial and status == HTTPStatus.PARTIAL_CONTENT):
            raise self._http.failure(url, f"answers HTTP {status}")
        return True

    def _refused(self, url: str, status: int) -> IndexAccessError:
        host = urlsplit(url).hostname
        if self._logins.are_withheld and same_origin(url, self._logins.index_url):
            return IndexAccessError(
                f"{shown(url)} refuses access (HTTP {status}), and by plain HTTP no login is sent to {host}",
                solution="Give the index as https://…; SSL_CERT_FILE names the certificates of an authority "
                "of your own.",
            )
        variables = f", or into {' and '.join(login_variables(self._name))}" if self._name else ""
        return IndexAccessError(
            f"{shown(url)} refuses access (HTTP {status})",
            solution=f"Put the credentials for {host} into ~/.netrc (machine {host} login … password …)"
            f"{variables}; or ask the owners of the index for access.",
        )


def check_redirect(url: str, target: str, *, named: AbstractSet[str]) -> None:
    """Check that a redirect stays on its own host, or leads to a named host.

    Private indexes keep their files in an object store or behind a CDN and redirect downloads to it. The
    public index does not: its pages link to its files. So another host than the requested one has to be
    named; an unnamed one may be anybody's. The digest in a lock verifies the bytes in the end, but nothing
    verifies a page or metadata that is read for a lock.

    Another port of the same host is the same host; https is never left for http.

    Raises:
        RedirectError: The redirect is not allowed.
    """
    asked, going = urlsplit(url), urlsplit(target)
    if going.scheme not in {"http", "https"} or (asked.scheme, going.scheme) == ("https", "http"):
        raise RedirectError(
            f"{shown(url)} is sent on to {shown(target)}, from {asked.scheme} to {going.scheme}",
            solution="Ask the owners of the index to serve it over https throughout.",
        )
    if going.hostname not in {asked.hostname, *named}:
        raise RedirectError(
            f"{shown(url)} is sent on to another host, {going.hostname}, which the flavor does not name",
            solution="If the owners of the index say that it keeps its files there, write "
            f'redirect-hosts = ["{going.hostname}"] into [tool.factory].',
        )


def client_for(
    spec: Spec,
    index: str,
    *,
    connections: int = 8,
    policy: RetryPolicy | None = None,
    environment: Mapping[str, str] | None = None,
) -> IndexClient:
    """Return a client for a flavor's index, by name, with the spec's allowed redirects.

    Raises:
        IndexAccessError: ``.netrc`` or uv's configuration cannot be read.
    """
    return IndexClient(
        spec.url_of(index),
        name=index,
        connections=connections,
        policy=policy,
        environment=environment,
        redirect_hosts=spec.redirect_hosts,
    )


def _lost(file: IndexFile) -> IndexAccessError:
    return IndexAccessError(
        f"{shown(file.url)} is not there, though its project's page lists it", solution=UNREACHABLE
    )


# The smallest request: an index of 160 files, and a METADATA, fit in one or two.
_BLOCK = 16 << 10
# The most read of one file: the largest known directory of a wheel has 2 MB.
_MOST_BYTES = 64 << 20


class RangeFile:
    """A file of ``size`` bytes, of which ``fetch(start, end)`` returns the bytes from start to before end.

    Read bytes are kept. Reading begins at the end, where a zip file has its directory.

    Raises:
        ValueError: more was read than the directory and the metadata of any wheel take.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._fetched = 0
        self._pieces: list[tuple[int, bytes]] = []

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position of the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; all up to the end without a size."""
        start = min(self._position, self._size)
        end = self._size if size < 0 else min(start + size, self._size)
        found = self._piece(start, end) if end > start else b""
        self._position = start + len(found)
        return found

    def _piece(self, start: int, end: int) -> bytes:
        for place, piece in self._pieces:
            if place <= start and end <= place + len(piece):
                return piece[start - place : end - place]
        stop = max(end, min(start + _BLOCK, self._size))
        begin = min(start, max(0, stop - _BLOCK))
        self._fetched += stop - begin
        if self._fetched > _MOST_BYTES:
            raise ValueError("its directory is larger than any wheel's")
        piece = self._fetch(begin, stop)
        self._pieces.append((begin, piece))
        return piece[start - begin : end - begin]
