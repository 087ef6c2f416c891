"""Do the same work on many things at once, in threads."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from factory.errors import FactoryError
from factory.process import Cancellation

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    jobs: int,
    stop: Cancellation | None = None,
) -> list[_Result]:
    """Return the function's results in the order of the items, at most ``jobs`` at a time.

    An exception ends it: items that have not begun never do, and ``stop`` ends those that have. The
    cancellation of the calling thread (`factory.process.current_cancellation`) is active in these too.
    """
    # A new thread has an empty context, without the caller's cancellation.
    context = copy_context()

    def within(item: _Item) -> _Result:
        return context.copy().run(function, item)

    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    done = False
    try:
        results = list(pool.map(within, items))
        done = True
    finally:
        if stop is not None and not done:
            stop.stop()
        pool.shutdown(cancel_futures=True)
    return results


def attempt_in_parallel(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    jobs: int | None,
    stop: Cancellation | None = None,
) -> list[_Result | FactoryError]:
    """Return the results, or the errors in their place, in the order of the items.

    An interruption ends the programs that run for them, and nothing more begins. ``jobs`` None: as many at a
    time as there are CPUs. ``stop``: the cancellation of several calls that share connections.
    """
    ending = stop or Cancellation()

    def attempt(item: _Item) -> _Result | FactoryError:
        with ending.active():
            try:
                ending.check()
                return function(item)
            except FactoryError as error:
                return error

    return in_parallel(attempt, items, jobs=jobs or os.cpu_count() or 1, stop=ending)
