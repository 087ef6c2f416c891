"""The same work on many things at once, in threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from factory.process import Stop

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    jobs: int,
    stop: Stop | None = None,
) -> list[_Result]:
    """The function's results in the order of the items, at most ``jobs`` running at a time.

    An exception ends it: what has not begun never does, and ``stop`` ends what has. What governs the
    calling thread (`factory.process.governor`) governs these as well.
    """
    # A thread begins with an empty context, in which nobody would stop what it waits for.
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
