"""A Dockerfile as a whole: its stages, and the images that it takes from."""

import pytest

from factory.dockerfile.model import read_dockerfile


def test_stages_know_their_names_and_images() -> None:
    text = "ARG B=base:1\nFROM --platform=linux/amd64 $B AS One\nRUN a\nFROM one\nFROM 'x:1'\nFROM a b\n"
    stages = read_dockerfile(text).stages
    assert [(stage.names, stage.image, stage.is_valid) for stage in stages] == [
        (("0", "one"), "$B", True),
        (("1",), "one", True),
        (("2",), "x:1", True),
        (("3",), "a b", False),
    ]
    assert stages[0].options == "--platform=linux/amd64 "


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("FROM a", [0]),
        ("FROM a AS x\nFROM b\nFROM X", [0, 2]),
        ("FROM a AS x\nFROM x AS y\nFROM y", [0, 1, 2]),
        ("ARG BASE=x\nFROM a AS x\nFROM ${BASE}", [0, 1]),
        ("FROM a AS a", [0]),
        ("RUN a", []),
    ],
)
def test_the_image_is_made_of_the_last_stage_and_those_below_it(text: str, numbers: list[int]) -> None:
    assert [stage.number for stage in read_dockerfile(text).lineage] == numbers


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a AS x\nFROM x", ["a"]),
        (
            "FROM a AS x\nFROM b\nCOPY --from=X /c /c\nCOPY --from=0 /c /c\nCOPY --from=1 /c /c",
            ["a", "b", "1"],
        ),
        ('FROM a\nCOPY --from="c:1" /c /c', ["a", "c:1"]),
        ("FROM a\nRUN --mount=from=d:1,target=/d true", ["a", "d:1"]),
        ("FROM a AS x\nCOPY --from=x /c /c", ["a", "x"]),
    ],
)
def test_what_is_no_stage_above_is_an_image(text: str, images: list[str]) -> None:
    assert [name for _, name in read_dockerfile(text).outside_images()] == images


def test_arguments_before_the_first_from_have_the_given_values() -> None:
    dockerfile = read_dockerfile("ARG A=1 B=${A}\nARG C=${X:-d}\nARG D\nFROM $A\nARG E=5\n")
    assert dockerfile.argument_values({"D": "4", "E": "6"}) == {"A": "1", "B": "1", "C": "d", "D": "4"}
