"""Pages of an index that would exhaust memory or time, read in a process that has little of either."""

import subprocess
import sys

import pytest

from factory.errors import IndexAccessError
from factory.index.pages import parse_page

# The limits are set when all is imported and the page, whose bytes are the index's, is there.
_READ = """
import resource, sys
from factory.errors import IndexAccessError
from factory.index.pages import parse_page
content = sys.stdin.buffer.read()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
place = {"url": "http://index/simple/some-lib/", "name": "some-lib", "encoding": None}
try:
    files = parse_page(content, kind=sys.argv[1], keep=lambda name: name.endswith(".whl"), **place)
    print(len(files), "files")
except IndexAccessError:
    print("no page")
"""
_HTML, _JSON = "text/html", "application/vnd.pypi.simple.v1+json"
_SIZE = 1_000_000
# What a page of any size may take: the search for the end of one tag.
_CONSTANT = 16_000_000
_WHEEL = b"some_lib-1.0-py3-none-any.whl"
_HEAD = b'{"meta":{"api-version":"1.0"},"name":"x","files":['
_FILE = b'{"filename":"%s","url":"","hashes":{}}'
# Head, what is repeated up to 1 MB, tail, and what comes of it. As it was, links took fifty times their size
# in memory, and each tag that does not end took as long as all that follow it.
HOSTILE = {
    "links that nobody wants": (
        _HTML,
        (b"", b'<a href="x">some_lib-1.0.tar.gz</a>', b"<a href=x>" + _WHEEL + b"</a>"),
        "1 files",
    ),
    "links that are no files": (_HTML, (b"", b"<a href=x>y</a>", b""), "no page"),
    "tags that do not end": (_HTML, (b"", b"<meta ", b""), "no page"),
    "attributes that do not end": (_HTML, (b"<a ", b"a=b ", b""), "no page"),
    "a quote that does not end": (_HTML, (b'<a href="', b"<a>", b""), "no page"),
    "comments that do not end": (_HTML, (b"", b"<!--", b""), "no page"),
    "text and tags in one link": (_HTML, (b"<a href=x>", b"some_lib <b>", b""), "no page"),
    "references of characters": (_HTML, (b"<a href=x>", b"&#1;", b""), "no page"),
    "a number that does not end": (_HTML, (b"<a href=x>&#", b"1", b""), "no page"),
    "nested tags": (_HTML, (b"", b"<div>", b""), "no page"),
    "nested headings": (_HTML, (b"", b"<h1>", b""), "no page"),
    "files that nobody wants": (_JSON, (_HEAD, _FILE % b"x" + b",", _FILE % _WHEEL + b"]}"), "1 files"),
    "empty objects": (_JSON, (_HEAD, b"{},", b"{}]}"), "no page"),
    "numbers": (_JSON, (_HEAD, b"1,", b"1]}"), "no page"),
    "digests": (_JSON, (_HEAD + _FILE[:-2] % b"x", b'"a":"b",', b'"a":"b"}}]}'), "0 files"),
    "nested arrays": (_JSON, (_HEAD + b'],"y":', b"[", b"}"), "no page"),
    "what nobody reads": (_JSON, (_HEAD + b'],"y":[', b"{},", b"{}]}"), "0 files"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "page", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_page_is_read_or_refused_in_little_memory_and_time(
    kind: str, page: tuple[bytes, bytes, bytes], said: str
) -> None:
    head, part, tail = page
    content = head + part * (_SIZE // len(part)) + tail
    done = subprocess.run(
        [sys.executable, "-c", _READ, kind, str(8 * len(content) + _CONSTANT)],
        input=content,
        capture_output=True,
        check=False,
    )
    assert (done.stdout.decode().strip(), done.stderr.decode(), done.returncode) == (said, "", 0)


@pytest.mark.parametrize(
    "encoding", ["zlib", "hex", "idna", "punycode", "undefined", "unicode_escape", "\x9b", "x" * 99]
)
def test_an_encoding_that_no_page_has_makes_no_page(encoding: str) -> None:
    with pytest.raises(IndexAccessError, match="no page of a package index"):
        parse_page(b"<a href=x>" + _WHEEL, kind=_HTML, encoding=encoding, url="http://i/", name="some-lib")
