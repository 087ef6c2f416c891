"""Whether an HTML page that lists no file is a page of an index, or what somebody put in its place.

A gateway answers for an index with a page to sign in, and answers it with 200. Read as PEP 503 reads a
page, it is a project without a file, and would be told as a gap of the index. So a page that lists no
file has to look like one of an index: it has nothing to fill in, to press or to run, and it says that it
is one by its ``<meta>``, or names its project in its title or a heading, or shows nothing at all.
"""

import html
import re

from packaging.utils import canonicalize_name

# An empty project's page is a few lines; of what is longer, nobody needs to read the rest.
_MOST_CHARACTERS = 64 << 10
_ACTS = re.compile(
    r"<(form|input|button|script|iframe|object|embed|meta[^>]+http-equiv\W+refresh)\b", re.IGNORECASE
)
# PyPI's own, and the one of PEP 503's predecessors that Artifactory, Nexus and Pulp still write.
_SAYS_SO = re.compile(r"<meta[^>]+name\W+(pypi:repository-version|api-version)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h[1-6])\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<!--.*?-->|<title\b.*?</title\s*>|<style\b.*?</style\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL
)


def is_index_page(content: bytes, name: str) -> bool:
    """Whether an HTML page without a file may be that of a project, by its normalized name."""
    text = content[:_MOST_CHARACTERS].decode("utf-8", "replace")
    if _ACTS.search(text):
        return False
    return _SAYS_SO.search(text) is not None or _names(text, name) or _shows_nothing(text)


def _names(text: str, name: str) -> bool:
    """Whether a title or a heading has the project's name, as in "Links for NAME" or "Index of /…/NAME/"."""
    titles = (html.unescape(_UNSEEN.sub(" ", match[2])) for match in _TITLE.finditer(text))
    words = (word for title in titles for word in re.split(r"[^A-Za-z0-9._-]+", title))
    return any(canonicalize_name(word) == name for word in words)


def _shows_nothing(text: str) -> bool:
    return _MARKUP.search(text) is not None and not html.unescape(_UNSEEN.sub("", text)).strip()
