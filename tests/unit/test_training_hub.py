"""Training Hub's requirements as a flavor uses them: extras followed, markers evaluated, bounds seen."""

from collections.abc import Mapping, Sequence

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from support.wheels import metadata

from factory.flavor.spec import Spec
from factory.index.metadata import Metadata, parse_metadata
from factory.upkeep.training_hub import all_extras, floating, has_cap, hub_requirements

SPEC = Spec(
    accelerator="cpu",
    accelerator_version=None,
    torch="2.11.0",
    python="3.12",
    training_hub="1.0",
    index_url=None,
    platforms=("linux/amd64", "linux/arm64"),
    base_image="registry.example.com/base:1",
    downstream_base_image="registry.example.com/base:1",
)


def hub(*requires: str, extras: Mapping[str, Sequence[str]] | None = None) -> Metadata:
    content = metadata("training-hub", "1.0", requires=requires, extras=extras)
    return parse_metadata(content, of="training_hub-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), set()),
        (("lora",), {"lora"}),
        (("all",), {"all", "lora", "kernels"}),
        (("round",), {"round", "about"}),
        (("windows",), {"windows"}),
    ],
)
def test_extras_that_name_their_own_package_bring_its_other_extras(
    asked: tuple[str, ...], expected: set[str]
) -> None:
    told = hub(
        extras={
            "all": ["training_hub[lora]", "Training-Hub[kernels]"],
            "lora": ["peft"],
            "kernels": ["triton"],
            "round": ["training-hub[about]"],
            "about": ["training-hub[round]"],
            "windows": ["training-hub[lora]; sys_platform == 'win32'"],
        }
    )
    assert all_extras(told, asked, SPEC) == expected


@pytest.mark.parametrize(
    ("requires", "extras", "asked", "expected"),
    [
        pytest.param(("aa>=1",), {}, (), ["aa>=1"], id="plain"),
        pytest.param(("aa; python_version < '3.12'", "bb"), {}, (), ["bb"], id="another Python"),
        pytest.param(
            ("aa; platform_machine == 'aarch64'",), {}, (), ["aa"], id="on one of the platforms is enough"
        ),
        pytest.param((), {"x": ["aa>=2,<3"], "y": ["bb"]}, ("x",), ["aa>=2,<3 (extra x)"], id="extra"),
        pytest.param((), {"x": ["aa; sys_platform == 'win32'"]}, ("x",), [], id="extra elsewhere"),
        pytest.param(("aa>=1",), {"x": ["aa>=1"]}, ("x",), ["aa>=1"], id="repeated by an extra"),
        pytest.param(("aa>=1",), {"x": ["aa[fast]>=1"]}, ("x",), ["aa[fast]>=1"], id="with more extras"),
        pytest.param(("aa>=1",), {"x": ["aa>=2"]}, ("x",), ["aa>=1", "aa>=2 (extra x)"], id="two ranges"),
        pytest.param((), {"x": ["training-hub[y]"], "y": ["aa"]}, ("x",), ["aa (extra y)"], id="extra's own"),
    ],
)
def test_what_applies(
    requires: tuple[str, ...], extras: dict[str, list[str]], asked: tuple[str, ...], expected: list[str]
) -> None:
    assert [item.text for item in hub_requirements(hub(*requires, extras=extras), asked, SPEC)] == expected


def test_what_neither_bounds_floats() -> None:
    wanted = hub_requirements(
        hub("aa>=1", "bb>=1,<2", "cc>=1", "dd!=1.5", extras={"x": ["aa<9"]}), ("x",), SPEC
    )
    assert floating(wanted, {"cc": SpecifierSet("~=1.2")}) == ("dd",)


@pytest.mark.parametrize(
    ("text", "capped"),
    [
        ("", False),
        (">=1", False),
        (">1,!=2", False),
        ("<2", True),
        ("<=2", True),
        ("==1.*", True),
        ("~=1.0", True),
    ],
)
def test_a_range_has_a_cap_or_not(text: str, *, capped: bool) -> None:
    assert has_cap(Requirement(f"aa{text}").specifier) is capped
