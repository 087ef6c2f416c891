"""What uv is given, and what is shown of what it says."""

from pathlib import Path

import pytest

from factory.lock.uv import environment


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
        "UV_INDEX_PRIVATE_URL",
        "UV_INDEX_URL",
        "UV_CONFIG_FILE",
        "UV_NO_CONFIG",
        "UV_NO_INDEX",
        "UV_SOMETHING_OF_TOMORROW",
    ],
)
@pytest.mark.parametrize("index_url", [None, "https://packages.example.com/simple/"])
def test_nothing_that_changes_a_lock_reaches_uv(variable: str, index_url: str | None, tmp_path: Path) -> None:
    named = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    (tmp_path / "uv.toml").write_text("")
    made = environment(
        {variable: "x", "HOME": str(tmp_path)} | (named if variable in named else {}), index_url=index_url
    )
    assert variable not in made


_PUBLIC, _PIPS = "https://public.example.com/simple/", "https://pips.example.com/simple/"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"UV_DEFAULT_INDEX": _PUBLIC}, _PUBLIC),
        ({"UV_DEFAULT_INDEX": f"corp={_PUBLIC}"}, f"corp={_PUBLIC}"),
        ({"UV_INDEX_URL": _PUBLIC, "PIP_INDEX_URL": _PIPS}, _PUBLIC),
        ({"PIP_INDEX_URL": _PIPS, "UV_NO_CONFIG": "1"}, _PIPS),
        ({"UV_NO_CONFIG": "1"}, None),
    ],
)
def test_the_machines_index_is_uvs_where_the_flavor_names_none(
    variables: dict[str, str], expected: str | None
) -> None:
    assert environment(variables, index_url=None).get("UV_DEFAULT_INDEX") == expected
    ours = "https://packages.example.com/simple/"
    assert environment(variables, index_url=ours)["UV_DEFAULT_INDEX"] == f"main={ours}"


@pytest.mark.parametrize(
    "variable",
    [
        "HOME",
        "NETRC",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "UV_CACHE_DIR",
        "UV_HTTP_TIMEOUT",
        "UV_INDEX_EXTRA_PASSWORD",
    ],
)
def test_how_an_index_is_reached_is_kept(variable: str) -> None:
    assert environment({variable: "7"}, index_url="https://h/")[variable] == "7"


def test_uv_downloads_no_python_and_waits_for_a_bounded_time() -> None:
    made = environment({}, index_url="https://h/")
    assert made["UV_PYTHON_DOWNLOADS"] == "never"
    assert 0 < int(made["UV_HTTP_TIMEOUT"]) <= 60
