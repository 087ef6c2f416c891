"""Reads Kubernetes' quantities exactly: ``500m``, ``1Gi``, ``2G``, ``1e3``."""

import re
from fractions import Fraction

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[A-Za-z]*|[eE][+-]?\d+)")
_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


def quantity(text: str | float) -> Fraction:
    """The number that a quantity stands for.

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    suffix = match["suffix"]
    if suffix in _SUFFIXES:
        return Fraction(match["number"]) * _SUFFIXES[suffix]
    if not re.fullmatch(r"[eE][+-]?\d+", suffix):
        raise ValueError(f"{text!r} is no quantity: {suffix!r} is no suffix")
    return Fraction(match["number"]) * Fraction(10) ** int(suffix[1:])
