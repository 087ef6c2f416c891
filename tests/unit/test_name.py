"""Names follow from specs, and nothing that would leave flavors/ is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SpecError
from factory.flavor.spec import MAX_NAME_LENGTH, check_name, derive_name

NUMBERS = st.integers(0, 99)


@pytest.mark.parametrize(
    ("accelerator", "version", "torch", "python", "training_hub", "name"),
    [
        ("cuda", "13.0", "2.11.0", "3.12", "0.9.2", "th09-cuda130-torch2110-py312"),
        ("cuda", "12.8", "2.8.0", "3.12", "0.6", "th06-cuda128-torch280-py312"),
        ("cuda", "12.8.1", "2.9.1", "3.12", "0.6.1", "th06-cuda128-torch291-py312"),
        ("rocm", "6.4", "2.9.1", "3.12", "0.5.0", "th05-rocm64-torch291-py312"),
        ("rocm", "7.14", "2.11.0", "3.12", "0.9.8", "th09-rocm714-torch2110-py312"),
        ("rocm", "7", "2.10", "3.9", "1", "th10-rocm70-torch2100-py39"),
        ("cpu", None, "2.13.0", "3.11", "0.11.2", "th011-cpu-torch2130-py311"),
        ("cpu", None, "2.13.0+cpu", "3.11", "0.11.2rc1", "th011-cpu-torch2130-py311"),
    ],
)
def test_the_name_follows_from_the_versions(
    accelerator: str, version: str | None, torch: str, python: str, training_hub: str, name: str
) -> None:
    derived = derive_name(
        accelerator=accelerator,
        accelerator_version=version,
        torch=torch,
        python=python,
        training_hub=training_hub,
    )
    assert derived == name


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.lists(NUMBERS, min_size=1, max_size=3))
def test_a_derived_name_is_a_name(torch: list[int], accelerator_version: list[int]) -> None:
    name = derive_name(
        accelerator="cuda",
        accelerator_version=".".join(map(str, accelerator_version)),
        torch=".".join(map(str, torch)),
        python="3.12",
        training_hub="0.9.2",
    )
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["a", "a-b", "th09-cuda130", "9", "x" * MAX_NAME_LENGTH])
def test_a_plain_folder_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["..", ".", "../x", "a/b", "/a", "a\\b", "..\\x"])
def test_a_path_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="leaves flavors/"):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a_b", "-a", "a-", "a b", ".a", "a\n", "ä", "x" * (MAX_NAME_LENGTH + 1), "a.factory-tmp"],
)
def test_what_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="is not a flavor name"):
        check_name(name)
