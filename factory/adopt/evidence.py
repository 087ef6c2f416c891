"""What the files of a hand-made folder say about its spec, each with the place that says it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.adopt.dockerfile import Chosen, OldDockerfile
from factory.adopt.folder import Evidence, Folder, base_urls
from factory.adopt.installed import NO_LIMITS, Limits
from factory.adopt.locks import FurtherLock, OldLock
from factory.adopt.named_installs import NamedInstall, index_key, variable_urls
from factory.adopt.requirements import AskedFor, OldProject
from factory.dockerfile.instructions import expand
from factory.dockerfile.references import parse_requirement

_ACCELERATOR = re.compile(r"(?<![a-z])(cuda|rocm|cpu)(?![a-z])", re.IGNORECASE)
_DOTTED = re.compile(r"(?<![a-z])(cuda|rocm)[-_/]?(\d{1,2})[.\-_](\d{1,2})(?!\d)", re.IGNORECASE)
_LOCAL = re.compile(r"(?P<cuda>cu(?P<major>\d{2})(?P<minor>\d))|rocm(?P<rocm>\d+\.\d+)|(?P<cpu>cpu)")
_CUDA_PACKAGE = re.compile(r"\bcuda-[a-z-]+-(\d{1,2})-(\d{1,2})\b")
_PYTHON_IN_NAME = re.compile(r"(?:py|python-?)(3)\.?(\d{1,2})(?!\d)")
_OPTION_IN_TEXT = re.compile(r"(?:--index-url|--default-index|(?<!\S)-i)[= ]+[\"']?(https?://[^\s\"';&]+)")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Everything that was read of a folder.

    ``beside`` are locks that are a part of ``lock``; ``chosen`` is which Dockerfile was read of each kind,
    midstream and downstream, and why; ``installs`` is what the Dockerfile installs by name, ``limits``
    what it installs with.
    """

    folder: Folder
    dockerfile: OldDockerfile | None
    downstream: OldDockerfile | None
    lock: OldLock | None
    project: OldProject | None
    further: tuple[FurtherLock, ...] = ()
    asked: AskedFor | None = None
    beside: tuple[OldLock, ...] = ()
    base_image: str | None = None
    installs: tuple[NamedInstall, ...] = ()
    limits: Limits = NO_LIMITS
    chosen: tuple[Chosen, ...] = ()


def accelerators(sources: Sources) -> Iterator[Evidence]:
    """Which accelerator, the surest first: the base image, repositories, torch, the index, the name."""
    for image in _images(sources):
        yield from _words(image.value, image.where)
    for path in sources.folder.paths:
        if path.endswith(".repo") and (match := re.search(r"cuda|rocm|amdgpu", path)):
            yield Evidence(value={"amdgpu": "rocm"}.get(match[0], match[0]), where=path)
    yield from torch_builds(sources)
    pin = (
        next((pin for pin in sources.lock.pins if pin.name.startswith("nvidia-")), None)
        if sources.lock
        else None
    )
    if pin is not None and sources.lock is not None:
        yield Evidence(value="cuda", where=sources.lock.where(pin))
    for url in (*_further_urls(sources), *index_urls(sources)):
        yield from _words(url.value, f"the index of {url.where}")
    yield from _words(sources.folder.root.name, "the folder's name")


def torch_builds(sources: Sources) -> Iterator[Evidence]:
    """Which accelerator torch is built for, as its local version says."""
    for local, where in _torch_locals(sources):
        kind = "cuda" if local["cuda"] else "rocm" if local["rocm"] else "cpu"
        yield Evidence(value=kind, where=where)


def accelerator_versions(sources: Sources, accelerator: str) -> Iterator[Evidence]:
    """Which version of it; the folder's name comes last, as a hint."""
    found = (
        *(_in_dockerfile(sources.dockerfile) if sources.dockerfile else ()),
        *_in_repositories(sources.folder),
        *_in_lock(sources),
        *(
            item
            for url in (*_further_urls(sources), *index_urls(sources))
            for item in _dotted(url.value, f"the index of {url.where}")
        ),
        *(item for image in _images(sources) for item in _dotted(image.value, image.where)),
    )
    yield from (named for kind, named in found if kind == accelerator)
    if match := re.search(rf"{accelerator}(\d{{2,4}})(?!\d)", sources.folder.root.name):
        digits = match[1]
        cut = len(digits) - 1 if accelerator == "cuda" else 1
        yield Evidence(value=f"{digits[:cut]}.{digits[cut:]}", where="a guess from the folder's name")


def versions(sources: Sources, package: str) -> Iterator[Evidence]:
    """Which version of a package: the lock's pin, then the Dockerfile's, then that of pyproject.toml."""
    for lock in (sources.lock, *(each.lock for each in sources.further)):
        pin = lock.pin(package) if lock else None
        if pin is not None and lock is not None:
            yield Evidence(value=_public(str(pin.version)), where=lock.where(pin))
    for install in sources.installs:
        if (version := install.exact(package)) is not None:
            yield Evidence(value=_public(version), where=install.where)
    for key, text in sources.project.requirements if sources.project else ():
        exact = _exact(text, package)
        if exact is not None:
            yield Evidence(value=_public(exact), where=f"pyproject.toml, {key}")


def pythons(sources: Sources) -> Iterator[Evidence]:
    """Which Python: the base image has it; then what the lock was made for; then requires-python."""
    for image in _images(sources):
        if match := _PYTHON_IN_NAME.search(image.value):
            yield Evidence(value=f"{match[1]}.{match[2]}", where=image.where)
    if sources.lock is not None and sources.lock.python is not None:
        yield from _minor(sources.lock.python)
    if sources.project is not None and sources.project.requires_python is not None:
        yield from _minor(
            Evidence(value=sources.project.requires_python, where="pyproject.toml, requires-python")
        )
    if match := _PYTHON_IN_NAME.search(sources.folder.root.name):
        yield Evidence(value=f"{match[1]}.{match[2]}", where="a guess from the folder's name")


def index_urls(sources: Sources) -> Iterator[Evidence]:
    """Which index: the lock's, whose hashes it has, then pyproject.toml's, then the Dockerfile's."""
    yield from sources.lock.index_urls if sources.lock else ()
    yield from sources.project.index_urls if sources.project else ()
    further = {index_key(each.index.url) for each in sources.further}
    for dockerfile in (sources.dockerfile, sources.downstream):
        yield from variable_urls(dockerfile)
        for step in dockerfile.steps if dockerfile else ():
            urls = _OPTION_IN_TEXT.findall(expand(step.text, step.variables)) if step.name == "RUN" else ()
            where = step.where
            yield from (Evidence(value=url, where=where) for url in urls if index_key(url) not in further)


def platforms(sources: Sources) -> tuple[str, ...]:
    """The platforms that the lock was compiled for, as the header's command names them."""
    # In this order: "linux" is x86_64 to uv, and a part of the other names (field note 8).
    known = {
        "x86_64": "linux/amd64",
        "aarch64": "linux/arm64",
        "arm64": "linux/arm64",
        "linux": "linux/amd64",
    }
    names = sources.lock.platforms if sources.lock else ()
    found = (next((known[word] for word in known if word in name), None) for name in names)
    return tuple(dict.fromkeys(platform for platform in found if platform is not None))


def _further_urls(sources: Sources) -> Iterator[Evidence]:
    """The indexes of named packages, which tell the accelerator as well: torch is one of them."""
    yield from (url for each in sources.further for url in each.lock.index_urls)


def _images(sources: Sources) -> Iterator[Evidence]:
    """The base images: the one that is asked for, else the midstream one first."""
    if sources.base_image is not None:
        yield Evidence(value=sources.base_image, where="--base-image")
    for dockerfile in (sources.dockerfile, sources.downstream):
        if dockerfile is not None and dockerfile.base_image is not None:
            yield Evidence(value=dockerfile.base_image, where=f"the base image in {dockerfile.path}")


def _words(text: str, where: str) -> Iterator[Evidence]:
    if match := _ACCELERATOR.search(text):
        yield Evidence(value=match[1].lower(), where=where)


def _torch_locals(sources: Sources) -> Iterator[tuple[re.Match[str], str]]:
    for lock in (sources.lock, *(each.lock for each in sources.further)):
        pin = lock.pin("torch") if lock else None
        if pin is not None and lock is not None and (match := _LOCAL.search(_local(str(pin.version)))):
            yield match, lock.where(pin)
    for install in sources.installs:
        if match := _LOCAL.search(_local(install.exact("torch") or "")):
            yield match, install.where
    for key, text in sources.project.requirements if sources.project else ():
        exact = _exact(text, "torch")
        if exact is not None and (match := _LOCAL.search(_local(exact))):
            yield match, f"pyproject.toml, {key}"


def _local(version: str) -> str:
    return version.partition("+")[2]


def _in_dockerfile(dockerfile: OldDockerfile) -> Iterator[tuple[str, Evidence]]:
    for step in dockerfile.steps:
        text = expand(step.text, step.variables)
        where = step.where
        if step.name == "RUN" and (match := _CUDA_PACKAGE.search(text)):
            yield "cuda", Evidence(value=f"{match[1]}.{match[2]}", where=where)
        if step.name in {"ENV", "ARG"}:
            for match in re.finditer(r"\b(CUDA|ROCM)_VERSION=[\"']?(\d+\.\d+)", text):
                yield match[1].lower(), Evidence(value=match[2], where=where)


def _in_repositories(folder: Folder) -> Iterator[tuple[str, Evidence]]:
    for path in folder.paths:
        for url in sorted(base_urls(folder.content(path))) if path.endswith(".repo") else ():
            if match := re.search(r"/rocm/(?:[a-z]+\d*/)?(\d+\.\d+(?:\.\d+)?)(?:/|$)", url):
                yield "rocm", Evidence(value=match[1], where=path)


def _in_lock(sources: Sources) -> Iterator[tuple[str, Evidence]]:
    for local, where in _torch_locals(sources):
        if local["cuda"]:
            yield "cuda", Evidence(value=f"{int(local['major'])}.{local['minor']}", where=where)
        if local["rocm"]:
            yield "rocm", Evidence(value=local["rocm"], where=where)
    lock = sources.lock
    for pin in lock.pins if lock else ():
        if lock and pin.version and re.fullmatch(r"nvidia-cuda-runtime(?:-cu\d+)?", pin.name):
            yield "cuda", Evidence(value=".".join(pin.version.split(".")[:2]), where=lock.where(pin))


def _dotted(text: str, where: str) -> Iterator[tuple[str, Evidence]]:
    for match in _DOTTED.finditer(text):
        yield match[1].lower(), Evidence(value=f"{match[2]}.{match[3]}", where=where)


def _exact(text: str, package: str) -> str | None:
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement:
        return None
    if canonicalize_name(requirement.name) != package:
        return None
    exact = [part.version for part in requirement.specifier if part.operator in {"==", "==="}]
    return exact[0] if len(exact) == 1 and not exact[0].endswith(".*") else None


def _public(version: str) -> str:
    try:
        return Version(version).public
    except ValueError:
        return version


def _minor(named: Evidence) -> Iterator[Evidence]:
    """The minor version that a version or a specifier is about."""
    plain = re.fullmatch(r"(3\.\d+)(?:\.\d+)?", named.value.strip())
    if plain is not None:
        yield Evidence(value=plain[1], where=named.where)
        return
    try:
        parts = list(SpecifierSet(named.value))
    except ValueError:
        return
    # From a version upwards is a claim of that version alone where the next is ruled out.
    upwards = {
        f"3.{int(part.version.split('.')[1]) + 1}"
        for part in parts
        if part.operator == ">=" and re.match(r"3\.\d+", part.version)
    }
    bounded = any(part.operator == "<" and part.version in upwards for part in parts)
    for operators in (("==", "===", "~="), (">=",) if bounded else ()):
        match = next(
            (
                found
                for part in parts
                if part.operator in operators and (found := re.match(r"3\.\d+", part.version))
            ),
            None,
        )
        if match is not None:
            yield Evidence(value=match[0], where=named.where)
            return
