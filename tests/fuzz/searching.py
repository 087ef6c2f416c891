"""Search for a counterexample until a time is over: `@searched(strategy…)` on a check of one input."""

import os
import random
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy, tuples

SECONDS_VARIABLE = "FACTORY_FUZZ_SECONDS"
_EXAMPLES_A_ROUND = 500


def searched(
    *strategies: SearchStrategy[object], examples: int = _EXAMPLES_A_ROUND
) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Turn a check of one input into a test that tries inputs for FACTORY_FUZZ_SECONDS seconds.

    Each round has a seed of its own, which hypothesis prints with the counterexample it found.
    """

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        def search() -> None:
            end = time.monotonic() + float(os.environ[SECONDS_VARIABLE])
            tried = 0

            def counted(case: tuple[object, ...]) -> None:
                nonlocal tried
                tried += 1
                check(*case)

            while time.monotonic() < end:
                limits = settings(
                    max_examples=examples,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                )
                seed(random.getrandbits(64))(limits(given(tuples(*strategies))(counted)))()
            sys.stderr.write(f"{check.__name__}: {tried} inputs tried\n")

        search.__name__ = check.__name__
        search.__doc__ = check.__doc__
        return search

    return decorate
