"""The standard tests of native code: every ELF file finds its libraries, and OpenSSL is the system's."""

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from factory.image_tests.causes import Cause, why_no_library
from factory.image_tests.context import Context
from factory.image_tests.definition import Result, judged
from factory.image_tests.importing import imported
from factory.image_tests.inventory import LOOKING
from factory.image_tests.known import known
from factory.image_tests.outcome import Finding

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
            advice.append(Finding(subject=file, problem=f"{problem['what']} is missing", cause=reason))
        elif problem["kind"] == "preloaded":
            where = _below(problem["where"], told["root"])
            cause = f"{problem['what']} is found only where {where} was loaded before, as {package} has to do"
            advice.append(Finding(subject=file, problem="has no path to a library", cause=cause))
        else:
            cause_and_fix = _why(problem, package, told["machine"])
            findings.append(
                Finding(
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
        Finding(
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
            Finding(
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


def _copies(told: dict[str, Any]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
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


def _md5_users(told: dict[str, Any]) -> tuple[Finding, ...]:
    """One for each place in the code that asks for MD5 while it is imported."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in told["modules"]:
        for user in module.get("md5", ()):
            users[(user["file"], user["line"])].append(module["module"])
    return tuple(
        Finding(
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
