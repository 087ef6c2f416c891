"""The rule about preloaded libraries: what LD_PRELOAD names has to be installed by something."""

import re
from collections.abc import Iterator, Sequence

from factory.check.finding import Problem
from factory.check.installs import installs_system_packages
from factory.check.running import run_commands
from factory.dockerfile.instructions import Instruction
from factory.lock.lockfile import Pin

_PRELOAD = re.compile(r"(?<![A-Za-z0-9_])LD_PRELOAD(?:=|\s+)[\"\']?(?P<value>[^\s\"\';&|]+)")
_STEM = re.compile(r"(?:lib)?(?P<stem>[A-Za-z0-9_+-]+?)(?:_minimal)?\.so(?:\.[0-9.]+)?")
# A library whose package is not called after it.
_PACKAGES = {"tcmalloc": ("gperftools",), "iomp5": ("intel-openmp",), "omp": ("llvm-openmp", "libomp")}


def check_preload(path: str, instructions: Sequence[Instruction], pins: Sequence[Pin]) -> Iterator[Problem]:
    """FAC418. A library counts as there where a package or a copied file is called after it."""
    preloading = [
        (item, match["value"])
        for item in instructions
        if item.name in {"ENV", "ARG", "RUN"} and (match := _PRELOAD.search(item.text))
    ]
    if not preloading:
        return
    installed = [*_installed(instructions), *(pin.name for pin in pins)]
    for item, value in preloading:
        for library in value.split(":"):
            stem = _stem(library)
            if stem and not any(
                name in word for word in installed for name in (stem, *_PACKAGES.get(stem, ()))
            ):
                yield Problem(
                    code="FAC418",
                    path=path,
                    line=item.line_of("LD_PRELOAD"),
                    message=f"LD_PRELOAD names {library}, and no package of that name is installed",
                    solution="Add its package to hooks.system-packages, or do not preload it; a library that "
                    "the base image brings is waived with that reason.",
                )


def _stem(library: str) -> str | None:
    match = _STEM.fullmatch(library.rpartition("/")[2])
    return match["stem"].lower() if match else None


def _installed(instructions: Sequence[Instruction]) -> Iterator[str]:
    """The words of what installs system packages, and of what copies files, in lower case."""
    for item in instructions:
        if item.name in {"COPY", "ADD"}:
            yield item.text.lower()
        for command in run_commands(item):
            if installs_system_packages(command) or command[0] in {"cp", "install", "ln"}:
                yield from (word.lower() for word in command[1:])
