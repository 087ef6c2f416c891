"""How long an index is waited for, and how often it is asked again."""

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import httpx

from factory.errors import IndexAccessError
from factory.masking import shown
from factory.process import Stop

_Result = TypeVar("_Result")
# A server that drops a download again and again still gives a little each time; not for ever.
_MAX_RESUMES = 50
# What OpenSSL says of a certificate that nobody vouches for, and of a server that speaks no TLS.
_LASTING = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
_SOLUTION = "Look at the index URL, the network and the index itself, then run the command again."


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long an index is waited for: seconds to connect, seconds without a byte, tries, first pause.

    ``total_seconds`` is for all that one page or one metadata takes, with its tries and pauses. A
    download begins within `begin_seconds`, and goes on for as long as every ``stall_seconds`` bring
    ``stall_bytes``. A timeout is tried half as often as other failures, since each one costs the
    whole wait. So no request is without an end, whatever the server does.
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
        """With so many seconds without a byte, and no more to connect."""
        return cls(read_seconds=seconds, connect_seconds=min(cls.connect_seconds, seconds))

    @property
    def begin_seconds(self) -> float:
        """How long the header of an answer may take."""
        return self.connect_seconds + 2 * self.read_seconds


@dataclass(frozen=True, kw_only=True)
class Retryable:
    """An answer that may be another one later, and after how many seconds the server says so."""

    reason: str
    wait_seconds: float | None = None


class TooSlowError(httpx.TimeoutException):
    """The server answers, and so slowly that it would never end."""


class StallDetector:
    """Whether a download gets on; `received` is told of what comes."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._begun = time.monotonic()
        self._bytes = 0

    def received(self, count: int) -> None:
        """So many bytes came.

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
    """The moment at which a request has taken all the time that it may."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, and 0 afterwards."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Say whether to go on.

        Raises:
            TooSlowError: the time is over.
        """
        if not self.left:
            raise TooSlowError("too slow")


def retrying(
    url: str,
    attempt: Callable[[], _Result | Retryable],
    *,
    policy: RetryPolicy,
    stop: Stop,
    deadline: Deadline | None = None,
    received: Callable[[], int] = lambda: 0,
) -> _Result:
    """What an attempt gives, tried again while it may pass.

    Args:
        url: what is asked for, for messages.
        attempt: one try.
        policy: how often, with which pauses.
        stop: ends the waiting.
        deadline: after which nothing is tried any more.
        received: bytes of a download so far; a try that brought some does not count as a failure.

    Raises:
        IndexAccessError: it did not pass.
        ProgramError: the work was stopped.
    """
    failures = 0
    reason = ""
    for _ in range(_MAX_RESUMES):
        stop.check()
        before = received()
        answer, limit = _tried(url, attempt, policy)
        stop.check()
        if not isinstance(answer, Retryable):
            return answer
        reason = answer.reason
        got_on = received() > before and limit == policy.attempts
        failures = 1 if got_on else failures + 1
        pause = _pause(policy, failures, answer.wait_seconds)
        if failures >= limit or (deadline is not None and deadline.left <= pause):
            break
        stop.pause(pause)
    raise unreachable(url, f"{reason}, {_times(failures)}")


def retry_after(after: str, *, now: dt.datetime) -> float | None:
    """The seconds that a ``Retry-After`` (RFC 9110) asks for: it gives their number, or a date."""
    if after.isdecimal():
        return float(after)
    try:
        date = parsedate_to_datetime(after)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or dt.UTC) - now).total_seconds())


def unreachable(url: str, reason: str) -> IndexAccessError:
    """An error about what stands at a URL."""
    return IndexAccessError(f"{shown(url)} {reason}", solution=_SOLUTION)


def _tried(
    url: str, attempt: Callable[[], _Result | Retryable], policy: RetryPolicy
) -> tuple[_Result | Retryable, int]:
    """What one try gave, and how many failures of its kind are too many."""
    try:
        return attempt(), policy.attempts
    except TooSlowError:
        return Retryable(reason="sends too slowly to come to an end"), (policy.attempts + 1) // 2
    except httpx.TimeoutException:
        return Retryable(reason="did not answer in time"), (policy.attempts + 1) // 2
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise unreachable(url, f"cannot be followed ({error})") from error
    except httpx.ConnectError as error:
        if any(word in str(error) for word in _LASTING):
            # It is the same the next time.
            raise unreachable(url, f"cannot be reached ({error})") from error
        return Retryable(reason=f"cannot be reached ({error})"), policy.attempts
    except httpx.TransportError as error:
        return Retryable(reason=f"dropped the connection ({error})"), policy.attempts
    except httpx.DecodingError as error:
        raise unreachable(url, f"sent what cannot be unpacked ({error})") from error


def _pause(policy: RetryPolicy, failures: int, asked: float | None) -> float:
    if asked is not None:
        return min(asked, policy.max_pause_seconds)
    growing = policy.first_pause_seconds * 2.0 ** (failures - 1)
    # Spread out, so that many connections do not come back at the same moment.
    return min(growing, policy.max_pause_seconds) * random.uniform(0.75, 1.25)  # noqa: S311


def _times(count: int) -> str:
    return "at the first try" if count == 1 else f"{count} times in a row"
