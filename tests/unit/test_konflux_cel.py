"""Which PipelineRuns a change starts: one flavor's for one flavor, and none for what is no flavor's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.konflux_site import SETTINGS, make_site, write_all
from support.pipelines_as_code import started, starts

from factory.konflux.pipeline_run import cel_literal, starts_on

# Each is the beginning of another, as a path and as a name.
FLAVORS = ("th09", "th09-x", "th09-x-push", "xth09")
CHECK = "flavors-check"


@pytest.fixture(scope="module")
def tekton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = make_site(tmp_path_factory.mktemp("site"), *FLAVORS)
    write_all(repository)
    return repository.root / ".tekton"


@pytest.mark.parametrize("event", ["pull_request", "push"])
@pytest.mark.parametrize(
    ("changed", "flavors"),
    [
        (["flavors/th09/pyproject.toml"], {"th09"}),
        (["flavors/th09-x/pyproject.toml"], {"th09-x"}),
        (["flavors/th09-x-push/requirements.txt"], {"th09-x-push"}),
        (["flavors/xth09/requirements.txt"], {"xth09"}),
        (["flavors/th09/deep/er/file.txt"], {"th09"}),
        (["flavors/th09/.hidden"], {"th09"}),
        (["flavors/th09/pyproject.toml", "flavors/th09/Dockerfile", "docs/rules.md"], {"th09"}),
        (["flavors/th09/pyproject.toml", "flavors/th09-x/pyproject.toml"], {"th09", "th09-x"}),
        # A deleted file is told by its path, and a renamed one by its new path.
        (["flavors/th09-gone/pyproject.toml"], set()),
        (["flavors/xth09/moved-here.txt"], {"xth09"}),
        (["docs/rules.md", "README.md"], set()),
        (["docs/flavors/th09/pyproject.toml"], set()),
        (["flavors/th09"], set()),
        (["flavors/README.md"], set()),
        (["other/.tekton/th09-push.yaml", ".tekton/th09-push.yaml.orig", ".tekton/th09-push-yaml"], set()),
        ([], set()),
    ],
    ids=str,
)
def test_a_change_starts_the_pipelines_of_the_flavors_that_it_touches(
    tekton: Path, event: str, changed: list[str], flavors: set[str]
) -> None:
    word = event.replace("_", "-")
    expected = {f"{flavor}-on-{word}" for flavor in flavors}
    assert started(tekton, event=event, changed=changed) == expected


@pytest.mark.parametrize(
    ("event", "path", "expected"),
    [
        ("push", ".tekton/th09-push.yaml", {"th09-on-push"}),
        ("push", ".tekton/th09-pull-request.yaml", set()),
        ("push", ".tekton/th09-x-push.yaml", {"th09-x-on-push"}),
        ("push", ".tekton/th09-x-push-push.yaml", {"th09-x-push-on-push"}),
        ("pull_request", ".tekton/th09-pull-request.yaml", {"th09-on-pull-request"}),
        ("pull_request", ".tekton/th09-push.yaml", set()),
    ],
)
def test_a_changed_pipeline_run_starts_itself_alone(
    tekton: Path, event: str, path: str, expected: set[str]
) -> None:
    assert started(tekton, event=event, changed=[path]) == expected


@pytest.mark.parametrize("event", ["pull_request", "push"])
@pytest.mark.parametrize(
    "path",
    [
        "templates/universal/Dockerfile.j2",
        "factory.toml",
        ".tekton/flavors-check.yaml",
        ".tekton/universal-image-konflux.yaml",
        ".tekton/factory-check.yaml",
        ".tekton/factory-clone.yaml",
        ".tekton/factory-gate.yaml",
        ".tekton/factory-lock-verify.yaml",
    ],
)
def test_what_all_flavors_share_starts_the_check_of_all_and_builds_none(
    tekton: Path, event: str, path: str
) -> None:
    assert started(tekton, event=event, changed=[path]) == {f"{CHECK}-on-{event.replace('_', '-')}"}


def test_a_pull_request_that_adds_a_flavor_runs_that_flavors_pipeline_alone(tmp_path: Path) -> None:
    repository = make_site(tmp_path, *FLAVORS)
    write_all(repository)
    make_site(tmp_path, "th10")
    written = write_all(repository)
    changed = [file.path for file in written.files if file.change != "same"]
    assert ".tekton/flavors-check-push.yaml" in changed
    changed.append("flavors/th10/pyproject.toml")
    folder = repository.root / ".tekton"
    assert started(folder, event="pull_request", changed=changed) == {"th10-on-pull-request"}
    assert started(folder, event="push", changed=changed) == {"th10-on-push", f"{CHECK}-on-push"}


@pytest.mark.parametrize("branch", ["Main", "main-2", "release/main", "refs/heads/main", ""])
@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_another_branch_starts_nothing(tekton: Path, event: str, branch: str) -> None:
    changed = ["flavors/th09/pyproject.toml", "factory.toml"]
    assert started(tekton, event=event, branch=branch, changed=changed) == set()


@pytest.mark.parametrize("event", ["incoming", "comment", ""])
def test_another_event_starts_nothing(tekton: Path, event: str) -> None:
    assert started(tekton, event=event, changed=["flavors/th09/pyproject.toml"]) == set()


@pytest.mark.parametrize("branch", ["y", "N", "1.10", "release/v1.10", "feature/a+b@c#1,d=e%"])
def test_a_branch_of_the_settings_is_the_one_that_starts(tmp_path: Path, branch: str) -> None:
    repository = make_site(tmp_path, "th09", settings=f'{SETTINGS}target-branch = "{branch}"\n')
    write_all(repository)
    changed = ["flavors/th09/pyproject.toml"]
    folder = repository.root / ".tekton"
    assert started(folder, event="push", branch=branch, changed=changed) == {"th09-on-push"}
    assert started(folder, event="push", branch="main", changed=changed) == set()


HOSTILE = st.text(st.sampled_from("\"\\'`$(){}|&=! \n\r\t\x00\x7fé☃😀abn1"), max_size=12)


@given(text=HOSTILE)
def test_a_literal_is_the_text_and_nothing_else(text: str) -> None:
    expression = f"target_branch == {cel_literal(text)}"
    assert starts(expression, event="push", branch=text, changed=())
    assert not starts(expression, event="push", branch=f"{text}x", changed=())


@given(branch=HOSTILE)
def test_no_branch_makes_an_expression_hold_for_another(branch: str) -> None:
    expression = starts_on("push", target_branch=branch, globs=["a"])
    assert starts(expression, event="push", branch=branch, changed=["a"])
    assert not starts(expression, event="push", branch=f"{branch}x", changed=["a"])
    assert not starts(expression, event="pull_request", branch=branch, changed=["a"])
