"""The login of a private index in the PipelineRuns: a Secret's name, and never more."""

from typing import Any

import pytest
import yaml
from support.clean_flavor import NAME, PROJECT

from factory.errors import KonfluxError
from factory.flavor.project import parse_project
from factory.konflux.flavors_check import flavors_check_files
from factory.konflux.pipeline_run import flavor_files
from factory.konflux.settings import Settings, parse_settings

TABLE = '[konflux]\napplication = "a"\noutput-image = "quay.io/example/"\n'


def _settings(more: str = "") -> Settings:
    settings = parse_settings(TABLE + more)
    assert settings is not None
    return settings


def _bound(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The workspaces of every PipelineRun."""
    spec = parse_project(PROJECT, where="pyproject.toml").spec
    files = (*flavor_files(NAME, spec, settings), *flavors_check_files([NAME], settings))
    runs = {file.path: yaml.safe_load(file.content) for file in files}
    return {path: run["spec"]["workspaces"] for path, run in runs.items() if run["kind"] == "PipelineRun"}


def test_a_run_reads_its_logins_from_the_secret_of_its_event_and_that_of_the_settings() -> None:
    netrc = {"name": "netrc", "secret": {"secretName": "package-index"}}
    bound = _bound(_settings('netrc-secret = "package-index"\n'))
    assert len(bound) == 4
    assert [path for path, workspaces in bound.items() if netrc not in workspaces] == []
    git = {"name": "git-auth", "secret": {"secretName": "{{ git_auth_secret }}"}}
    assert [path for path, workspaces in bound.items() if git not in workspaces] == []
    without = [name["name"] for workspaces in _bound(_settings()).values() for name in workspaces]
    assert "netrc" not in without


@pytest.mark.parametrize("name", ["", "a b", "Upper", "a\\nb", "$(x)", "-a", "a" * 64])
def test_what_cannot_be_the_name_of_a_secret_is_refused(name: str) -> None:
    with pytest.raises(KonfluxError, match="netrc-secret"):
        _settings(f'netrc-secret = "{name}"\n')
