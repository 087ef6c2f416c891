"""Find why a module does not import or a library is missing, the fix, and known failures."""

import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from factory.documents import parse_toml
from factory.errors import ImageTestError
from factory.files import read_regular, storage_error
from factory.pages import docs_command

KNOWN_FILE = "known.toml"
"""Known failures: the factory's own, and those in a folder of tests."""
_ENTRIES = {"modules": ("module", "what", "reason"), "libraries": ("file", "library", "reason")}
# Modules whose package has another name.
PACKAGE_OF_MODULE = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "flash_attn": "flash-attn",
    "git": "GitPython",
    "google.protobuf": "protobuf",
    "jwt": "PyJWT",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "pkg_resources": "setuptools<82",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
# Libraries by the beginning of their name: Red Hat's package, Debian's.
PACKAGE_OF_LIBRARY = {
    "libGL.so": ("mesa-libGL", "libgl1"),
    "libaio.so": ("libaio", "libaio1"),
    "libcrypt.so.1": ("libxcrypt-compat", "libcrypt1"),
    "libcrypto.so.3": ("openssl-libs", "libssl3"),
    "libgfortran.so": ("libgfortran", "libgfortran5"),
    "libglib-2.0.so": ("glib2", "libglib2.0-0"),
    "libgomp.so": ("libgomp", "libgomp1"),
    "libibverbs.so": ("libibverbs", "libibverbs1"),
    "libmlx5.so": ("libibverbs", "ibverbs-providers"),
    "libmpi.so": ("openmpi", "libopenmpi3"),
    "libnuma.so": ("numactl-libs", "libnuma1"),
    "libopenblas.so": ("openblas", "libopenblas0"),
    "libpq.so": ("libpq", "libpq5"),
    "librdmacm.so": ("librdmacm", "librdmacm1"),
    "libsndfile.so": ("libsndfile", "libsndfile1"),
    "libSM.so": ("libSM", "libsm6"),
    "libssl.so.3": ("openssl-libs", "libssl3"),
    "libstdc++.so": ("libstdc++", "libstdc++6"),
    "libtbb.so": ("tbb", "libtbb12"),
    "libXext.so": ("libXext", "libxext6"),
    "libz.so": ("zlib", "zlib1g"),
}
DRIVER_LIBRARIES = ("libcuda.so", "libnvidia-", "libnvcuvid.so")
# Libraries that packages of NVIDIA and AMD bring, by the beginning of their name.
_PACKAGED = {
    "libcublas": "nvidia-cublas",
    "libcudart": "nvidia-cuda-runtime",
    "libcudnn": "nvidia-cudnn",
    "libcufft": "nvidia-cufft",
    "libcupti": "nvidia-cuda-cupti",
    "libcusparse": "nvidia-cusparse",
    "libnccl": "nvidia-nccl",
    "libnvrtc": "nvidia-cuda-nvrtc",
    "libtorch": "torch",
    "libc10": "torch",
}
_SIGNALS = {
    signal.SIGSEGV: "native code reads what is not its own (segmentation fault)",
    signal.SIGILL: "native code uses an instruction that this processor lacks",
    signal.SIGABRT: "native code aborted",
    signal.SIGBUS: "native code reads a file that is cut short, or /dev/shm is too small",
    signal.SIGKILL: "it was killed, as the kernel does if memory is out",
}


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something fails, and what fixes it."""

    cause: str
    fix: str


def why_no_import(failure: Mapping[str, str | None], package: str) -> Cause:
    """Return the cause of a failed import from the ``kind`` and ``message`` of ``inside/imports.py``."""
    kind, message = failure.get("kind") or "", failure.get("message") or ""
    if kind == "signal":
        return _by_signal(message, package)
    if kind == "timeout":
        return Cause(
            cause="its import does not end",
            fix=f"Look at what {package} waits for, such as a network or a device; or try another version.",
        )
    if kind in ("exit", "SystemExit"):
        return Cause(
            cause=f"its import ends the program (status {message or '0'})",
            fix=f"Read what it prints; {package} may be a program that is not meant to be imported.",
        )
    for pattern, tell in _MESSAGES:
        if found := re.search(pattern, message):
            return tell(found, package)
    return Cause(
        cause=f"{kind}: {message.splitlines()[0] if message else 'without a message'}",
        fix=f"Look for another version of {package} (constraint-dependencies), or read its notes.",
    )


def why_no_library(library: str, package: str) -> Cause:
    """Return why a library is not found, and which package has it."""
    if library.startswith(DRIVER_LIBRARIES):
        return Cause(
            cause=f"{library} is part of NVIDIA's driver, which the host brings with the GPU",
            fix="Run the test on a machine with a GPU, with the engine's option for it.",
        )
    if name := next((name for start, name in _PACKAGED.items() if library.startswith(start)), None):
        return Cause(
            cause=f"missing shared library {library}, which {name} brings",
            fix=f"Lock {package} for the accelerator and version that the flavor has, so that {name} fits.",
        )
    if names := next(
        (names for start, names in PACKAGE_OF_LIBRARY.items() if library.startswith(start)), None
    ):
        return Cause(
            cause=f"missing shared library {library}",
            fix=f"Install it in the image: `dnf install {names[0]}` (Debian: `apt-get install {names[1]}`).",
        )
    return Cause(
        cause=f"missing shared library {library}",
        fix=f"Find its package (`dnf provides '*/{library}'`; Debian: `apt-file search {library}`) and "
        f"install it in the image, or leave {package} out.",
    )


def _by_signal(number: str, package: str) -> Cause:
    name = signal.Signals(int(number)) if number.isdigit() else None
    meaning = _SIGNALS.get(name, "native code crashed") if name else "native code crashed"
    shown = name.name if name else f"signal {number}"
    return Cause(
        cause=f"{shown}: {meaning}",
        fix=f"Look for a build of {package} for this Python, torch and processor; try another version.",
    )


def _no_module(found: re.Match[str], package: str) -> Cause:
    module = found[1]
    top = module.partition(".")[0]
    name = PACKAGE_OF_MODULE.get(module) or PACKAGE_OF_MODULE.get(top) or top.replace("_", "-")
    return Cause(
        cause=f"missing module {module}",
        fix=f"Add {name} to the dependencies and lock again, or, where {package} does without, enter it "
        f"in known.toml beside the image's own tests ({docs_command('testing-images')}).",
    )


def _no_library(found: re.Match[str], package: str) -> Cause:
    return why_no_library(found[1].rpartition("/")[2], package)


def _no_name(found: re.Match[str], package: str) -> Cause:
    return _lacking(found[1], found[2], package)


def _no_attribute(found: re.Match[str], package: str) -> Cause:
    return _lacking(found[2], found[1], package)


def _lacking(name: str, module: str, package: str) -> Cause:
    return Cause(
        cause=f"{module} of this version has no {name}",
        fix=f"{package} is for another version of {module.partition('.')[0]}: constrain one of the two "
        "(constraint-dependencies), and lock again.",
    )


def _said(cause: str, fix: str) -> Callable[[re.Match[str], str], Cause]:
    return lambda found, package: Cause(cause=cause.format(*found.groups()), fix=fix.format(package=package))


_NETWORK = (
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
    r"|Max retries exceeded|Connection refused|ConnectTimeout|LocalEntryNotFoundError"
)
_MESSAGES: tuple[tuple[str, Callable[[re.Match[str], str], Cause]], ...] = (
    (r"No module named '([\w.]+)'", _no_module),
    (
        r"version `((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found",
        _said(
            "it needs {0}, which is newer than the image's",
            "Take a build of {package} for an older system (a lower manylinux tag), or a newer base image.",
        ),
    ),
    (
        r"wrong ELF class|Exec format error|invalid ELF header",
        _said(
            "it was built for another processor, or is broken (wrong architecture)",
            "Lock {package} for the image's platform, and look at the platforms in pyproject.toml.",
        ),
    ),
    (r"(\S+\.so[\w.]*): cannot open shared object file", _no_library),
    (
        r"undefined symbol: (\S+)",
        _said(
            "it was built against another version of a library: undefined symbol {0}",
            "Take a build of {package} for the torch, Python and accelerator of the flavor.",
        ),
    ),
    (
        r"numpy\.dtype size changed|compiled using NumPy 1\.x|numpy\.core\.multiarray failed to import",
        _said(
            "it was built against another NumPy",
            "Take a newer {package}, or constrain numpy to the version that it was built against.",
        ),
    ),
    (
        r"no NVIDIA driver|CUDA driver|No CUDA GPUs|No HIP GPUs|not compiled with CUDA|0 active drivers",
        _said(
            "the driver of a GPU is absent",
            "Run the test with a GPU, or enter {package} in known.toml: its import asks for the device.",
        ),
    ),
    (r"cannot import name '([^']+)' from (?:partially initialized module )?'([^']+)'", _no_name),
    (r"module '([^']+)' has no attribute '([^']+)'", _no_attribute),
    (
        _NETWORK,
        _said(
            "its import uses the network",
            "Set {package} to work offline, or fetch what it needs when the image is built.",
        ),
    ),
    (
        r"Read-only file system|Permission denied",
        _said(
            "its import writes where it is not allowed to",
            "Set {package}'s environment variable for the folder that it writes to (see its notes): the "
            "root is read-only, and the user is arbitrary.",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class KnownModule:
    """A module (a pattern) that may fail to import with a message that contains ``what``."""

    module: str
    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class KnownLibrary:
    """A library that a file may lack; both are patterns."""

    file: str
    library: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Known:
    """The failures that are accepted."""

    modules: tuple[KnownModule, ...]
    libraries: tuple[KnownLibrary, ...]

    def module(self, name: str, message: str) -> str | None:
        """Return why this failure of a module is accepted; None if it is not."""
        return next(
            (
                known.reason
                for known in self.modules
                if fnmatchcase(name, known.module) and known.what in message
            ),
            None,
        )

    def library(self, file: str, library: str) -> str | None:
        """Return why it is accepted that a file lacks a library; None if it is not."""
        return next(
            (
                known.reason
                for known in self.libraries
                if fnmatchcase(file, known.file) and fnmatchcase(library, known.library)
            ),
            None,
        )


@cache
def shipped_failures() -> Known:
    """Return the known failures that the factory ships."""
    return parse_known((files(__package__) / KNOWN_FILE).read_text(encoding="utf-8"), source=KNOWN_FILE)


def known_failures(folders: Iterable[Path]) -> Known:
    """Return the known failures in folders of tests, the nearest first, and those that the factory ships.

    Raises:
        ImageTestError: as `parse_known`.
        StorageError: a file cannot be read.
    """
    found = [_known_in(folder / KNOWN_FILE) for folder in folders]
    found.append(shipped_failures())
    return Known(
        modules=tuple(module for one in found for module in one.modules),
        libraries=tuple(library for one in found for library in one.libraries),
    )


def _known_in(path: Path) -> Known:
    try:
        text = read_regular(path).decode("utf-8")
    except FileNotFoundError:
        return Known(modules=(), libraries=())
    except UnicodeDecodeError as error:
        raise ImageTestError(f"{path} is not UTF-8", solution="Save it as UTF-8.") from error
    except OSError as error:
        raise storage_error(path, error) from error
    return parse_known(text, source=str(path))


def parse_known(text: str, *, source: str) -> Known:
    """Read known failures from TOML; ``source`` names the file in messages.

    Raises:
        ImageTestError: an entry lacks a key, has an unknown one, or has no reason.
    """
    table = parse_toml(text, dict[str, Any], source=source, error=ImageTestError)
    entries = {key: table.pop(key, []) for key in _ENTRIES}
    whole = not table and all(isinstance(listed, list) for listed in entries.values())
    for key, listed in entries.items() if whole else ():
        whole = whole and all(_is_entry(entry, _ENTRIES[key]) for entry in listed)
    if not whole:
        wanted = "; ".join(f"[[{key}]] with {', '.join(names)}" for key, names in _ENTRIES.items())
        raise ImageTestError(
            f"{source} has more or less than: {wanted}",
            solution="Fix the entry: each of its keys is a text, and readers of the report see its reason.",
        )
    return Known(
        modules=tuple(KnownModule(**entry) for entry in entries["modules"]),
        libraries=tuple(KnownLibrary(**entry) for entry in entries["libraries"]),
    )


def _is_entry(entry: object, keys: tuple[str, ...]) -> bool:
    texts = isinstance(entry, dict) and all(isinstance(value, str) and value for value in entry.values())
    return isinstance(entry, dict) and texts and set(entry) == set(keys)
