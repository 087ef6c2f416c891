"""The same work on several flavors at a time, of which one that fails does not hide the others."""

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from factory.errors import FactoryError
from factory.index.parallel import in_parallel
from factory.process import Stop

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def side_by_side(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, jobs: int | None
) -> list[_Result | FactoryError]:
    """The results, or why there is none, in the order of the items.

    An interruption ends the programs that run for them, and lets nothing more begin.

    Args:
        work: what is done with each, on a thread.
        items: what it is done with.
        jobs: how many at a time; as many as there are CPUs where it is None.
    """
    stop = Stop()

    def attempt(item: _Item) -> _Result | FactoryError:
        with stop.governing():
            try:
                stop.check()
                return work(item)
            except FactoryError as error:
                return error

    return in_parallel(attempt, items, jobs=jobs or os.cpu_count() or 1, stop=stop)
