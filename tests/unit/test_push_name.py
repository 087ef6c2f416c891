"""An image's name, which its label tells, leads nowhere else in a registry."""

import pytest

from factory.errors import ImageError
from factory.publish.source import PushSource, _checked


@pytest.mark.parametrize("name", ["../release/x", "a/b", "", "A", "x:latest", "x?y", "x\n"])
def test_a_name_that_is_no_component_of_a_path_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="cannot be the name of an image"):
        _checked(PushSource(reference="r", name=name, size=0))


def test_a_plain_name_is_taken() -> None:
    assert _checked(PushSource(reference="r", name="cpu-stack_1.0", size=0)).name == "cpu-stack_1.0"
