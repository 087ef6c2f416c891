"""Addresses as they may be shown, odd ones too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import RegistryError
from factory.masking import masked, masked_address, shown

_TEXTS = [
    ("https://a.example/simple/", "https://a.example/simple/"),
    ("https://me:s3cret@a.example/x", "https://***@a.example/x"),
    ("https://t0ken@a.example/x", "https://***@a.example/x"),
    ("https://me:s3@cret@a.example/a@b", "https://***@a.example/a@b"),
    ("https://me:s%40c@a.example:8443/", "https://***@a.example:8443/"),
    ("https://:s3cret@a.example/", "https://***@a.example/"),
    ("https://me:@a.example/", "https://***@a.example/"),
    ("https://me:s3cret@[::1]:5000/x", "https://***@[::1]:5000/x"),
    ("https://[::1]:5000/x@1", "https://[::1]:5000/x@1"),
    ("HTTPS://me:s3cret@A.example/x", "HTTPS://***@A.example/x"),
    ("https://me:s3cr/et@a.example/x", "https://***@a.example/x"),
    ("https://me:s3cr?et@a.example/x", "https://***@a.example/x"),
    ("https://me:s3cr#et@a.example/x", "https://***@a.example/x"),
    ("https://me:/s3cret@a.example/x", "https://***@a.example/x"),
    ("https://me/s3cret@a.example/x", "https://***@a.example/x"),
    ("https://me/s3cret@localhost:8080", "https://***@localhost:8080"),
    ("https://me@:s3cret/@a.example/x", "https://***@a.example/x"),
    ("https://me@b.example/:s3cret@a.example/x", "https://***@a.example/x"),
    ("https://me:s3cret@a.example/x@1.2.3/y", "https://***@a.example/x@1.2.3/y"),
    ("https://a.example/@scope/x", "https://a.example/@scope/x"),
    ("https://a.example/@scope.x/x", "https://a.example/@scope.x/x"),
    ("https://a.example/x@1.2.3/y.js", "https://a.example/x@1.2.3/y.js"),
    ("https://a.example/x@v1/simple", "https://a.example/x@v1/simple"),
    ("git+https://a.example/r.git@v1.0#egg=x", "git+https://a.example/r.git@v1.0#egg=x"),
    ("https://me:s3'c\"ret@a.example/x", "https://***@a.example/x"),
    ("https://me:s3\\cret@a.example/x", "https://***@a.example/x"),
    ("https://me:sé¢rêt@a.example/x", "https://***@a.example/x"),
    ("socks5h://me:s3cret@proxy:1080", "socks5h://***@proxy:1080"),
    ("git+https://t0ken@a.example/r.git@v1", "git+https://***@a.example/r.git@v1"),
    ("git+ssh://git@a.example/r.git@v1", "git+ssh://***@a.example/r.git@v1"),
    ("docker://quay.io/a/b:1@sha256:ab", "docker://quay.io/a/b:1@sha256:ab"),
    ("quay.io:443/a/b:1@sha256:ab", "quay.io:443/a/b:1@sha256:ab"),
    ("localhost/b:1@sha512:ab", "localhost/b:1@sha512:ab"),
    ("https://a.example/?token=s3cret", "https://a.example/?token=***"),
    ("https://a.example?token=s3cret", "https://a.example?token=***"),
    ("https://a.example/x?a=s3&X-Amz-Signature=cret", "https://a.example/x?a=***&X-Amz-Signature=***"),
    ("https://a.example/x?s3cret-and-long", "https://a.example/x?***"),
    ("https://a.example/x?a=&b", "https://a.example/x?a=&b"),
    ("https://a.example/x?a=s3=cret==", "https://a.example/x?a=***"),
    ("https://a.example/x?a=b?c=s3cret", "https://a.example/x?a=***"),
    ("https://a.example/x#access_token=s3cret", "https://a.example/x#access_token=***"),
    ("https://a.example/x.whl#sha256=abcdef", "https://a.example/x.whl#sha256=abcdef"),
    ("https://a.example/r#egg=x&subdirectory=y", "https://a.example/r#egg=x&subdirectory=y"),
    ("main=https://me:s3cret@a.example/", "main=https://***@a.example/"),
    ("see 'https://me:s3cret@a.example/x?t=s3cret', twice", "see 'https://***@a.example/x?t=***', twice"),
    ("(https://a.example/x?t=s3cret).", "(https://a.example/x?t=***)."),
    ("from https://me:s3cret@a/ to https://b/@x", "from https://***@a/ to https://b/@x"),
    ("a.example/p?x=s3cret", "a.example/p?x=***"),
    ("--to a.example:5000/p?x=s3cret is none", "--to a.example:5000/p?x=*** is none"),
    ("me:s3cret@a.example/p", "***@a.example/p"),
    ("--index-url=me:s3@cret@a.example", "--index-url=***@a.example"),
    ("pkg:pypi/x@1.0?repository_url=https://a.example", "pkg:pypi/x@1.0?repository_url=https://a.example"),
    ("why? a=b", "why? a=b"),
    ("x ? y=1 : z", "x ? y=1 : z"),
    ("lib==1.0 and lib@2", "lib==1.0 and lib@2"),
    ("someone@a.example", "someone@a.example"),
    ("https://", "https://"),
    ("://me:s3cret@", "://***@"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "safe"), _TEXTS)
def test_a_text_has_no_secrets_of_its_addresses(text: str, safe: str) -> None:
    assert masked(text) == safe


@pytest.mark.parametrize(("text", "safe"), _TEXTS)
def test_what_is_masked_stays_as_it_is(text: str, safe: str) -> None:
    assert masked(masked(text)) == safe


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("t0ken@a.example/p", "***@a.example/p"),
        ("me:s3cret@a.example/p?x=s3cret", "***@a.example/p?x=***"),
        ("a.example/p?x=s3cret", "a.example/p?x=***"),
        ("https://me:s3cret@a.example/p", "https://***@a.example/p"),
        ("a.example:5000/p:1@sha256:ab", "a.example:5000/p:1@sha256:ab"),
        ("me:s3c/ret@a.example/p", "***@a.example/p"),
    ],
)
def test_an_address_needs_no_scheme(address: str, safe: str) -> None:
    assert masked_address(address) == safe


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://me:s3cret@a.example/x?sig=s3cret#f", "https://a.example/x"),
        ("https://me:s3@cret@a.example:8443/x/", "https://a.example:8443/x/"),
        ("https://me:s3/cret@a.example/x", "https://a.example/x"),
        ("https://a.example/x@1", "https://a.example/x@1"),
        ("https://a.example?token=s3cret", "https://a.example"),
        ("https://[::1", "https://[::1"),
        ("a.example/x?y", "a.example/x"),
    ],
)
def test_a_url_that_is_kept_is_bare(url: str, bare: str) -> None:
    assert shown(url) == bare


_SECRET = st.text(
    alphabet=st.characters(exclude_categories=("Z", "C"), exclude_characters=""), min_size=8, max_size=20
).map(lambda text: f"Zq9{text}")


@given(user=_SECRET, password=_SECRET)
def test_no_login_is_left_whatever_is_in_it(user: str, password: str) -> None:
    """White space would end the address; what is a host and a path without the rest is none to see."""
    said = masked(f"cannot read https://{user}:{password}@a.example/simple/ now")
    assert password not in said


@given(value=_SECRET)
def test_no_query_value_is_left_whatever_is_in_it(value: str) -> None:
    said = masked(f"cannot read https://a.example/simple/?token={value} now")
    assert value.rstrip("\"'`),.;:]}>") not in said or "#" in value or "&" in value


def test_an_error_masks_what_it_says() -> None:
    error = RegistryError(
        "https://me:s3cret@a/ failed", solution="Try podman pull docker://me:s3cret@a/x?t=s3cret."
    )
    assert "s3cret" not in f"{error} {error.reason} {error.solution} {error!r}"
