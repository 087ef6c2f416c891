"""The time: read only here, and parsed from documents."""

import datetime as dt

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
    """Format how long ago that was, in one unit: ``4 minutes``, ``30 hours``, ``12 days``."""
    seconds = max((now - moment).total_seconds(), 0)
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
