"""The tests of a started image: user, entry point, JupyterLab, torchrun, SIGTERM, IPv6 alone."""

import json
import re
import secrets
import time
from dataclasses import replace
from pathlib import PurePosixPath

from factory.errors import ImageTestError
from factory.image_tests.container import ARBITRARY_USER, WORKING, Background, Conditions
from factory.image_tests.context import Context, document, documents, inside_script
from factory.image_tests.definition import ImageFinding, Result, failed, judged, passed, shortened, skipped
from factory.image_tests.inventory import contents
from factory.image_tests.subject import sets_entrypoint

# Words that a shell in between would change, and a status that nothing returns by chance.
_WORDS = ("two words", "$HOME", "*", "", "`id`")
_STATUS = 23
_PRINT_ALL = 'printf "%s|" "$0" "$@"'
_PRINT_WORDS = f"{_PRINT_ALL}; exit {_STATUS}"
_COMPILE = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')"
_LAUNCHER = "/opt/launcher/launch.py"
# A command must also run if the workbench's arguments are set, as many deployments do.
_COMMAND_CONDITIONS = Conditions(environment=(("NOTEBOOK_ARGS", "--ServerApp.port=1"),))
_START_SECONDS = 90.0
# The bytecode that the first of several processes writes serves the others.
_COMMAND = replace(WORKING, environment=WORKING.environment[-1:])
# How long Kubernetes lets a pod end (terminationGracePeriodSeconds), and a status that nothing returns by
# chance.
GRACE_SECONDS = 30.0
_STOPPED = 42
_PORT = 8888
_PROCESSES = 2
# As root of its own network until the addresses are removed (inside/ipv6.py). Not with a read-only root:
# podman would mount /etc/hosts read-only, too.
_IPV6 = Conditions(
    user="0:0",
    read_only=False,
    environment=_COMMAND.environment,
    options=("--cap-add", "NET_ADMIN", "--hostname", "ipv6-only"),
)
_WITHOUT_IPV4 = ("-c", inside_script("ipv6.py"), *ARBITRARY_USER.split(":"))
_CANNOT = 77


def arbitrary_user(context: Context) -> Result:
    """Test that the image's Python starts as OpenShift runs it, and can write temporary files."""
    try:
        user = context.probe("user.py")
    except ImageTestError as error:
        if error.out_of_time:
            raise
        finding = ImageFinding(
            subject="python3", problem="does not run as an arbitrary user of group 0", cause=error.reason,
            fix="Make what the image installs readable for group 0: umask 002, or fix-permissions.",
        )  # fmt: skip
        return failed("it does not run as OpenShift runs images", finding)
    as_root = contents(context)
    findings = []
    if user["python"] != as_root["python"]:
        findings.append(
            ImageFinding(
                subject=as_root["python"],
                problem=f"cannot be read: Python is that of {user['python']}",
                cause="Group 0 may not read or search it.",
                fix="Set umask 002 in the RUN that makes it, or run fix-permissions there.",
            )
        )
    if f"{user['uid']}:{user['gid']}" != ARBITRARY_USER:
        findings.append(
            ImageFinding(
                subject="user",
                problem=f"runs as {user['uid']}:{user['gid']}, and was started as {ARBITRARY_USER}",
                fix="Let nothing in the image change the user: no setuid program, no sudo.",
            )
        )
    if not user["temporary"]:
        findings.append(
            ImageFinding(
                subject="TMPDIR",
                problem="no temporary file can be written",
                fix="Leave TMPDIR alone, or set it to a folder that is mounted writable.",
            )
        )
    return judged(tuple(findings), "it does not run as OpenShift runs images")


def entrypoint_command(context: Context) -> Result:
    """Test that a command is run exactly as given, and its exit status comes back."""
    ran = context.start("sh", "-c", _PRINT_WORDS, *_WORDS, conditions=_COMMAND_CONDITIONS)
    wanted = "".join(f"{word}|" for word in _WORDS)
    findings = []
    if ran.status != _STATUS:
        findings.append(
            ImageFinding(
                subject="exit status",
                problem=f"the command ended with {_STATUS}, and the container with {ran.status}",
                cause="Something runs after the command, or the command was not run.",
                fix='Let the entry point end with `exec "$@"`.',
            )
        )
    if ran.stdout != wanted:
        findings.append(
            ImageFinding(
                subject="words",
                problem=f"the command printed {shortened(ran.stdout, 200)!r}, and not {wanted!r}",
                cause="The entry point prints something, or a shell parses the words again.",
                fix='Let the entry point end with `exec "$@"`, quoted so, and print to standard error only.',
            )
        )
    return judged(tuple(findings), "a command is not run as it is given", output=ran.output)


def entrypoint_torchrun(context: Context) -> Result:
    """Test that the entry point is torchrun, and starts a program as it is given."""
    entry = context.subject.configuration.entrypoint
    if PurePosixPath("".join(entry[:1])).name != "torchrun":
        return skipped(f"the entry point is {' '.join(entry) or 'none'}: what it takes is the trainer's own")
    program = ("--no-python", "sh", "-c", _PRINT_ALL, *_WORDS)
    ran = context.start("--standalone", "--nproc-per-node=1", *program, conditions=_COMMAND)
    wanted = "".join(f"{word}|" for word in _WORDS)
    findings = []
    if ran.status != 0 or ran.stdout != wanted:
        findings.append(
            ImageFinding(
                subject="torchrun",
                problem=f"ended with {ran.status}; the program printed {shortened(ran.stdout, 200)!r}, and "
                f"not {wanted!r}",
                cause=_last_line(ran.stderr),
                fix='Write ENTRYPOINT ["torchrun"] in the Dockerfile, with torchrun on PATH, in brackets.',
            )
        )
    return judged(tuple(findings), "torchrun does not start a program", output=ran.output)


def trainer_script(context: Context) -> Result:
    """Test that the script which the default command names is there and compiles."""
    command = context.subject.configuration.command
    script = next((word for word in command if word.endswith(".py") and not word.startswith("-")), None)
    if script is None:
        return skipped(f"the default command names no script: {' '.join(command) or 'there is none'}")
    ran = context.run("python3", "-c", _COMPILE, script)
    findings: tuple[ImageFinding, ...] = ()
    if ran.status != 0:
        findings = (
            ImageFinding(
                subject=script,
                problem="cannot be read, or is not Python",
                cause=_last_line(ran.output),
                fix="Name a script that the Dockerfile copies, from the WORKDIR, and that any user may read.",
            ),
        )
    return judged(findings, "the script of the default command does not work", output=ran.output)


def entrypoint_kept(context: Context) -> Result:
    """Test that entry point, command, user and folder are the parent's, if the Dockerfile sets none."""
    definition = context.subject.definition
    own_entry = context.subject.lineage.own_entrypoint if definition is None else sets_entrypoint(definition)
    if own_entry:
        entry = " ".join(context.subject.configuration.entrypoint)
        return skipped(f"it has an entry point of its own, which no test starts: {entry or 'none'}")
    if context.base is None:
        return skipped("the engine does not have the parent, to compare with")
    own, parent = context.subject.configuration, context.base.configuration
    pairs = (
        ("entry point", own.entrypoint, parent.entrypoint),
        ("command", own.command, parent.command),
    )
    findings = tuple(
        ImageFinding(
            subject=what,
            problem=f"is {' '.join(found) or 'none'}, and the parent's is {' '.join(wanted) or 'none'}",
            cause="An agent of the parent would not be started.",
            fix="Set neither ENTRYPOINT nor CMD, or both.",
        )
        for what, found, wanted in pairs
        if found != wanted
    )
    return judged(findings, "the parent's entry point is not kept", output=" ".join(own.entrypoint))


def launch_script(context: Context) -> Result:
    """Test that the launcher's program runs, without submitting a job."""
    there = context.run("sh", "-c", f"test -f {_LAUNCHER}")
    if there.status != 0:
        return skipped(f"there is no {_LAUNCHER}: how jobs are submitted is the launcher's own")
    ran = context.run("python3", _LAUNCHER, "--help")
    findings: tuple[ImageFinding, ...] = ()
    if ran.status != 0:
        findings = (
            ImageFinding(
                subject=_LAUNCHER,
                problem=f"with --help it ended with status {ran.status}",
                cause=_last_line(ran.output),
                fix="Let it print its options with --help; read its output for what it lacks.",
            ),
        )
    return judged(findings, "the launcher's program does not run", output=ran.output)


def entrypoint_notebook(context: Context) -> Result:
    """Test that JupyterLab starts and listens if no command is given."""
    seconds = context.time_left(_START_SECONDS)
    with context.background() as workbench:
        ran = workbench.execute(
            ("python3", "-", f"{seconds * 0.8:.1f}"), given=inside_script("listening.py"), seconds=seconds
        )
        alive, logs = workbench.running(), workbench.logs()
        status = None if alive else workbench.exit_code()
    if not alive:
        finding = ImageFinding(
            subject="entry point",
            problem=f"the container ended with status {status} instead of starting JupyterLab",
            cause=_last_line(logs),
            fix="Read its output; run the image without a command, as an arbitrary user with --read-only.",
        )
        return failed("nothing starts if no command is given", finding, output=logs)
    answer = document(ran, what="listening.py")
    if answer["ports"] and answer["jupyter"]:
        ports = ", ".join(map(str, answer["ports"]))
        return passed(f"JupyterLab listens on port {ports} after {answer['seconds']:.1f} s\n{logs}")
    what = "JupyterLab runs and listens on no port" if answer["jupyter"] else "no JupyterLab runs"
    finding = ImageFinding(
        subject="entry point",
        problem=f"{what} after {answer['seconds']:.0f} s",
        cause=f"What runs: {shortened('; '.join(answer['commands']), 400)}",
        fix="Let the entry point start the base image's start-notebook.sh if there is no command.",
    )
    return failed("JupyterLab does not start", finding, output=logs)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def notebook(context: Context) -> Result:
    """Test that JupyterLab answers, runs a cell of a notebook, saves it, and ends on SIGTERM."""
    token = secrets.token_hex(16)
    arguments = (("NOTEBOOK_ARGS", f"--ServerApp.token={token}"), *_COMMAND.environment)
    with context.background(conditions=replace(_COMMAND, environment=arguments)) as workbench:
        seconds = context.time_left()
        ran = workbench.execute(
            ("python3", "-", f"http://127.0.0.1:{_PORT}", token, f"{seconds * 0.8:.0f}"),
            given=inside_script("notebook.py"),
            seconds=seconds,
        )
        answer = document(ran, what="notebook.py")
        ended = None if answer["problem"] else _ended(workbench, _stop(context, workbench), status=0)
        logs = workbench.logs().replace(token, "TOKEN")
    if answer["problem"]:
        finding = ImageFinding(
            subject=f"JupyterLab: {answer['step']}",
            problem=answer["problem"],
            fix="Read its output; start the image without a command, and try it in a browser.",
        )
        return failed(f"it failed where {answer['step']}", finding, output=logs)
    findings = []
    if not answer["lab"]:
        findings.append(
            ImageFinding(
                subject="/lab", problem="is not JupyterLab's page", fix="Install jupyterlab in the image."
            )
        )
    printed = [output.get("text") for output in answer["outputs"]]
    if "42\n" not in printed:
        problem = f"the cell that prints 42 returned {json.dumps(answer['outputs'])[:300]}"
        findings.append(
            ImageFinding(subject="kernel", problem=problem, fix="Look at ipykernel in the image.")
        )
    if not answer["saved"]:
        findings.append(
            ImageFinding(
                subject="notebook",
                problem="it was saved and came back different",
                fix="Look at the contents manager in Jupyter's settings.",
            )
        )
    findings += ended.findings if ended else ()
    summary = f"jupyter_server {answer['server']}, kernel {answer['kernel']}, {answer['seconds']:.1f} s"
    summary += f"; {ended.output}" if ended else ""
    return judged(tuple(findings), "a notebook does not work as it must", output=f"{summary}\n{logs}")


def torchrun(context: Context) -> Result:
    """Test that two processes of torchrun reduce on gloo, and end on SIGTERM."""
    program, *words = _torchrun("--standalone", waiting=True)
    # An entry point that takes arguments, such as a trainer's, would be given a second torchrun.
    entry = program if context.subject.lineage.own_entrypoint else None
    command = words if entry else (program, *words)
    with context.background(*command, conditions=_COMMAND, entrypoint=entry) as training:
        if not _ready(context, training, _PROCESSES):
            return _not_reduced(training.logs(), f"ended with status {training.exit_code()}")
        reduced = _reduced(training.logs())
        return reduced if reduced.status != "passed" else _stops(context, training, _PROCESSES, status=None)


def stops_command(context: Context) -> Result:
    """Test that SIGTERM reaches the command of a training container, its first process."""
    command = ("python3", "-c", inside_script("stop.py"))
    with context.background(*command, conditions=_COMMAND) as training:
        if not _ready(context, training, 1):
            finding = ImageFinding(subject=command[0], problem="ended by itself", fix="Read its output.")
            return failed("it does not run", finding, output=training.logs())
        return _stops(context, training, 1, status=_STOPPED)


def ipv6_torchrun(context: Context) -> Result:
    """Test that torchrun's processes meet without any IPv4 address."""
    subject = context.subject
    entry = () if subject.lineage.own_entrypoint else subject.configuration.entrypoint
    command = _torchrun("--rdzv_backend=c10d", "--rdzv_endpoint=[::1]:29400")
    ran = context.run("python3", *_WITHOUT_IPV4, *entry, *command, conditions=_IPV6)
    if ran.status == _CANNOT:
        return skipped(f"the engine's machine cannot: {ran.stdout.strip()}")
    return _reduced(ran.output)


def ipv6(context: Context) -> Result:
    """Test that torchrun's processes meet, and JupyterLab answers, without any IPv4 address."""
    reduced = ipv6_torchrun(context)
    if reduced.status != "passed":
        return reduced
    command = (*_WITHOUT_IPV4, *context.subject.configuration.entrypoint)
    with context.background(*command, conditions=_IPV6, entrypoint="python3") as workbench:
        answer = _answer(context, workbench, f"http://[::1]:{_PORT}/api")
        logs = workbench.logs()
    if answer == 0:
        finding = ImageFinding(
            subject="JupyterLab",
            problem=f"does not answer at [::1]:{_PORT}",
            cause="It listens on an IPv4 address.",
            fix="Set --ServerApp.ip to the empty text, which is every address of both kinds.",
        )
        return failed("JupyterLab needs IPv4", finding, output=logs)
    return passed(f"{reduced.output}\nJupyterLab at [::1]:{_PORT} answered with {answer}\n{logs}")


def _torchrun(*options: str, waiting: bool = False) -> tuple[str, ...]:
    script = inside_script("reduce.py") + (inside_script("stop.py") if waiting else "")
    return ("torchrun", f"--nproc_per_node={_PROCESSES}", *options, "--no-python", "python3", "-c", script)


def _reduced(logs: str) -> Result:
    wanted = float(sum(range(1, _PROCESSES + 1)))
    answer = documents(logs, key="rank")
    ranks = sorted(one["rank"] for one in answer if one["sum"][0] == wanted)
    if ranks == list(range(_PROCESSES)):
        return passed(logs)
    return _not_reduced(logs, f"the ranks {ranks} of {_PROCESSES} had the sum")


def _not_reduced(logs: str, problem: str) -> Result:
    errors = re.findall(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception)\b:.*)", logs, re.MULTILINE)
    finding = ImageFinding(
        subject="torchrun",
        problem=problem,
        cause=errors[0] if errors else "",
        fix="Read its output; the processes find each other at the address that torchrun was given, "
        "and gloo at that of the host's name (GLOO_SOCKET_IFNAME chooses another).",
    )
    return failed("the processes did not reduce", finding, output=logs)


def _ready(context: Context, training: Background, processes: int) -> bool:
    """Wait until so many processes wait for a signal; return False if the container ends instead."""
    while len(re.findall(r"^ready \d+$", training.logs(), re.MULTILINE)) < processes:
        if not training.running():
            return False
        # Each question starts the engine, which slows the processes that this waits for.
        context.wait(1.0)
    return True


def _stops(context: Context, training: Background, processes: int, *, status: int | None) -> Result:
    seconds = _stop(context, training)
    logs = training.logs()
    got = logs.count("stopped by SIGTERM")
    if seconds is not None and got < processes:
        finding = ImageFinding(
            subject="SIGTERM",
            problem=f"{got} of {processes} processes got it",
            cause="The first process does not forward it.",
            fix='Let the entry point end with `exec "$@"`, so that the command takes its place.',
        )
        return failed("SIGTERM does not reach the training", finding, output=logs)
    return _ended(training, seconds, status=status, output=logs)


def _stop(context: Context, container: Background) -> float | None:
    """Return the seconds until a container ends after SIGTERM; None if the grace period is too short."""
    start = time.monotonic()
    container.signal("SIGTERM")
    while container.running():
        if time.monotonic() - start > GRACE_SECONDS:
            return None
        context.wait(0.3)
    return time.monotonic() - start


def _ended(container: Background, seconds: float | None, *, status: int | None, output: str = "") -> Result:
    if seconds is None:
        finding = ImageFinding(
            subject="SIGTERM",
            problem=f"it still runs {GRACE_SECONDS:.0f} s after SIGTERM",
            cause="The first process ignores it: a shell that waits, or a program without a handler.",
            fix='Let the entry point end with `exec "$@"`, so that the signal reaches the program.',
        )
        return failed("SIGTERM does not end it", finding, output=output)
    found = container.exit_code()
    if status is not None and found != status:
        finding = ImageFinding(
            subject="exit status",
            problem=f"it ended with status {found} after SIGTERM, and not with {status}",
            fix="Read its output; the status of the program has to be the container's.",
        )
        return failed("it ended with the wrong status", finding, output=output)
    return passed(f"ended {seconds:.1f} s after SIGTERM with status {found}\n{output}")


def _answer(context: Context, workbench: Background, address: str) -> int:
    seconds = context.time_left()
    ran = workbench.execute(
        ("python3", "-", address, f"{seconds * 0.8:.0f}"),
        given=inside_script("answering.py"),
        seconds=seconds,
    )
    return int(document(ran, what="answering.py")["status"])
