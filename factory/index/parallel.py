"""The same work on many things at once, in threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    jobs: int,
    stop: threading.Event | None = None,
) -> list[_Result]:
    """The function's results in the order of the items, at most ``jobs`` running at a time.

    An exception ends it: what has not begun never does, and ``stop`` is set for what has.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    try:
        return list(pool.map(function, items))
    finally:
        if stop is not None:
            stop.set()
        pool.shutdown(cancel_futures=True)
