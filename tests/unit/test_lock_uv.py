"""What uv is given, and what is shown of what it says."""

import pytest

from factory.lock.uv import environment, scrub


@pytest.mark.parametrize(
    "variable",
    [
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_INDEX_STRATEGY",
        "UV_TORCH_BACKEND",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_EXCLUDE",
        "UV_PRERELEASE",
        "UV_RESOLUTION",
        "UV_EXCLUDE_NEWER",
        "UV_INDEX_PRIVATE_USERNAME",
        "UV_NO_INDEX",
        "UV_SOMETHING_OF_TOMORROW",
    ],
)
@pytest.mark.parametrize("private", [True, False])
def test_nothing_that_changes_a_lock_reaches_uv(variable: str, *, private: bool) -> None:
    assert variable not in environment({variable: "x"}, private=private)


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE", "UV_NO_CONFIG"])
def test_the_machines_index_serves_flavors_of_the_public_index_only(variable: str) -> None:
    assert environment({variable: "x"}, private=False)[variable] == "x"
    assert variable not in environment({variable: "x"}, private=True)


@pytest.mark.parametrize(
    "variable", ["HOME", "NETRC", "HTTPS_PROXY", "SSL_CERT_FILE", "UV_CACHE_DIR", "UV_HTTP_TIMEOUT"]
)
def test_how_an_index_is_reached_is_kept(variable: str) -> None:
    assert environment({variable: "7"}, private=True)[variable] == "7"


def test_uv_downloads_no_python_and_waits_for_a_bounded_time() -> None:
    made = environment({}, private=True)
    assert made["UV_PYTHON_DOWNLOADS"] == "never"
    assert 0 < int(made["UV_HTTP_TIMEOUT"]) <= 60


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:s3cret@host/simple/ it", "at https://***@host/simple/ it"),
        ("https://token@host/a and http://u:p%40@h/", "https://***@host/a and http://***@h/"),
        ("https://host/a@b/simple", "https://host/a@b/simple"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_credentials_are_not_shown(text: str, shown: str) -> None:
    assert scrub(text) == shown
