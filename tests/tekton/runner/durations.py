"""The timeouts of Tekton's objects, in seconds."""

from tekton.durations import duration
from tekton.runner.errors import RefusedError


def seconds(text: str | None) -> float | None:
    """The duration in seconds; None, which is no limit, for none and for `0`.

    Raises:
        RefusedError: it is no duration, or a negative one.
    """
    if text is None:
        return None
    try:
        found = duration(text)
    except ValueError as error:
        raise RefusedError(str(error)) from error
    if found < 0:
        raise RefusedError(f"{text!r} is below zero")
    return float(found) or None
