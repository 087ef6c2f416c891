"""What `factory konflux` writes for many flavors keeps to the schema and to the semantic checks."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.konflux_site import SETTINGS, make_site, write_all
from tekton.kept import differences, timeouts
from tekton.semantic import Known, Node, problems
from tekton.semantic.matrix import LIMIT
from tekton.sources import known, schema_path

MORE = """\
service-account = "builder"
netrc-secret = "package-index"
namespace = "tenant"
component-prefix = "odh-"
build-args = ["A=1"]
build-source-image = true
timeouts = {cpu = "90m", check = "24h"}
"""


@pytest.fixture(scope="module", params=[1, LIMIT + 1, 2 * LIMIT + 88], ids="{} flavors".format)
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Node]:
    """Each document by its file; the larger sites have every setting."""
    count: int = request.param
    settings = SETTINGS + (MORE if count > LIMIT else "")
    names = [f"flavor-{number:03}" for number in range(count)]
    repository = make_site(tmp_path_factory.mktemp("site"), *names, settings=settings)
    write_all(repository)
    # The files of the first flavor and those of none: the other flavors' differ in the name alone.
    paths = (repository.root / ".tekton").glob("*.yaml")
    return {
        path.name: _read(path)
        for path in sorted(paths)
        if not path.name.startswith("flavor-") or path.name.startswith("flavor-000-")
    }


def _read(path: Path) -> Node:
    (document,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    node: Node = document
    return node


def test_every_file_keeps_to_the_schema(documents: dict[str, Node]) -> None:
    schema = schema_path()
    if schema is None:
        pytest.skip("there is no schema of Tekton's objects")
    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    found = {
        name: [error.message for error in validator.iter_errors(node)] for name, node in documents.items()
    }
    assert {name: errors for name, errors in found.items() if errors} == {}


def test_every_file_keeps_to_the_semantic_checks(documents: dict[str, Node]) -> None:
    shipped = known()
    ours = {
        kind: {node["metadata"]["name"]: node for node in documents.values() if node["kind"] == kind}
        for kind in ("Task", "Pipeline")
    }
    together = Known(tasks=ours["Task"], pipelines=ours["Pipeline"], catalogue=shipped.catalogue)
    found = {name: [str(each) for each in problems(node, together)] for name, node in documents.items()}
    assert {name: told for name, told in found.items() if told} == {}


def test_a_server_gives_durations_and_quantities_back_as_they_are_written(documents: dict[str, Node]) -> None:
    found = {name: differences(node) for name, node in documents.items()}
    assert {name: told for name, told in found.items() if told} == {}
    assert [*timeouts(documents["flavors-check-push.yaml"])]


def test_a_list_that_is_too_long_for_a_matrix_would_be_seen(documents: dict[str, Node]) -> None:
    pipeline, run = documents["flavors-check.yaml"], documents["flavors-check-push.yaml"]
    longest = [
        {**each, "value": [*each["value"]] * (LIMIT + 1)}
        for each in run["spec"]["params"]
        if isinstance(each["value"], list)
    ]
    others = [each for each in run["spec"]["params"] if isinstance(each["value"], str)]
    broken = {**run, "spec": {**run["spec"], "params": [*others, *longest]}}
    together = Known(tasks={}, pipelines={"flavors-check": pipeline}, catalogue={})
    assert any("combinations" in str(each) for each in problems(broken, together))
