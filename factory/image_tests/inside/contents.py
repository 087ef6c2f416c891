"""Run in an image, as root: print its packages, its lock files, and unwanted files."""

from __future__ import annotations

import csv
import glob
import importlib.metadata
import json
import os
import platform
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPILER = re.compile(
    r"(?:[\w.]+-)*"
    r"(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|amdclang|amdclang\+\+|gfortran|nvcc|hipcc|rustc|cargo|go|javac"
    r"|make|gmake|cmake|ninja|cc1|cc1plus|cudafe\+\+)"
    r"(?:-?[\d.]+)?"
)
# Compilers that are on no PATH: toolsets to be enabled, CUDA's, and what gcc itself calls.
COMPILER_FOLDERS = (
    "/opt/rh/*/*/usr/bin",
    "/opt/rh/*/*/usr/libexec/gcc/*/*",
    "/usr/local/cuda*/bin",
    "/opt/rocm*/bin",
    "/opt/rocm*/llvm/bin",
    "/usr/libexec/gcc/*/*",
    "/usr/lib/gcc/*/*",
)
# Filled while the image runs, or not files at all.
NOT_LOOKED_INTO = ("/proc", "/sys", "/dev", "/run/.containerenv")
STRAY_FOLDERS = ("/tmp", "/var/tmp", "/cachi2", "/layers", "/prepared", "/build", "/builder")
PACKAGE_CACHES = ("/var/cache/dnf", "/var/cache/yum", "/var/cache/apt/archives", "/var/lib/apt/lists")
# The wheels of the operating system's own Python.
BUNDLED = re.compile(r"/ensurepip/_bundled/|/usr/share/python\S*-wheels/")
INSTALLED = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python3[\d.]*/|^/usr/(?:share|lib|lib64)/")
SECRET_NAMES = frozenset({".netrc", "_netrc", ".git-credentials", ".pypirc"})
SECRET_PLACES = re.compile(
    r"/containers/auth\.json$|/\.docker/config\.json$|/\.aws/credentials$|/uv/credentials/.*\.toml$"
    r"|/huggingface/(?:stored_tokens|token)$|/gcloud/.*credentials.*|/\.kube/config$"
)
SETTINGS = re.compile(
    r"/(?:pip\.conf|pip\.ini|uv\.toml|\.npmrc|\.condarc|\.gitconfig|gitconfig)$|/\.git/config$|\.repo$|/sources\.list(?:\.d/.*)?$"
    r"|/usr/share/factory/.*\.txt$"
)
LOGIN_IN_URL = re.compile(
    r"://[^/\s:@\"']+:[^/\s@\"'$]+@|://(?:gh[a-z]_|github_pat_|glpat-|hf_)\w+@|_authToken\s*=\s*\S"
    r"|^\s*(?:password|token)\s*[=:]\s*\S|^\s*extraheader\s*=\s*authorization",
    re.MULTILINE | re.IGNORECASE,
)
# A service account of Google's, and what programs read their environment from.
KEY_FILE = re.compile(r'"private_key"\s*:\s*"-----BEGIN ')
SECRET_VARIABLE = re.compile(
    r"^\s*(?:export\s+)?\w*(?:SECRET|TOKEN|PASSWORD|API_KEY)\w*\s*=\s*['\"]?\w", re.MULTILINE
)
NO_LOGINS = re.compile(r'\s*|\{\s*(?:"auths"\s*:\s*\{\s*\}\s*)?\}')
KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
LARGEST_SETTING = 4 << 20
LARGEST_KEY = 16 << 10
LOCKS = "/usr/share/factory"
# Of a line of RECORD: path, hash, size.
COLUMNS = 3


def text_of(path: str) -> str:
    try:
        if os.path.getsize(path) > LARGEST_SETTING:
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def records(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, int]]:
    """Yield the path and size of each file in RECORD; a missing size is looked up."""
    text = distribution.read_text("RECORD") or ""
    for row in csv.reader(text.splitlines()):
        if len(row) == COLUMNS:
            path, _, size = row
            yield path, int(size) if size.isdigit() else size_of(str(distribution.locate_file(path)))


def packages() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return every distribution that Python finds, and which of them bring a compiler."""
    found: list[dict[str, Any]] = []
    owners: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if not name:
            continue
        size = 0
        for path, bytes_ in records(distribution):
            size += bytes_
            base = path.rpartition("/")[2]
            if "/bin/" in path and COMPILER.fullmatch(base):
                owners[os.path.normpath(str(distribution.locate_file(path)))] = name
        found.append(
            {
                "name": name,
                "version": distribution.version,
                "requires": distribution.requires or [],
                "python": distribution.metadata["Requires-Python"],
                "place": str(getattr(distribution, "_path", "")),
                "size": size,
            }
        )
    return found, owners


def environment() -> dict[str, str]:
    """Return the variables of environment markers (PEP 508)."""
    version = sys.implementation.version
    kind = "" if version.releaselevel == "final" else version.releaselevel[0] + str(version.serial)
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": f"{version.major}.{version.minor}.{version.micro}{kind}",
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def compilers(owners: dict[str, str], root: str = "") -> list[dict[str, str]]:
    """Return build tools on PATH and off it, each once, with the package that brings it."""
    found: list[dict[str, str]] = []
    seen: set[str] = set()
    hidden = [folder for pattern in COMPILER_FOLDERS for folder in sorted(glob.glob(root + pattern))]
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), *hidden]:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if (
                path not in seen
                and os.path.isfile(path)
                and COMPILER.fullmatch(name)
                and os.access(path, os.X_OK)
            ):
                seen.add(path)
                found.append({"path": path, "owner": owners.get(os.path.normpath(path), "")})
    return found


def cache_kind(folder: str, names: list[str]) -> str | None:
    """Return whether a folder is the cache of a package installer, by its contents."""
    if "CACHEDIR.TAG" in names and any(
        re.fullmatch(r"(?:archive|wheels|simple|sdists)-v\d+", name) for name in names
    ):
        return "uv's cache"
    if folder.endswith("/.cache/uv"):
        return "uv's cache"
    if folder.endswith("/.cache/pip") or ("selfcheck" in names and ({"http", "http-v2"} & set(names))):
        return "pip's cache"
    return None


def secret_kind(path: str, name: str) -> str | None:
    """Describe the credential in a file; None if it holds no credential."""
    if name in SECRET_NAMES or SECRET_PLACES.search(path):
        return None if NO_LOGINS.fullmatch(text_of(path).strip()) else "holds logins"
    if SETTINGS.search(path) and LOGIN_IN_URL.search(text_of(path)):
        return "names a login"
    if name == ".env" and SECRET_VARIABLE.search(text_of(path)):
        return "names a secret"
    if (
        name.endswith(".json")
        and size_of(path) < LARGEST_KEY
        and not INSTALLED.search(path)
        and KEY_FILE.search(text_of(path))
    ):
        return "is a private key"
    in_place = "/.ssh/" in path or name.endswith((".pem", ".key")) or name.startswith(("id_", "ssh_host_"))
    if in_place and not INSTALLED.search(path) and KEY.search(text_of(path)):
        return "is a private key"
    return None


def stray_kind(path: str, name: str) -> str | None:
    """Describe why a file looks left by a build; None if it does not."""
    for folder in STRAY_FOLDERS:
        if path.startswith(folder + "/"):
            return "lies in " + folder
    for folder in PACKAGE_CACHES:
        if path.startswith(folder + "/") and name != "lock" and size_of(path):
            return "is of a package manager's cache"
    if name.endswith(".whl") and not BUNDLED.search(path):
        return "is a wheel"
    if name.endswith(".pyc") and not INSTALLED.search(path):
        return "is byte-compiled beside what is installed"
    return None


def leftovers() -> list[dict[str, str]]:
    """Return caches, credentials and stray files: kind, path, and description of each."""
    found = []
    for folder, folders, names in os.walk("/"):
        whole = "" if folder == "/" else folder
        folders[:] = sorted(name for name in folders if f"{whole}/{name}" not in NOT_LOOKED_INTO)
        what = cache_kind(folder, folders + names)
        if what:
            found.append({"kind": "cache", "path": folder, "what": "is " + what})
            folders[:] = []
            continue
        for name in sorted(names):
            path = f"{whole}/{name}"
            secret = secret_kind(path, name)
            if secret:
                found.append({"kind": "credential", "path": path, "what": secret})
            stray = stray_kind(path, name)
            if stray:
                found.append({"kind": "stray", "path": path, "what": stray})
    return found


def locks() -> dict[str, str]:
    """Return the lock files by path below `LOCKS`: a flavor's, and in folders those of other images."""
    found = sorted(glob.glob(f"{LOCKS}/requirements*.txt") + glob.glob(f"{LOCKS}/*/requirements*.txt"))
    return {os.path.relpath(path, LOCKS): text_of(path) for path in found}


def main() -> None:
    found, owners = packages()
    answer = {
        "packages": found,
        "python": sys.prefix,
        "environment": environment(),
        "locks": locks(),
        "compilers": compilers(owners),
        "leftovers": leftovers(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
