"""Repository files of dnf that were written by hand."""

import configparser
import re

_OFF = re.compile(r"0|false|no|off", re.IGNORECASE)
_SOLUTION = (
    "Write gpgcheck=1 and the vendor's key in gpgkey, put the file into the flavor's folder, and name it in "
    "hooks.files."
)


def repository_problem(content: bytes) -> tuple[str, str] | None:
    """Why a repository file cannot be kept, and what to do; None where it can."""
    parser = _read(content)
    if parser is None or not parser.sections():
        return (
            "it is not a repository file",
            "Write it as dnf reads it: sections with name, baseurl and gpgkey.",
        )
    for section in parser.sections():
        value = parser[section].get("gpgcheck", "1").strip()
        if _OFF.fullmatch(value):
            return f"[{section}] has gpgcheck={value} (FAC407): packages of unknown origin", _SOLUTION
    return None


def base_urls(content: bytes) -> frozenset[str]:
    """The addresses that a repository file names."""
    parser = _read(content)
    if parser is None:
        return frozenset()
    urls = (parser[section].get("baseurl", "") for section in parser.sections())
    return frozenset(url.strip().rstrip("/") for url in urls if url.strip())


def _read(content: bytes) -> configparser.ConfigParser | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(content.decode("utf-8", "replace"))
    except configparser.Error:
        return None
    return parser
