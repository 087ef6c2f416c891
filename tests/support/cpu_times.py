"""How much processor time each test takes, with all that it starts: ``FACTORY_TEST_CPU=FILE make test``.

Wall time says little on a machine that does other things as well. Containers outlive the podman that started
them and would be counted nowhere, so this process adopts what loses its parent. The file gets a line for each
part of a test as it ends (seconds, part, test), the terminal the longest at the end.
"""

import os
import resource
from collections import Counter
from collections.abc import Iterator
from ctypes import CDLL
from pathlib import Path

import pytest

_SET_CHILD_SUBREAPER = 36  # prctl(2)
_SHOWN = 40
# What podman leaves behind to watch a container.
_WATCHERS = frozenset({"conmon", "runc", "crun"})


class CpuTimes:
    """The plugin; `pytest_configure` of the root's conftest registers it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._sums: Counter[str] = Counter()
        self._last = _seconds()
        CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        """Count the collection as one."""
        yield
        self._count("collection", "all tests")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Count what a test's fixtures take: those of many tests count for the first."""
        try:
            yield
        finally:
            self._count("setup", item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count the test itself."""
        try:
            yield
        finally:
            self._count("call", item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Count what its fixtures take at the end."""
        try:
            yield
        finally:
            self._count("teardown", item.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the longest."""
        terminalreporter.section(f"processor time: {sum(self._sums.values()):.0f} s")
        for name, seconds in self._sums.most_common(_SHOWN):
            terminalreporter.write_line(f"{seconds:8.2f} s {name}")

    def _count(self, part: str, name: str) -> None:
        _reap()
        now = _seconds()
        used, self._last = now - self._last, now
        self._sums[f"{part} {name}"] += used  # type: ignore[assignment]
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{used:.2f} {part} {name}\n")


def _seconds() -> float:
    """The time of this process and of all its children that have ended."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _reap() -> None:
    """Take the time of adopted processes that have ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state == "Z" and name in _WATCHERS:
            os.waitid(os.P_PID, int(path.parent.name), os.WEXITED)
