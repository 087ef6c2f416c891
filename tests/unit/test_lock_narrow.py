"""One best wheel for each platform."""

import pytest
from packaging.tags import Tag

from factory.lock.narrow import best_wheel, fits, platforms_of, tag_ranks

AMD, ARM = "linux/amd64", "linux/arm64"


@pytest.mark.parametrize(
    ("platform", "glibc", "names", "expected"),
    [
        pytest.param(AMD, "2.34", ["a-1-py3-none-any.whl"], "a-1-py3-none-any.whl", id="pure"),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-py3-none-any.whl", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"],
            "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
            id="built before pure",
        ),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"],
            "a-1-cp312-cp312-manylinux_2_28_x86_64.whl",
            id="newest C library that is there",
        ),
        pytest.param(
            AMD,
            "2.27",
            ["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"],
            "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
            id="not newer than the image's C library",
        ),
        pytest.param(AMD, "2.27", ["a-1-cp312-cp312-manylinux_2_28_x86_64.whl"], None, id="too new"),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-cp39-abi3-manylinux2014_x86_64.whl", "a-1-py3-none-any.whl"],
            "a-1-cp39-abi3-manylinux2014_x86_64.whl",
            id="stable ABI and a legacy alias",
        ),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-cp312-cp312-manylinux1_x86_64.whl"],
            "a-1-cp312-cp312-manylinux1_x86_64.whl",
            id="manylinux1",
        ),
        pytest.param(ARM, "2.34", ["a-1-cp312-cp312-manylinux1_aarch64.whl"], None, id="no such alias"),
        pytest.param(
            ARM,
            "2.34",
            ["a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"],
            None,
            id="another machine",
        ),
        pytest.param(
            ARM,
            "2.34",
            ["a-1-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"],
            "a-1-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
            id="compressed tag set",
        ),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-cp312-cp312-linux_x86_64.whl"],
            "a-1-cp312-cp312-linux_x86_64.whl",
            id="plain linux, as private indexes have it",
        ),
        pytest.param(AMD, "2.34", ["a-1-cp312-cp312-musllinux_1_2_x86_64.whl"], None, id="musl"),
        pytest.param(AMD, "2.34", ["a-1-cp311-cp311-manylinux_2_17_x86_64.whl"], None, id="older ABI"),
        pytest.param(AMD, "2.34", ["a-1-cp313-cp313t-manylinux_2_17_x86_64.whl"], None, id="free-threaded"),
        pytest.param(AMD, "2.34", ["a-1-cp313-abi3-manylinux_2_17_x86_64.whl"], None, id="newer stable ABI"),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-2-py3-none-any.whl", "a-1-10-py3-none-any.whl", "a-1-py3-none-any.whl"],
            "a-1-10-py3-none-any.whl",
            id="highest build number, as a number",
        ),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-1a-py3-none-any.whl", "a-1-1b-py3-none-any.whl"],
            "a-1-1b-py3-none-any.whl",
            id="build suffix",
        ),
        pytest.param(
            AMD,
            "2.34",
            ["a-1-9-py3-none-any.whl", "a-1-1-cp312-cp312-manylinux_2_17_x86_64.whl"],
            "a-1-1-cp312-cp312-manylinux_2_17_x86_64.whl",
            id="tags before build numbers",
        ),
        pytest.param(AMD, "2.34", ["a-1.tar.gz", "a.whl", "a-1-py3-none.whl"], None, id="no wheels at all"),
    ],
)
def test_the_wheel_that_an_installer_takes(
    platform: str, glibc: str, names: list[str], expected: str | None
) -> None:
    ranks = tag_ranks(python="3.12", platform=platform, glibc=glibc)
    assert best_wheel(names, ranks) == expected
    assert best_wheel(reversed(names), ranks) == expected


def test_equal_wheels_are_decided_by_name_whatever_their_order() -> None:
    ranks = tag_ranks(python="3.12", platform=AMD, glibc="2.34")
    names = ["a-1-py3-none-any.whl", "a-1-py2.py3-none-any.whl"]
    assert best_wheel(names, ranks) == best_wheel(names[::-1], ranks) == "a-1-py2.py3-none-any.whl"


def test_tags_are_those_of_cpython_in_the_order_of_preference() -> None:
    ranks = tag_ranks(python="3.12", platform=AMD, glibc="2.34")
    order = [
        Tag("cp312", "cp312", "manylinux_2_34_x86_64"),
        Tag("cp312", "cp312", "manylinux_2_17_x86_64"),
        Tag("cp312", "cp312", "manylinux2014_x86_64"),
        Tag("cp312", "cp312", "linux_x86_64"),
        Tag("cp312", "abi3", "linux_x86_64"),
        Tag("cp39", "abi3", "manylinux_2_34_x86_64"),
        Tag("py3", "none", "linux_x86_64"),
        Tag("py3", "none", "any"),
    ]
    assert [ranks[tag] for tag in order] == sorted(ranks[tag] for tag in order)
    assert Tag("cp312", "cp312", "manylinux_2_35_x86_64") not in ranks


def test_fits_says_whether_there_is_a_tag_in_common() -> None:
    ranks = tag_ranks(python="3.12", platform=ARM, glibc="2.34")
    assert fits("a-1-py2.py3-none-any.whl", ranks)
    assert not fits("a-1-py2-none-any.whl", ranks)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a-1-py3-none-any.whl"], (AMD, ARM)),
        (["a-1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"], (ARM,)),
        (["a-1-cp311-cp311-linux_x86_64.whl", "a-1-cp311-cp311-win_amd64.whl"], (AMD,)),
        (["a-1-cp311-cp311-macosx_11_0_arm64.whl"], ()),
    ],
)
def test_platforms_of_wheels_for_people(names: list[str], expected: tuple[str, ...]) -> None:
    assert platforms_of(names) == expected
