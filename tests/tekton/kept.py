"""How a Kubernetes API server writes what Go has a type for: durations and quantities.

A server reads `15m` into a time.Duration and gives `15m0s` back. A GitOps tool compares the two texts, and
shows a difference that nobody can remove. https://pkg.go.dev/time#Duration.String and
https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity say how each is written.
"""

from collections.abc import Iterator
from fractions import Fraction

from tekton.durations import duration
from tekton.semantic.quantity import quantity

_TIMEOUTS = ("pipeline", "tasks", "finally")
_BINARY = tuple(
    zip(("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"), (2**power for power in range(60, 0, -10)), strict=True)
)
_DECIMAL = (("E", 10**18), ("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))


def duration_text(seconds: Fraction) -> str:
    """Return a duration of whole seconds as Go's time.Duration prints it: `15m0s`, `1h30m0s`, `0s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def quantity_text(text: str) -> str:
    """Return a quantity in its canonical form: the largest suffix that leaves a whole number."""
    amount = quantity(text)
    if text.endswith("i"):
        return next(
            (f"{amount / size}{suffix}" for suffix, size in _BINARY if not amount % size), str(amount)
        )
    if amount % 1:
        return f"{amount * 1000}m"
    return next((f"{amount / size}{suffix}" for suffix, size in _DECIMAL if not amount % size), str(amount))


def timeouts(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every duration of an object or a fragment of one, with where it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "timeout" and isinstance(value, str):
                yield f"{path}.{key}", value
            elif key == "timeouts" and isinstance(value, dict):
                yield from ((f"{path}.{key}.{name}", value[name]) for name in _TIMEOUTS if name in value)
            else:
                yield from timeouts(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, each in enumerate(node):
            yield from timeouts(each, f"{path}[{place}]")


def quantities(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every quantity that is requested or a limit, with where it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"requests", "limits"} and isinstance(value, dict):
                yield from ((f"{path}.{key}.{name}", str(amount)) for name, amount in value.items())
            else:
                yield from quantities(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, each in enumerate(node):
            yield from quantities(each, f"{path}[{place}]")


def differences(node: object) -> list[str]:
    """Return what a server would give back in other words, each with where it is and what it would be."""
    found = [(path, text, duration_text(duration(text))) for path, text in timeouts(node)]
    found += [(path, text, quantity_text(text)) for path, text in quantities(node)]
    return [f"{path}: {text} is kept as {kept}" for path, text, kept in found if text != kept]
