"""A client for package indexes that speak PEP 503 (HTML) or PEP 691 (JSON).

"Not there" (404) and "not allowed" (401, 403) are never taken for each other. What may pass (429,
5xx, a dropped connection) is tried again a bounded number of times. Credentials go to the host
that they are for, and to no other that it redirects to.
"""

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import pypi_simple
from packaging.utils import canonicalize_name

from factory import __version__
from factory.errors import IndexAccessError, IndexContentError
from factory.index.configured import public_index_url
from factory.index.credentials import Login, read_netrc, shown, split_credentials
from factory.index.metadata import Metadata, parse_metadata, wheel_metadata
from factory.index.pages import IndexFile, every, no_page, parse_page
from factory.index.ranges import RangeFile
from factory.index.spool import Spool

DISTRUST = "Do not use that index until its owners have said why."
_Result = TypeVar("_Result")
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
# A server that drops a download again and again still gives a little each time; not for ever.
_MOST_RESUMPTIONS = 50


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an index is waited for: seconds to connect, seconds without a byte, tries, first pause.

    A timeout is tried half as often as other failures, since each one costs the whole wait.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    attempts: int = 4
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 10.0


class Sink(Protocol):
    """Where a download goes. ``received`` is how many bytes of the file are there already."""

    @property
    def received(self) -> int:
        """Bytes that are there, from the start of the file."""

    def expect(self, total: int) -> None:
        """The whole file has so many bytes, as the server says."""

    def restart(self) -> None:
        """Forget what was received: the server begins anew."""

    def write(self, chunk: bytes) -> None:
        """The next bytes."""


@dataclass(frozen=True, kw_only=True)
class _Again:
    """An answer that may be another one later."""

    reason: str
    wait_seconds: float | None = None


class IndexClient:
    """Reads one index; a context manager, safe to use from several threads.

    Args:
        index_url: the index, or None for the public one as this machine is configured.
        connections: how many at a time.
        patience: timeouts and retries.
        environment: where ``UV_*``, ``PIP_*``, ``NETRC`` and ``HOME`` are looked up.
    """

    def __init__(
        self,
        index_url: str | None,
        *,
        connections: int = 8,
        patience: Patience | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._patience = patience or Patience()
        bare, login = split_credentials(index_url or public_index_url(environment))
        self.url = bare.rstrip("/") + "/"
        self._own_login = login
        self._logins = read_netrc(environment)
        self._client = httpx.Client(
            auth=self._authorize,
            follow_redirects=True,
            headers={"User-Agent": f"universal-image-factory/{__version__}"},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=httpx.Timeout(
                self._patience.read_seconds, connect=self._patience.connect_seconds, pool=None
            ),
        )

    def __enter__(self) -> Self:
        """Nothing is connected before the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    def project(
        self, name: str, *, keep: Callable[[str], bool] | None = None
    ) -> tuple[IndexFile, ...] | None:
        """The files of a project, as its page lists them; None where the index has no such project.

        Args:
            name: the project, in any spelling.
            keep: which files, by name, are of interest. Pages of ten thousand files are not rare,
                and to read an entry costs more than to skip it.

        Raises:
            IndexAccessError: the index refused, failed, did not answer, or answered nonsense.
        """
        url = f"{self.url}{canonicalize_name(name)}/"
        return self._patiently(url, lambda: self._page(url, name, keep or every), lambda: 0)

    def fetch(self, url: str, sink: Sink) -> bool:
        """Bring a file into the sink, from where the sink stands; False where it is not there.

        A dropped connection is resumed by a range request (RFC 9110) where the server knows them.

        Raises:
            IndexAccessError: the server refused, failed, or did not answer.
        """
        return self._patiently(url, lambda: self._receive(url, sink), lambda: sink.received)

    def metadata(self, file: IndexFile) -> Metadata:
        """The core metadata of a file: as the index serves it (PEP 658, PEP 714), else out of the wheel.

        Of a wheel the directory and METADATA are read by range requests (RFC 9110); a server that
        knows none has to send it whole.

        Raises:
            IndexAccessError: the index refused, failed, did not answer, or has the file no more.
            IndexContentError: the metadata is not what its digest says, cannot be read, or is of
                another package than the file's name says; the wheel is cut short; or the file is an
                sdist whose metadata is not served.
        """
        content = self._served_metadata(file)
        if content is None:
            content = self._metadata_in_wheel(file)
        return parse_metadata(content, of=file.file_name)

    def _served_metadata(self, file: IndexFile) -> bytes | None:
        url = file.metadata_url
        if url is None:
            return None
        with Spool() as spool:
            if not self.fetch(url, spool):
                return None
            if file.metadata_sha256 not in {None, spool.sha256}:
                raise IndexContentError(
                    f"the metadata of {file.file_name} has sha256:{spool.sha256}, "
                    f"and its project's page says sha256:{file.metadata_sha256}",
                    solution=DISTRUST,
                )
            spool.file.seek(0)
            return spool.file.read()

    def _metadata_in_wheel(self, file: IndexFile) -> bytes:
        name = file.file_name
        if not name.endswith(".whl"):
            raise IndexContentError(
                f"the index serves no metadata of {name}, which is no wheel",
                solution="Only a build would tell; ask the owners of the index for a wheel.",
            )
        first = self._patiently(file.url, lambda: self._range(file, 0, 1), lambda: 0)
        if first is not None:
            return wheel_metadata(
                RangeFile(lambda start, end: self._piece(file, start, end), first[1]), of=name
            )
        with Spool() as spool:
            if not self.fetch(file.url, spool):
                raise no_page(file.url, "is not there, though its project's page lists it")
            if file.sha256 not in {None, spool.sha256}:
                raise IndexContentError(
                    f"{name}: the index sent sha256:{spool.sha256}, and its page says sha256:{file.sha256}",
                    solution=DISTRUST,
                )
            return wheel_metadata(spool.file, of=name)

    def _piece(self, file: IndexFile, start: int, end: int) -> bytes:
        found = self._patiently(file.url, lambda: self._range(file, start, end), lambda: 0)
        if found is None or len(found[0]) != end - start:
            raise IndexContentError(f"{file.file_name} changed while it was read", solution=DISTRUST)
        return found[0]

    def _range(self, file: IndexFile, start: int, end: int) -> tuple[bytes, int] | _Again | None:
        """The bytes from start to before end, and the file's size; None from a server without ranges."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
        with self._client.stream("GET", file.url, headers=headers) as response:
            again, there = _judge(response)
            if again is not None:
                return again
            if not there:
                raise no_page(file.url, "is not there, though its project's page lists it")
            ranges = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code != httpx.codes.PARTIAL_CONTENT or not ranges or not ranges[2].isdecimal():
                return None
            return response.read(), int(ranges[2])

    def _page(
        self, url: str, name: str, keep: Callable[[str], bool]
    ) -> tuple[IndexFile, ...] | _Again | None:
        response = self._client.get(url, headers={"Accept": pypi_simple.ACCEPT_JSON_PREFERRED})
        again, there = _judge(response)
        if again is not None or not there:
            return again
        kind = response.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
        return parse_page(
            response.content,
            kind=kind,
            encoding=response.charset_encoding,
            url=str(response.url),
            name=name,
            keep=keep,
        )

    def _receive(self, url: str, sink: Sink) -> bool | _Again:
        start = sink.received
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with self._client.stream("GET", url, headers=headers) as response:
            ranges = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                if ranges and ranges[2] == str(start):
                    return True
                sink.restart()
                return _Again(reason="has no bytes where the download was to go on", wait_seconds=0)
            again, there = _judge(response)
            if again is not None or not there:
                return again or False
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if resumed and not (ranges and ranges[1] == str(start)):
                sink.restart()
                return _Again(reason="answered with another range than was asked for", wait_seconds=0)
            if start and not resumed:
                sink.restart()
            if (length := response.headers.get("Content-Length", "")).isdecimal():
                sink.expect(sink.received + int(length))
            for chunk in response.iter_raw():
                sink.write(chunk)
        return True

    def _patiently(
        self, url: str, attempt: Callable[[], _Result | _Again], received: Callable[[], int]
    ) -> _Result:
        failures = 0
        reason = ""
        for _ in range(_MOST_RESUMPTIONS):
            before = received()
            limit = self._patience.attempts
            try:
                answer = attempt()
            except httpx.TimeoutException:
                answer = _Again(reason="did not answer in time")
                limit = (limit + 1) // 2
            except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise no_page(url, f"cannot be followed ({error})") from error
            except httpx.ConnectError as error:
                answer = _Again(reason=f"cannot be reached ({error})")
            except httpx.TransportError as error:
                answer = _Again(reason=f"dropped the connection ({error})")
            if not isinstance(answer, _Again):
                return answer
            reason = answer.reason
            failures = 1 if received() > before else failures + 1
            if failures >= limit:
                break
            time.sleep(self._pause(failures, answer.wait_seconds))
        raise no_page(url, f"{reason}, {_times(failures)}")

    def _pause(self, failures: int, asked: float | None) -> float:
        if asked is not None:
            return min(asked, self._patience.longest_pause_seconds)
        growing = self._patience.pause_seconds * 2.0 ** (failures - 1)
        # Spread out, so that many connections do not come back at the same moment.
        return min(growing, self._patience.longest_pause_seconds) * random.uniform(0.75, 1.25)  # noqa: S311

    def _authorize(self, request: httpx.Request) -> httpx.Request:
        login = self._login_for(request.url)
        if login is not None:
            basic = httpx.BasicAuth(login.user, login.password)
            return next(basic.auth_flow(request))
        return request

    def _login_for(self, url: httpx.URL) -> Login | None:
        own = httpx.URL(self.url)
        if self._own_login and (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port):
            return self._own_login
        return self._logins.get(url.host)


def _judge(response: httpx.Response) -> tuple[_Again | None, bool]:
    """What to try again, if so, and whether the thing is there."""
    status = response.status_code
    url = str(response.url)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        host = urlsplit(url).hostname
        raise IndexAccessError(
            f"{shown(url)} refuses access (HTTP {status})",
            solution=f"Put the credentials for {host} into ~/.netrc (machine {host} login … password …), "
            "or ask the owners of the index for access.",
        )
    if status in _TRANSIENT:
        after = response.headers.get("Retry-After", "")
        return _Again(
            reason=f"answers HTTP {status}", wait_seconds=float(after) if after.isdecimal() else None
        ), False
    if status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        return None, False
    if status not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
        raise no_page(url, f"answers HTTP {status}")
    return None, True


def _times(count: int) -> str:
    return "at the first try" if count == 1 else f"{count} times in a row"
