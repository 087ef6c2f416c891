"""Measure strip on a Dockerfile of 500 lines, inside the process, against the bound of 5 milliseconds.

The reference reads the same text and joins its lines again, which any strip has to do at least.
"""

import statistics
import sys
import time
from collections.abc import Callable

from factory.downstream.blocks import strip_blocks

BOUND_SECONDS = 0.005
LINES = 500
ROUNDS = 200
BANNER = "#" * 80


def main() -> None:
    content = dockerfile()
    reference: Callable[[bytes], bytes] = lambda text: b"".join(text.splitlines(keepends=True))  # noqa: E731
    taken = [(timed(strip_blocks, content), timed(reference, content)) for _ in range(ROUNDS)]
    stripped, joined = (statistics.median(times) for times in zip(*taken, strict=True))
    print(f"{LINES} lines, {len(content)} bytes; median of {ROUNDS} runs that took turns")
    print(f"strip:                      {stripped * 1000:.3f} ms")
    print(f"splitting and joining only: {joined * 1000:.3f} ms")
    print(f"ratio to the bound:         {BOUND_SECONDS / stripped:.1f} times faster than 5 ms")
    print(f"ratio to the joining:       {stripped / joined:.1f} times its time")
    sys.exit(stripped > BOUND_SECONDS)


def dockerfile() -> bytes:
    """A Dockerfile of 500 lines, a quarter of them in ten MIDSTREAM ONLY blocks."""
    block = [BANNER, "# MIDSTREAM ONLY: packages", BANNER, "RUN dnf install -y \\"]
    block += [f"      package-{number} \\" for number in range(4)]
    block += ["    && true", BANNER, "# END MIDSTREAM ONLY", BANNER]
    outside = [f'ENV VARIABLE_{number}="a value of ordinary length" # {number}' for number in range(38)]
    lines = [line for _ in range(10) for line in (*block, *outside)]
    assert len(lines) == LINES, len(lines)
    return "\n".join((*lines, "")).encode()


def timed(function: Callable[[bytes], bytes], content: bytes) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    function(content)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
