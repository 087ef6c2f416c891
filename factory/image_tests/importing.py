"""The standard tests of the packages of an image: each can be imported, without a network."""

from dataclasses import replace
from typing import Any

from factory.errors import ImageTestError
from factory.image_tests.causes import why_no_import
from factory.image_tests.container import Conditions
from factory.image_tests.context import Context
from factory.image_tests.definition import Result, judged
from factory.image_tests.gpu import gpu_options
from factory.image_tests.inventory import locks_of
from factory.image_tests.known import known
from factory.image_tests.outcome import Finding

# As the entry point leaves them: a home to write in, and a name for the user. Bytecode goes where every
# process of the container finds it: an image without it would compile torch once for each.
WORKING = Conditions(
    environment=(
        ("HOME", "/tmp"),  # noqa: S108 - in the container
        ("USER", "user"),
        ("PYTHONPYCACHEPREFIX", "/tmp/bytecode"),  # noqa: S108 - in the container
    )
)
IMPORT_SECONDS = 900.0


def with_gpu(context: Context) -> Conditions:
    """The same with every GPU of the machine."""
    # NCCL's processes meet in shared memory, of which engines give 64 MB.
    options = gpu_options(context.containers.engine, context.subject.accelerator or "cuda")
    return replace(WORKING, options=(*options, "--shm-size", "1g"))


def imported(context: Context) -> dict[str, Any]:
    """What ``inside/imports.py`` tells of the modules of the locked packages; without a lock, of all.

    Raises:
        ImageTestError: it found no module at all, which no image for training is without.
    """
    locks = locks_of(context)
    wanted = sorted(locks.versions()) if locks else []
    found: dict[str, Any] = context.probe("imports.py", *wanted, conditions=WORKING)
    if not found["modules"]:
        raise ImageTestError(
            "no module of a package was found, and so none was tried",
            solution="See whether the image's python3 is the one that its packages are installed for.",
        )
    return found


def imports(context: Context) -> Result:
    """Every top-level module of every locked package can be imported, but for what is known."""
    told = imported(context)
    findings = [
        Finding(
            subject=package,
            problem="is locked, and not installed",
            fix="Build the image again: `factory build`.",
        )
        for package in told["missing"]
    ]
    optional = []
    for module in told["modules"]:
        if module["ok"]:
            continue
        message = f"{module.get('message', '')}\n{module.get('said', '')}"
        cause = why_no_import(module, module["package"])
        finding = Finding(
            subject=module["module"],
            problem=_problem(module),
            cause=cause.cause,
            fix=cause.fix,
        )
        reason = known().module(module["module"], message)
        if reason is None:
            findings.append(finding)
        else:
            optional.append(Finding(subject=module["module"], problem=cause.cause, cause=reason))
    output = (
        f"{len(told['modules'])} modules of the locked packages in {told['seconds']:.0f} s without a "
        f"network; {len(findings)} failed, {len(optional)} are known to"
    )
    lines = [
        f"{module['package']}: {module['module']}, {module['seconds']:.2f} s" for module in _slowest(told)
    ]
    return judged(
        tuple(findings),
        f"{len(findings)} of {len(told['modules']) + len(told['missing'])} modules cannot be imported",
        output="\n".join([output, "the slowest:", *lines]),
        advice=tuple(optional),
    )


def no_network(context: Context) -> Result:
    """Nothing in the image needs a network to be imported: the container has none but the loopback."""
    listed = context.run("ls", "/sys/class/net")
    if listed.status != 0:
        raise ImageTestError(
            f"the container's network cannot be looked at: {listed.output}",
            solution="See to it that the image has ls, and starts it.",
        )
    interfaces = listed.stdout.split()
    findings = [
        Finding(
            subject=name,
            problem=f"the container has the network interface {name}",
            cause="The engine gave it one in spite of --network none.",
            fix="Look at the engine's settings (containers.conf).",
        )
        for name in interfaces
        if name != "lo" and not name.startswith(_UNUSED_INTERFACES)
    ]
    told = imported(context)
    for module in told["modules"]:
        cause = None if module["ok"] else why_no_import(module, module["package"])
        if cause and ("network" in cause.cause or "does not end" in cause.cause):
            findings.append(
                Finding(
                    subject=module["module"],
                    problem="cannot be imported without a network",
                    cause=cause.cause,
                    fix=cause.fix,
                )
            )
    output = f"interfaces: {' '.join(interfaces)}; {len(told['modules'])} modules imported"
    return judged(tuple(findings), "it needs a network", output=output)


# What the kernel puts into every new network namespace where its modules are loaded; nothing leads anywhere.
_UNUSED_INTERFACES = (
    "tunl",
    "gre",
    "erspan",
    "ip_vti",
    "ip6_vti",
    "sit",
    "ip6tnl",
    "ip6gre",
    "dummy",
    "teql",
)


def _problem(module: dict[str, Any]) -> str:
    where = f" ({module['where']})" if module.get("where") else ""
    said = (module.get("message") or "").strip().partition("\n")[0]
    if module["kind"] in ("signal", "exit", "timeout"):
        last = (module.get("said") or "").strip().rpartition("\n")[2]
        return f"its process ended ({module['kind']} {said})" + (f": {last}" if last else "")
    return f"{module['kind']}: {said}{where}"


def _slowest(told: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(told["modules"], key=lambda module: -float(module["seconds"]))[:5]
