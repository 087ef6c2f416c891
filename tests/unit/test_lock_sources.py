"""How uv is told where a package comes from, and what the explanation of a failure says of that."""

import tomllib
from pathlib import Path

from factory.flavor.spec import FurtherIndex
from factory.lock.resolution import NEVER, is_taken_out
from factory.lock.uv import Request, in_the_projects_name, write_sources

_EXTRA = FurtherIndex(name="extra", url="https://extra.example.com/simple/", packages=("flash", "mamba-ssm"))
_OTHER = FurtherIndex(name="other-one", url="https://other.example.com/simple/", packages=("grouped",))


def _request(*overrides: str) -> Request:
    return Request(
        requirements=("app",),
        overrides=overrides,
        python="3.12",
        platform="linux/amd64",
        glibc="2.34",
        index_url=None,
        further=(_EXTRA, _OTHER),
    )


def test_every_package_of_a_further_index_has_its_source_and_indexes_are_explicit(tmp_path: Path) -> None:
    written = tomllib.loads(write_sources(tmp_path, _request().sources).read_text())
    assert written["project"]["dependencies"] == ["flash", "grouped", "mamba-ssm"]
    assert written["tool"]["uv"]["sources"] == {
        "flash": {"index": "extra"},
        "grouped": {"index": "other-one"},
        "mamba-ssm": {"index": "extra"},
    }
    indexes = {index["name"]: (index["url"], index["explicit"]) for index in written["tool"]["uv"]["index"]}
    assert indexes == {"extra": (_EXTRA.url, True), "other-one": (_OTHER.url, True)}


def test_what_an_override_names_has_no_source() -> None:
    assert set(_request(f"Mamba_SSM ; {NEVER}", "numpy<3").sources) == {"flash", "grouped"}


def test_an_override_takes_out_only_where_no_platform_meets_its_marker() -> None:
    assert is_taken_out(f"flash ; {NEVER}")
    assert is_taken_out('flash ; sys_platform=="never"')
    assert not is_taken_out("flash==1.0")
    assert not is_taken_out("flash ; sys_platform == 'win32'")


def test_an_explanation_names_no_project_that_nobody_wrote(tmp_path: Path) -> None:
    name = tomllib.loads(write_sources(tmp_path, _request().sources).read_text())["project"]["name"]
    text = f"Because flash was not found in the package registry and {name} depends on flash, we can conclude"
    told = "Because flash was not found in the package registry and you require flash, we can conclude"
    assert in_the_projects_name(text) == told
    assert name not in in_the_projects_name(f"because {name}==0 depends on flash>=1")
