"""What time it is: the only place that asks the machine, so that what depends on it can be given a time."""

import datetime as dt


def now() -> dt.datetime:
    """This moment, in UTC: what a document tells as its time."""
    return dt.datetime.now(tz=dt.UTC)


def today() -> dt.date:
    """The day, where this machine stands: what waivers are measured against."""
    return now().astimezone().date()
