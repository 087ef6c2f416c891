"""Rules about the Dockerfiles: markers, and steps that need a network."""

import re
from collections.abc import Collection, Iterator, Sequence

from factory.check.finding import Problem
from factory.check.indexes import passwords, second_indexes
from factory.check.installs import (
    Fetch,
    fetched,
    installs_system_packages,
    is_remote,
    named_package,
    not_locked,
    pip_call,
)
from factory.check.packages import check_packages
from factory.check.subject import Subject
from factory.dockerfile.instructions import (
    Instruction,
    dockerfile_lines,
    read_differently,
    unsafe_run_options,
)
from factory.dockerfile.model import Dockerfile, parse_lines
from factory.dockerfile.steps import copied_layer
from factory.downstream.blocks import find_blocks
from factory.errors import MarkerError
from factory.flavor.project import Project
from factory.lock.lockfile import LOCK_FILE, Pin

_DOWNSTREAM = "Dockerfile.konflux"
_UNSAFE_STRATEGY = re.compile(r"unsafe-(?:best|first)-match")
_UNSIGNED = re.compile(
    r"(?<![A-Za-z0-9_])(?:(?:local)?pkg_)?gpgcheck\s*=\s*(?:0|false|no|off)\b"
    r"|--(?:nogpgcheck|no-gpg-checks?|nosignature|allow-unauthenticated)\b"
    # What apt calls it, in a list of sources, in the newer form of one, and in its configuration.
    r"|(?<=[\[\s,])trusted\s*=\s*yes\b|(?<![A-Za-z0-9_-])trusted:\s*yes\b"
    r"|AllowUnauthenticated[\s\"'=]+(?:1|true|yes)\b",
    re.IGNORECASE,
)
_TO_LOCK = "Add it to [project] dependencies and lock again; the image installs what the lock says."
_SOLUTIONS = {
    "FAC402": _TO_LOCK,
    "FAC403": _TO_LOCK,
    "FAC404": "Lock it as a package, keep it in the folder, or move it into a MIDSTREAM ONLY block.",
    "FAC405": "Move it into a MIDSTREAM ONLY block, and have the downstream base image provide it.",
}


# A pytorch-base is compiled on images that may lack Python or a compiler, and its wheel is copied over the
# parent's environment once its own script has removed what it replaces (docs/pytorch-base.md).
_OF_A_COMPILING_BUILD = frozenset({"FAC405", "FAC413"})


def check_dockerfiles(subject: Subject) -> Iterator[Problem]:
    """Find FAC401 to FAC421 in the folder's Dockerfiles, .repo files and own files."""
    excused = _OF_A_COMPILING_BUILD if subject.flavor.kind == "pytorch-base" else frozenset()
    for path, content in subject.dockerfiles.items():
        yield from (found for found in _dockerfile(path, content, subject) if found.code not in excused)
    for path, content in (subject.repositories | subject.own_files).items():
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            found = _UNSIGNED.search(line)
            if found and not line.lstrip().startswith(("#", ";", "//")):
                yield _gpgcheck(path, number, f"`{found[0]}`")


def _dockerfile(path: str, content: bytes, subject: Subject) -> Iterator[Problem]:
    lines = dockerfile_lines(content)
    whole = parse_lines(lines)
    try:
        outside = _outside(lines, keep_blocks=path == _DOWNSTREAM)
    except MarkerError as error:
        # It is unknown which lines are midstream's alone, so none of them is judged.
        yield Problem(
            code="FAC401", path=path, line=error.line, message=error.reason, solution=error.solution
        )
    else:
        dockerfile = whole if outside == lines else parse_lines(outside)
        for instruction in dockerfile.instructions:
            yield from _hermetic(path, instruction, subject.lock_names)
            yield from _beyond_the_lock(path, instruction, subject)
        yield from _unpulled(path, dockerfile)
    for number, what in read_differently(whole.lines):
        yield Problem(
            code="FAC420",
            path=path,
            line=number,
            message=f"the line has {what}",
            solution="Write it so that every engine reads the same: one backslash ends a line that goes on.",
        )
    for instruction in whole.instructions:
        yield from check_instruction(path, instruction, in_block=True, locks=subject.lock_names)
    yield from check_labels(path, whole, subject.project)
    yield from _layers(path, whole, subject.project)
    if path != _DOWNSTREAM:
        # Downstream, the removed block's packages come with the base image.
        yield from check_preload(path, whole.instructions, subject.pins)


def check_instruction(
    path: str, instruction: Instruction, *, in_block: bool, locks: Collection[str] = (LOCK_FILE,)
) -> Iterator[Problem]:
    """Find FAC402 to FAC419 in one instruction; a MIDSTREAM ONLY block may use a network.

    ``locks`` are the names of the flavor's lock files.
    """
    if not in_block:
        yield from _hermetic(path, instruction, locks)
    yield from _everywhere(path, instruction)
    yield from check_packages(path, instruction, locks)


def _outside(lines: Sequence[bytes], *, keep_blocks: bool) -> list[bytes]:
    """Return the lines with those of MIDSTREAM ONLY blocks empty, so that numbers stay."""
    kept = list(lines)
    for block in find_blocks(lines):
        if not keep_blocks:
            kept[block.start : block.stop] = [b""] * (block.stop - block.start)
    return kept


def _hermetic(path: str, instruction: Instruction, locks: Collection[str]) -> Iterator[Problem]:
    if instruction.name == "ADD":
        yield from _add(path, instruction)
    if instruction.name != "RUN":
        return
    if instruction.is_exec_form or instruction.heredoc is not None:
        form = "a heredoc" if instruction.heredoc is not None else "exec form"
        yield Problem(
            code="FAC406",
            path=path,
            line=instruction.line,
            message=f"a RUN instruction in {form}",
            solution="Write it as a plain shell line: RUN first && second.",
        )
    for command in instruction.commands:
        yield from _fetch(path, instruction, fetched(command, locks=locks))


def _fetch(path: str, instruction: Instruction, fetch: Fetch | None) -> Iterator[Problem]:
    if fetch is not None:
        yield Problem(
            code=fetch.code,
            path=path,
            line=instruction.line_of(fetch.word),
            package=fetch.package,
            message=f"`{fetch.what}` outside a MIDSTREAM ONLY block",
            solution=_SOLUTIONS[fetch.code],
        )


def _beyond_the_lock(path: str, instruction: Instruction, subject: Subject) -> Iterator[Problem]:
    """Find packages that are installed by name offline and are not in the lock."""
    if not subject.locks:
        return
    for command in instruction.commands:
        call = pip_call(command, locks=subject.lock_names)
        for word in not_locked(call, subject.pinned_names) if call else ():
            yield Problem(
                code="FAC403",
                path=path,
                line=instruction.line_of(word),
                package=named_package([word]),
                message=f"`{call.shown if call else ''} install {word}` without a network, and the lock has "
                "no such package",
                solution=_TO_LOCK,
            )


def _add(path: str, instruction: Instruction) -> Iterator[Problem]:
    for word in instruction.sources:
        if is_remote(word):
            yield Problem(
                code="FAC404",
                path=path,
                line=instruction.line_of(word),
                message=f"`ADD {word}` fetches from the network",
                solution=_SOLUTIONS["FAC404"],
            )


def _unpulled(path: str, dockerfile: Dockerfile) -> Iterator[Problem]:
    """Find images that a COPY or a mount uses and no FROM names.

    Konflux pulls what the FROM lines name, and then builds with the network taken away and
    ``--pull=never``: an image that no FROM names is missing, with a digest or without.
    """
    pulled = {stage.image for stage in dockerfile.stages}
    for instruction, source in dockerfile.outside_images():
        if instruction.name == "FROM" or source in pulled:
            continue
        yield Problem(
            code="FAC404",
            path=path,
            line=instruction.line_of(source),
            message=f"`{instruction.name}` takes files from {source}, which is neither a stage nor in a FROM",
            solution=f"Make it a stage, which is pulled before the build: FROM {source} AS NAME.",
        )


def _everywhere(path: str, instruction: Instruction) -> Iterator[Problem]:
    """Find problems that count inside a MIDSTREAM ONLY block as well."""
    for option in unsafe_run_options(instruction):
        yield Problem(
            code="FAC419",
            path=path,
            line=instruction.line_of(option.partition("=")[0]),
            message=f"`RUN {option}` opens the build to what is outside of it",
            solution="Leave it out. A build has the network that its command gives it; what a step needs is "
            "locked, in the folder, or in the base image.",
        )
    text = f"{instruction.text}\n{instruction.heredoc or ''}"
    for match in _UNSIGNED.finditer(text):
        yield _gpgcheck(path, instruction.line_of(match[0]), f"`{match[0]}`")
    strategy = _UNSAFE_STRATEGY.search(text)
    if strategy:
        yield Problem(
            code="FAC408",
            path=path,
            line=instruction.line_of(strategy[0]),
            message=f"the index strategy is {strategy[0]}",
            solution="Remove it; each package has one index, and the default strategy is the safe one.",
        )
    yield from _indexes(path, instruction, text)


def _indexes(path: str, instruction: Instruction, text: str) -> Iterator[Problem]:
    for word in dict.fromkeys(second_indexes(instruction, instruction.commands)):
        yield Problem(
            code="FAC409",
            path=path,
            line=instruction.line_of(word),
            message=f"{word} brings in a second index",
            solution="Remove it; what the flavor's index lacks gets an index of its own under "
            "[[tool.factory.indexes]].",
        )
    for found, shown in passwords(text):
        yield Problem(
            code="FAC410",
            path=path,
            line=instruction.line_of(found),
            message=f"{shown} is written with credentials",
            solution="Change the password, and give the new one to the build as a secret or in .netrc.",
        )


def _gpgcheck(path: str, line: int, what: str) -> Problem:
    return Problem(
        code="FAC407",
        path=path,
        line=line,
        message=f"{what} turns the verification of package signatures off",
        solution="Leave the verification on: gpgcheck=1, with the vendor's key in gpgkey.",
    )


def _layers(path: str, dockerfile: Dockerfile, project: Project | None) -> Iterator[Problem]:
    """Find FAC421: an owner's Dockerfile that installs other layers of packages than the project has.

    A flavor's is generated, and a pytorch-base installs its packages another way.
    """
    if project is None or project.spec.is_flavor or project.spec.kind == "pytorch-base":
        return
    lines = {name: found.line for found in dockerfile.final if (name := copied_layer(found)) is not None}
    if not lines:
        return
    wanted = [*(layer.name for layer in project.spec.package_layers), "rest"]
    for name in wanted:
        if name not in lines:
            yield Problem(
                code="FAC421",
                path=path,
                line=max(lines.values()),
                message=f"the layer {name} of pyproject.toml is not installed",
                solution=f"Add its COPY and RUN line: those of {next(iter(lines))}, with /layers/{name}/.",
            )
    for name, line in lines.items():
        if name not in wanted:
            yield Problem(
                code="FAC421",
                path=path,
                line=line,
                message=f"the layer {name} is installed, and pyproject.toml has none of that name",
                solution="Take its COPY and its RUN line out, or name its packages in [tool.factory.layers].",
            )


# What the product's image policy asks for, as far as a Dockerfile can give it (docs/rules.md).
_REQUIRED = (
    *("name", "version", "summary", "description", "com.redhat.component"),
    *("io.k8s.display-name", "io.k8s.description"),
)
_LICENCES = "org.opencontainers.image.licenses"
_VENDORS = {"cuda": ("nvidia", "cuda"), "rocm": ("amd", "rocm")}


def check_labels(path: str, dockerfile: Dockerfile, project: Project | None) -> Iterator[Problem]:
    """Find FAC414 to FAC416: labels of the final stage and those it builds on."""
    if not dockerfile.stages:
        return
    stage = [item for item in dockerfile.final if item.name == "LABEL"]
    found = [(item, key, value) for item in stage for key, value in item.pairs or ()]
    names = {key for _, key, _ in found}
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        generated = project is None or project.spec.is_flavor
        yield Problem(
            code="FAC414",
            path=path,
            line=stage[-1].line if stage else dockerfile.lineage[0].head.line,
            message=f"the final stage has no label {' and no '.join(missing)}",
            solution="The template sets it: `factory sync`; a template set of your own has to as well."
            if generated
            else "Set it in the Dockerfile, which is yours to edit; the parent's say what the parent is.",
        )
    for item, key, value in found:
        if value != value.strip():
            yield Problem(
                code="FAC415",
                path=path,
                line=item.line_of(key),
                message=f"the label {key} begins or ends with white space: {value!r}",
                solution=f"Write {value.strip()!r}.",
            )
        if key == _LICENCES and project is not None and project.spec.accelerator:
            yield from _licence(path, item, value, project.spec.accelerator)


def _licence(path: str, item: Instruction, value: str, accelerator: str) -> Iterator[Problem]:
    for vendor, words in _VENDORS.items():
        if vendor != accelerator and any(word in value.lower() for word in words):
            yield Problem(
                code="FAC416",
                path=path,
                line=item.line_of(_LICENCES),
                message=f"the licence of a flavor for {accelerator} is {value}",
                solution=f"Name the terms that an image for {accelerator} is shipped under.",
            )


_PRELOAD = re.compile(r"(?<![A-Za-z0-9_])LD_PRELOAD(?:=|\s+)[\"\']?(?P<value>[^\s\"\';&|]+)")
_LIBRARY = re.compile(r"(?:lib)?(?P<stem>[A-Za-z0-9_+-]+?)(?:_minimal)?\.so(?:\.[0-9.]+)?")
# A library whose package is not called after it.
_PACKAGES_OF = {"tcmalloc": ("gperftools",), "iomp5": ("intel-openmp",), "omp": ("llvm-openmp", "libomp")}


def check_preload(path: str, instructions: Sequence[Instruction], pins: Sequence[Pin]) -> Iterator[Problem]:
    """Find FAC418. A package or copied file named after a library provides it."""
    preloading = [
        (item, match["value"])
        for item in instructions
        if item.name in {"ENV", "ARG", "RUN"} and (match := _PRELOAD.search(item.text))
    ]
    if not preloading:
        return
    installed = [*_installed_words(instructions), *(pin.name for pin in pins)]
    for item, value in preloading:
        for library in value.split(":"):
            stem = _library_stem(library)
            if stem and not any(
                name in word for word in installed for name in (stem, *_PACKAGES_OF.get(stem, ()))
            ):
                yield Problem(
                    code="FAC418",
                    path=path,
                    line=item.line_of("LD_PRELOAD"),
                    message=f"LD_PRELOAD names {library}, and no package of that name is installed",
                    solution="Add its package to hooks.system-packages, or do not preload it; a library that "
                    "the base image brings is waived with that reason.",
                )


def _library_stem(library: str) -> str | None:
    match = _LIBRARY.fullmatch(library.rpartition("/")[2])
    return match["stem"].lower() if match else None


def _installed_words(instructions: Sequence[Instruction]) -> Iterator[str]:
    """Yield the words of installs of system packages and of copies, in lower case."""
    for item in instructions:
        if item.name in {"COPY", "ADD"}:
            yield item.text.lower()
        for command in item.commands:
            if installs_system_packages(command) or command[0] in {"cp", "install", "ln"}:
                yield from (word.lower() for word in command[1:])
