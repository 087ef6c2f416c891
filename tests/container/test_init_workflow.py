"""The workflow of ``factory init --ci github`` on a real image: plan, build, test, push."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.built import factory
from support.podman import podman
from support.registry import registry
from support.workflows import ci_machine, github_steps

pytestmark = pytest.mark.container


@pytest.fixture(autouse=True)
def _nothing_is_left(engine: None) -> Iterator[None]:
    yield
    named = podman("image", "ls", "--quiet", "--filter", "reference=localhost/ci-launcher").split()
    podman("image", "rm", "--force", *dict.fromkeys(named), status=None)


def test_a_push_to_main_builds_tests_and_publishes_the_images(tmp_path: Path, small_base_image: str) -> None:
    root = tmp_path / "team images"
    factory("init", root, "--ci", "github")
    factory("--root", root, "new-image", "ci-launcher", "--kind", "launcher", "--parent", small_base_image)
    machine, said = ci_machine(tmp_path), {}
    with registry(tmp_path / "registry") as place:
        values = {
            "vars.FACTORY_PUSH_TO": f"{place.host}/team",
            "secrets.REGISTRY_USER": "",
            "secrets.REGISTRY_PASSWORD": "",
        }
        workflow = root / ".github/workflows/images.yml"
        for name, script, environment in github_steps(workflow, values, job="images"):
            said[name] = machine.run(script, folder=root, environment=environment)
        factory("--root", root, "plan", "--check")
        tags = list((place.folder).rglob("_manifests/tags/latest"))
    assert "never built" in said["Plan"]
    (suite,) = ET.parse(root / "reports" / "junit.xml").getroot().iter("testsuite")
    assert int(suite.attrib["tests"]) > 5
    assert suite.attrib["failures"] == "0"
    assert [path.parents[2].name for path in tags] == ["ci-launcher"]
