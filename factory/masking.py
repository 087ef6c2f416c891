"""Addresses as they may be shown: without logins, and without what a query may carry as a token.

Shared by all: what is printed, written into a report or a label, or quoted from another program goes through
`masked`; an address that is kept as data goes through `shown`. Each error masks what it says by itself
(`factory.errors`).

No text says how its author meant it, so of a malformed address more is hidden than less: the password in
``https://me:pa/ss@host/`` has a slash, and all before the last ``@`` goes. A secret that is a part of a path
looks like any path, and stays.
"""

import re

HIDDEN = "***"
# An address ends at white space; punctuation around it is the text's.
_ADDRESS = re.compile(r"(?P<scheme>(?:(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30})?)://(?P<rest>\S*)")
# Without a scheme. NAME:TAG@sha256:… is an image.
_LOGIN = re.compile(r"(?<![\w/.-])[^\s/:@`'\"=]{1,256}:(?!//)[^\s/]{0,1024}@(?!sha\d+:)")
# A query behind what may be a host and a path. A package URL has qualifiers there, which are not secrets.
_QUERY = re.compile(r"(?<![\w/.:@%+~*-])(?!pkg:)(?P<place>[\w.:@%+~*-]+/[\w./:@%+~*-]*)(?P<rest>\?\S+)")
_HOST = re.compile(r"(?:[\w.${}%*<>-]+|\[[0-9A-Fa-f:.]+\])?(?::(?:\d{0,5}|\$[\w{}]+))?[\"'`),.;\]}>]*")
# In what was taken for a path; NAME:TAG@sha256:… is an image.
_END_OF_LOGIN = re.compile(r"@(?!sha\d+:)")
# `https://TO/KEN@a.example/x`: no version, and no scope of a package, is a host with a port or a path.
_HOST_IN_PATH = re.compile(
    r"(?<=[^/])@(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:]+\]|(?:[\w-]+\.)+[A-Za-z][\w-]*)(?::\d+|/)"
)
_END_OF_AUTHORITY = re.compile(r"[/?#]")
_PUNCTUATION = "\"'`),.;:]}>"
# Fragments that say what a file is, not who may have it.
_OPEN_FRAGMENTS = frozenset({"egg", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "subdirectory"})
_LEAST_TOKEN = 8


def masked(text: str) -> str:
    """Return a text with ``***`` for each address's login, query value and fragment value."""
    text = _ADDRESS.sub(lambda match: f"{match['scheme']}://{_masked_address(match['rest'])}", text)
    text = _QUERY.sub(lambda match: match["place"] + _masked_tail(match["rest"]), text)
    return _LOGIN.sub(f"{HIDDEN}@", text)


def masked_address(address: str) -> str:
    """Return an address, with a scheme or without, with ``***`` for what `masked` hides in a text."""
    scheme, separator, rest = address.rpartition("://") if "://" in address else ("", "", address)
    return f"{scheme}{separator}{_masked_address(rest)}"


def shown(url: str) -> str:
    """Return a URL without login, query and fragment, as it may be kept and compared."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, tail = _parts(rest)
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{re.split('[?#]', tail, maxsplit=1)[0]}"


def _masked_address(rest: str) -> str:
    """Mask what follows the scheme of an address."""
    authority, tail = _parts(rest)
    _, at, host = authority.rpartition("@")
    return (f"{HIDDEN}@{host}" if at else authority) + _masked_tail(tail)


def _parts(rest: str) -> tuple[str, str]:
    """Split what follows a scheme into authority and the rest; a malformed login counts to the authority."""
    end = _end_of_authority(rest, 0)
    colon = rest.find(":", end)
    has_login = (
        not _HOST.fullmatch(rest[:end].rpartition("@")[2])
        or (colon >= 0 and _END_OF_LOGIN.search(rest, colon))
        or _HOST_IN_PATH.search(rest, end)
    )
    if has_login and "@" in rest[end:]:
        end = _end_of_authority(rest, rest.rindex("@"))
    return rest[:end], rest[end:]


def _end_of_authority(rest: str, start: int) -> int:
    found = _END_OF_AUTHORITY.search(rest, start)
    return len(rest) if found is None else found.start()


def _masked_tail(tail: str) -> str:
    """Mask the query and the fragment behind a path."""
    inner = tail.rstrip(_PUNCTUATION)
    before, hash_sign, fragment = inner.partition("#")
    path, question, query = before.partition("?")
    pairs = "&".join(_masked_pair(pair) for pair in query.split("&"))
    fragments = "&".join(_masked_pair(pair, kept=_OPEN_FRAGMENTS) for pair in fragment.split("&"))
    return f"{path}{question}{pairs}{hash_sign}{fragments}{tail[len(inner) :]}"


def _masked_pair(pair: str, *, kept: frozenset[str] = frozenset()) -> str:
    """Mask the value of ``NAME=VALUE``, or the whole of what is long enough for a token."""
    name, equals, value = pair.partition("=")
    if equals:
        return pair if not value or name in kept else f"{name}={HIDDEN}"
    return pair if kept or len(pair) < _LEAST_TOKEN else HIDDEN
