"""The standard tests of the packages of an image: each can be imported, without a network."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from factory.errors import ImageTestError
from factory.image_tests.causes import Cause, known, why_no_import, why_no_library
from factory.image_tests.container import Conditions, gpu_options
from factory.image_tests.context import Context
from factory.image_tests.definition import ImageFinding, Result, judged
from factory.image_tests.inventory import LOOKING, locks_of

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
        ImageFinding(
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
        finding = ImageFinding(
            subject=module["module"],
            problem=_problem(module),
            cause=cause.cause,
            fix=cause.fix,
        )
        reason = known().module(module["module"], message)
        if reason is None:
            findings.append(finding)
        else:
            optional.append(ImageFinding(subject=module["module"], problem=cause.cause, cause=reason))
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
        ImageFinding(
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
                ImageFinding(
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


_SYSTEM_FOLDERS = ("/usr/lib/", "/lib/", "/lib64/", "/usr/lib64/")
_PACKAGES = re.compile("/(?:site|dist)-packages/")
_MD5_FIX = "Say usedforsecurity=False where it is no security (hashlib), or ask {package} for it."


def shared_libraries(context: Context) -> Result:
    """Every ELF file below Python's prefix finds its libraries where the dynamic linker looks (ld.so)."""
    told = context.probe("elf.py", conditions=LOOKING)
    findings, advice = [], []
    for problem in told["problems"]:
        file, package = _below(problem["path"], told["root"]), _package(problem["path"])
        reason = known().library(problem["path"], problem["what"])
        if reason is not None:
            advice.append(ImageFinding(subject=file, problem=f"{problem['what']} is missing", cause=reason))
        elif problem["kind"] == "preloaded":
            where = _below(problem["where"], told["root"])
            cause = f"{problem['what']} is found only where {where} was loaded before, as {package} has to do"
            advice.append(ImageFinding(subject=file, problem="has no path to a library", cause=cause))
        else:
            cause_and_fix = _why(problem, package, told["machine"])
            findings.append(
                ImageFinding(
                    subject=file,
                    problem=_WHAT[problem["kind"]].format(problem["what"]),
                    cause=cause_and_fix.cause,
                    fix=cause_and_fix.fix,
                )
            )
    return judged(
        tuple(findings),
        f"{len(findings)} libraries are not found, or do not fit",
        output=f"{told['files']} ELF files below {told['root']} for {told['machine']}",
        advice=tuple(advice),
    )


_WHAT = {
    "broken": "is no whole ELF file: {0}",
    "machine": "is for {0}",
    "interpreter": "wants the dynamic linker {0}, which is missing",
    "missing": "does not find {0}",
    "version": "wants {0}",
}


def _why(problem: dict[str, str], package: str, machine: str) -> Cause:
    if problem["kind"] == "missing":
        return why_no_library(problem["what"], package)
    if problem["kind"] == "version":
        return Cause(
            cause=f"{problem['where']} has at most {problem['has']}",
            fix=f"Take a build of {package} for an older system (a lower manylinux tag), or "
            "a newer base image.",
        )
    if problem["kind"] == "broken":
        return Cause(
            cause="It was cut short or changed.", fix=f"Install {package} again, from its own wheel."
        )
    return Cause(
        cause=f"The image is for {machine} with glibc (wrong architecture).",
        fix=f"Lock {package} for the image's platform, and look at the platforms in pyproject.toml.",
    )


def openssl(context: Context) -> Result:
    """Python uses the system's OpenSSL; what a host in FIPS mode would object to is listed as advice."""
    told = context.probe("openssl.py", conditions=LOOKING)
    findings = [
        ImageFinding(
            subject=path,
            problem="Python's ssl uses this library, which is not the system's",
            cause="A package or LD_LIBRARY_PATH brings its own OpenSSL, which no FIPS validation covers.",
            fix="Leave it out, so that the system's libcrypto is found.",
        )
        for path in told["loaded"]
        if not _of_the_system(path, told["prefix"])
    ]
    if not told["loaded"]:
        findings.append(
            ImageFinding(
                subject="ssl",
                problem=f"Python's ssl has {told['version']} linked into it",
                cause="This Python was built with an OpenSSL of its own.",
                fix="Take the operating system's Python, as the base image has it.",
            )
        )
    fips = told["fips"]
    modes = f"FIPS mode: kernel {_shown(fips['kernel'])}, OpenSSL {_shown(fips['openssl'])}"
    return judged(
        tuple(findings),
        "Python's OpenSSL is not the system's",
        output="\n".join([told["version"], *told["loaded"], modes]),
        advice=(*_copies(told), *_md5_users(imported(context))),
    )


def _of_the_system(path: str, prefix: str) -> bool:
    """Whether a library is the operating system's; its own Python has it below its prefix, /usr."""
    if not path.startswith(_SYSTEM_FOLDERS) or _PACKAGES.search(path):
        return False
    return prefix == "/usr" or not path.startswith(f"{prefix}/")


def _copies(told: dict[str, Any]) -> tuple[ImageFinding, ...]:
    return tuple(
        ImageFinding(
            subject=_below(copy["path"], told["prefix"]),
            problem=(
                "is a copy of OpenSSL"
                if copy["what"] == "library"
                else "has a cryptographic library linked in"
            )
            + (f" ({copy['version']})" if copy["version"] else ""),
            cause="On a host in FIPS mode it is not covered by the system's validated module.",
            fix=f"Use {_package(copy['path'])} for no security there, or a build on the system's OpenSSL.",
        )
        for copy in told["bundled"]
    )


def _md5_users(told: dict[str, Any]) -> tuple[ImageFinding, ...]:
    """One for each place in the code that asks for MD5 while it is imported."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in told["modules"]:
        for user in module.get("md5", ()):
            users[(user["file"], user["line"])].append(module["module"])
    return tuple(
        ImageFinding(
            subject=f"{file}:{line}",
            problem=f"uses MD5 as {modules[0]} is imported",
            cause="In FIPS mode hashlib refuses it, and the import fails.",
            fix=_MD5_FIX.format(package=_package(file)),
        )
        for (file, line), modules in sorted(users.items())
    )


def _below(path: str, root: str) -> str:
    return path.removeprefix(root).lstrip("/")


def _package(path: str) -> str:
    """The package that a file is of, as well as its path tells."""
    parts = PurePosixPath(path).parts
    places = [number for number, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    name = parts[places[-1] + 1] if places and len(parts) > places[-1] + 1 else parts[-1]
    return name.partition(".")[0]


def _shown(value: object) -> str:
    return "on" if value else "off"
