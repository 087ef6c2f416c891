"""Read a hand-made folder, and the evidence in its files for a spec, with its source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.adopt.dockerfile import (
    Chosen,
    OldDockerfile,
    choose,
    choose_if_clear,
    read_old_dockerfile,
    variants,
)
from factory.adopt.folder import Evidence, Folder, base_urls, read_folder
from factory.adopt.installs import (
    NO_LIMITS,
    Limits,
    NamedInstall,
    copied_names,
    exact_version,
    index_key,
    own_indexes,
    read_limits,
    read_named_installs,
    variable_urls,
)
from factory.adopt.locks import FurtherLock, OldLock, local_builds, read_locks
from factory.adopt.requirements import (
    REQUIREMENTS_IN,
    AskedRequirements,
    OldProject,
    read_asked,
    read_old_project,
)
from factory.dockerfile.instructions import expand
from factory.dockerfile.references import PLATFORMS, check_python, parse_requirement
from factory.errors import SpecError
from factory.flavor.project import marker_environment
from factory.flavor.spec import ACCELERATORS, DEFAULT_PLATFORMS

_ACCELERATOR = re.compile(r"(?<![a-z])(cuda|rocm|cpu)(?![a-z])", re.IGNORECASE)
_DOTTED = re.compile(r"(?<![a-z])(cuda|rocm)[-_/]?(\d{1,2})[.\-_](\d{1,2})(?!\d)", re.IGNORECASE)
_LOCAL = re.compile(r"(?P<cuda>cu(?P<major>\d{2})(?P<minor>\d))|rocm(?P<rocm>\d+\.\d+)|(?P<cpu>cpu)")
_CUDA_PACKAGE = re.compile(r"\bcuda-[a-z-]+-(\d{1,2})-(\d{1,2})\b")
_PYTHON_IN_NAME = re.compile(r"(?:py|python-?)(3)\.?(\d{1,2})(?!\d)")
_OPTION_IN_TEXT = re.compile(r"(?:--index-url|--default-index|(?<!\S)-i)[= ]+[\"']?(https?://[^\s\"';&]+)")


@dataclass(frozen=True, kw_only=True)
class AdoptOptions:
    """The values of the options; None or empty: decided by the folder."""

    accelerator: str | None = None
    accelerator_version: str | None = None
    torch: str | None = None
    python: str | None = None
    training_hub: str | None = None
    index_url: str | None = None
    platforms: tuple[str, ...] = ()
    base_image: str | None = None
    downstream_base_image: str | None = None
    dockerfile: str | None = None
    downstream_dockerfile: str | None = None
    name: str | None = None


NO_OPTIONS = AdoptOptions()
"""Everything is decided by the folder."""


@dataclass(frozen=True, kw_only=True)
class FolderContent:
    """Everything that was read of a folder.

    ``beside`` are locks that are a part of ``lock``; ``chosen`` is which Dockerfile was read of each kind,
    midstream and downstream, and why; ``installs`` is what the Dockerfile installs by name, ``limits`` its
    constraints.
    """

    folder: Folder
    dockerfile: OldDockerfile | None
    downstream: OldDockerfile | None
    lock: OldLock | None
    project: OldProject | None
    further: tuple[FurtherLock, ...] = ()
    asked: AskedRequirements | None = None
    beside: tuple[OldLock, ...] = ()
    base_image: str | None = None
    installs: tuple[NamedInstall, ...] = ()
    limits: Limits = NO_LIMITS
    chosen: tuple[Chosen, ...] = ()


def read_sources(root: Path, wanted: AdoptOptions = NO_OPTIONS) -> FolderContent:
    """Read everything of a hand-made folder.

    Raises:
        SpecError: several Dockerfiles could be the flavor's, or as for `adopt_folder`.
        NotFoundError, StorageError: as for `adopt_folder`.
    """
    folder = read_folder(root.resolve())
    project = read_old_project(folder)
    known = FolderContent(
        folder=folder,
        dockerfile=None,
        downstream=None,
        lock=read_locks(None, folder).main,
        project=project,
        base_image=wanted.base_image,
    )
    first = _chosen(known, wanted, downstream=False)
    midstream = _read_chosen(folder, first)
    second = _chosen(replace(known, dockerfile=midstream), wanted, downstream=True)
    downstream = _read_chosen(folder, second)
    if midstream is not None:
        folder = replace(folder, entrypoint=_entrypoint(midstream, folder))
    folder = replace(folder, renamed=copied_names(midstream or downstream, folder))
    locks = read_locks(midstream or downstream, folder)
    installs = read_named_installs(midstream or downstream)
    main_urls = tuple(_main_urls(locks.main, project, midstream or downstream, installs, wanted))
    builds = local_builds(locks.main)
    further = (*locks.further, *((builds,) if builds is not None else ()))
    further = (*further, *own_indexes(installs, main_urls, locks.main, further))
    named = [each.index for each in installs if not (further or each.is_extra)]
    keys = map(index_key, (*main_urls, *(each.index.url for each in further), *named))
    folder = replace(folder, locks=locks.paths, indexes=frozenset(key for key in keys if key))
    is_asked = REQUIREMENTS_IN in folder.paths and not (project and project.dependencies)
    return FolderContent(
        folder=folder,
        dockerfile=midstream,
        downstream=downstream,
        lock=_without(locks.main, further, builds),
        project=project,
        asked=read_asked(folder) if is_asked else None,
        further=further,
        installs=installs,
        limits=read_limits(midstream or downstream, folder),
        beside=locks.beside,
        base_image=wanted.base_image,
        chosen=(first, second),
    )


def _main_urls(
    lock: OldLock | None,
    project: OldProject | None,
    dockerfile: OldDockerfile | None,
    installs: Sequence[NamedInstall],
    wanted: AdoptOptions,
) -> Iterator[str]:
    """Yield the addresses of the main index."""
    named = [*(lock.index_urls if lock else ()), *(project.index_urls if project else ())]
    yield from (each.value for each in (*named, *variable_urls(dockerfile)))
    yield from (each.index for each in installs if each.has_files and each.index and not each.is_extra)
    if wanted.index_url is not None:
        yield wanted.index_url


def _without(
    lock: OldLock | None, further: Sequence[FurtherLock], builds: FurtherLock | None
) -> OldLock | None:
    """Return the lock without packages that come from a further index."""
    if lock is None:
        return None
    owned = {package for each in further for package in each.index.packages}
    extra = f"--extra-index-url {lock.extra_urls[0].value}" if builds is not None else None
    return replace(
        lock,
        pins=tuple(pin for pin in lock.pins if pin.name not in owned),
        problems=tuple(each for each in lock.problems if extra is None or extra not in each),
    )


def _chosen(known: FolderContent, wanted: AdoptOptions, *, downstream: bool) -> Chosen:
    """Choose the Dockerfile of one kind by the known accelerator."""
    candidates = variants(known.folder.paths, downstream=downstream)
    said = [each for each in accelerators(known) if each.value in ACCELERATORS]
    if wanted.accelerator is not None:
        said = [Evidence(value=wanted.accelerator, where="--accelerator")]
    if downstream and wanted.downstream_base_image is not None and wanted.downstream_dockerfile is None:
        return choose_if_clear(candidates, said)
    return choose(
        candidates,
        asked=wanted.downstream_dockerfile if downstream else wanted.dockerfile,
        option="downstream-dockerfile" if downstream else "dockerfile",
        accelerators=said,
        sure=wanted.accelerator is not None or known.dockerfile is not None or known.base_image is not None,
    )


def _read_chosen(folder: Folder, chosen: Chosen) -> OldDockerfile | None:
    return None if chosen.path is None else read_old_dockerfile(chosen.path, folder.content(chosen.path))


def _entrypoint(dockerfile: OldDockerfile, folder: Folder) -> str | None:
    """Return the file of the folder that ENTRYPOINT starts."""
    texts = [step.text for step in dockerfile.steps if step.name == "ENTRYPOINT"]
    words = re.findall(r"[\w.-]+\.sh\b", texts[-1]) if texts else []
    return next((word for word in words if word in folder.paths), None)


def accelerators(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the accelerators that the folder names, the most reliable evidence first."""
    for image in _images(sources):
        yield from _words(image.value, image.where)
    for path in sources.folder.paths:
        if path.endswith(".repo") and (match := re.search(r"cuda|rocm|amdgpu", path)):
            yield Evidence(value={"amdgpu": "rocm"}.get(match[0], match[0]), where=path)
    yield from torch_builds(sources)
    for pin in sources.lock.pins if sources.lock else ():
        if sources.lock is not None and pin.name.startswith("nvidia-"):
            yield Evidence(value="cuda", where=sources.lock.where(pin))
            break
    for url in (*_further_urls(sources), *index_urls(sources)):
        yield from _words(url.value, f"the index of {url.where}")
    yield from _words(sources.folder.root.name, "the folder's name")


def torch_builds(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the accelerators that torch is built for, by its local version."""
    for local, where in _torch_locals(sources):
        kind = "cuda" if local["cuda"] else "rocm" if local["rocm"] else "cpu"
        yield Evidence(value=kind, where=where)


def accelerator_versions(sources: FolderContent, accelerator: str) -> Iterator[Evidence]:
    """Yield the versions of an accelerator; the folder's name comes last, as a hint."""
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


def package_versions(sources: FolderContent, package: str) -> Iterator[Evidence]:
    """Yield the public versions of a package: of the lock, the Dockerfile, then pyproject.toml."""
    for pinned in _pinned(sources, package):
        yield replace(pinned, value=_public(pinned.value))


def _pinned(sources: FolderContent, package: str) -> Iterator[Evidence]:
    for lock in filter(None, (sources.lock, *(each.lock for each in sources.further))):
        if (pin := lock.pin(package)) is not None:
            yield Evidence(value=str(pin.version), where=lock.where(pin))
    for install in sources.installs:
        if (version := install.exact(package)) is not None:
            yield Evidence(value=version, where=install.where)
    for key, text in sources.project.requirements if sources.project else ():
        if (version := _exact(text, package)) is not None:
            yield Evidence(value=version, where=f"pyproject.toml, {key}")


def pythons(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the Pythons: of the base image, then the lock, then requires-python."""
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


def index_urls(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the indexes: of the lock, then pyproject.toml, then the Dockerfile."""
    yield from sources.lock.index_urls if sources.lock else ()
    yield from sources.project.index_urls if sources.project else ()
    further = {index_key(each.index.url) for each in sources.further}
    for dockerfile in (sources.dockerfile, sources.downstream):
        yield from variable_urls(dockerfile)
        for step in dockerfile.steps if dockerfile else ():
            urls = _OPTION_IN_TEXT.findall(expand(step.text, step.variables)) if step.name == "RUN" else ()
            for url in urls:
                if index_key(url) not in further:
                    yield Evidence(value=url, where=step.where)


def platforms(sources: FolderContent) -> tuple[str, ...]:
    """Return the platforms named by the command in the lock's header."""
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


def _further_urls(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the indexes of named packages: torch's names the accelerator too."""
    yield from (url for each in sources.further for url in each.lock.index_urls)


def _images(sources: FolderContent) -> Iterator[Evidence]:
    """Yield the base images: the option's, then midstream's, then downstream's."""
    if sources.base_image is not None:
        yield Evidence(value=sources.base_image, where="--base-image")
    for dockerfile in (sources.dockerfile, sources.downstream):
        if dockerfile is not None and dockerfile.base_image is not None:
            yield Evidence(value=dockerfile.base_image, where=f"the base image in {dockerfile.path}")


def _words(text: str, where: str) -> Iterator[Evidence]:
    if match := _ACCELERATOR.search(text):
        yield Evidence(value=match[1].lower(), where=where)


def _torch_locals(sources: FolderContent) -> Iterator[tuple[re.Match[str], str]]:
    for pinned in _pinned(sources, "torch"):
        if match := _LOCAL.search(pinned.value.partition("+")[2]):
            yield match, pinned.where


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


def _in_lock(sources: FolderContent) -> Iterator[tuple[str, Evidence]]:
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
    return exact_version(requirement) if canonicalize_name(requirement.name) == package else None


def _public(version: str) -> str:
    try:
        return Version(version).public
    except ValueError:
        return version


def _minor(named: Evidence) -> Iterator[Evidence]:
    """Yield the minor version that a version or specifier means."""
    plain = re.fullmatch(r"(3\.\d+)(?:\.\d+)?", named.value.strip())
    if plain is not None:
        yield Evidence(value=plain[1], where=named.where)
        return
    try:
        parts = list(SpecifierSet(named.value))
    except ValueError:
        return
    # A lower bound counts for one version only if the next is excluded.
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


def only_what_applies(sources: FolderContent, *, python: str | None, asked: Sequence[str]) -> FolderContent:
    """Return the content without pins whose markers are false in the flavor.

    ``python`` and ``asked`` (platforms) are the options' values; they take precedence over the folder.
    """
    version = python or next((each.value for each in pythons(sources) if _is_python(each.value)), None)
    wanted = [name for name in asked or platforms(sources) or DEFAULT_PLATFORMS if name in PLATFORMS]
    if version is None or not wanted:
        return sources
    return replace(
        sources,
        lock=None if sources.lock is None else _applying(sources.lock, version, wanted),
        further=tuple(replace(each, lock=_applying(each.lock, version, wanted)) for each in sources.further),
        beside=tuple(_applying(each, version, wanted) for each in sources.beside),
    )


def _applying(lock: OldLock, python: str, platforms: Sequence[str]) -> OldLock:
    left = [
        pin for pin in lock.pins if pin.marker is not None and not _applies(pin.marker, python, platforms)
    ]
    if not left:
        return lock
    names = ", ".join(dict.fromkeys(f"{pin.name}=={pin.version}" for pin in left))
    note = f"{lock.path}: left out, as not for Python {python} on {', '.join(platforms)}: {names}"
    pins = tuple(pin for pin in lock.pins if pin not in left)
    return replace(lock, pins=pins, problems=(*lock.problems, note))


def _applies(marker: str, python: str, platforms: Sequence[str]) -> bool:
    try:
        read = Marker(marker)
    except ValueError:
        return True
    return any(read.evaluate(marker_environment(python, platform)) for platform in platforms)


def _is_python(value: str) -> bool:
    try:
        check_python(value)
    except SpecError:
        return False
    return True
