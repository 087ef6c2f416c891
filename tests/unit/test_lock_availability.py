"""Whether what an index offers satisfies, and what is said where it does not."""

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from factory.lock.narrow import tag_ranks
from factory.lock.package_finder import Offer, describe_lack, has_wheel, in_order, lack_of, nearest_version

RANKS = tag_ranks(python="3.12", platform="linux/amd64", glibc="2.34")


def offers(*names: str) -> tuple[Offer, ...]:
    return tuple(Offer(file_name=name) for name in names)


@pytest.mark.parametrize(
    ("there", "specifier", "satisfied"),
    [
        pytest.param(offers("a-1.0-py3-none-any.whl"), "", True, id="any version"),
        pytest.param(offers("a-1.0-py3-none-any.whl"), ">=1,<2", True, id="in the range"),
        pytest.param(offers("a-1.0-py3-none-any.whl"), ">=2", False, id="too old"),
        pytest.param(offers("a-2.0.tar.gz", "a-1.0-py3-none-any.whl"), ">=2", False, id="sdist only"),
        pytest.param(offers("a-1.0-cp312-cp312-win_amd64.whl"), "", False, id="another platform"),
        pytest.param(
            offers("a-1.0rc1-py3-none-any.whl", "a-0.9.tar.gz"), "", False, id="pre-release beside a final"
        ),
        pytest.param(offers("a-1.0rc1-py3-none-any.whl", "a-0.9.tar.gz"), ">=1.0rc1", True, id="named pre"),
        pytest.param(offers("a-1.0rc1-py3-none-any.whl"), "", True, id="only pre-releases"),
        pytest.param(offers("a-1.0+cpu-py3-none-any.whl"), "==1.0", True, id="local version"),
        pytest.param((Offer(file_name="a-1.0-py3-none-any.whl", yanked=True),), "", False, id="yanked"),
        pytest.param((Offer(file_name="a-1.0-py3-none-any.whl", yanked=True),), "==1.0", True, id="pinned"),
        pytest.param(
            (Offer(file_name="a-1.0-py3-none-any.whl", requires_python=">=3.13"),), "", False, id="Python"
        ),
        pytest.param(
            (Offer(file_name="a-1.0-py3-none-any.whl", requires_python="~nonsense"),), "", True, id="nonsense"
        ),
        pytest.param(offers("a-what.zip"), "", False, id="no distribution"),
    ],
)
def test_has_wheel(there: tuple[Offer, ...], specifier: str, *, satisfied: bool) -> None:
    assert has_wheel(there, SpecifierSet(specifier), python="3.12", ranks=RANKS) is satisfied


@pytest.mark.parametrize(
    ("there", "specifier", "said"),
    [
        pytest.param(None, "", "the index has no such project", id="no project"),
        pytest.param((), "", "the index has no file of this project", id="no file"),
        pytest.param(
            offers(*(f"a-{minor}.0-py3-none-any.whl" for minor in range(1, 6))),
            ">=9",
            "the index has … 3.0, 4.0, 5.0",
            id="the newest of many",
        ),
        pytest.param(offers("a-2.8.tar.gz"), ">=2", "the index has 2.8 as sdist only", id="sdist"),
        pytest.param(
            (Offer(file_name="a-1.0-py3-none-any.whl", yanked=True),),
            "",
            "the index has 1.0, yanked",
            id="yanked",
        ),
        pytest.param(
            (Offer(file_name="a-1.0-py3-none-any.whl", requires_python=">=3.13"),),
            "",
            "the index has 1.0, which requires Python >=3.13",
            id="Python",
        ),
        pytest.param(
            offers("a-1.0-cp312-cp312-manylinux_2_17_aarch64.whl"),
            "",
            "the index has 1.0 with wheels for linux/arm64 (cp312-cp312-manylinux_2_17_aarch64)",
            id="another platform",
        ),
    ],
)
def test_what_there_is_instead(there: tuple[Offer, ...] | None, specifier: str, said: str) -> None:
    assert describe_lack(there, SpecifierSet(specifier), python="3.12") == said


@pytest.mark.parametrize(
    ("there", "specifier", "kind", "would_do"),
    [
        pytest.param(None, ">=2", "no-project", "a version >=2", id="no project"),
        pytest.param((), "", "no-usable-version", "any version", id="no file"),
        pytest.param(offers("a-1.0-py3-none-any.whl"), "<3,>=2", "no-version", "a version >=2,<3", id="old"),
        pytest.param(
            offers("a-1.0-cp312-cp312-win_amd64.whl"), ">=2", "no-usable-version", "a version >=2", id="none"
        ),
        pytest.param(
            offers("a-1.0.tar.gz", "a-2.0.tar.gz"),
            "",
            "sdist-only",
            "2.0 built as a wheel, or any version",
            id="sdist",
        ),
        pytest.param(
            (Offer(file_name="a-1.0-py3-none-any.whl", requires_python=">=3.13"),),
            "",
            "no-wheel-for-python",
            "any version with a wheel for Python 3.12",
            id="Python",
        ),
        pytest.param(
            offers("a-1.0-cp312-cp312-manylinux_2_17_aarch64.whl", "a-2.0.tar.gz"),
            ">=1",
            "no-wheel-for-platform",
            "1.0 with a wheel for Python 3.12 on linux/amd64, or a version >=1 that has one",
            id="platform",
        ),
    ],
)
def test_the_kind_of_a_lack_and_what_would_do(
    there: tuple[Offer, ...] | None, specifier: str, kind: str, would_do: str
) -> None:
    lack = lack_of(there, SpecifierSet(specifier), python="3.12", glibc="2.34", platforms=("linux/amd64",))
    assert (lack.kind, lack.would_do) == (kind, would_do)
    assert lack.found == describe_lack(there, SpecifierSet(specifier), python="3.12")


@pytest.mark.parametrize(
    ("specifier", "nearest"),
    [
        ("", "3.0"),
        (">=1.5,<3", "2.0"),
        (">=4", "3.0"),
        ("==2.5", "2.0"),
        ("<0.5", "1.0"),
        ("~=2.1", "2.0"),
        ("==1.0", "1.0+cpu"),
    ],
)
def test_the_nearest_version(specifier: str, nearest: str) -> None:
    versions = [Version(text) for text in ("2.0", "1.0", "3.0", "1.0+cpu")]
    assert nearest_version(versions, SpecifierSet(specifier)) == Version(nearest)


def test_there_is_no_nearest_of_nothing() -> None:
    assert nearest_version([], SpecifierSet(">=1")) is None


@pytest.mark.parametrize(
    ("specifier", "written"),
    [
        ("<3,>=2", ">=2,<3"),
        (">=2,>=2.8,<4,<3", ">=2.8,<3"),
        ("!=2.5,>=2,<3", ">=2,!=2.5,<3"),
        (">=2.8,>=2.8.0", ">=2.8,>=2.8.0"),
        ("", ""),
    ],
)
def test_a_range_is_written_floor_first_and_without_what_counts_for_nothing(
    specifier: str, written: str
) -> None:
    assert in_order(SpecifierSet(specifier)) == written
