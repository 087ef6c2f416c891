"""The standard tests of an image at work: JupyterLab with a notebook, torchrun, SIGTERM, IPv6 alone."""

import json
import re
import secrets
import time
from dataclasses import replace

from factory.image_tests.container import ARBITRARY_USER, Background, Conditions
from factory.image_tests.context import Context, document, documents, inside_script
from factory.image_tests.definition import Result, failed, judged, passed, skipped
from factory.image_tests.importing import WORKING
from factory.image_tests.outcome import Finding
from factory.image_tests.starting import own_entrypoint

# The bytecode that the first of several processes makes serves the others.
_COMMAND = replace(WORKING, environment=WORKING.environment[-1:])
# What Kubernetes gives a pod to end (terminationGracePeriodSeconds), and a status that nothing gives by
# chance.
GRACE_SECONDS = 30.0
_STOPPED = 42
_PORT = 8888
_PROCESSES = 2
# As root of its own network, for as long as it takes to take the addresses away (inside/ipv6.py). Not with a
# read-only root: podman then mounts /etc/hosts so, too.
_IPV6 = Conditions(
    user="0:0",
    read_only=False,
    environment=_COMMAND.environment,
    options=("--cap-add", "NET_ADMIN", "--hostname", "ipv6-only"),
)
_CANNOT = 77


def notebook(context: Context) -> Result:
    """JupyterLab answers, runs a cell of a notebook, saves it, and ends when SIGTERM comes."""
    if (entry := own_entrypoint(context)) is not None:
        return skipped(entry)
    token = secrets.token_hex(16)
    arguments = (("NOTEBOOK_ARGS", f"--ServerApp.token={token}"), *_COMMAND.environment)
    with context.background(conditions=replace(_COMMAND, environment=arguments)) as workbench:
        seconds = context.time_left()
        ran = workbench.execute(
            ("python3", "-", f"http://127.0.0.1:{_PORT}", token, f"{seconds * 0.8:.0f}"),
            given=inside_script("notebook.py"),
            seconds=seconds,
        )
        told = document(ran, what="notebook.py")
        ended = None if told["problem"] else _ended(workbench, _stop(context, workbench), status=0)
        logs = workbench.logs().replace(token, "TOKEN")
    if told["problem"]:
        finding = Finding(
            subject=f"JupyterLab: {told['step']}",
            problem=told["problem"],
            fix="Read its output; start the image without a command, and try the same in a browser.",
        )
        return failed(f"it went wrong where {told['step']}", finding, output=logs)
    findings = []
    if not told["lab"]:
        findings.append(
            Finding(
                subject="/lab", problem="is not JupyterLab's page", fix="Install jupyterlab in the image."
            )
        )
    printed = [output.get("text") for output in told["outputs"]]
    if "42\n" not in printed:
        problem = f"the cell that prints 42 gave {json.dumps(told['outputs'])[:300]}"
        findings.append(Finding(subject="kernel", problem=problem, fix="Look at ipykernel in the image."))
    if not told["saved"]:
        findings.append(
            Finding(
                subject="notebook",
                problem="it was saved and came back different",
                fix="Look at the contents manager in Jupyter's settings.",
            )
        )
    findings += ended.findings if ended else ()
    summary = f"jupyter_server {told['server']}, kernel {told['kernel']}, {told['seconds']:.1f} s"
    summary += f"; {ended.output}" if ended else ""
    return judged(tuple(findings), "a notebook cannot be used as it has to be", output=f"{summary}\n{logs}")


def torchrun(context: Context) -> Result:
    """With torchrun two processes on gloo add up what both have, and end when SIGTERM comes."""
    program, *words = _torchrun("--standalone", waiting=True)
    # An entry point that takes arguments, such as a trainer's torchrun, would be given a second one.
    entry = program if own_entrypoint(context) else None
    command = words if entry else (program, *words)
    with context.background(*command, conditions=_COMMAND, entrypoint=entry) as training:
        if not _ready(context, training, _PROCESSES):
            return _not_reduced(training.logs(), f"ended with status {training.exit_code()}")
        reduced = _reduced(training.logs())
        return reduced if reduced.status != "passed" else _stops(context, training, _PROCESSES, status=None)


def stops_command(context: Context) -> Result:
    """SIGTERM reaches the command of a training container, which is its first process."""
    if (entry := own_entrypoint(context)) is not None:
        return skipped(entry)
    command = ("python3", "-c", inside_script("stop.py"))
    with context.background(*command, conditions=_COMMAND) as training:
        if not _ready(context, training, 1):
            finding = Finding(subject=command[0], problem="ended by itself", fix="Read its output.")
            return failed("it does not run", finding, output=training.logs())
        return _stops(context, training, 1, status=_STOPPED)


def ipv6(context: Context) -> Result:
    """Processes of torchrun meet, and JupyterLab answers, where there is no IPv4 address at all."""
    entry = () if own_entrypoint(context) else context.subject.configuration.entrypoint
    through = ("-c", inside_script("ipv6.py"), *ARBITRARY_USER.split(":"))
    command = _torchrun("--rdzv_backend=c10d", "--rdzv_endpoint=[::1]:29400")
    ran = context.run("python3", *through, *entry, *command, conditions=_IPV6)
    if ran.status == _CANNOT:
        return skipped(f"the engine's machine cannot: {ran.stdout.strip()}")
    reduced = _reduced(ran.output)
    if reduced.status != "passed" or own_entrypoint(context):
        return reduced
    with context.background(*through, *entry, conditions=_IPV6, entrypoint="python3") as workbench:
        answer = _answer(context, workbench, f"http://[::1]:{_PORT}/api")
        logs = workbench.logs()
    if answer == 0:
        finding = Finding(
            subject="JupyterLab",
            problem=f"does not answer at [::1]:{_PORT}",
            cause="It listens on an IPv4 address.",
            fix="Give --ServerApp.ip the empty text, which is every address of both kinds.",
        )
        return failed("JupyterLab needs IPv4", finding, output=logs)
    return passed(f"{reduced.output}\nJupyterLab at [::1]:{_PORT} answered with {answer}\n{logs}")


def _torchrun(*options: str, waiting: bool = False) -> tuple[str, ...]:
    script = inside_script("reduce.py") + (inside_script("stop.py") if waiting else "")
    return ("torchrun", f"--nproc_per_node={_PROCESSES}", *options, "--no-python", "python3", "-c", script)


def _reduced(logs: str) -> Result:
    wanted = float(sum(range(1, _PROCESSES + 1)))
    told = documents(logs, key="rank")
    ranks = sorted(one["rank"] for one in told if one["sum"][0] == wanted)
    if ranks == list(range(_PROCESSES)):
        return passed(logs)
    return _not_reduced(logs, f"the ranks {ranks} of {_PROCESSES} had the sum")


def _not_reduced(logs: str, problem: str) -> Result:
    errors = re.findall(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception)\b:.*)", logs, re.MULTILINE)
    finding = Finding(
        subject="torchrun",
        problem=problem,
        cause=errors[0] if errors else "",
        fix="Read its output; the processes find each other at the address that torchrun was given, "
        "and gloo at that of the host's name (GLOO_SOCKET_IFNAME chooses another).",
    )
    return failed("the processes did not add up", finding, output=logs)


def _ready(context: Context, training: Background, processes: int) -> bool:
    """Wait until so many processes wait for a signal; False where the container ended instead."""
    while len(re.findall(r"^ready \d+$", training.logs(), re.MULTILINE)) < processes:
        if not training.running():
            return False
        # Asking starts the engine each time, which the processes that are waited for pay for.
        context.wait(1.0)
    return True


def _stops(context: Context, training: Background, processes: int, *, status: int | None) -> Result:
    seconds = _stop(context, training)
    logs = training.logs()
    got = logs.count("stopped by SIGTERM")
    if seconds is not None and got < processes:
        finding = Finding(
            subject="SIGTERM",
            problem=f"{got} of {processes} processes got it",
            cause="Something that is the first process does not pass it on.",
            fix='Let the entry point end with `exec "$@"`, so that the command takes its place.',
        )
        return failed("SIGTERM does not reach the training", finding, output=logs)
    return _ended(training, seconds, status=status, output=logs)


def _stop(context: Context, container: Background) -> float | None:
    """The seconds that a container takes to end after SIGTERM; None where the grace period is not enough."""
    start = time.monotonic()
    container.signal("SIGTERM")
    while container.running():
        if time.monotonic() - start > GRACE_SECONDS:
            return None
        context.wait(0.3)
    return time.monotonic() - start


def _ended(container: Background, seconds: float | None, *, status: int | None, output: str = "") -> Result:
    if seconds is None:
        finding = Finding(
            subject="SIGTERM",
            problem=f"it still runs {GRACE_SECONDS:.0f} s after SIGTERM",
            cause="The first process takes no notice: a shell that waits, or a program without a handler.",
            fix='Let the entry point end with `exec "$@"`, so that the signal reaches the program.',
        )
        return failed("SIGTERM does not end it", finding, output=output)
    found = container.exit_code()
    if status is not None and found != status:
        finding = Finding(
            subject="exit status",
            problem=f"it ended with status {found} after SIGTERM, and not with {status}",
            fix="Read its output; the status of the program has to be the container's.",
        )
        return failed("it ended, but not well", finding, output=output)
    return passed(f"ended {seconds:.1f} s after SIGTERM with status {found}\n{output}")


def _answer(context: Context, workbench: Background, address: str) -> int:
    seconds = context.time_left()
    ran = workbench.execute(
        ("python3", "-", address, f"{seconds * 0.8:.0f}"),
        given=inside_script("answering.py"),
        seconds=seconds,
    )
    return int(document(ran, what="answering.py")["status"])
