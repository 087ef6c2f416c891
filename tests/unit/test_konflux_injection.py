"""Names, branches and labels that are made to be read as something else: refused, or quoted."""

from pathlib import Path

import pytest
import yaml
from support.konflux_site import (
    SETTINGS,
    contents,
    make_site,
    parameters,
    read_run,
    settings_of,
    write_all,
)

from factory.errors import FactoryError, KonfluxError
from factory.konflux.flavors_check import flavors_check_files
from factory.konflux.pipeline_run import flavor_files
from factory.konflux.settings import settings_with
from factory.konflux.writing import write_runs

HOSTILE = [
    'a"b',
    "a'b",
    'main" || true || "',
    'x".pathChanged() || "',
    "a b",
    " ",
    "",
    "a\nb",
    "a\n  labels: {x: y}",
    "a\r",
    "a\tb",
    "a\x00b",
    "$(params.git-url)",
    "$(cat /etc/passwd)",
    "`id`",
    "${HOME}",
    "{{revision}}",
    "{{ cel: body }}",
    "a;b",
    "a&&b",
    "a|b",
    "a*",
    "a?",
    "[a]",
    "{a,b}",
    "a\\b",
    "../a",
    "-a",
    "é",
    "a<b",
]
# Texts that YAML reads as something else, and names all the same.
QUOTED = ["y", "n", "no", "on", "null", "true", "1", "0x10", "1e3", "010", "2026-01-01"]
_KEYS = ["application", "target-branch", "service-account", "namespace", "component-prefix", "output-image"]


@pytest.mark.parametrize("key", [*_KEYS, "out", "image-expires-after", "factory-image"])
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_setting_is_refused_and_nothing_is_written(tmp_path: Path, key: str, value: str) -> None:
    if not value and key == "component-prefix":
        return  # no prefix
    repository = make_site(tmp_path, "th09")
    before = contents(tmp_path)
    with pytest.raises(KonfluxError) as refused:
        write_runs(repository, repository.flavors(), options={key: value}, every=True)
    assert refused.value.solution
    assert contents(tmp_path) == before


@pytest.mark.parametrize("value", ["N", "NO", "Yes", "1.10", "TRUE"])
@pytest.mark.parametrize("key", ["application", "service-account", "namespace"])
def test_what_kubernetes_does_not_take_as_a_name_is_refused(tmp_path: Path, key: str, value: str) -> None:
    make_site(tmp_path, "th09")
    with pytest.raises(KonfluxError, match="not a name that Kubernetes takes"):
        settings_with(tmp_path, {key: value})


@pytest.mark.parametrize("value", QUOTED)
def test_a_name_that_yaml_reads_as_something_else_stays_a_name(tmp_path: Path, value: str) -> None:
    repository = make_site(tmp_path, value)
    write_all(repository, application=value, service_account=value, target_branch=value)
    run = read_run(repository, f"{value}-push")
    assert run["metadata"]["labels"]["appstudio.openshift.io/application"] == value
    assert run["metadata"]["labels"]["appstudio.openshift.io/component"] == value
    assert run["spec"]["taskRunTemplate"]["serviceAccountName"] == value
    assert (
        f'target_branch == "{value}"'
        in run["metadata"]["annotations"]["pipelinesascode.tekton.dev/on-cel-expression"]
    )
    assert parameters(read_run(repository, "flavors-check-push"))["flavors"] == [value]


@pytest.mark.parametrize("branch", ["y", "N", "NO", "1.10", "1e3", "release/2026-01-01", "null", "~x"[1:]])
def test_a_branch_that_yaml_reads_as_something_else_stays_a_branch(branch: str) -> None:
    settings = settings_of(f'{SETTINGS}target-branch = "{branch}"\n')
    for file in flavors_check_files(["th09"], settings):
        yaml.safe_load(file.content)
    assert settings.target_branch == branch


@pytest.mark.parametrize(
    "branch",
    [
        "refs/heads/main",
        "a..b",
        "a/",
        "/a",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "@",
        "a~b",
        "a^b",
        "a:b",
        "@{1}",
    ],
)
def test_what_is_no_branch_to_git_is_refused(branch: str) -> None:
    with pytest.raises(KonfluxError, match="not the name of a branch"):
        settings_of(f'{SETTINGS}target-branch = "{branch}"\n')


@pytest.mark.parametrize(
    "name", [*(name for name in HOSTILE if name), "N", "1.10", "Th09", "a--", "a_b"], ids=ascii
)
def test_a_hostile_flavor_name_is_refused(tmp_path: Path, name: str) -> None:
    spec = make_site(tmp_path, "th09").flavor("th09").project.spec
    with pytest.raises(KonfluxError):
        flavor_files(name, spec, settings_of())
    with pytest.raises(KonfluxError):
        flavors_check_files([name], settings_of())


@pytest.mark.parametrize("name", ["a b", 'a"b', "$(id)", "a\nb", "N", "1.10"], ids=ascii)
def test_a_hostile_folder_stops_the_run_before_anything_is_written(tmp_path: Path, name: str) -> None:
    repository = make_site(tmp_path, "th09", name)
    before = contents(tmp_path)
    with pytest.raises(FactoryError):
        write_all(repository)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "prefix", "fits"),
    [("a" * 47, "", True), ("a" * 48, "", False), ("a" * 43, "odh-", True), ("a" * 44, "odh-", False)],
)
def test_a_name_makes_no_name_of_more_than_63_characters(
    tmp_path: Path, name: str, prefix: str, *, fits: bool
) -> None:
    repository = make_site(tmp_path, name, settings=f'{SETTINGS}component-prefix = "{prefix}"\n')
    if not fits:
        with pytest.raises(KonfluxError, match=rf"'{name}' cannot have a PipelineRun") as refused:
            write_all(repository)
        assert "at most 47" in refused.value.solution
        return
    write_all(repository)
    for word in ("pull-request", "push"):
        run = read_run(repository, f"{name}-{word}")
        named = [run["metadata"]["name"], run["spec"]["taskRunTemplate"]["serviceAccountName"]]
        named += run["metadata"]["labels"].values()
        assert all(len(text) <= 63 for text in named)


def test_the_name_of_the_check_of_all_flavors_is_taken(tmp_path: Path) -> None:
    with pytest.raises(KonfluxError, match="the run that checks every flavor"):
        write_all(make_site(tmp_path, "flavors-check"))
