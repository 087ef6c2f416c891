"""The only place that starts another program."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import ProgramError


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that has ended: its exit status and what it printed (empty where it was streamed)."""

    arguments: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def run(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stream: bool = False,
    accept_failure: bool = False,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end.

    Args:
        arguments: the program and its arguments; no shell is involved.
        cwd: the folder to run in.
        environment: the whole environment; the caller's own where it is None.
        stream: let both outputs through to standard error, so that standard output stays for results.
        accept_failure: return a non-zero status instead of raising.
        timeout: seconds after which the program is killed.

    Raises:
        ProgramError: the program is not there, failed, or ran past the timeout.
    """
    words = tuple(os.fspath(argument) for argument in arguments)
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=2 if stream else subprocess.PIPE,
            stderr=None if stream else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProgramError(
            f"{words[0]} could not be started: {error.strerror}",
            solution=f"Install {Path(words[0]).name}, or put it on PATH.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ProgramError(
            f"{words[0]} did not end within {timeout:.0f} seconds and was stopped",
            solution="Run it again; if it hangs again, look at what it waits for.",
        ) from error
    finished = Finished(
        arguments=words, status=done.returncode, stdout=done.stdout or "", stderr=done.stderr or ""
    )
    if finished.status != 0 and not accept_failure:
        raise ProgramError(
            f"{Path(words[0]).name} ended with status {finished.status}{_last_words(finished)}",
            solution=f"Run it by hand to see more: {' '.join(words)}",
        )
    return finished


def _last_words(finished: Finished) -> str:
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    return ":\n" + "\n".join(lines[-15:]) if lines else ""
