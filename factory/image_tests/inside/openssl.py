"""Run in an image: print whose OpenSSL Python uses, and which copies of it packages bring."""

from __future__ import annotations

import _hashlib
import json
import os
import re
import ssl
import sys
import sysconfig
from typing import Any

LIBRARY = re.compile(r"lib(?:crypto|ssl)(?:[-.].*)?\.so[\d.]*|lib(?:crypto|ssl)-[0-9a-f]{8}.*\.so.*")
# Texts in a file that was linked with one of them. Searching for them as they are is much faster in a
# gigabyte than a pattern; the pattern then reads the version.
NEEDLES = (b"OpenSSL ", b"BoringSSL", b"AWS-LC", b"LibreSSL ")
WORDS = re.compile(rb"(?:OpenSSL|LibreSSL) [0-4]\.\d+\.\d+[a-z]?(?= )|BoringSSL|AWS-LC")


def loaded() -> list[str]:
    """Return the libcrypto and libssl that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        paths = {line.split(maxsplit=5)[5].strip() for line in file if line.count("/")}
    return sorted(path for path in paths if LIBRARY.fullmatch(os.path.basename(path)))


def linked(path: str) -> str:
    """Return the cryptographic library linked into a file, by its own name; empty without one."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return ""
        data = file.read()
    for needle in NEEDLES:
        place = data.find(needle)
        while place >= 0:
            found = WORDS.match(data[place : place + 40])
            if found:
                return found[0].decode()
            place = data.find(needle, place + 1)
    return ""


def bundled(root: str) -> list[dict[str, str]]:
    found = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not (".so" in name or os.access(path, os.X_OK)):
                continue
            try:
                if LIBRARY.fullmatch(name):
                    found.append({"path": path, "what": "library", "version": linked(path)})
                elif version := linked(path):
                    found.append({"path": path, "what": "linked", "version": version})
            except OSError:
                continue
    return found


def places() -> list[str]:
    """Return the folders of packages: a whole virtual environment, or the site-packages of another Python."""
    if sys.prefix != sys.base_prefix:
        return [sys.prefix]
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def fips() -> dict[str, Any]:
    """Return whether the kernel is in FIPS mode, and whether Python's OpenSSL is."""
    try:
        with open("/proc/sys/crypto/fips_enabled", encoding="ascii") as file:
            kernel = file.read().strip() == "1"
    except OSError:
        kernel = False
    return {"kernel": kernel, "openssl": bool(_hashlib.get_fips_mode())}


print(
    json.dumps(
        {
            "version": ssl.OPENSSL_VERSION,
            "loaded": loaded(),
            "prefix": sys.prefix,
            "fips": fips(),
            "bundled": [copy for root in places() for copy in bundled(root)],
        }
    )
)
