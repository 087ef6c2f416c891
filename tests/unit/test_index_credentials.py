"""Whose name and password an index is told, and that neither is ever shown."""

import traceback
from pathlib import Path

import pytest

from factory.http.origins import Login
from factory.index.credentials import Logins, read_logins
from factory.masking import shown

_URL = "https://index.example/simple/"


@pytest.fixture
def netrc(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "netrc"
    path.write_text("machine index.example login of-netrc password n\n")
    return {"NETRC": str(path)}


def _user(url: str, environment: dict[str, str], *, name: str | None = None) -> tuple[str, str] | None:
    bare, logins = read_logins(url, environment, name=name)
    assert "@" not in bare
    login = logins.of(f"{bare}lib/")
    return None if login is None else (login.user, login.password)


_MAIN = {"UV_INDEX_MAIN_USERNAME": "of-environment", "UV_INDEX_MAIN_PASSWORD": "e"}


@pytest.mark.parametrize(
    ("url", "extra", "name", "login"),
    [
        ("https://of-url:u@index.example/simple/", _MAIN, "main", ("of-url", "u")),
        (_URL, _MAIN, "main", ("of-environment", "e")),
        (_URL, {}, "main", ("of-netrc", "n")),
        (_URL, _MAIN, None, ("of-netrc", "n")),
        (_URL, _MAIN, "tools", ("of-netrc", "n")),
        (_URL, {"UV_INDEX_MY_TOOLS_2_PASSWORD": "p"}, "my-tools.2", ("", "p")),
        (_URL, {"UV_INDEX_MAIN_USERNAME": "token"}, "main", ("token", "")),
        ("https://a%40b:s%2Fc@index.example/simple/", {}, None, ("a@b", "s/c")),
        ("https://other.example/simple/", {}, "main", None),
    ],
)
def test_the_url_goes_before_the_environment_and_the_environment_before_netrc(
    netrc: dict[str, str], url: str, extra: dict[str, str], name: str | None, login: tuple[str, str] | None
) -> None:
    assert _user(url, netrc | extra, name=name) == login


@pytest.mark.parametrize(
    ("asked", "user"),
    [
        ("https://index.example/files/x.whl", "own"),
        ("https://index.example:443/files/x.whl", "own"),
        ("https://index.example:8443/files/x.whl", None),
        ("https://files.example:443/x.whl", "files'"),
        ("https://files.example:8443/x.whl", None),
        ("https://files.example@evil.example/x.whl", None),
        ("http://index.example/files/x.whl", None),
        ("https://files.example/x.whl", "files'"),
        ("http://files.example/x.whl", None),
        ("https://index.example.evil/x.whl", None),
        ("https://evil.example/https://index.example/x.whl", None),
    ],
)
def test_a_login_goes_to_its_own_server_only_and_never_from_https_to_plain_text(
    asked: str, user: str | None
) -> None:
    logins = Logins(
        index_url=_URL,
        own=Login(user="own", password="p"),
        by_host={
            "index.example": Login(user="host's", password="p"),
            "files.example": Login(user="files'", password="p"),
        },
    )
    found = logins.of(asked)
    assert (found.user if found else None) == user


def test_credentials_are_not_shown() -> None:
    login = Login(user="t0ken", password="s3cret")
    logins = Logins(index_url=_URL, own=login, by_host={"h": login})
    text = "".join(traceback.format_exception(ValueError(login, logins))) + f"{logins!r} {login}"
    assert "t0ken" not in text
    assert "s3cret" not in text
    assert shown("https://t0ken:s3cret@a.example/x?sig=s3cret#f") == "https://a.example/x"
