"""Rules about several lock files and several flavors: what no edit of a single file gives."""

import datetime as dt
import re
from pathlib import Path

import pytest
from support.clean_flavor import INDEX, NAME, PROJECT, further_lock_texts, make_flavor, make_repository

from factory.check.check import check_flavor, check_flavors
from factory.check.dockerfiles import check_instruction
from factory.check.finding import Finding
from factory.check.indexes import passwords
from factory.dockerfile.instructions import read_instructions
from factory.flavor.repository import Flavor, Repository

TODAY = dt.date(2026, 11, 22)
MAIN, FURTHER = "requirements.txt", "requirements-nums.txt"
SPLIT = PROJECT.replace(
    "[[tool.factory.missing]]",
    '[[tool.factory.indexes]]\nname = "nums"\nurl = "https://nums.example.com/simple/"\n'
    'packages = ["numpy", "protobuf"]\n\n[[tool.factory.missing]]',
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


@pytest.fixture
def flavor(repository: Repository) -> Flavor:
    """A flavor of two indexes, locked in two files."""
    made = make_flavor(repository, project=SPLIT)
    for name, text in further_lock_texts(SPLIT).items():
        (made.folder / name).write_text(text, encoding="utf-8")
    return made


def _check(flavor: Flavor) -> list[Finding]:
    root = flavor.folder.parents[1]
    flavors = Repository(root).flavors()
    report = check_flavors([Flavor(flavor.folder)], root=root, today=TODAY, others=flavors)
    return [item for item in report.findings if item.code != "FAC208"]  # the one that PROJECT has


def _found(flavor: Flavor) -> list[tuple[str, str]]:
    return [(item.code, item.path.rpartition("/")[2]) for item in _check(flavor)]


def _take_out(flavor: Flavor, path: str, package: str) -> str:
    """Take a package out of a lock file, as a person would who splits one by hand; gives its lines."""
    file = flavor.folder / path
    text = file.read_text(encoding="utf-8")
    match = re.search(rf"^{package}==(?:.*\n)(?:    .*\n)+", text, re.MULTILINE)
    assert match, f"{path} has no {package}"
    file.write_text(text.replace(match[0], ""), encoding="utf-8")
    return match[0]


def test_a_lock_of_two_files_is_clean(flavor: Flavor) -> None:
    assert _found(flavor) == []


def test_a_lock_file_that_is_missing_is_one_finding_for_all_that_is_in_it(flavor: Flavor) -> None:
    (flavor.folder / FURTHER).unlink()
    (found,) = _check(flavor)
    assert (found.code, found.path) == ("FAC333", f"flavors/{NAME}/{FURTHER}")
    assert "'nums'" in found.message


def test_what_a_missing_lock_file_would_have_is_not_missing_from_a_layer(flavor: Flavor) -> None:
    path = flavor.folder / "pyproject.toml"
    path.write_text(f'{SPLIT}\n[tool.factory.layers]\nlarge = ["numpy"]\n', encoding="utf-8")
    assert "FAC219" not in {item.code for item in _check(flavor)}
    (flavor.folder / FURTHER).unlink()
    assert {"FAC219", "FAC333"} & {item.code for item in _check(flavor)} == {"FAC333"}


def test_the_main_file_can_be_the_missing_one(flavor: Flavor) -> None:
    (flavor.folder / MAIN).unlink()
    assert _found(flavor) == [("FAC333", MAIN)]


def test_without_any_file_the_flavor_is_not_locked_and_nothing_else(flavor: Flavor) -> None:
    (flavor.folder / MAIN).unlink()
    (flavor.folder / FURTHER).unlink()
    assert _found(flavor) == [("FAC301", "pyproject.toml")]


def test_a_direct_dependency_that_the_split_lost_is_found_in_the_file_of_its_index(flavor: Flavor) -> None:
    _take_out(flavor, FURTHER, "numpy")
    assert ("FAC322", FURTHER) in _found(flavor)


def test_a_package_in_the_file_of_another_index_is_found_where_it_stands(flavor: Flavor) -> None:
    lines = _take_out(flavor, FURTHER, "protobuf")
    with (flavor.folder / MAIN).open("a", encoding="utf-8") as file:
        file.write(lines)
    assert ("FAC334", MAIN) in _found(flavor)
    assert "FAC322" not in {code for code, _ in _found(flavor)}


def test_a_package_in_both_files_is_pinned_twice(flavor: Flavor) -> None:
    with (flavor.folder / FURTHER).open("a", encoding="utf-8") as file:
        file.write(f"urllib3==2.5.0 --hash=sha256:{'a' * 64}\n")
    (found,) = (item for item in _check(flavor) if item.code == "FAC306")
    assert found.path.endswith(FURTHER)
    assert "urllib3==2.6.2 in line" in found.message
    assert f"of {MAIN}" in found.message


def test_files_of_two_resolutions_beside_each_other_are_found(flavor: Flavor) -> None:
    other = further_lock_texts(SPLIT, numpy="2.3.5")
    (flavor.folder / FURTHER).write_text(other[FURTHER], encoding="utf-8")
    (found,) = _check(flavor)
    assert (found.code, found.path) == ("FAC335", f"flavors/{NAME}/{MAIN}")
    assert f"{MAIN} and {FURTHER} are not of one resolution" in found.message


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("--index-url https://nums.example.com/simple/\n", "", "FAC325"),
        ("https://nums.example.com/simple/", INDEX, "FAC326"),
        ("--index-url", "--extra-index-url https://x.example.com\n--index-url", "FAC307"),
        ("--index-url", "--index-url https://x.example.com\n--index-url", "FAC327"),
        ("https://nums", "https://me:secret@nums", "FAC328"),
        ("# inputs: sha256:", "# inputs were sha256:", "FAC321"),
        ("numpy==2.4.1", "numpy==1.26.0", "FAC323"),
        ("cp312-cp312-manylinux_2_28_aarch64", "cp312-cp312-manylinux_2_28_x86_64", "FAC330"),
    ],
)
def test_the_rules_of_a_lock_are_those_of_each_of_its_files(
    flavor: Flavor, old: str, new: str, code: str
) -> None:
    path = flavor.folder / FURTHER
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert (code, FURTHER) in _found(flavor)
    assert MAIN not in {file for _, file in _found(flavor)}


def test_the_file_of_an_index_that_the_spec_no_longer_has_is_called_an_orphan(flavor: Flavor) -> None:
    (flavor.folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    found = {item.path.rpartition("/")[2]: item for item in _check(flavor) if item.code == "FAC104"}
    assert "orphan" in found[FURTHER].message
    assert found[FURTHER].severity == "error"


def _cpu(repository: Repository, name: str, *, index: str) -> Flavor:
    project = PROJECT.replace('accelerator = "cuda"\naccelerator-version = "13.0"', 'accelerator = "cpu"')
    project = project.replace(INDEX, index).replace(NAME, name)
    return make_flavor(repository, name=name, project=project)


def test_the_cuda_flavors_index_given_to_the_cpu_flavor_is_found_by_its_name(repository: Repository) -> None:
    found = _check(_cpu(repository, "th09-cpu-torch2110-py312", index=INDEX))
    assert [item.code for item in found] == ["FAC215"]
    assert "is called cuda13.0, and the flavor is for cpu" in found[0].message


def test_where_the_name_does_not_tell_the_other_flavor_does(repository: Repository) -> None:
    index = "https://packages.example.com/3.6-EA2/simple/"
    cuda = make_flavor(repository, project=PROJECT.replace(INDEX, index))
    cpu = _cpu(repository, "th09-cpu-torch2110-py312", index=index.rstrip("/"))
    (found,) = _check(cpu)
    assert (found.code, found.severity) == ("FAC216", "warning")
    assert f"also that of {NAME}, which is for cuda" in found.message
    # Which of the two has the wrong index cannot be told.
    assert [item.code for item in _check(cuda)] == ["FAC216"]


def test_flavors_of_one_accelerator_may_share_an_index(repository: Repository) -> None:
    index = "https://packages.example.com/3.6-EA2/simple/"
    first = _cpu(repository, "th09-cpu-torch2110-py312", index=index)
    project = (first.folder / "pyproject.toml").read_text(encoding="utf-8")
    renamed = project.replace(first.name, "second").replace(
        "[tool.factory]", '[tool.factory]\nname = "second"'
    )
    assert _check(make_flavor(repository, name="second", project=renamed)) == []


def test_a_neighbour_that_cannot_be_read_hinders_nobody(repository: Repository, flavor: Flavor) -> None:
    broken = repository.flavors_folder / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text("[tool.factory", encoding="utf-8")
    (repository.flavors_folder / "empty").mkdir()
    assert _found(flavor) == []


def test_a_requirements_file_of_no_index_is_not_taken_for_a_lock(flavor: Flavor) -> None:
    for name in ("requirements-nums.txt", "requirements-more.txt"):
        with (flavor.folder / "Dockerfile").open("a", encoding="utf-8") as file:
            file.write(f"RUN pip install -r {name}\n")
    found = [item for item in _check(flavor) if item.code in {"FAC403", "FAC411", "FAC412"}]
    assert [(item.code, "nums" in item.message) for item in found] == [
        ("FAC411", True),
        ("FAC412", True),
        ("FAC403", False),
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("dnf.conf", "[main]\n# gpgcheck=0 was here\ngpgcheck=0\n", 3),
        ("etc/set-up.sh", "#!/bin/sh\nrpm -i --nosignature /x.rpm\n", 2),
        ("etc/dnf.conf", "[main]\n; gpgcheck=0\ngpgcheck=1\n", None),
        ("logo.png", "\x89PNG gpgcheck\x00", None),
    ],
)
def test_unsigned_packages_are_found_in_files_of_the_flavors_own(
    tmp_path: Path, name: str, text: str, line: int | None
) -> None:
    project = f'{PROJECT}\n[tool.factory.hooks]\nfiles = ["{name}"]\n'
    flavor = make_flavor(make_repository(tmp_path), project=project)
    (flavor.folder / name).parent.mkdir(exist_ok=True)
    (flavor.folder / name).write_text(text, encoding="latin-1")
    found = check_flavor(Flavor(flavor.folder), root=tmp_path, today=TODAY)
    places = [(item.path, item.line) for item in found if item.code == "FAC407"]
    assert places == ([(f"flavors/{NAME}/{name}", line)] if line else [])


@pytest.mark.parametrize(
    ("written", "example"),
    [
        ("transformers[torch]>=4.57.6", "such as transformers[torch]>=4.57.6,<5."),
        ("peft>0.18.1,!=0.19", "such as peft>=0.18.1,<0.19."),
        ("protobuf", "such as protobuf>=6.33.0,<7."),  # the locked version
        ("accelerate", "what has not been tried."),
        ("trl==1.4.2+cu1", "such as trl>=1.4.2,<2;"),
    ],
)
def test_the_range_that_is_shown_begins_where_the_dependency_does(
    tmp_path: Path, written: str, example: str
) -> None:
    project = PROJECT.replace('"numpy>=2.0,<3"', f'"numpy>=2.0,<3", "{written}"').replace(
        ', "protobuf>=6"]', "]"
    )
    flavor = make_flavor(make_repository(tmp_path), project=project)
    found = check_flavor(Flavor(flavor.folder), root=tmp_path, today=TODAY)
    (solution,) = (item.solution for item in found if item.code in {"FAC217", "FAC218"})
    assert example in solution


@pytest.mark.parametrize(
    "run",
    [
        "uv pip install --index-strategy unsafe-best-match -r a.txt",
        "uv pip install --index-strategy unsafe-best-match --no-deps --require-hashes -r a.txt",
        "UV_INDEX_STRATEGY=unsafe-best-match make",
    ],
)
def test_an_unsafe_strategy_is_found_however_the_packages_are_locked(run: str) -> None:
    (instruction,) = read_instructions([f"RUN {run}"])
    found = [each.code for each in check_instruction("Dockerfile", instruction, in_block=False)]
    assert found.count("FAC408") == 1


@pytest.mark.parametrize(
    ("text", "written", "shown"),
    [
        ("https://u:pa@ss@a.example/x", "https://u:pa@ss@a.example", "https://***@a.example"),
        ("https://u:pa/ss@a.example/x", "https://u:pa/ss@a.example", "https://***@a.example"),
        ("git+https://token@a.example/x", "git+https://token@a.example", "git+https://***@a.example"),
        ("pip install -i u:p@a.example/simple", "u:p", "***@a.example"),
    ],
)
def test_a_password_is_found_whatever_is_in_it(text: str, written: str, shown: str) -> None:
    assert list(passwords(text)) == [(written, shown)]


@pytest.mark.parametrize(
    "text",
    [
        "https://$U:$P@a.example/",
        "ssh://git@a.example/x",
        "https://a.example/@scope/x",
        "https://u:@a.example/",
    ],
)
def test_what_is_no_password_yet_is_not_found(text: str) -> None:
    assert list(passwords(text)) == []
