"""What the function of a test is given: the image, its containers, and what other tests found out already."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from factory.documents import parse_json
from factory.errors import DocumentError, ImageTestError
from factory.image_tests.container import STRICT, Background, Conditions, Containers, Ran
from factory.image_tests.subject import BaseImage, ImageUnderTest

_INSIDE = "inside"
_SHOWN_CHARACTERS = 2000
_LONGEST_SECONDS = 3600.0


@dataclass
class Context:
    """One run of the tests of an image.

    ``deadline`` is when the present test has to be done (`time.monotonic`); whatever it starts in a
    container ends by then.
    """

    subject: ImageUnderTest
    containers: Containers
    base: BaseImage | None = None
    deadline: float = math.inf
    _known: dict[tuple[object, ...], dict[str, Any]] = field(default_factory=dict)

    def run(
        self,
        program: str,
        *arguments: str,
        conditions: Conditions = STRICT,
        given: str | None = None,
        seconds: float | None = None,
    ) -> Ran:
        """Run a program of the image in a fresh container, to its end, past the image's entry point.

        An entry point may submit jobs, or train. Only what tests it itself goes through it (`start`).
        ``given`` is what the program reads; ``seconds`` may shorten the time.

        Raises:
            ImageTestError: it did not end in time, or the engine could not start it.
        """
        return self.containers.run(
            arguments, conditions=conditions, entrypoint=program, given=given, seconds=self.time_left(seconds)
        )

    def start(self, *command: str, conditions: Conditions = STRICT) -> Ran:
        """Run a command in a fresh container, to its end, through the image's entry point.

        Raises:
            ImageTestError: it did not end in time, or the engine could not start it.
        """
        return self.containers.run(command, conditions=conditions, seconds=self.time_left())

    @contextmanager
    def background(
        self, *command: str, conditions: Conditions = STRICT, entrypoint: str | None = None
    ) -> Iterator[Background]:
        """A container of the image that runs while the block does; removed at its end.

        It is started through the image's entry point, or through ``entrypoint`` instead.

        Raises:
            ImageTestError: the engine could not start it.
        """
        with self.containers.background(command, conditions=conditions, entrypoint=entrypoint) as background:
            yield background

    def probe(
        self,
        script: str,
        *arguments: str,
        conditions: Conditions = STRICT,
        base: bool = False,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """What ``inside/SCRIPT`` tells when the image's Python runs it, without the image's entry point.

        Asked once: a second test that asks the same under the same conditions gets the same answer.
        ``base``: in the base image, which is at hand (`Context.base`).

        Raises:
            ImageTestError: it did not end in time, failed, or printed no JSON object.
        """
        key = (script, arguments, conditions, base)
        if key not in self._known:
            self._known[key] = self._probe(script, arguments, conditions, base=base, seconds=seconds)
        return self._known[key]

    def _probe(
        self,
        script: str,
        arguments: Sequence[str],
        conditions: Conditions,
        *,
        base: bool,
        seconds: float | None,
    ) -> dict[str, Any]:
        containers = (
            self.containers.of(self.base.image_id) if base and self.base is not None else self.containers
        )
        ran = containers.run(
            ("-", *arguments),
            conditions=conditions,
            entrypoint="python3",
            given=inside_script(script),
            seconds=self.time_left(seconds),
        )
        return document(ran, what=script)

    def time_left(self, seconds: float | None = None) -> float:
        """The seconds that the present test has, at most so many.

        Raises:
            ImageTestError: it has none.
        """
        left = min(self.deadline - time.monotonic(), _LONGEST_SECONDS if seconds is None else seconds)
        if left <= 0:
            raise ImageTestError(
                "its time was over", solution="Look at what takes so long in the image.", out_of_time=True
            )
        return left

    def wait(self, seconds: float = 0.2) -> None:
        """Pause, to look again afterwards; raises as `time_left` does."""
        time.sleep(min(seconds, self.time_left()))


def inside_script(name: str) -> str:
    """The text of a script that runs in an image (``image_tests/inside/NAME``)."""
    return (files(__package__) / _INSIDE / name).read_text(encoding="utf-8")


def document(ran: Ran, *, what: str) -> dict[str, Any]:
    """The JSON object that a command printed as the last line of its output.

    Raises:
        ImageTestError: it failed, or printed none.
    """
    problem = f"{what} ended with status {ran.status} in the image"
    if ran.status == 0:
        found = _object(ran.stdout.strip().rpartition("\n")[2])
        if found is not None:
            return found
        problem = f"{what} printed no JSON object in the image"
    raise ImageTestError(
        f"{problem}: {ran.output[-_SHOWN_CHARACTERS:] or 'it printed nothing'}",
        solution="See whether the image's python3 works: it runs the factory's scripts, from standard input.",
    )


def documents(output: str, *, key: str) -> list[dict[str, Any]]:
    """The JSON objects among what several processes printed; ``key`` is what each of them begins with.

    Raises:
        ImageTestError: one is not whole, such as where two processes printed into each other's line.
    """
    found = []
    for text in re.findall(rf'{{"{key}".*?}}', output):
        told = _object(text)
        if told is None:
            raise ImageTestError(
                f"a process printed what is no JSON object: {text[:_SHOWN_CHARACTERS]}",
                solution="Run it again: two processes may have printed into the same line.",
            )
        found.append(told)
    return found


def _object(text: str) -> dict[str, Any] | None:
    try:
        return parse_json(text, dict[str, Any], source="a line of a process")
    except DocumentError:
        return None
