"""The images of a repository: which there are, their names, and what a child's spec has from its parent."""

import datetime as dt
from pathlib import Path

import pytest

from factory.check.check import check_flavors
from factory.errors import FactoryError, NotFoundError, SpecError
from factory.flavor.project import ImageFolder
from factory.flavor.repository import Repository, in_parent_order
from factory.render.drift import Difference, find_drift, sync_flavor
from factory.render.render import render_flavor

FLAVOR = "th09-cpu-torch2110-py312"
SPEC = (
    '[project]\nname = "f"\n[tool.factory]\naccelerator = "cpu"\ntorch = "2.11.0"\npython = "3.12"\n'
    'training-hub = "0.9.2"\nindex-url = "https://packages.example.com/simple/"\n'
    'platforms = ["linux/amd64", "linux/arm64"]\nglibc = "2.28"\nredirect-hosts = ["files.example.com"]\n'
    'base-image = "quay.io/x/b:1"\ndownstream-base-image = "quay.io/x/p:1"\n'
    '[[tool.factory.indexes]]\nname = "kernels"\nurl = "https://k.example.com/simple/"\n'
    'packages = ["flash"]\n'
)
TABLES = """\
[images.stack]
kind = "stack"
parent = "{flavor}"
[images.bare]
kind = "trainer"
parent = "stack"
[images.top]
kind = "trainer"
parent = "bare"
[images.alone]
kind = "launcher"
parent = "quay.io/x/y:1"
"""
PROJECT = '[project]\nname = "x"\ndependencies = ["transformers>=4,<6"]\n'


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A flavor, a stack on it, a trainer without packages, one with packages on that, and a launcher."""
    (tmp_path / "flavors" / FLAVOR).mkdir(parents=True)
    (tmp_path / "flavors" / FLAVOR / "pyproject.toml").write_text(SPEC)
    (tmp_path / "factory.toml").write_text(TABLES.format(flavor=FLAVOR))
    for name in ("stack", "bare", "top", "alone"):
        (tmp_path / "images" / name).mkdir(parents=True)
    for name in ("stack", "top"):
        (tmp_path / "images" / name / "pyproject.toml").write_text(PROJECT)
    return Repository(tmp_path)


def spec_lines(repository: Repository, name: str, lines: str) -> ImageFolder:
    folder = repository.root / "images" / name
    (folder / "pyproject.toml").write_text(f"{PROJECT}[tool.factory]\n{lines}\n")
    return repository.image(name)


def test_images_are_the_flavors_and_what_is_declared(repository: Repository) -> None:
    found = {image.name: (image.kind, image.has_packages) for image in repository.images()}
    assert found == {
        FLAVOR: ("flavor", True),
        "alone": ("launcher", False),
        "stack": ("stack", True),
        "bare": ("trainer", False),
        "top": ("trainer", True),
    }
    assert [image.name for image in repository.select()] == [FLAVOR, "stack", "top"]


def test_packages_are_added_to_the_nearest_parent_that_has_some(repository: Repository) -> None:
    top = repository.image("top")
    assert top.parent is not None
    assert top.parent.name == "bare"
    assert top.given_by is not None
    assert top.given_by.name == "stack"
    assert repository.image("alone").parent is None
    assert top.project.parent == top.given_by
    assert repository.image(FLAVOR).project.parent is None


def test_a_child_has_what_its_spec_leaves_out_from_its_parent(repository: Repository) -> None:
    spec, parents = repository.image("top").project.spec, repository.image(FLAVOR).project.spec
    for key in (
        "python",
        "platforms",
        "glibc",
        "index_url",
        "indexes",
        "redirect_hosts",
        "accelerator",
        "torch",
    ):
        assert getattr(spec, key) == getattr(parents, key), key
    assert (spec.kind, spec.fixed_versions, spec.package_layers, spec.base_image) == (
        "trainer",
        {},
        (),
        "bare",
    )
    assert parents.fixed_versions == {"torch": "2.11.0", "training-hub": "0.9.2"}


def test_a_child_may_have_its_own_index_and_fewer_platforms(repository: Repository) -> None:
    stack = spec_lines(
        repository, "stack", 'index-url = "https://own.example.com/simple/"\nplatforms = ["linux/amd64"]'
    )
    assert stack.project.spec.index_url == "https://own.example.com/simple/"
    assert stack.project.spec.platforms == ("linux/amd64",)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        *(
            (f'{key} = "x"', f"{key}: the key is a flavor's, and this image is a stack")
            for key in ("torch", "training-hub", "accelerator", "template-set", "base-image", "name")
        ),
        ('python = "3.11"', f"the parent {FLAVOR} has Python 3.12"),
        ('platforms = ["linux/s390x"]', f"the parent {FLAVOR} is not built for linux/s390x"),
        ('pythn = "3.12"', "pythn"),
        ('replaces = ["a b"]', "'a b' is not the name of a package"),
        ('provides = ["torch>=2"]', "'torch>=2' is not a package with its version"),
        ('provides = ["torch==2.*"]', "is not a package with its version"),
        ('glibc = "x"', "glibc"),
        ('index-url = "ftp://x"', "ftp"),
    ],
)
def test_what_a_childs_spec_cannot_say_is_refused(repository: Repository, lines: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        _ = spec_lines(repository, "stack", lines).project
    assert said in refused.value.reason
    assert refused.value.solution


def test_on_an_external_parent_python_has_to_be_given(repository: Repository) -> None:
    with pytest.raises(SpecError, match=r"no image of this repository"):
        _ = spec_lines(repository, "alone", "").project
    spec = spec_lines(repository, "alone", 'python = "3.12"').project.spec
    assert (spec.accelerator, spec.torch, spec.index_url, spec.base_image) == ("", "", None, "quay.io/x/y:1")


@pytest.mark.parametrize("name", ["stack", "images/stack", "images/stack/", "./images/stack"])
def test_an_image_is_found_by_its_name_and_by_its_path(
    repository: Repository, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    assert repository.image(name).kind == "stack"
    assert [image.name for image in repository.select((name, "stack"))] == ["stack"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stak", "Did you mean stack? `factory list` lists all."),
        ("images/undeclared", "Add the table"),
        ("th09", f"Did you mean {FLAVOR}? "),
    ],
)
def test_what_is_no_image_is_refused_with_the_likely_ones(
    repository: Repository, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    (repository.root / "images" / "undeclared").mkdir()
    (repository.root / "images" / "undeclared" / "pyproject.toml").write_text(PROJECT)
    with pytest.raises(NotFoundError) as refused:
        repository.image(name)
    assert said in refused.value.solution


def test_an_image_without_packages_is_no_subject_of_commands_about_them(repository: Repository) -> None:
    with pytest.raises(NotFoundError, match=r"alone installs no packages: the launcher has no"):
        repository.select(("stack", "alone"))
    assert [image.name for image in repository.select_any(("alone",))] == ["alone"]


def test_a_named_flavor_does_without_the_settings(repository: Repository) -> None:
    (repository.root / "factory.toml").write_text("[images]\nx = 1\n")
    assert repository.image(FLAVOR).is_flavor
    with pytest.raises(FactoryError):
        repository.images()


def test_parents_come_before_children_and_others_stay_in_order(repository: Repository) -> None:
    images = {image.name: image for image in repository.images()}
    order = [images[name] for name in ("top", "alone", "stack", FLAVOR)]
    assert [image.name for image in in_parent_order(order)] == [FLAVOR, "stack", "top", "alone"]


def test_of_a_child_only_what_installs_its_packages_is_generated(repository: Repository) -> None:
    stack = repository.image("stack")
    script = stack.folder / "package-layers.sh"
    (stack.folder / "Dockerfile").write_text("FROM scratch\n")
    (stack.folder / "notes.txt").write_text("the owner's\n")
    assert find_drift(stack) == (Difference(path=script.name, kind="missing"),)
    sync_flavor(stack)
    assert find_drift(stack) == ()
    text = script.read_text()
    assert "requirements.txt requirements-kernels.txt" in text
    assert 'and this image is for 3.12"' in text
    script.write_text(f"{text}true\n")
    assert find_drift(stack) == (Difference(path=script.name, kind="changed"),)
    assert {file.path for file in render_flavor(stack.project, name=stack.name)} == {script.name}


def test_rules_about_a_flavors_name_and_template_say_nothing_of_a_child(repository: Repository) -> None:
    for image in repository.images():
        (image.folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN pip install six\n")
    images = repository.images()
    report = check_flavors(images, root=repository.root, today=dt.date(2026, 12, 1), others=images)
    assert len(report.flavors) == 5
    found = {name: {item.code for item in report.findings if item.flavor == name} for name in report.flavors}
    assert found["alone"] == found["bare"] == {"FAC403", "FAC414"}
    assert found["stack"] == {"FAC101", "FAC210", "FAC301", "FAC403", "FAC414"}
    assert "FAC101" in found[FLAVOR]


def long_chain(repository: Repository, length: int) -> None:
    above = {number: f"a{number - 1}" for number in range(1, length)} | {0: FLAVOR}
    tables = [f'[images.a{number}]\nkind = "stack"\nparent = "{above[number]}"\n' for number in range(length)]
    for number in range(length):
        (repository.root / "images" / f"a{number}").mkdir()
        (repository.root / "images" / f"a{number}" / "pyproject.toml").write_text(PROJECT)
    (repository.root / "factory.toml").write_text("".join(tables))


def test_a_chain_that_no_engine_could_build_is_refused(repository: Repository) -> None:
    long_chain(repository, 101)
    with pytest.raises(SpecError, match="is the last of more than 100 images on one another"):
        repository.images()


def test_the_longest_chain_is_read(repository: Repository) -> None:
    long_chain(repository, 99)
    last = repository.image("a98")
    assert last.project.spec.python == "3.12"
    assert len(last.above) == 99
