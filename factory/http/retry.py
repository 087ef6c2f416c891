"""How long to wait for a server, and how often to retry."""

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import httpx

from factory.errors import FactoryError
from factory.process import Cancellation

_Result = TypeVar("_Result")
# Beside the server's own failures (5xx): the same request may succeed later.
_TRANSIENT = frozenset({408, 425, 429})
_SERVER_ERRORS = range(500, 600)
# A server that drops every connection still makes progress, so cap it.
_MAX_RESUMES = 50
# What OpenSSL says of an unknown authority's certificate, and of a server that speaks no TLS: so it stays.
_LASTING = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Timeouts and retries of one HTTP request. Every request ends, whatever a server does.

    A timeout is retried half as often as other failures, since each one costs the whole wait.

    Attributes:
        connect_seconds: For a connection.
        read_seconds: Without a byte.
        total_seconds: For one answer that is read whole, with its retries and pauses.
        stall_seconds: A download is too slow if so many seconds
        stall_bytes: bring fewer bytes than these.
        attempts: Tries, the first included.
        first_pause_seconds: Before the second try; doubled before each further one.
        max_pause_seconds: Of a pause, also if the server asks for a longer one.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    total_seconds: float = 180.0
    stall_seconds: float = 60.0
    stall_bytes: int = 64 << 10
    attempts: int = 4
    first_pause_seconds: float = 0.5
    max_pause_seconds: float = 10.0

    @classmethod
    def with_timeout(cls, seconds: float) -> Self:
        """Return a policy with so many seconds without a byte, and at most as many to connect."""
        return cls(read_seconds=seconds, connect_seconds=min(cls.connect_seconds, seconds))

    @property
    def begin_seconds(self) -> float:
        """Return how long the header of a download's answer may take."""
        return self.connect_seconds + 2 * self.read_seconds

    def pause_seconds(self, failures: int, asked: float | None) -> float:
        """Return the pause after so many failures; ``asked`` is the server's own."""
        if asked is not None:
            return min(asked, self.max_pause_seconds)
        growing = self.first_pause_seconds * 2.0 ** (failures - 1)
        # Randomized, so that many connections do not retry at the same moment.
        return min(growing, self.max_pause_seconds) * random.uniform(0.75, 1.25)  # noqa: S311


@dataclass(frozen=True, kw_only=True)
class Retryable:
    """A failed response worth retrying, with the server's Retry-After in seconds."""

    reason: str
    wait_seconds: float | None = None

    @classmethod
    def of(cls, status: int, headers: httpx.Headers) -> Self | None:
        """Return what to retry by a response's status; None if the response is final."""
        if status not in _TRANSIENT and status not in _SERVER_ERRORS:
            return None
        wait = retry_after(headers.get("Retry-After", ""), now=dt.datetime.now(dt.UTC))
        return cls(reason=f"answers HTTP {status}", wait_seconds=wait)


class TooSlowError(httpx.TimeoutException):
    """The server answers too slowly to ever finish."""


class StallDetector:
    """Raise TooSlowError when a download falls below the policy's minimum rate."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._begun = time.monotonic()
        self._bytes = 0

    def received(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            TooSlowError: too few came for too long.
        """
        self._bytes += count
        now = time.monotonic()
        if now - self._begun >= self._policy.stall_seconds:
            if self._bytes < self._policy.stall_bytes:
                raise TooSlowError("too slow")
            self._begun, self._bytes = now, 0


class Deadline:
    """The moment at which a request has used all its time."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, and 0 afterwards."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise TooSlowError if the time is over."""
        if not self.left:
            raise TooSlowError("too slow")


def retry(
    attempt: Callable[[], _Result | Retryable],
    *,
    policy: RetryPolicy,
    stop: Cancellation,
    failure: Callable[[str], FactoryError],
    deadline: Deadline | None = None,
    received: Callable[[], int] = lambda: 0,
) -> _Result:
    """Return the result of an attempt, repeated while its failures may pass.

    Args:
        attempt: One try.
        policy: How often, with which pauses.
        stop: Cancels the waiting.
        failure: Makes the error of what is wrong at the end, such as "answers HTTP 503, 4 times in a row".
        deadline: After which nothing is tried any more.
        received: Bytes of a download so far; a try that brought some does not count as a failure.

    Raises:
        FactoryError: As `failure` makes it.
        ProgramError: The work was stopped.
    """
    failures = 0
    reason = ""
    for _ in range(_MAX_RESUMES):
        stop.check()
        before = received()
        answer, limit = _tried(attempt, policy, failure)
        stop.check()
        if not isinstance(answer, Retryable):
            return answer
        reason = answer.reason
        got_on = received() > before and limit == policy.attempts
        failures = 1 if got_on else failures + 1
        pause = policy.pause_seconds(failures, answer.wait_seconds)
        if failures >= limit or (deadline is not None and deadline.left <= pause):
            break
        stop.pause(pause)
    raise failure(f"{reason}, {'at the first try' if failures == 1 else f'{failures} times in a row'}")


def _tried(
    attempt: Callable[[], _Result | Retryable], policy: RetryPolicy, failure: Callable[[str], FactoryError]
) -> tuple[_Result | Retryable, int]:
    """Return the result of one try, and how many failures of its kind are too many."""
    try:
        return attempt(), policy.attempts
    except TooSlowError:
        return Retryable(reason="sends too slowly to come to an end"), (policy.attempts + 1) // 2
    except httpx.TimeoutException:
        return Retryable(reason="did not answer in time"), (policy.attempts + 1) // 2
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise failure(f"cannot be followed ({error})") from error
    except httpx.ConnectError as error:
        if any(word in str(error) for word in _LASTING):
            raise failure(f"cannot be reached ({error})") from error
        return Retryable(reason=f"cannot be reached ({error})"), policy.attempts
    except httpx.TransportError as error:
        return Retryable(reason=f"dropped the connection ({error})"), policy.attempts
    except httpx.DecodingError as error:
        raise failure(f"sent what cannot be unpacked ({error})") from error


def retry_after(text: str, *, now: dt.datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` (RFC 9110) asks for: it has their number, or a date."""
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or dt.UTC) - now).total_seconds())
