"""Containers that a test starts: short commands, one in the background, and none that stays behind.

The engine's command line runs them, not testcontainers, which needs a service: with podman a daemon that
somebody has to start. What testcontainers does beyond that (waiting, removing) are the few lines here.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from factory.engine.engine import Engine, Operand, call_engine, remove_container
from factory.errors import EngineError, ImageTestError, ProgramError

# OpenShift runs images as some UID of group 0 without an entry in /etc/passwd. Below 65536: a rootless
# podman has no more of them.
ARBITRARY_USER = "54321:0"
# Its value is the process ID of the run, which shows whether a container is still in use.
CONTAINER_LABEL = "io.universal-image-factory.test"
_ENGINE_SECONDS = 60.0
# The engine's own statuses of `run`: it failed itself, the command cannot be run.
_ENGINE_FAILED = 125
_NO_CONTAINER = (_ENGINE_FAILED, 126)
_ENGINE_SAID = re.compile(r"^(?:Error: |docker: )", re.MULTILINE)
_NO_PROGRAM = "/the-factory-asks-for-a-program-that-is-not-there"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How a container is run. The defaults are the strictest that an image has to work under."""

    user: str | None = ARBITRARY_USER
    read_only: bool = True
    # Docker's default forbids running files in it, podman's does not.
    tmpfs: tuple[str, ...] = ("/tmp:rw,exec,nosuid,nodev,mode=1777",)  # noqa: S108 - in the container
    network: str = "none"
    environment: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()

    def arguments(self) -> tuple[str, ...]:
        """Return the engine's options."""
        words = ["--network", self.network, *(() if self.user is None else ("--user", self.user))]
        words += ["--read-only"] if self.read_only else []
        words += [word for place in self.tmpfs for word in ("--tmpfs", place)]
        words += [word for name, value in self.environment for word in ("--env", f"{name}={value}")]
        return (*words, *self.options)


STRICT = Conditions()
# As the entry point leaves them: a home to write in, and a name for the user. Bytecode goes where every
# process of the container finds it: an image without it would compile torch once for each.
WORKING = Conditions(
    environment=(
        ("HOME", "/tmp"),  # noqa: S108 - in the container
        ("USER", "user"),
        ("PYTHONPYCACHEPREFIX", "/tmp/bytecode"),  # noqa: S108 - in the container
    )
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command that has ended in a container: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """Both outputs, one below the other."""
        return "\n".join(text.rstrip() for text in (self.stdout, self.stderr) if text.strip())


@dataclass(frozen=True, kw_only=True)
class Background:
    """A container that runs in the background."""

    name: str
    containers: "Containers"

    def execute(
        self, command: Sequence[str], *, given: str | None = None, seconds: float = _ENGINE_SECONDS
    ) -> Ran:
        """Run a command in it, as its user; ``given`` is the command's input."""
        interactive = () if given is None else ("--interactive",)
        operands = [Operand.container(self.name)]
        return self.containers.engine_run(
            "exec", *interactive, operands=operands, arguments=command, given=given, seconds=seconds
        )

    def logs(self) -> str:
        """Return its output so far, both streams."""
        return self.containers.engine_run("logs", operands=[Operand.container(self.name)]).output

    def running(self) -> bool:
        """Return whether its first process still runs."""
        return self._state("{{.State.Running}}") == "true"

    def exit_code(self) -> int:
        """Return the exit status of its first process, which has ended."""
        return int(self._state("{{.State.ExitCode}}"))

    def signal(self, name: str) -> None:
        """Send a signal, such as ``SIGTERM``, to its first process."""
        self.containers.engine_run("kill", "--signal", name, operands=[Operand.container(self.name)])

    def _state(self, form: str) -> str:
        operands = [Operand.container(self.name)]
        asked = self.containers.engine_run("inspect", "--format", form, operands=operands)
        if asked.status != 0:
            raise ImageTestError(
                f"{self.containers.engine.kind} cannot inspect {self.name}: {asked.output.strip()}",
                solution="Look at whether something else removed the container, then run the test again.",
            )
        return asked.stdout.strip()


@dataclass
class Containers:
    """The containers of one image under test; the end of the block removes those that are left."""

    engine: Engine
    image: str
    _left: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in tuple(self._left):
            self.remove(name)

    def of(self, image: str) -> "Containers":
        """Return containers for another image; leftovers are removed with the rest."""
        return replace(self, image=image)

    def run(
        self,
        command: Sequence[str],
        *,
        conditions: Conditions = STRICT,
        entrypoint: str | None = None,
        given: str | None = None,
        seconds: float = _ENGINE_SECONDS,
    ) -> Ran:
        """Run a command in a container of its own, to its end.

        ``entrypoint`` replaces the image's; ``given`` is the command's input.

        Raises:
            ImageTestError: it took longer than ``seconds``, or the engine could not start it.
        """
        name = self._new_name()
        interactive = () if given is None else ("--interactive",)
        ran = self.engine_run(
            "run", "--rm", *interactive, *self._options(name, conditions, entrypoint),
            operands=[Operand.image(self.image)], arguments=command, given=given, seconds=seconds, name=name,
        )  # fmt: skip
        # A command may end with that status too, but then the engine prints nothing.
        if ran.status == _ENGINE_FAILED and _ENGINE_SAID.search(ran.stderr):
            raise ImageTestError(
                f"{self.engine.kind} could not run {self.image}: {ran.stderr.strip()}",
                solution=f"Make `{self.engine.kind} run --rm {self.image} true` work.",
            )
        return ran

    def require_start(self) -> None:
        """Check that the engine starts containers here, before every test blames the image.

        Raises:
            EngineError: it does not.
        """
        name = self._new_name()
        ran = self.engine_run(
            "run", "--rm", "--name", name, "--pull", "never", "--network", "none",
            "--entrypoint", _NO_PROGRAM, operands=[Operand.image(self.image)], name=name,
        )  # fmt: skip
        # A missing program (127) is found only in a container that could be made.
        if ran.status in _NO_CONTAINER:
            raise EngineError(
                f"{self.engine.kind} starts no container here: {ran.stderr.strip()}",
                solution=f"Make `{self.engine.kind} run --rm {self.image} true` work. If podman needs "
                "settings of this machine's own, CONTAINERS_CONF names their file.",
            )

    @contextmanager
    def background(
        self,
        command: Sequence[str] = (),
        *,
        conditions: Conditions = STRICT,
        entrypoint: str | None = None,
    ) -> Iterator[Background]:
        """Run a container while the block runs, and remove it at its end.

        Raises:
            ImageTestError: the engine could not start it.
        """
        name = self._new_name()
        options = self._options(name, conditions, entrypoint)
        operands = [Operand.image(self.image)]
        try:
            ran = self.engine_run(
                "run", "--detach", *options, operands=operands, arguments=command, name=name
            )
            if ran.status != 0:
                raise ImageTestError(
                    f"{self.engine.kind} could not start {self.image}: {ran.output.strip()}",
                    solution=f"Make `{self.engine.kind} run --rm {self.image} true` work.",
                )
            self._left.add(name)
            yield Background(name=name, containers=self)
        finally:
            self.remove(name)

    def engine_run(
        self,
        verb: str,
        *options: str,
        operands: Sequence[Operand],
        arguments: Sequence[str] = (),
        given: str | None = None,
        seconds: float = _ENGINE_SECONDS,
        name: str | None = None,
    ) -> Ran:
        """Run the engine, as `call_engine` does.

        The container ``name`` that this starts is removed if it does not end itself.
        """
        if name is not None:
            self._left.add(name)
        start = time.monotonic()
        try:
            finished = call_engine(
                self.engine,
                verb,
                *options,
                operands=operands,
                arguments=arguments,
                given=given,
                timeout=seconds,
            )
        except ProgramError as error:
            if time.monotonic() - start < seconds and not error.printed_too_much:
                raise
            if name is not None:
                self.remove(name)
            if error.printed_too_much:
                raise ImageTestError(
                    "it printed more than is kept and was stopped",
                    solution="Look at what it prints; run it by hand in the image to see it.",
                ) from None
            raise ImageTestError(
                f"it did not end within {seconds:.0f} seconds and was stopped",
                solution="Look at what it waits for; run it by hand in the image to see more.",
                out_of_time=True,
            ) from None
        if name is not None:
            self._left.discard(name)
        return Ran(
            status=finished.status,
            stdout=finished.stdout,
            stderr=finished.stderr,
            seconds=time.monotonic() - start,
        )

    def remove(self, name: str) -> None:
        """Remove one of these containers, whatever it does; a missing one is not an error."""
        start = time.monotonic()
        try:
            remove_container(self.engine, name, seconds=_ENGINE_SECONDS)
        except ProgramError:
            # An engine that hangs must not delay the report; the container's label says whose it was.
            if time.monotonic() - start < _ENGINE_SECONDS:
                raise
        finally:
            self._left.discard(name)

    def _options(self, name: str, conditions: Conditions, entrypoint: str | None) -> tuple[str, ...]:
        instead = () if entrypoint is None else ("--entrypoint", entrypoint)
        ours = ("--name", name, "--label", f"{CONTAINER_LABEL}={os.getpid()}", "--pull", "never")
        return (*ours, *conditions.arguments(), *instead)

    def _new_name(self) -> str:
        return f"factory-test-{os.urandom(6).hex()}"


# The devices of a driver, by accelerator.
_DEVICES = {"cuda": Path("/dev/nvidiactl"), "rocm": Path("/dev/kfd")}
_MAKERS = {"cuda": "NVIDIA", "rocm": "AMD"}


def missing_gpu(accelerator: str | None) -> str | None:
    """Return why no GPU test can run here for this accelerator; None if one can."""
    if accelerator == "cpu":
        return "the image is for the CPU"
    wanted = [accelerator] if accelerator in _DEVICES else list(_DEVICES)
    if any(_DEVICES[kind].exists() for kind in wanted):
        return None
    makers = " or ".join(_MAKERS[kind] for kind in wanted)
    return f"this machine has no {makers} GPU: {' and '.join(str(_DEVICES[kind]) for kind in wanted)} missing"


def gpu_options(engine: Engine, accelerator: str) -> tuple[str, ...]:
    """Return the engine's options that give a container every GPU of the machine.

    podman takes NVIDIA's from the Container Device Interface (``nvidia-ctk cdi generate``).
    """
    if accelerator == "rocm":
        return ("--device", "/dev/kfd", "--device", "/dev/dri", "--group-add", "video")
    if engine.kind == "docker":
        return ("--gpus", "all")
    return ("--device", "nvidia.com/gpu=all", "--security-opt", "label=disable")
