"""Texts as they may stand in a public log: without the credentials that somebody wrote into a URL."""

import re

# Up to the last @ before the path: a password may hold one. Without a scheme, NAME:TAG@sha256: is an image.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_WITHOUT_SCHEME = re.compile(r"(?<![\w/.-])[^\s/:@`'\"=]+:(?!//)[^\s/]*@(?!sha256:)")


def masked(text: str) -> str:
    """A text with ``***`` in the place of what stands before the @ of a URL."""
    return _WITHOUT_SCHEME.sub("***@", _CREDENTIALS.sub("***@", text))
