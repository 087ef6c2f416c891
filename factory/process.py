"""The only place that starts another program."""

import os
import select
import selectors
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from factory.errors import ProgramError

# Seconds between SIGTERM and SIGKILL.
_GRACE_SECONDS = 3.0
_MAX_LINE_CHARACTERS = 1 << 16
_PIPE_BYTES = 1 << 16
# Of both outputs of a program together: more than any list, report or log has. A program in an image may
# print without end.
_MAX_OUTPUT_BYTES = 1 << 27


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that has ended: its exit status and its output, which is empty if each line was passed on."""

    arguments: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class Cancellation:
    """Cancel the work of other threads: end the programs that they run, and refuse the next step."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._calls: dict[object, Callable[[], None]] = {}
        self._stopped = threading.Event()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make `stop` end what this thread starts in the block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def stop(self) -> None:
        """End what runs (SIGTERM) and let nothing else start. Safe to call twice."""
        with self._guard:
            self._stopped.set()
            for process in self._running:
                process.terminate()
            for call in self._calls.values():
                call()

    @property
    def stopped(self) -> bool:
        """Return whether the work was cancelled."""
        return self._stopped.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, but at most until the work is cancelled.

        Raises:
            ProgramError: the work was cancelled.
        """
        self._stopped.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, end: Callable[[], None]) -> Iterator[None]:
        """Make `stop` call ``end``, which must be quick, while this thread waits in the block."""
        key = object()
        with self._guard:
            self._calls[key] = end
            if self.stopped:
                end()
        try:
            yield
        finally:
            with self._guard:
                del self._calls[key]

    def check(self) -> None:
        """Raise an error if the work was cancelled.

        Raises:
            ProgramError: the work was cancelled.
        """
        if self.stopped:
            raise ProgramError("the run was interrupted", solution="Run it again.")

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        """Add a program to end; if the work is already cancelled, end it now."""
        with self._guard:
            self._running.add(process)
            if self.stopped:
                process.terminate()

    def remove(self, process: "subprocess.Popen[bytes]") -> None:
        """Forget a program that has ended."""
        with self._guard:
            self._running.discard(process)


_CURRENT: ContextVar[Cancellation | None] = ContextVar("current_cancellation", default=None)


def current_cancellation() -> Cancellation:
    """Return the cancellation that is active in this thread, or one that nobody triggers."""
    return _CURRENT.get() or Cancellation()


def run(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    each_line: Callable[[str], None] | None = None,
    accept_failure: bool = False,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end; it does not outlive an interruption of this call.

    Args:
        arguments: the program and its arguments; no shell is involved.
        cwd: the folder to run in.
        environment: the whole environment; the caller's own if None.
        given: its standard input; empty if None.
        each_line: is called, in another thread, with each line of both outputs as it comes; then they are not
            part of what is returned.
        accept_failure: return a non-zero status instead of raising.
        timeout: seconds after which the program is ended.

    Raises:
        ProgramError: the program is missing, failed, exceeded the timeout, printed more than is kept, or was
            cancelled (`Cancellation`).
    """
    words = tuple(os.fspath(argument) for argument in arguments)
    stop = current_cancellation()
    stop.check()
    with (
        nullcontext(subprocess.PIPE) if each_line is None else _passed_to(each_line) as output,
        _started(words, cwd, environment, output=output, reads=given is not None) as process,
        _in_charge(stop, process),
    ):
        try:
            stdout, stderr = _communicated(process, given, timeout)
        except subprocess.TimeoutExpired as error:
            raise ProgramError(
                f"{words[0]} did not end within {timeout:.0f} seconds and was stopped",
                solution="Run it again; if it hangs again, look at what it waits for.",
            ) from error
        except _OutputError as error:
            raise ProgramError(
                f"{words[0]} printed more than {_MAX_OUTPUT_BYTES:,} bytes and was stopped",
                solution="Run it by hand to see what it prints.",
                printed_too_much=True,
            ) from error
    stop.check()
    finished = Finished(arguments=words, status=process.returncode, stdout=stdout, stderr=stderr)
    if finished.status != 0 and not accept_failure:
        raise ProgramError(
            f"{Path(words[0]).name} ended with status {finished.status}{_last_words(finished)}",
            solution=f"Run it by hand to see more: {shlex.join(words)}",
        )
    return finished


class _OutputError(Exception):
    """A program prints more than is kept."""


def _communicated(
    process: "subprocess.Popen[bytes]", given: str | None, timeout: float | None
) -> tuple[str, str]:
    """Send a program its input and return its output, like a bounded `Popen.communicate`.

    Raises:
        subprocess.TimeoutExpired: it, or a program that it left with its outputs open, has not ended.
        _OutputError: it prints more than is kept.
    """
    until = None if timeout is None else time.monotonic() + timeout
    left = memoryview((given or "").encode())
    reading = None if process.stdin is None else process.stdin.fileno()
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, output in ((process.stdout, stdout), (process.stderr, stderr)):
            if pipe is not None:
                selector.register(pipe.fileno(), selectors.EVENT_READ, output)
        if reading is not None:
            selector.register(reading, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select(_left(process, until)):
                if key.fd == reading:
                    block = left = left[_written(key.fd, left) :]
                else:
                    block = memoryview(os.read(key.fd, _PIPE_BYTES))
                    key.data.extend(block)
                if not block:
                    selector.unregister(key.fd)
                if not block and key.fd == reading and process.stdin is not None:
                    process.stdin.close()
            if len(stdout) + len(stderr) > _MAX_OUTPUT_BYTES:
                raise _OutputError
    process.wait(_left(process, until))
    return _text(stdout), _text(stderr)


def _left(process: "subprocess.Popen[bytes]", until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise subprocess.TimeoutExpired(process.args, 0)
    return left


def _written(descriptor: int, content: memoryview) -> int:
    """Write a part of a program's input; all of it counts if the program stops reading."""
    try:
        # As much as a pipe that can be written to takes without waiting.
        return os.write(descriptor, content[: select.PIPE_BUF])
    except BrokenPipeError:
        return len(content)


def _text(output: bytearray) -> str:
    text = output.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def _passed_to(each_line: Callable[[str], None]) -> Iterator[int]:
    """Yield a descriptor; each line that a program writes to it is passed on as it comes.

    A program that it started and left may hold the descriptor open, so the wait for the rest is short.
    """
    reading, writing = os.pipe()
    reader = threading.Thread(target=_pass_on, args=(reading, each_line), daemon=True)
    reader.start()
    try:
        yield writing
    finally:
        os.close(writing)
        reader.join(_GRACE_SECONDS)


def _pass_on(descriptor: int, each_line: Callable[[str], None]) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
        # A line without an end is passed on in parts.
        while line := lines.readline(_MAX_LINE_CHARACTERS):
            # What takes the line may fail, or be closed; the program must not wait for it.
            with suppress(OSError, ValueError):
                each_line(line)


def _started(
    words: tuple[str, ...],
    cwd: Path | None,
    environment: Mapping[str, str] | None,
    *,
    output: int,
    reads: bool,
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
            bufsize=0,
        )
    except FileNotFoundError as error:
        raise ProgramError(
            f"{words[0]} could not be started: {error.strerror}",
            solution=f"Install {Path(words[0]).name}, or put it on PATH.",
        ) from error
    except OSError as error:
        # Such as arguments that are too long (E2BIG), or a program of another machine.
        raise ProgramError(
            f"{words[0]} could not be started: {error.strerror}",
            solution=f"Look at {words[0]}, and at the memory and the limits of this machine (ulimit -a).",
        ) from error


@contextmanager
def _in_charge(stop: Cancellation, process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End the program if the block ends first, by a timeout or an interruption."""
    stop.add(process)
    try:
        yield
    finally:
        stop.remove(process)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _last_words(finished: Finished) -> str:
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    return ":\n" + "\n".join(lines[-15:]) if lines else ""
