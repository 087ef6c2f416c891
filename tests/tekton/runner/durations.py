"""Tekton's durations (Go's): `1h30m`, `90s`, `500ms`."""

import re

from tekton.runner.errors import RefusedError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def seconds(text: str | None) -> float | None:
    """The duration in seconds; None, which is no limit, for none and for `0`.

    Raises:
        RefusedError: it is no duration.
    """
    if text is None or text in {"0", "0s", "0m", "0h"}:
        return None
    if not _WHOLE.fullmatch(text):
        raise RefusedError(f"no duration: {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
