"""The standard tests of packages: modules import without a network, native code finds its libraries."""

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from factory.console import plural
from factory.errors import ImageTestError
from factory.image_tests.causes import Cause, known_failures, why_no_import, why_no_library
from factory.image_tests.container import WORKING
from factory.image_tests.context import Context
from factory.image_tests.definition import ImageFinding, Result, judged
from factory.image_tests.inventory import LOOKING, locked_versions

IMPORT_SECONDS = 900.0
# Interfaces that the kernel adds to every new network namespace if modules are loaded; none leads anywhere.
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
_SYSTEM_FOLDERS = ("/usr/lib/", "/lib/", "/lib64/", "/usr/lib64/")
_PACKAGES = re.compile("/(?:site|dist)-packages/")
_MD5_FIX = "Pass usedforsecurity=False to hashlib if it is not for security, or ask {package} to."
_WHAT = {
    "broken": "is not a whole ELF file: {0}",
    "machine": "is for {0}",
    "interpreter": "wants the dynamic linker {0}, which is missing",
    "missing": "does not find {0}",
    "version": "wants {0}",
}


def imported(context: Context) -> dict[str, Any]:
    """Return the answer of ``inside/imports.py`` for the locked packages; without a lock, for all.

    Raises:
        ImageTestError: it found no module at all, and every image for training has some.
    """
    wanted = sorted(locked_versions(context) or ())
    found: dict[str, Any] = context.probe("imports.py", *wanted, conditions=WORKING)
    if not found["modules"]:
        raise ImageTestError(
            "no module of a package was found, so none was tried",
            solution="See whether the image's python3 is the one that its packages are installed for.",
        )
    return found


def imports(context: Context) -> Result:
    """Test that every top-level module of every locked package imports, except known failures."""
    known = known_failures(context.subject.lineage.folders)
    answer = imported(context)
    findings = [
        ImageFinding(
            subject=package,
            problem="is locked, and not installed",
            fix="Build the image again: `factory build`.",
        )
        for package in answer["missing"]
    ]
    optional = []
    for module in answer["modules"]:
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
        reason = known.module(module["module"], message)
        if reason is None:
            findings.append(finding)
        else:
            optional.append(ImageFinding(subject=module["module"], problem=cause.cause, cause=reason))
    output = (
        f"{plural(len(answer['modules']), 'module')} of the locked packages in {answer['seconds']:.0f} s "
        f"without a network; {len(findings)} failed, {plural(len(optional), 'is', 'are')} known to"
    )
    lines = [
        f"{module['package']}: {module['module']}, {module['seconds']:.2f} s" for module in _slowest(answer)
    ]
    number = len(answer["modules"]) + len(answer["missing"])
    return judged(
        tuple(findings),
        f"{len(findings)} of {plural(number, 'module')} cannot be imported",
        output="\n".join([output, "the slowest:", *lines]),
        advice=tuple(optional),
    )


def no_network(context: Context) -> Result:
    """Test that nothing needs a network to be imported: the container has the loopback alone."""
    listed = context.run("ls", "/sys/class/net")
    if listed.status != 0:
        raise ImageTestError(
            f"the container's network cannot be looked at: {listed.output}",
            solution="Make sure that the image has ls, and starts it.",
        )
    interfaces = listed.stdout.split()
    findings = [
        ImageFinding(
            subject=name,
            problem=f"the container has the network interface {name}",
            cause="The engine added one in spite of --network none.",
            fix="Look at the engine's settings (containers.conf).",
        )
        for name in interfaces
        if name != "lo" and not name.startswith(_UNUSED_INTERFACES)
    ]
    answer = imported(context)
    for module in answer["modules"]:
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
    output = f"interfaces: {' '.join(interfaces)}; {plural(len(answer['modules']), 'module')} imported"
    return judged(tuple(findings), "it needs a network", output=output)


def _problem(module: dict[str, Any]) -> str:
    where = f" ({module['where']})" if module.get("where") else ""
    said = (module.get("message") or "").strip().partition("\n")[0]
    if module["kind"] in ("signal", "exit", "timeout"):
        last = (module.get("said") or "").strip().rpartition("\n")[2]
        return f"its process ended ({module['kind']} {said})" + (f": {last}" if last else "")
    return f"{module['kind']}: {said}{where}"


def _slowest(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(answer["modules"], key=lambda module: -float(module["seconds"]))[:5]


def shared_libraries(context: Context) -> Result:
    """Test that every ELF file below Python's prefix finds its libraries, as ld.so looks for them."""
    known = known_failures(context.subject.lineage.folders)
    answer = context.probe("elf.py", conditions=LOOKING)
    findings, advice = [], []
    for problem in answer["problems"]:
        file, package = _below(problem["path"], answer["root"]), _package(problem["path"])
        reason = known.library(problem["path"], problem["what"])
        if reason is not None:
            advice.append(ImageFinding(subject=file, problem=f"{problem['what']} is missing", cause=reason))
        elif problem["kind"] == "preloaded":
            where = _below(problem["where"], answer["root"])
            cause = f"{problem['what']} is found only where {where} was loaded before, as {package} has to do"
            advice.append(ImageFinding(subject=file, problem="has no path to a library", cause=cause))
        else:
            cause_and_fix = _why(problem, package, answer["machine"])
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
        f"{plural(len(findings), 'library is not found, or does', 'libraries are not found, or do')} not fit",
        output=f"{plural(answer['files'], 'ELF file')} below {answer['root']} for {answer['machine']}",
        advice=tuple(advice),
    )


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
    """Test that Python uses the system's OpenSSL; what a host in FIPS mode would refuse is advice."""
    answer = context.probe("openssl.py", conditions=LOOKING)
    findings = [
        ImageFinding(
            subject=path,
            problem="Python's ssl uses this library, which is not the system's",
            cause="A package or LD_LIBRARY_PATH brings its own OpenSSL, which no FIPS validation covers.",
            fix="Leave it out, so that the system's libcrypto is found.",
        )
        for path in answer["loaded"]
        if not _of_the_system(path, answer["prefix"])
    ]
    if not answer["loaded"]:
        findings.append(
            ImageFinding(
                subject="ssl",
                problem=f"Python's ssl has {answer['version']} linked into it",
                cause="This Python was built with an OpenSSL of its own.",
                fix="Take the operating system's Python, as the base image has it.",
            )
        )
    fips = answer["fips"]
    modes = f"FIPS mode: kernel {_shown(fips['kernel'])}, OpenSSL {_shown(fips['openssl'])}"
    return judged(
        tuple(findings),
        "Python's OpenSSL is not the system's",
        output="\n".join([answer["version"], *answer["loaded"], modes]),
        advice=(*_copies(answer), *_md5_users(imported(context))),
    )


def _of_the_system(path: str, prefix: str) -> bool:
    """Return whether a library is the operating system's; that of its own Python is below /usr."""
    if not path.startswith(_SYSTEM_FOLDERS) or _PACKAGES.search(path):
        return False
    return prefix == "/usr" or not path.startswith(f"{prefix}/")


def _copies(answer: dict[str, Any]) -> tuple[ImageFinding, ...]:
    return tuple(
        ImageFinding(
            subject=_below(copy["path"], answer["prefix"]),
            problem=(
                "is a copy of OpenSSL"
                if copy["what"] == "library"
                else "has a cryptographic library linked in"
            )
            + (f" ({copy['version']})" if copy["version"] else ""),
            cause="On a host in FIPS mode it is not covered by the system's validated module.",
            fix=f"Do not use {_package(copy['path'])} for security, or take a build on the system's OpenSSL.",
        )
        for copy in answer["bundled"]
    )


def _md5_users(answer: dict[str, Any]) -> tuple[ImageFinding, ...]:
    """Return one finding for each place in the code that uses MD5 while it is imported."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in answer["modules"]:
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
    """Return the package of a file, as far as its path shows it."""
    parts = PurePosixPath(path).parts
    places = [number for number, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    name = parts[places[-1] + 1] if places and len(parts) > places[-1] + 1 else parts[-1]
    return name.partition(".")[0]


def _shown(value: object) -> str:
    return "on" if value else "off"
