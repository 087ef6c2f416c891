"""A catalogue that is closed, empty or failing is no sign that a registry holds nothing."""

import pytest
from support.stub_registry import Reply, Said, stub_registry

from factory.registry.client import open_registry
from factory.registry.declared import Registry
from factory.registry.drivers.oci import OciDriver

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "catalogue", [Reply(status=404), Reply(body=b'{"repositories": []}'), Reply(status=401)]
)
def test_without_a_catalogue_the_images_are_looked_at_and_the_rest_is_not_known(catalogue: Reply) -> None:
    def answer(said: Said) -> Reply:
        return catalogue if "_catalog" in said.path else Reply(body=b'{"tags": ["x"]}')

    with stub_registry(answer) as stub:
        registry = Registry(name="release", url=f"{stub.host}/release", kind="persistent")
        driver = OciDriver(client=open_registry(registry, environment={}), read_labels=lambda _: None)
        found = driver.repositories(["base"])
        driver.close()
    assert found.names == ("release/base",)
    assert found.partial
