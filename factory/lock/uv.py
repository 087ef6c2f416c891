"""Run uv as a resolver: requirements in, packages and their wheels out, for one platform."""

import datetime as dt
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin

from factory.clock import seconds_since_1970, timed
from factory.dockerfile.references import PLATFORMS
from factory.documents import Size, read_toml
from factory.errors import IndexAccessError, IndexContentError, ProgramError, ResolutionError
from factory.files import scratch_folder
from factory.flavor.spec import MAIN_INDEX, FurtherIndex
from factory.http.origins import origin_or_none
from factory.index.configured import NAMED, configured_index, transport_settings
from factory.index.credentials import split_credentials
from factory.masking import masked
from factory.process import Finished, run

RESOLVE_TIMEOUT_SECONDS = 600.0
_HTTP_TIMEOUT_SECONDS = "20"
_NO_SOLUTION = 1
_FINDING_UV = threading.Lock()
# The C libraries, all 2.x, that uv can resolve for.
_UV_GLIBC_MINORS = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
# The variables that uv may have from the environment: how to reach an index, never which one or which
# versions. An allow-list, so that a variable of a later uv cannot change a lock. UV_OFFLINE is not on it: the
# index must have been seen at that time.
_KEPT = re.compile(
    r"UV_(CACHE_DIR|NO_CACHE|HTTP_\w+|CONCURRENT_\w+|KEYRING_PROVIDER|CREDENTIALS_DIR|INSECURE_HOST"
    r"|NATIVE_TLS|SYSTEM_CERTS|NETRC|REQUEST_TIMEOUT|INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD))"
)
# Everything that holds credentials.
_LOGINS = re.compile(r"UV_(KEYRING_PROVIDER|CREDENTIALS_DIR|NETRC|INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD))")
_REFUSED = re.compile(r"\b(401 Unauthorized|403 Forbidden)\b")
_UNREACHED = re.compile(r"Failed to fetch|Failed to download|error sending request|Request failed|timed out")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel that uv found; ``local`` is its path if it is in a folder.

    ``size`` is in bytes and ``uploaded`` in seconds since 1970, as the index says them (PEP 700); None if it
    does not, and for a wheel of a folder.
    """

    file_name: str
    sha256: str | None
    local: Path | None = None
    size: int | None = None
    uploaded: int | None = None


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of a resolution and those of its wheels that fit the platform."""

    name: str
    version: str
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to resolve: PEP 508 requirements for one Python on one platform.

    ``preferences`` are versions (by normalized name) that are kept if they are valid. ``index_url`` None is
    the public index, as this machine is configured. The packages of ``further`` indexes are looked up only
    there.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    preferences: Mapping[str, str] = field(default_factory=dict)
    python: str
    platform: str
    glibc: str
    index_url: str | None
    find_links: tuple[Path, ...] = ()
    further: tuple[FurtherIndex, ...] = ()

    @property
    def sources(self) -> dict[str, FurtherIndex]:
        """Map packages to the further index that they come from, except those an override removes."""
        overridden = {canonicalize_name(Requirement(line).name) for line in self.overrides}
        return {
            package: index
            for index in self.further
            for package in index.packages
            if package not in overridden
        }


@dataclass(frozen=True, kw_only=True)
class NoSolution:
    """uv's own explanation of why no solution exists."""

    explanation: str


@dataclass(frozen=True, kw_only=True)
class Required:
    """A package's version, and who requires it: names, or ``pyproject.toml`` for the given requirements.

    ``version`` is None for the stub of a missing package.
    """

    version: str | None
    by: list[str]


def resolve(request: Request) -> tuple[Package, ...] | NoSolution:
    """Resolve for one platform.

    Returns:
        The packages by name, or uv's explanation if the requirements have no solution.

    Raises:
        IndexAccessError: the index did not answer in time, or refused.
        IndexContentError: a file cannot be read, or is of another package than its name says.
        ResolutionError: a requirement is not a package of the index, or uv refused the input.
        ProgramError: uv is missing, or ended unexpectedly.
    """
    with scratch_folder() as folder:
        output = folder / "pylock.factory.toml"
        if request.preferences:
            output.write_text(_preferences(request), encoding="utf-8")
        finished = _compile(request, folder, ("--format", "pylock.toml", "--output-file", output))
        if finished.status == _NO_SOLUTION:
            explanation = _explanation(finished)
            if (damaged := damage(explanation)) is not None:
                raise damaged
            return NoSolution(explanation=explanation)
        packages = _packages(output)
    return _without_what_nobody_requires(request, packages)


def requirers(request: Request) -> dict[str, Required] | NoSolution:
    """Resolve, and return each package's version and who requires it, by normalized name.

    Raises:
        IndexAccessError, ResolutionError, ProgramError: as for `resolve`.
    """
    with scratch_folder() as folder:
        finished = _compile(request, folder, ("--format", "requirements.txt", "--no-header"))
    if finished.status == _NO_SOLUTION:
        return NoSolution(explanation=_explanation(finished))
    found: dict[str, Required] = {}
    owners: list[str] = []
    for line in finished.stdout.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:==([^\s;]+)| @ )", line):
            owners = []
            found[canonicalize_name(match[1])] = Required(version=match[2], by=owners)
        elif match := re.match(r"\s+#\s+(?:via\s+)?(.+)", line):
            who = match[1].strip()
            # uv reports the overrides, and the project that names the sources, in its own way;
            # a word with a space is not a package.
            if who.startswith("-r "):
                owners.append("pyproject.toml")
            elif who != "via" and " " not in who:
                owners.append(who)
    return found


def _without_what_nobody_requires(
    request: Request, packages: tuple[Package, ...]
) -> tuple[Package, ...] | NoSolution:
    """Leave out packages that only `write_sources` required, with what only they require."""
    certain = {item.name for line in request.requirements if (item := Requirement(line)).marker is None}
    asked_for = request.sources.keys() - {canonicalize_name(name) for name in certain}
    if not asked_for & {package.name for package in packages}:
        return packages
    graph = requirers(request)
    if isinstance(graph, NoSolution):
        return graph
    needed = {name for name, required in graph.items() if "pyproject.toml" in required.by}
    while more := {name for name, required in graph.items() if needed & set(required.by)} - needed:
        needed |= more
    return tuple(package for package in packages if package.name in needed)


@timed("resolve")
def _compile(request: Request, folder: Path, output: tuple[str | Path, ...]) -> Finished:
    """Run uv in its own folder, so that it finds no project; returns status 0 or `_NO_SOLUTION`."""
    files: list[str | Path] = [_listed(folder / "requirements.in", request.requirements)]
    for option, lines in (("--constraints", request.constraints), ("--overrides", request.overrides)):
        if lines:
            files += [option, _listed(folder / f"{option.lstrip('-')}.txt", lines)]
    if request.sources:
        files.append(write_sources(folder, request.sources))
    try:
        finished = run(
            (_uv_binary(), "pip", "compile", *files, *_options(request, folder), *output),
            cwd=folder,
            environment=environment(os.environ, index_url=request.index_url, further=request.further),
            accept_failure=True,
            timeout=RESOLVE_TIMEOUT_SECONDS,
        )
    except FileNotFoundError as error:
        raise ProgramError(
            f"uv is not installed: {error}", solution="Install the factory again: uv comes with it."
        ) from error
    if finished.status not in {0, _NO_SOLUTION} or _REFUSED.search(finished.stderr):
        raise _failure(request, finished)
    return finished


def _uv_binary() -> str:
    # sysconfig, which find_uv_bin uses, is filled on first use and not thread-safe.
    with _FINDING_UV:
        return find_uv_bin()


def _options(request: Request, folder: Path) -> list[str | Path]:
    options: list[str | Path] = [
        *_configuration(folder),
        *("--python-version", request.python),
        *("--python-platform", _uv_platform(request.platform, request.glibc)),
        *("--only-binary", ":all:"),
        *("--python", sys.executable),
        "--no-progress",
        *("--color", "never"),
    ]
    # A private index may have new bytes under an old version (field note 3).
    if request.index_url is not None:
        options.append("--refresh")
    for package in () if request.index_url is not None else request.sources:
        options += ["--refresh-package", package]
    for links in request.find_links:
        options += ["--find-links", links]
    return options


def _configuration(folder: Path) -> list[str | Path]:
    """Return the machine's configuration of how hosts are reached; the rest names indexes and versions."""
    settings = transport_settings(os.environ)
    if not settings:
        return ["--no-config"]
    # Imported here: slow, and few machines have such settings.
    import tomlkit  # noqa: PLC0415

    path = folder / "uv.toml"
    path.write_text(tomlkit.dumps(settings), encoding="utf-8")
    return ["--config-file", path]


def environment(
    variables: Mapping[str, str], *, index_url: str | None, further: tuple[FurtherIndex, ...] = ()
) -> dict[str, str]:
    """Return the environment for uv. It names the main index, whose URL may hold a password.

    Nothing else in it names an index or changes versions. None is the public index. If an index would get a
    login by plain HTTP over a network, uv gets no login at all (`factory.http.origins`).

    Raises:
        IndexAccessError: uv's configuration, which may name the public index, cannot be read.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith("UV_") or _KEPT.fullmatch(name)
    }
    # With its name, by which uv finds its credentials. uv's own default is the Python Package Index.
    index = configured_index(variables) if index_url is None else f"{MAIN_INDEX}={index_url}"
    if any(map(_is_read_along, (index or "", *(one.url for one in further)))):
        index = None if index is None else _without_login(index)
        kept = {name: value for name, value in kept.items() if not _LOGINS.fullmatch(name)}
        kept["NETRC"] = os.devnull
    timeout = {} if "UV_HTTP_TIMEOUT" in kept else {"UV_HTTP_TIMEOUT": _HTTP_TIMEOUT_SECONDS}
    return {
        **kept,
        **timeout,
        **({} if index is None else {"UV_DEFAULT_INDEX": index}),
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _is_read_along(index: str) -> bool:
    """Return whether traffic to an index, ``URL`` or ``NAME=URL``, can be read on its way."""
    origin = origin_or_none(NAMED.sub("", index))
    return origin is not None and not origin.keeps_secrets


def _without_login(index: str) -> str:
    name = NAMED.match(index)
    return f"{name[0] if name else ''}{split_credentials(NAMED.sub('', index))[0]}"


def _uv_platform(platform: str, glibc: str) -> str:
    minor = Version(glibc).minor
    known = max((known for known in _UV_GLIBC_MINORS if known <= minor), default=_UV_GLIBC_MINORS[0])
    return f"{PLATFORMS[platform]}-manylinux_2_{known}"


def _listed(path: Path, lines: tuple[str, ...]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _preferences(request: Request) -> str:
    """Return a pylock (PEP 751) of names and versions: uv keeps the versions, without hashes.

    Of a package with a source it keeps the version only if the index's URL is the same letter by letter.
    """
    indexes = {name: f"index = {json.dumps(index.url)}\n" for name, index in request.sources.items()}
    entries = [
        f"[[packages]]\nname = {json.dumps(name)}\nversion = {json.dumps(version)}\n{indexes.get(name, '')}"
        for name, version in sorted(request.preferences.items())
    ]
    return "\n".join(('lock-version = "1.0"\ncreated-by = "factory"\n', *entries))


_PylockWheel = TypedDict(
    "_PylockWheel",
    {
        "url": NotRequired[str],
        "path": NotRequired[str],
        "hashes": NotRequired[dict[str, str]],
        "size": NotRequired[Size],
        "upload-time": NotRequired[dt.datetime],
    },
)


class _PylockPackage(TypedDict):
    name: str
    version: NotRequired[str]
    wheels: NotRequired[list[_PylockWheel]]


class _Pylock(TypedDict):
    packages: NotRequired[list[_PylockPackage]]


def _packages(path: Path) -> tuple[Package, ...]:
    """Return the packages of a pylock.toml (PEP 751). Markers are dropped: the platform is one and known."""
    pylock = read_toml(path, _Pylock, error=ProgramError, solution="Use a current uv.")
    return tuple(_package(entry) for entry in pylock.get("packages", []))


def _package(entry: _PylockPackage) -> Package:
    if "version" not in entry:
        raise ResolutionError(
            f"{entry['name']} comes from a URL or a folder, and a lock holds only what the index has",
            solution="Put it on the index, and require it by name and version.",
        )
    return Package(
        name=canonicalize_name(entry["name"]),
        version=entry["version"],
        wheels=tuple(_wheel(wheel) for wheel in entry.get("wheels", [])),
    )


def _wheel(entry: _PylockWheel) -> Wheel:
    url, uploaded = entry.get("url", ""), entry.get("upload-time")
    parts = urlsplit(url)
    location = Path(unquote(parts.path) if url else entry.get("path", ""))
    local = location if parts.scheme in {"", "file"} else None
    return Wheel(
        file_name=location.name,
        sha256=entry.get("hashes", {}).get("sha256"),
        local=local,
        # Of a wheel of a folder uv sees a metadata-only copy (`factory.lock.find_links`).
        size=entry.get("size") if local is None else None,
        uploaded=None if uploaded is None or local is not None else seconds_since_1970(uploaded),
    )


def _failure(request: Request, finished: Finished) -> Exception:
    text = _explanation(finished)
    failed = [index.url for index in request.further if index.url in text]
    index = next(iter(failed), request.index_url or "the public index")
    asked = index if failed else request.index_url or configured_index(os.environ) or ""
    if _REFUSED.search(text) and _is_read_along(asked):
        return IndexAccessError(
            f"{index} wants a login, and by plain HTTP none is sent:\n{text}",
            solution="Give the index as https://…; SSL_CERT_FILE names the certificates of an authority "
            "of your own.",
        )
    if _REFUSED.search(text):
        return IndexAccessError(
            f"{index} refused the credentials, or wants some:\n{text}",
            solution="Put the user and the password for its host into ~/.netrc, and try again.",
        )
    if _UNREACHED.search(text):
        return IndexAccessError(
            f"{index} did not answer as an index does:\n{text}",
            solution="Look whether it is up and reachable from here (proxy, certificates), and try again.",
        )
    return ResolutionError(f"uv refused:\n{text}", solution="Fix what it names in pyproject.toml.")


def _explanation(finished: Finished) -> str:
    """Return uv's full message, without credentials and notes on successful steps."""
    text = masked(finished.stderr.strip())
    start = text.find("error:")
    text = text[start:].removeprefix("error:").strip() if start >= 0 else text
    return in_the_projects_name(text)


_PROJECT = "universal-image-factory-sources"
_DEPENDS = re.compile(rf"{_PROJECT}(?:==0)? depends on")


def write_sources(folder: Path, sources: Mapping[str, FurtherIndex]) -> Path:
    """Write the project that names the sources of packages, and return its path."""
    indexes = {index.name: index.url for index in sources.values()}
    lines = [
        *("[project]", f'name = "{_PROJECT}"', 'version = "0"'),
        f"dependencies = {json.dumps(sorted(sources))}",
        "[tool.uv.sources]",
        *(
            f"{package} = {{ index = {json.dumps(index.name)} }}"
            for package, index in sorted(sources.items())
        ),
    ]
    for name, url in sorted(indexes.items()):
        # explicit: only packages with this source are looked up there.
        lines += [
            "[[tool.uv.index]]",
            f"name = {json.dumps(name)}",
            f"url = {json.dumps(url)}",
            "explicit = true",
        ]
    path = folder / "pyproject.toml"
    path.write_text("\n".join((*lines, "")), encoding="utf-8")
    return path


def in_the_projects_name(explanation: str) -> str:
    """Return uv's explanation with the flavor's name for the project that names the sources."""
    return _DEPENDS.sub("you require", explanation)


_FOREIGN = re.compile(
    r"Package metadata (?:name|version) .* does not match|does not start with the normalized package name"
)
_CUT = re.compile(
    r"Failed to (?:unzip wheel|read from zip)|invalid package format|The structure of `.*was invalid"
)


def damage(explanation: str) -> IndexContentError | None:
    """Return the error that uv's failure amounts to; None if it is about requirements."""
    if _FOREIGN.search(explanation):
        return IndexContentError(
            f"a wheel holds the metadata of another package than its name says:\n{explanation}",
            solution="Do not use that file until the owners of the index have said what it is.",
        )
    if _CUT.search(explanation):
        return IndexContentError(
            f"a wheel of the index is not a valid wheel:\n{explanation}",
            solution="Ask the owners of the index to push the file again; it may have been cut short.",
        )
    return None
