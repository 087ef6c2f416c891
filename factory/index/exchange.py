"""An answer that is waited for no longer than is right, and not at all once the work is stopped."""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator

import httpx

from factory.http.retry import TooSlowError
from factory.process import Stop

_LOOK_SECONDS = 0.1
_Outcome = httpx.Response | Exception | None


def answer_of(send: Callable[[], httpx.Response], *, seconds: float, stop: Stop) -> httpx.Response:
    """The response to a request, its body still to be read, within so many seconds.

    A client's own timeouts start again with each byte, so that a server which drips its header, or a
    name server that is silent, could hold a request for ever. So it is sent on a thread that can be
    left behind: it ends with its connection.

    Raises:
        TooSlowError: there is none yet.
        ProgramError: the work was stopped.
        httpx.HTTPError: as the client raises it.
    """
    answers: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_send, args=(send, answers, left), daemon=True, name="request").start()
    answered = False
    try:
        response = _awaited(answers, seconds, stop)
        answered = True
    finally:
        if not answered:
            left.set()
            with contextlib.suppress(queue.Empty):
                _close(answers.get_nowait())
    return response


@contextlib.contextmanager
def interruptible(response: httpx.Response, stop: Stop) -> Iterator[None]:
    """Reading the response's body in the block ends when the work is stopped: its connection is cut."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None

    def cut() -> None:
        # By the plain socket's method: a TLS socket's own would unwrap it under its reader.
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    with stop.calling(cut):
        yield


def _send(
    send: Callable[[], httpx.Response], answers: "queue.SimpleQueue[_Outcome]", left: threading.Event
) -> None:
    outcome: _Outcome = None
    try:
        outcome = send()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        outcome = error
    except (OSError, RuntimeError, ValueError) as error:
        # A client that is closed meanwhile raises RuntimeError.
        outcome = httpx.TransportError(str(error))
    finally:
        answers.put(outcome)
        if left.is_set():
            _close(outcome)


def _awaited(answers: "queue.SimpleQueue[_Outcome]", seconds: float, stop: Stop) -> httpx.Response:
    waited = 0.0
    while True:
        try:
            outcome = answers.get(timeout=min(_LOOK_SECONDS, max(seconds - waited, 0.001)))
        except queue.Empty:
            stop.check()
            waited += _LOOK_SECONDS
            if waited >= seconds:
                raise TooSlowError("too slow") from None
            continue
        if isinstance(outcome, httpx.Response):
            return outcome
        raise outcome or httpx.TransportError("no answer")


def _close(outcome: _Outcome) -> None:
    if isinstance(outcome, httpx.Response):
        outcome.close()
