"""The quick tests of how an image starts: its user, its entry point with a command and without one."""

from factory.errors import ImageTestError
from factory.image_tests.container import ARBITRARY_USER, Conditions
from factory.image_tests.context import Context, document, inside_script
from factory.image_tests.definition import Result, failed, judged, passed, shortened, skipped
from factory.image_tests.inventory import contents
from factory.image_tests.outcome import Finding

# Words that a shell in between would change, and a status that nothing gives by chance.
_WORDS = ("two words", "$HOME", "*", "", "`id`")
_STATUS = 23
_TELL = f'printf "%s|" "$0" "$@"; exit {_STATUS}'
# A command is to be run also where the workbench's arguments are set, as they are in many a deployment.
_COMMAND_CONDITIONS = Conditions(environment=(("NOTEBOOK_ARGS", "--ServerApp.port=1"),))
_START_SECONDS = 90.0


def arbitrary_user(context: Context) -> Result:
    """The image's Python starts as OpenShift runs it, and has a place for temporary files."""
    try:
        user = context.probe("user.py")
    except ImageTestError as error:
        if error.out_of_time:
            raise
        finding = Finding(
            subject="python3", problem="does not run as an arbitrary user of group 0", cause=error.reason,
            fix="Make what the image installs readable for group 0: umask 002, or fix-permissions.",
        )  # fmt: skip
        return failed("it does not run as OpenShift runs images", finding)
    as_root = contents(context)
    findings = []
    if user["python"] != as_root["python"]:
        findings.append(
            Finding(
                subject=as_root["python"],
                problem=f"cannot be read: Python is that of {user['python']}",
                cause="Group 0 may not read or search it.",
                fix="Set umask 002 where it is made, or run fix-permissions on it in the same RUN.",
            )
        )
    if f"{user['uid']}:{user['gid']}" != ARBITRARY_USER:
        findings.append(
            Finding(
                subject="user",
                problem=f"runs as {user['uid']}:{user['gid']}, and was started as {ARBITRARY_USER}",
                fix="Let nothing in the image change the user: no setuid program, no sudo.",
            )
        )
    if not user["temporary"]:
        findings.append(
            Finding(
                subject="TMPDIR",
                problem="no temporary file can be written",
                fix="Leave TMPDIR alone, or let it name a folder that is mounted to be written.",
            )
        )
    return judged(tuple(findings), "it does not run as OpenShift runs images")


def own_entrypoint(context: Context) -> str | None:
    """Return why nothing is started through the image's entry point; None if it is that of a workbench.

    A trainer's trains and a launcher's may submit jobs; unless it is known to be the parent's, which tests of
    the parent's kind are about.
    """
    own, kind = context.subject.configuration.entrypoint, context.subject.kind
    if not own or kind not in {"trainer", "launcher"}:
        return None
    if context.base is not None and context.base.entrypoint == own:
        return None
    return f"a {kind} with an entry point of its own takes arguments: {own[0]}"


def entrypoint_command(context: Context) -> Result:
    """A command is run exactly as given, and its exit status comes back."""
    if (entry := own_entrypoint(context)) is not None:
        return skipped(entry)
    ran = context.start("sh", "-c", _TELL, *_WORDS, conditions=_COMMAND_CONDITIONS)
    wanted = "".join(f"{word}|" for word in _WORDS)
    findings = []
    if ran.status != _STATUS:
        findings.append(
            Finding(
                subject="exit status",
                problem=f"the command ended with {_STATUS}, and the container with {ran.status}",
                cause="Something runs after the command, or the command was not run.",
                fix='Let the entry point end with `exec "$@"`.',
            )
        )
    if ran.stdout != wanted:
        findings.append(
            Finding(
                subject="words",
                problem=f"the command printed {shortened(ran.stdout, 200)!r}, and not {wanted!r}",
                cause="The entry point prints by itself, or a shell reads the words once more.",
                fix='Let the entry point end with `exec "$@"`, quoted so, and tell what it tells on '
                "standard error.",
            )
        )
    return judged(tuple(findings), "a command is not run as it is given", output=ran.output)


def entrypoint_notebook(context: Context) -> Result:
    """Without a command JupyterLab starts, and listens."""
    if (entry := own_entrypoint(context)) is not None:
        return skipped(entry)
    seconds = context.time_left(_START_SECONDS)
    with context.background() as workbench:
        ran = workbench.execute(
            ("python3", "-", f"{seconds * 0.8:.1f}"), given=inside_script("listening.py"), seconds=seconds
        )
        alive, logs = workbench.running(), workbench.logs()
        status = None if alive else workbench.exit_code()
    if not alive:
        finding = Finding(
            subject="entry point",
            problem=f"the container ended with status {status} instead of starting JupyterLab",
            cause=_last_line(logs),
            fix="Read its output; run the image without a command, as an arbitrary user with --read-only.",
        )
        return failed("nothing starts where no command is given", finding, output=logs)
    told = document(ran, what="listening.py")
    if told["ports"] and told["jupyter"]:
        ports = ", ".join(map(str, told["ports"]))
        return passed(f"JupyterLab listens on port {ports} after {told['seconds']:.1f} s\n{logs}")
    what = "JupyterLab runs and listens on no port" if told["jupyter"] else "no JupyterLab runs"
    finding = Finding(
        subject="entry point",
        problem=f"{what} after {told['seconds']:.0f} s",
        cause=f"What runs: {shortened('; '.join(told['commands']), 400)}",
        fix="Let the entry point start the base image's start-notebook.sh where there is no command.",
    )
    return failed("JupyterLab does not start", finding, output=logs)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
