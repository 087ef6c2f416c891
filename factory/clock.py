"""The time: read only here, and parsed from documents; and how long operations take.

`timed` measures an operation by its kind, as a context manager or a decorator. What it measured is shown by
``--timings``. Operations of several threads run side by side, and some within others, so that the kinds need
not add up to the whole.
"""

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_MINUTE, _HOUR = 60, 3600
_DAYS_AS_HOURS = 2
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def now() -> dt.datetime:
    """Return the current time in UTC, as documents record it."""
    return dt.datetime.now(tz=dt.UTC)


def today() -> dt.date:
    """Return the day in this machine's time zone, for comparison with waivers."""
    return now().astimezone().date()


def parse_moment(text: str) -> dt.datetime | None:
    """Return a time of RFC 3339 in UTC; one without a zone is taken for UTC.

    None if it is not a time, or is outside of the calendar in UTC.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


def seconds_since_1970(moment: dt.datetime) -> int | None:
    """Return a time in whole seconds, without a zone in UTC; None if it is before 1970."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    # Subtracted, since `timestamp` of the first and the last year raises in some zones.
    seconds = int((aware - _EPOCH).total_seconds())
    return seconds if seconds >= 0 else None


def age(moment: dt.datetime, *, now: dt.datetime) -> str:
    """Format how long ago that was, in one unit: at least ``1 minute``, ``30 hours``, ``12 days``."""
    seconds = max((now - moment).total_seconds(), _MINUTE)
    minutes, hours, days = int(seconds // _MINUTE), int(seconds // _HOUR), int(seconds // (24 * _HOUR))
    if hours < 1:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    if days < _DAYS_AS_HOURS:
        return f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{days} days"


def duration(seconds: float) -> str:
    """Format a duration for people: ``0.3 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long operations of one kind took.

    kind: Such as resolve, download, hash, build, compress, send.
    count: How many there were.
    seconds: During which at least one of them ran.
    busy_seconds: Those of each together; more than ``seconds`` if several ran side by side.
    """

    kind: str
    count: int
    seconds: float
    busy_seconds: float


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long a run took so far, and its operations by kind, the longest first."""

    seconds: float
    operations: tuple[Timing, ...]


class _Kind:
    """The operations of one kind so far."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.busy_seconds = 0.0
        self.running = 0
        self.since = 0.0


class _Stopwatch:
    """Measures operations; safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin a run, of which nothing was measured yet."""
        with self._guard:
            self._kinds: dict[str, _Kind] = {}
            self._begun = time.monotonic()

    def start(self, kind: str) -> tuple[_Kind, float]:
        moment = time.monotonic()
        with self._guard:
            found = self._kinds.setdefault(kind, _Kind())
            found.count += 1
            found.running += 1
            if found.running == 1:
                found.since = moment
        return found, moment

    def stop(self, kind: _Kind, since: float) -> None:
        moment = time.monotonic()
        with self._guard:
            kind.running -= 1
            kind.busy_seconds += moment - since
            if kind.running == 0:
                kind.seconds += moment - kind.since

    def read(self) -> Timings:
        moment = time.monotonic()
        with self._guard:
            found = [
                Timing(
                    kind=name,
                    count=kind.count,
                    seconds=round(kind.seconds + (moment - kind.since if kind.running else 0.0), 3),
                    busy_seconds=round(kind.busy_seconds, 3),
                )
                for name, kind in self._kinds.items()
            ]
            seconds = round(moment - self._begun, 3)
        return Timings(
            seconds=seconds,
            operations=tuple(sorted(found, key=lambda timing: (-timing.seconds, timing.kind))),
        )


_stopwatch = _Stopwatch()


@contextmanager
def timed(kind: str) -> Iterator[None]:
    """Measure an operation of a kind: the block, or each call of the function that this decorates."""
    measured = _stopwatch.start(kind)
    try:
        yield
    finally:
        _stopwatch.stop(*measured)


def read_timings() -> Timings:
    """Return what was measured so far in this run."""
    return _stopwatch.read()


def restart_timings() -> None:
    """Begin a run, of which nothing was measured yet."""
    _stopwatch.restart()
