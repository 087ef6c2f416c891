"""The input of a test: the image, its containers, and what other tests found already."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from factory.documents import parse_json
from factory.errors import DocumentError, ImageTestError
from factory.image_tests.container import (
    STRICT,
    WORKING,
    Background,
    Conditions,
    Containers,
    Ran,
    gpu_options,
)
from factory.image_tests.subject import BaseImage, ImageUnderTest

_INSIDE = "inside"
_SHOWN_CHARACTERS = 2000
_LONGEST_SECONDS = 3600.0


@dataclass
class Context:
    """One run of the tests of an image.

    ``deadline`` is when the current test must be done (`time.monotonic`); whatever it starts in a container
    ends by then.
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
        """Run a program of the image in a fresh container, past the image's entry point.

        An entry point may submit jobs, or train; only a test of the entry point uses it (`start`).
        ``given`` is the program's input; ``seconds`` may shorten the time.

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
        """Run a container of the image while the block runs, and remove it at its end.

        It starts through the image's entry point, or through ``entrypoint`` instead.

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
        """Run ``inside/SCRIPT`` with the image's Python, past its entry point, and return its answer.

        It runs once: a second test that asks the same under the same conditions gets the same answer.
        ``base``: run it in the base image, which the engine has (`Context.base`).

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

    def gpu_conditions(self) -> Conditions:
        """Return `WORKING` with every GPU of the machine."""
        # NCCL's processes meet in shared memory, of which engines give 64 MB.
        options = gpu_options(self.containers.engine, self.subject.accelerator or "cuda")
        return replace(WORKING, options=(*options, "--shm-size", "1g"))

    def time_left(self, seconds: float | None = None) -> float:
        """Return the seconds that the current test has left, at most ``seconds``.

        Raises:
            ImageTestError: it has none left.
        """
        left = min(self.deadline - time.monotonic(), _LONGEST_SECONDS if seconds is None else seconds)
        if left <= 0:
            raise ImageTestError(
                "its time was over", solution="Look at what takes so long in the image.", out_of_time=True
            )
        return left

    def wait(self, seconds: float = 0.2) -> None:
        """Pause before looking again; raises as `time_left` does."""
        time.sleep(min(seconds, self.time_left()))


def inside_script(name: str) -> str:
    """Return the text of a script that runs in an image (``image_tests/inside/NAME``)."""
    return (files(__package__) / _INSIDE / name).read_text(encoding="utf-8")


def document(ran: Ran, *, what: str) -> dict[str, Any]:
    """Return the JSON object in the last line of a command's output.

    Raises:
        ImageTestError: the command failed, or printed none.
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
    """Return the JSON objects in the output of several processes; each begins with ``key``.

    Raises:
        ImageTestError: one is not whole, as when two processes printed into each other's line.
    """
    found = []
    for text in re.findall(rf'{{"{key}".*?}}', output):
        answer = _object(text)
        if answer is None:
            raise ImageTestError(
                f"a process printed what is not a JSON object: {text[:_SHOWN_CHARACTERS]}",
                solution="Run it again: two processes may have printed into the same line.",
            )
        found.append(answer)
    return found


def _object(text: str) -> dict[str, Any] | None:
    try:
        return parse_json(text, dict[str, Any], source="a line of a process")
    except DocumentError:
        return None
