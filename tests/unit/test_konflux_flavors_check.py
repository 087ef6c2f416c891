"""The check of every flavor: as many matrices as it takes, each flavor once, each matrix judged."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.konflux_site import SETTINGS, make_site, parameters, read_run, settings_of, write_all

from factory.konflux.flavors_check import MAX_COMBINATIONS, flavors_check_files, split_matrix

LIMIT = 256


def _names(count: int) -> list[str]:
    return [f"flavor-{number:03}" for number in range(count)]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, []),
        (1, [1]),
        (256, [256]),
        (257, [256, 1]),
        (300, [256, 44]),
        (512, [256, 256]),
        (600, [256, 256, 88]),
    ],
)
def test_a_matrix_takes_256_and_every_flavor_is_in_one(count: int, sizes: list[int]) -> None:
    parts = split_matrix(_names(count))
    assert [len(part) for part in parts] == sizes
    assert [name for part in parts for name in part] == _names(count)
    assert MAX_COMBINATIONS == LIMIT


@given(names=st.lists(st.sampled_from(_names(40)), max_size=60), limit=st.integers(1, 20))
def test_each_name_is_in_exactly_one_part(names: list[str], limit: int) -> None:
    parts = split_matrix(names, limit=limit)
    assert [name for part in parts for name in part] == list(dict.fromkeys(names))
    assert all(1 <= len(part) <= limit for part in parts)


def _made(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Pipeline and the run on a push."""
    files = {
        file.path: yaml.safe_load(file.content) for file in flavors_check_files(_names(count), settings_of())
    }
    return files[".tekton/flavors-check.yaml"], files[".tekton/flavors-check-push.yaml"]


@pytest.mark.parametrize("count", [1, 256, 300, 600])
def test_every_matrix_is_over_a_list_of_the_run_and_has_a_gate_of_its_own(count: int) -> None:
    pipeline, run = _made(count)
    lists = {name: value for name, value in parameters(run).items() if isinstance(value, list)}
    tasks = {task["name"]: task for task in pipeline["spec"]["tasks"]}
    gates = pipeline["spec"]["finally"]
    fanned = {name: task for name, task in tasks.items() if "matrix" in task}
    ranged: dict[str, list[str]] = {}
    for name, task in fanned.items():
        (parameter,) = task["matrix"]["params"]
        match = re.fullmatch(r"\$\(params\.([a-z0-9-]+)\[\*\]\)", parameter["value"])
        assert match
        assert len(lists[match[1]]) <= LIMIT
        assert f"params.{match[1]}[0]" in str(task["when"]) or "verify-locks" in str(task["when"])
        ranged.setdefault(task["taskRef"]["name"], []).extend(lists[match[1]])
        judges = [gate for gate in gates if f"$(tasks.{name}.results.TEST_OUTPUT[*])" in str(gate)]
        assert len(judges) == 1
        assert judges[0]["taskRef"]["name"] == "factory-gate"
    assert ranged == {"factory-check": _names(count), "factory-lock-verify": _names(count)}
    assert len(gates) == len(fanned)
    every = [task["name"] for task in (*pipeline["spec"]["tasks"], *gates)]
    assert len(set(every)) == len(every)
    assert all(len(name) <= 63 for name in every)


@pytest.mark.parametrize("count", [1, 300])
def test_the_pipeline_declares_what_it_uses_and_the_run_gives_it(count: int) -> None:
    pipeline, run = _made(count)
    declared = {parameter["name"]: parameter for parameter in pipeline["spec"]["params"]}
    used = set(re.findall(r"\$\(params\.([a-z0-9-]+)", str(pipeline["spec"])))
    assert used == set(declared)
    given = parameters(run)
    assert set(given) <= set(declared)
    assert {name for name, item in declared.items() if "default" not in item} <= set(given)
    referred = set(re.findall(r"\$\(tasks\.([a-z0-9-]+)\.", str(pipeline["spec"])))
    assert referred <= {task["name"] for task in pipeline["spec"]["tasks"]}


def test_few_flavors_have_the_pipeline_as_it_is_shipped() -> None:
    pipeline, _ = _made(3)
    shipped = Path(__file__).parents[2] / "tekton" / "pipelines" / "flavors-check" / "flavors-check.yaml"
    assert pipeline == yaml.safe_load(shipped.read_text(encoding="utf-8"))


def test_every_task_that_the_pipeline_names_is_beside_it(tmp_path: Path) -> None:
    repository = make_site(tmp_path, "th09")
    write_all(repository)
    spec = read_run(repository, "flavors-check")["spec"]
    for name in {task["taskRef"]["name"] for task in (*spec["tasks"], *spec["finally"])}:
        task = read_run(repository, name)
        assert (task["kind"], task["metadata"]["name"]) == ("Task", name)


def test_the_run_has_an_image_by_parameter_or_by_the_settings() -> None:
    assert parameters(_made(1)[1])["factory-image"] == "{{ factory_image }}"
    image = f"quay.io/example/factory@sha256:{'0' * 64}"
    settings = settings_of(f'{SETTINGS}factory-image = "{image}"\nservice-account = "checker"\n')
    runs = [yaml.safe_load(file.content) for file in flavors_check_files(["th09"], settings)[-2:]]
    assert [parameters(run)["factory-image"] for run in runs] == [image, image]
    assert [run["spec"]["taskRunTemplate"]["serviceAccountName"] for run in runs] == ["checker", "checker"]


def test_no_flavor_has_no_check() -> None:
    assert flavors_check_files([], settings_of()) == ()
