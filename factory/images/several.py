"""Do the same work on several images: parents first, and none whose parent failed."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Generic, TypeVar

from factory.errors import FactoryError
from factory.images.catalogue import Catalogue
from factory.images.definitions import ImageDefinition
from factory.process import Cancellation

_Work = TypeVar("_Work")


@dataclass(frozen=True, kw_only=True)
class Turn(Generic[_Work]):
    """The outcome of one image: its result, an error, or the parent whose failure stopped it."""

    name: str
    result: _Work | None = None
    error: FactoryError | None = None
    stopped_by: str | None = None

    @property
    def reason(self) -> str:
        """Say why there is no result; empty if there is one."""
        if self.stopped_by is not None:
            return f"its parent {self.stopped_by} failed"
        return self.error.reason if self.error is not None else ""


def ancestors(catalogue: Catalogue, definitions: Iterable[ImageDefinition]) -> dict[str, tuple[str, ...]]:
    """Return those of each image's ancestors that are among the images, the images parents first.

    Raises:
        SpecError: a parent's spec or settings are not acceptable.
    """
    chosen = {definition.name: definition for definition in definitions}
    known = dict(chosen)
    graph: dict[str, tuple[str, ...]] = {}
    waiting = list(chosen)
    while waiting:
        name = waiting.pop()
        if name not in graph:
            definition = known.setdefault(name, chosen.get(name) or catalogue.definition(name))
            graph[name] = tuple(parent.image for parent in definition.own_parents)
            waiting += graph[name]
    above: dict[str, tuple[str, ...]] = {}
    for name in TopologicalSorter({name: graph[name] for name in sorted(graph)}).static_order():
        found = (each for parent in graph[name] for each in (*above[parent], parent))
        above[name] = tuple(dict.fromkeys(found))
    return {name: tuple(each for each in above[name] if each in chosen) for name in above if name in chosen}


def take_turns(
    order: Mapping[str, tuple[str, ...]],
    work: Callable[[str], _Work],
    *,
    jobs: int = 1,
    failed: Callable[[_Work], bool] = lambda _: False,
) -> tuple[Turn[_Work], ...]:
    """Do the work for each image once its ancestors are done, and return the outcomes in the given order.

    An image is not begun if one of its ancestors failed; the others go on. An interruption ends what runs.

    Args:
        order: The images, each with its ancestors among them.
        work: Does it for the image of a name; a `FactoryError` becomes its outcome.
        jobs: At most so many at a time.
        failed: Returns whether a result stops the image's children.
    """
    waiting = TopologicalSorter(order)
    waiting.prepare()
    turns: dict[str, Turn[_Work]] = {}
    bad: set[str] = set()
    running: dict[Future[_Work], str] = {}
    stop, pool = Cancellation(), ThreadPoolExecutor(max_workers=max(1, jobs))
    ended = False
    try:
        while waiting.is_active():
            for name in sorted(waiting.get_ready(), key=list(order).index):
                if (above := next((each for each in order[name] if each in bad), None)) is not None:
                    turns[name] = Turn(name=name, stopped_by=above)
                    waiting.done(name)
                else:
                    running[_begin(pool, stop, work, name)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                name = running.pop(future)
                turns[name] = turn = _turn(name, future)
                if turn.error is not None or (turn.result is not None and failed(turn.result)):
                    bad.add(name)
                waiting.done(name)
        ended = True
    finally:
        if not ended:
            stop.stop()
        pool.shutdown(cancel_futures=True)
    return tuple(turns[name] for name in order)


def _begin(
    pool: ThreadPoolExecutor, stop: Cancellation, work: Callable[[str], _Work], name: str
) -> "Future[_Work]":
    # A new thread has an empty context.
    context = copy_context()

    def within() -> _Work:
        with stop.active():
            stop.check()
            return work(name)

    return pool.submit(context.run, within)


def _turn(name: str, future: "Future[_Work]") -> Turn[_Work]:
    """Return the outcome of work that has ended; an error that is not the factory's is raised."""
    error = future.exception()
    if error is None:
        return Turn(name=name, result=future.result())
    if not isinstance(error, FactoryError):
        raise error
    return Turn(name=name, error=error)
