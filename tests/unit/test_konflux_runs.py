"""The PipelineRuns of a flavor: what each says, and that it follows from the spec."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.konflux_site import SETTINGS, make_site, parameters, read_run, settings_of, texts, write_all

from factory.flavor.spec import FurtherIndex, Spec
from factory.konflux.flavors_check import pipeline_file
from factory.konflux.pipeline_run import Event, flavor_files, prefetch_input, run_name
from factory.konflux.settings import Settings

CUDA = Spec(
    accelerator="cuda",
    accelerator_version="13.0",
    torch="2.11.0",
    python="3.12",
    training_hub="0.9.2",
    index_url="https://packages.example.com/simple/",
    platforms=("linux/amd64", "linux/arm64"),
    base_image="quay.io/example/base:1",
    downstream_base_image="quay.io/example/product-base:1",
)
CPU = replace(CUDA, accelerator="cpu", accelerator_version=None, platforms=("linux/amd64",), python="3.9")
KERNELS = FurtherIndex(name="kernels", url="https://k.example.com/simple/", packages=("flash-attn",))


def _runs(spec: Spec, settings: Settings, name: str = "th09") -> tuple[Any, Any]:
    request, push = flavor_files(name, spec, settings)
    assert request.path == f".tekton/{name}-pull-request.yaml"
    assert push.path == f".tekton/{name}-push.yaml"
    return yaml.safe_load(request.content), yaml.safe_load(push.content)


def test_a_pull_request_run_says_everything_that_the_build_needs() -> None:
    request, _ = _runs(CUDA, settings_of())
    assert request == {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "annotations": {
                "build.appstudio.openshift.io/repo": "{{source_url}}?rev={{revision}}",
                "build.appstudio.redhat.com/commit_sha": "{{revision}}",
                "build.appstudio.redhat.com/pull_request_number": "{{pull_request_number}}",
                "build.appstudio.redhat.com/target_branch": "{{target_branch}}",
                "pipelinesascode.tekton.dev/cancel-in-progress": "true",
                "pipelinesascode.tekton.dev/max-keep-runs": "3",
                "pipelinesascode.tekton.dev/on-cel-expression": (
                    'event == "pull_request" && target_branch == "main" && '
                    '("flavors/th09/***".pathChanged() || ".tekton/th09-pull-request.yaml".pathChanged())'
                ),
            },
            "labels": {
                "appstudio.openshift.io/application": "images",
                "appstudio.openshift.io/component": "th09",
                "pipelines.appstudio.openshift.io/type": "build",
            },
            "name": "th09-on-pull-request",
        },
        "spec": {
            "params": [
                {"name": "git-url", "value": "{{source_url}}"},
                {"name": "revision", "value": "{{revision}}"},
                {"name": "output-image", "value": "quay.io/example/th09:on-pr-{{revision}}"},
                {"name": "image-expires-after", "value": "5d"},
                {"name": "dockerfile", "value": "Dockerfile.konflux"},
                {"name": "path-context", "value": "flavors/th09"},
                {"name": "hermetic", "value": "true"},
                {
                    "name": "prefetch-input",
                    "value": '[{"type":"pip","path":"flavors/th09","requirements_files":["requirements.txt"],'
                    '"binary":{"arch":"x86_64,aarch64","os":"linux","py_version":312}}]',
                },
                {"name": "build-args", "value": []},
                {"name": "build-platforms", "value": ["linux/x86_64", "linux/arm64"]},
                {"name": "build-source-image", "value": "false"},
                {"name": "build-image-index", "value": "true"},
            ],
            "pipelineRef": {"name": "universal-image-konflux"},
            "timeouts": {"pipeline": "8h0m0s", "tasks": "7h30m0s"},
            "taskRunTemplate": {"serviceAccountName": "build-pipeline-th09"},
            "workspaces": [{"name": "git-auth", "secret": {"secretName": "{{ git_auth_secret }}"}}],
        },
    }


def test_a_push_keeps_its_image_and_is_not_cancelled_by_the_next() -> None:
    request, push = _runs(CUDA, settings_of())
    told = parameters(request)
    told["output-image"] = "quay.io/example/th09:{{revision}}"
    del told["image-expires-after"]
    assert parameters(push) == told
    assert push["metadata"]["name"] == "th09-on-push"
    annotations = push["metadata"]["annotations"]
    assert annotations["pipelinesascode.tekton.dev/cancel-in-progress"] == "false"
    assert "build.appstudio.redhat.com/pull_request_number" not in annotations


def test_one_platform_needs_no_index_of_images() -> None:
    told = parameters(_runs(CPU, settings_of())[1])
    assert told["build-platforms"] == ["linux/x86_64"]
    assert told["build-image-index"] == "false"
    assert json.loads(told["prefetch-input"])[0]["binary"] == {
        "arch": "x86_64",
        "os": "linux",
        "py_version": 39,
    }


@pytest.mark.parametrize(
    ("accelerator", "given", "expected"),
    [
        ("cuda", "", {"pipeline": "8h0m0s", "tasks": "7h30m0s"}),
        ("rocm", "", {"pipeline": "8h0m0s", "tasks": "7h30m0s"}),
        ("cpu", "", {"pipeline": "4h0m0s", "tasks": "3h30m0s"}),
        ("cuda", 'cuda = "10h"', {"pipeline": "10h0m0s", "tasks": "9h30m0s"}),
        ("cuda", 'cuda = "90m"', {"pipeline": "1h30m0s", "tasks": "1h0m0s"}),
        ("cuda", 'cpu = "1h"', {"pipeline": "8h0m0s", "tasks": "7h30m0s"}),
    ],
)
def test_the_time_is_the_accelerators(accelerator: str, given: str, expected: dict[str, str]) -> None:
    settings = settings_of(f"{SETTINGS}[konflux.timeouts]\n{given}\n")
    for run in _runs(replace(CUDA, accelerator=accelerator), settings):
        assert run["spec"]["timeouts"] == expected


def test_every_lock_file_of_the_spec_is_fetched() -> None:
    (package,) = json.loads(prefetch_input("th09", replace(CUDA, indexes=(KERNELS,))))
    assert package["requirements_files"] == ["requirements.txt", "requirements-kernels.txt"]


def test_the_prefetch_input_is_one_line_with_types_that_hermeto_takes() -> None:
    text = prefetch_input("th09", CUDA)
    assert "\n" not in text
    (package,) = json.loads(text)
    assert type(package["binary"]["py_version"]) is int
    assert package["binary"]["arch"].split(",") == ["x86_64", "aarch64"]


def test_settings_reach_every_run() -> None:
    settings = settings_of(
        SETTINGS
        + 'service-account = "builder"\nnamespace = "tenant"\ncomponent-prefix = "odh-"\nmax-keep-runs = 7\n'
        'image-expires-after = "2w"\nbuild-source-image = true\nbuild-args = ["A=1 2"]\nout = ".tekton"\n'
        '[konflux.build-platforms]\n"linux/arm64" = "linux-mlarge/arm64"\n'
    )
    request, push = _runs(CUDA, settings)
    assert parameters(request)["image-expires-after"] == "2w"
    for run in (request, push):
        told = parameters(run)
        assert told["output-image"].startswith("quay.io/example/odh-th09:")
        assert told["build-args"] == ["A=1 2"]
        assert told["build-source-image"] == "true"
        assert told["build-platforms"] == ["linux/x86_64", "linux-mlarge/arm64"]
        assert told["path-context"] == "flavors/th09"
        assert run["metadata"]["namespace"] == "tenant"
        assert run["metadata"]["labels"]["appstudio.openshift.io/component"] == "odh-th09"
        assert run["metadata"]["annotations"]["pipelinesascode.tekton.dev/max-keep-runs"] == "7"
        assert run["spec"]["taskRunTemplate"] == {"serviceAccountName": "builder"}


def _timed(root: Path, settings: str, *, lock: str | None) -> list[dict[str, Any]]:
    """The parameters of both runs of a flavor with this lock."""
    repository = make_site(root, "th09", settings=settings)
    if lock is not None:
        (root / "flavors" / "th09" / "requirements.txt").write_text(lock, encoding="utf-8")
    write_all(repository)
    return [parameters(read_run(repository, f"th09-{event}")) for event in ("pull-request", "push")]


REPRODUCIBLE = f"{SETTINGS}reproducible = true\n"
LOCK = f"""\
small==1.0 \\
    --hash=sha256:{"0" * 64} \\
    --hash=sha256:{"1" * 64}
    # small-1.0-py3-none-any.whl, 1000 bytes, 2026-01-31T12:00:00Z
    # small-1.0-py2-none-any.whl, 1000 bytes, 2026-01-31T12:00:01Z
"""


def test_a_reproducible_image_has_the_time_of_the_newest_upload_in_its_lock(tmp_path: Path) -> None:
    for told in _timed(tmp_path, REPRODUCIBLE, lock=LOCK):
        assert told["source-date-epoch"] == "1769860801"
        assert told["rewrite-timestamp"] == "true"


@pytest.mark.parametrize(
    ("settings", "lock"),
    [
        (SETTINGS, LOCK),
        (REPRODUCIBLE, None),
        (REPRODUCIBLE, LOCK.replace("2026", "last year")),
        (REPRODUCIBLE, "this is no lock\n"),
    ],
    ids=["not asked for", "not locked", "no times", "broken"],
)
def test_another_image_has_the_time_of_its_build(tmp_path: Path, settings: str, lock: str | None) -> None:
    for told in _timed(tmp_path, settings, lock=lock):
        assert not {"source-date-epoch", "rewrite-timestamp"} & set(told)


def test_every_scalar_of_every_file_that_is_made_is_a_text(tmp_path: Path) -> None:
    repository = make_site(tmp_path, "th09", "y", "1-10")
    write_all(repository)
    names = ["th09-push", "y-push", "1-10-pull-request", "flavors-check-push", "flavors-check-pull-request"]
    for name in names:
        found = set(map(type, texts(read_run(repository, name))))
        assert found == {str}, name


def test_every_parameter_is_one_of_the_pipelines_and_of_its_type() -> None:
    declared = {
        parameter["name"]: parameter.get("type", "string")
        for parameter in yaml.safe_load(pipeline_file("universal-image-konflux"))["spec"]["params"]
    }
    for run in _runs(CUDA, settings_of()):
        told = parameters(run)
        kinds = {name: "array" if isinstance(value, list) else "string" for name, value in told.items()}
        assert kinds == {name: declared[name] for name in told}


@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_a_name_is_that_of_its_file(event: Event) -> None:
    assert run_name("th09", event, settings_of()) == f"th09-on-{event.replace('_', '-')}"


@pytest.mark.parametrize("event", ["pull_request", "push"])
@pytest.mark.parametrize("name", ["th09", "flavors-check"])
def test_the_runs_of_two_branches_do_not_share_a_name(event: Event, name: str) -> None:
    release = settings_of(f'{SETTINGS}target-branch = "release-3.6"\ncomponent-prefix = "v3-6-"\n')
    assert run_name(name, event, release) == f"v3-6-{run_name(name, event, settings_of())}"


def test_every_run_of_a_site_with_a_prefix_is_called_by_it(tmp_path: Path) -> None:
    repository = make_site(tmp_path, "th09", settings=f'{SETTINGS}component-prefix = "v3-6-"\n')
    write_all(repository)
    for name in ("th09", "flavors-check"):
        for word in ("pull-request", "push"):
            assert read_run(repository, f"{name}-{word}")["metadata"]["name"] == f"v3-6-{name}-on-{word}"


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert flavor_files("th09", CUDA, settings_of()) == flavor_files("th09", CUDA, settings_of())
    for file in flavor_files("th09", CUDA, settings_of()):
        assert file.content.startswith(b"# Generated by `factory konflux` from flavors/th09/pyproject.toml")
        assert b"Do not edit." in file.content.splitlines()[0]
