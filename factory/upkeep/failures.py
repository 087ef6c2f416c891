"""Flavors that a chore could not be done in, in words."""

from collections.abc import Iterable
from typing import Protocol

from factory.errors import FactoryError


class Outcome(Protocol):
    """What became of a flavor; ``error`` is None where nothing went wrong."""

    @property
    def flavor(self) -> str:
        """Its name."""

    @property
    def error(self) -> FactoryError | None:
        """Why it could not be done."""


def failures(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """The errors in full, each under its flavor's name."""
    return tuple(
        f"error: {outcome.flavor}: {outcome.error.reason}\n  what to do: {outcome.error.solution}"
        for outcome in outcomes
        if outcome.error
    )
