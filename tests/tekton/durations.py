"""Reads Go's durations, as Kubernetes and Tekton write them: `1h30m`, `1.5h`, `500ms`."""

import re
from fractions import Fraction

# https://pkg.go.dev/time#ParseDuration; both signs of the micro are Go's.
_SECONDS = {
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), Fraction(1, 10**6)),
    "ns": Fraction(1, 10**9),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART = rf"(\d+\.?\d*|\.\d+)({'|'.join(_SECONDS)})"
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_PART})+)", re.ASCII)


def duration(text: str) -> Fraction:
    """The seconds that a duration stands for.

    Raises:
        ValueError: it is none; a number needs a unit.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: a number needs a unit, as in 30m")
    total = sum((Fraction(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text)), Fraction(0))
    return -total if text.startswith("-") else total
