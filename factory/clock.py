"""What time it is, asked of the machine in this place only, and what times from outside say."""

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def now() -> dt.datetime:
    """This moment, in UTC: what a document tells as its time."""
    return dt.datetime.now(tz=dt.UTC)


def today() -> dt.date:
    """The day, where this machine stands: what waivers are measured against."""
    return now().astimezone().date()


def parse_moment(text: str) -> dt.datetime | None:
    """Return a time of RFC 3339 in UTC, which is also assumed if it names no zone.

    None if it is no time, or one that no calendar of ours has in UTC.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


def seconds_since_1970(moment: dt.datetime) -> int | None:
    """Return a time in whole seconds; None if it is before 1970. Without a zone it is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    # Subtracted, since `timestamp` of the first and the last year raises in some zones.
    seconds = int((aware - _EPOCH).total_seconds())
    return seconds if seconds >= 0 else None
