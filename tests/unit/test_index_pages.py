"""Project pages as indexes write them, and what is not believed of them."""

import json

import pytest

from factory.errors import IndexAccessError, IndexContentError
from factory.index.pages import IndexFile, parse_page

_URL = "https://index.example/team/simple/some-lib/"
_DIGEST = "ab" * 32
_WHEEL = "some_lib-1.0-py3-none-any.whl"


def html(body: str, *, head: str = "") -> tuple[IndexFile, ...]:
    text = (
        f"<!DOCTYPE html><html><head><title>Links for some-lib</title>{head}</head><body>{body}</body></html>"
    )
    return parse_page(text.encode(), kind="text/html", encoding=None, url=_URL, name="some-lib")


def listing(*files: dict[str, object]) -> tuple[IndexFile, ...]:
    content = json.dumps({"meta": {"api-version": "1.0"}, "name": "some-lib", "files": files}).encode()
    kind = "application/vnd.pypi.simple.v1+json"
    return parse_page(content, kind=kind, encoding=None, url=_URL, name="some-lib")


def entry(file_name: str = _WHEEL, more: dict[str, object] | None = None) -> dict[str, object]:
    return {"filename": file_name, "url": f"../../files/{file_name}", "hashes": {}} | (more or {})


@pytest.mark.parametrize(
    ("href", "head", "url"),
    [
        (f"../../files/{_WHEEL}", "", f"https://index.example/team/files/{_WHEEL}"),
        (f"/files/{_WHEEL}", "", f"https://index.example/files/{_WHEEL}"),
        (f"{_WHEEL}", "", f"https://index.example/team/simple/some-lib/{_WHEEL}"),
        (f"//files.example/{_WHEEL}", "", f"https://files.example/{_WHEEL}"),
        (f"https://files.example/{_WHEEL}", "", f"https://files.example/{_WHEEL}"),
        (f"x/{_WHEEL}", '<base href="https://files.example/y/">', f"https://files.example/y/x/{_WHEEL}"),
        (f"x/{_WHEEL}", '<base href="/y/">', f"https://index.example/y/x/{_WHEEL}"),
        (f"x/some_lib-1.0%2Bcpu.whl?a=b#sha256={_DIGEST}", "", "https://index.example/team/simple/some-lib/x/some_lib-1.0%2Bcpu.whl?a=b"),
    ],
)  # fmt: skip
def test_links_are_relative_to_the_page_or_to_its_base(href: str, head: str, url: str) -> None:
    assert [file.url for file in html(f'<a href="{href}">{_WHEEL}</a>', head=head)] == [url]


@pytest.mark.parametrize(
    ("fragment", "digest"),
    [
        (f"#sha256={_DIGEST}", _DIGEST),
        (f"#sha256={_DIGEST.upper()}", _DIGEST),
        (f"#sha256={_DIGEST}&amp;egg=some-lib", _DIGEST),
        ("#md5=0123", None),
        ("#egg=some-lib", None),
        ("", None),
    ],
)
def test_a_digest_is_the_links_fragment(fragment: str, digest: str | None) -> None:
    assert [file.sha256 for file in html(f'<a href="{_WHEEL}{fragment}">{_WHEEL}</a>')] == [digest]


@pytest.mark.parametrize("digest", ["", "ab", "zz" * 32, "ab" * 33])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(IndexContentError, match=r"gives some_lib-1.0.*whl a SHA-256 that is none"):
        listing(entry(more={"hashes": {"sha256": digest}}))
    if digest:
        with pytest.raises(IndexContentError, match="a SHA-256 that is none"):
            html(f'<a href="{_WHEEL}#sha256={digest}">{_WHEEL}</a>')


@pytest.mark.parametrize(
    ("attribute", "served", "digest"),
    [
        (f'data-core-metadata="sha256={_DIGEST}"', True, _DIGEST),
        ('data-core-metadata="true"', True, None),
        (f'data-dist-info-metadata="sha256={_DIGEST}"', True, _DIGEST),
        ('data-dist-info-metadata="true"', True, None),
        ('data-core-metadata="false" data-dist-info-metadata="true"', False, None),
        ("", False, None),
    ],
)
def test_served_metadata_is_told_in_html_by_either_name(
    attribute: str, digest: str | None, *, served: bool
) -> None:
    (file,) = html(f'<a href="/f/{_WHEEL}#sha256={_DIGEST}" {attribute}>{_WHEEL}</a>')
    assert file.metadata_url == (f"https://index.example/f/{_WHEEL}.metadata" if served else None)
    assert file.metadata_sha256 == digest


@pytest.mark.parametrize(
    ("told", "served", "digest"),
    [
        ({"core-metadata": {"sha256": _DIGEST}}, True, _DIGEST),
        ({"core-metadata": True}, True, None),
        ({"dist-info-metadata": {"sha256": _DIGEST}}, True, _DIGEST),
        ({"core-metadata": False, "dist-info-metadata": True}, False, None),
        ({}, False, None),
    ],
)
def test_served_metadata_is_told_in_json_by_either_name(
    told: dict[str, object], digest: str | None, *, served: bool
) -> None:
    (file,) = listing(entry(more=told))
    assert (file.metadata_url is not None, file.metadata_sha256) == (served, digest)


@pytest.mark.parametrize(
    ("yanked", "meant"), [(True, True), ("broken", True), ("", True), (False, False), (None, False)]
)
def test_yanked_files_are_told(yanked: object, *, meant: bool) -> None:
    (in_json,) = listing(entry(more={} if yanked is None else {"yanked": yanked}))
    attribute = f'data-yanked="{yanked}"' if isinstance(yanked, str) else "data-yanked" if yanked else ""
    (in_html,) = html(f'<a href="{_WHEEL}" {attribute}>{_WHEEL}</a>')
    assert (in_json.yanked, in_html.yanked) == (meant, meant)


def test_the_python_that_a_file_needs_is_told() -> None:
    (in_html,) = html(f'<a href="{_WHEEL}" data-requires-python="&gt;=3.11">{_WHEEL}</a>')
    (in_json,) = listing(entry(more={"requires-python": ">=3.11"}))
    assert (in_html.requires_python, in_json.requires_python) == (">=3.11", ">=3.11")


@pytest.mark.parametrize(
    ("file_name", "given"),
    [
        (_WHEEL, True),
        ("Some.Lib-1.0-1-py3-none-any.whl", True),
        ("some-lib-1.0.tar.gz", True),
        ("some_lib-1.0.tar.gz", True),
        ("some_lib-1.0.zip", True),
        ("some_lib_extra-1.0-py3-none-any.whl", False),
        ("some-1.0-py3-none-any.whl", False),
        ("evil-1.0-py3-none-any.whl", False),
        ("some-lib-extra-1.0.tar.gz", False),
        ("evil-1.0.tar.gz", False),
        ("some_lib-1.0.tar.gz.asc", False),
        ("some_lib-1.0-py3.8.egg", False),
        ("index.html", False),
        ("../some_lib-1.0-py3-none-any.whl", False),
        (".some_lib-1.0-py3-none-any.whl", False),
    ],
)
def test_a_page_speaks_for_the_files_of_its_own_project_only(file_name: str, *, given: bool) -> None:
    expected = [file_name] if given else []
    assert [file.file_name for file in listing(entry(file_name))] == expected
    assert [file.file_name for file in html(f'<a href="/f/x">{file_name}</a>')] == expected


def test_a_malformed_declaration_is_an_error_of_the_page() -> None:
    with pytest.raises(IndexAccessError, match="can be read"):
        html("<!DOCTYPE html><html><body><![<![<![ x</body></html>")


@pytest.mark.parametrize("kind", ["text/html", "application/vnd.pypi.simple.v1+json"])
def test_a_page_of_a_version_to_come_is_an_error(kind: str) -> None:
    content = (
        b'<meta name="pypi:repository-version" content="2.0">'
        if kind == "text/html"
        else b'{"meta": {"api-version": "2.0"}, "name": "some-lib", "files": []}'
    )
    with pytest.raises(IndexAccessError, match="can be read"):
        parse_page(content, kind=kind, encoding=None, url=_URL, name="some-lib")


@pytest.mark.parametrize(
    "content",
    [
        "<!DOCTYPE html><html><head></head><body></body></html>",
        "<html><head><title>Simple Index</title></head><body>\n<!-- none -->&nbsp;</body></html>",
        '<html><head><meta name="pypi:repository-version" content="1.3"></head>Nothing</html>',
        '<html><head><title>x</title><meta name="api-version" value="2" /></head><body>Nothing</body></html>',
        "<html><body><h1>Links for Some.Lib</h1><br/>No files</body></html>",
        '<title>Index of /simple/some-lib/</title><pre><a href="../">../</a></pre>Served by httpd',
    ],
    ids=["bare", "empty", "by its meta", "by its older meta", "by its heading", "by its folder"],
)
def test_a_page_of_an_index_may_list_nothing(content: str) -> None:
    assert parse_page(content.encode(), kind="text/html", encoding=None, url=_URL, name="some-lib") == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Sign in",
        "<html><body><p>Please <a href=/login>sign in</a></p></body></html>",
        "<html><head><title>Sign in</title></head><body><h1>Welcome</h1>Sign in</body></html>",
        "<html><body><form action=/login></form></body></html>",
        "<html><head><title>some-lib</title></head><body><INPUT type=password></body></html>",
        "<html><body><script src=/sso.js></script></body></html>",
        '<html><head><meta http-equiv="refresh" content="0; url=/login"></head><body></body></html>',
        "<html><head><title>Access to some-library is not allowed</title></head><body>Ask</body></html>",
    ],
)
def test_a_page_to_sign_in_on_is_no_project_without_files(content: str) -> None:
    with pytest.raises(IndexAccessError, match="no page of a package index"):
        parse_page(content.encode(), kind="text/html", encoding=None, url=_URL, name="some-lib")


def test_a_page_that_lists_files_may_have_something_to_press() -> None:
    button = "<form action=refresh><input type=submit value=Refresh></form>"
    assert len(html(f'{button}<a href="/f/{_WHEEL}">{_WHEEL}</a>')) == 1
