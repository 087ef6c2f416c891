"""Which images a repository has, read from its ``factory.toml``, and every mistake in it."""

from itertools import pairwise
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository
from support.tiers import BASE, four_tiers, make_image, table

from factory.errors import FactoryError, NotFoundError, SpecError
from factory.flavor.kinds import Parent
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue

STACK = table("stack", "stack", BASE)


def _write(repository: Repository, text: str) -> None:
    (repository.root / "factory.toml").write_text(text)


def _refused(repository: Repository, text: str) -> FactoryError:
    _write(repository, text)
    with pytest.raises(SpecError) as raised:
        read_catalogue(repository)
    return raised.value


def test_a_repository_without_settings_has_its_flavors(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    assert read_catalogue(repository).names == ()
    make_flavor(repository)
    (image,) = read_catalogue(repository).select()
    assert (image.name, image.kind, image.dockerfile, image.inputs) == (NAME, "flavor", "Dockerfile", None)
    assert image.parents == (Parent(argument="BASE_IMAGE", image="quay.io/example/base:1"),)
    assert (image.registry, image.tests, image.moving_tag) == (None, "quick", "latest")


def test_what_is_said_of_flavors_holds_for_each_that_says_nothing_itself(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    head = '[registries.a]\nurl = "quay.io/a"\nclass = "persistent"\n'
    said = '[flavors]\nregistry = "a"\ntests = "full"\ndownstream = true\nmoving-tag = "stable"\n'
    _write(repository, head + said)
    image = read_catalogue(repository).definition(NAME)
    assert (image.registry, image.tests, image.moving_tag) == ("a", "full", "stable")
    assert (image.dockerfile, image.downstream) == ("Dockerfile.konflux", True)
    assert image.parents[0].image == "quay.io/example/product-base:1"
    _write(
        repository, f'{head}{said}[images.{NAME}]\nparent = "{BASE}"\ndownstream = false\ntests = "quick"\n'
    )
    image = read_catalogue(repository).definition(NAME)
    assert (image.dockerfile, image.tests, image.registry) == ("Dockerfile", "quick", "a")
    assert image.parents[0].image == BASE


def test_one_flavor_has_no_registry_where_all_others_have(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    head = '[registries.a]\nurl = "quay.io/a"\nclass = "persistent"\n[flavors]\nregistry = "a"\n'
    _write(repository, f"{head}[images.{NAME}]\nregistry = false\n")
    assert read_catalogue(repository).definition(NAME).registry is None


def test_images_of_four_tiers_are_read(tmp_path: Path) -> None:
    catalogue = read_catalogue(four_tiers(tmp_path))
    assert catalogue.names == ("base", "launcher", "stack", "trainer")
    trainer = catalogue.definition("trainer")
    assert (trainer.kind, trainer.folder) == ("trainer", tmp_path / "images" / "trainer")
    assert trainer.parents == (Parent(argument="BASE_IMAGE", image="stack"),)
    assert trainer.flavor is None


def test_a_path_with_a_space_is_no_matter(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path / "my images")
    assert read_catalogue(repository).definition("base").folder.is_dir()


def test_several_parents_keep_their_order(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_image(tmp_path, "stack", {"a": ""})
    parents = f'parents = {{ BASE_IMAGE = "{BASE}", DEVEL_IMAGE = "quay.io/x/devel@sha256:{"a" * 64}" }}'
    _write(repository, f'[images.stack]\nkind = "stack"\n{parents}\nbuild-args = {{ B = "2", A = "1" }}\n')
    image = read_catalogue(repository).definition("stack")
    assert [parent.argument for parent in image.parents] == ["BASE_IMAGE", "DEVEL_IMAGE"]
    assert image.build_args == (("B", "2"), ("A", "1"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("images = 1\n", "images is not a table"),
        ("[images]\nstack = 1\n", "images.stack is not a table"),
        ("flavors = true\n", "flavors is not a table"),
        ('[flavors]\nparent = "x"\n', "unknown keys: parent"),
        ('[flavors]\nregistry = "x"\n', "'x' is not declared"),
        ('[flavors]\ntests = "all"\n', "'all' is not a level of tests"),
        ('[flavors]\ndownstream = "yes"\n', "downstream is not true or false"),
        ('[flavors]\nmoving-tag = "a b"\n', "'a b' cannot be one"),
        (f'[flavors]\nmoving-tag = "{"0" * 16}"\n', "cannot be one"),
        (f'[images.stack]\nparent = "{BASE}"\n', "kind: is missing"),
        (table("stack", "pile", BASE), "'pile' is not a kind of image"),
        ('[images.stack]\nkind = "stack"\n', "none is named"),
        (table("stack", "stack", "base"), "'base' is neither an image of this repository"),
        (table("stack", "stack", "quay.io/x/base"), "nor a reference with a tag or a"),
        (table("stack", "stack", "https://quay.io/x:1"), "is not an image reference"),
        (table("stack", "stack", BASE, 'parents = { A = "x:1" }'), "parent: is given beside parents"),
        (table("stack", "stack", BASE, "inputs = 1"), "inputs is not a list of strings"),
        (table("stack", "stack", BASE, 'inputs = ["../x"]'), "'../x' leaves the folder"),
        (table("stack", "stack", BASE, 'inputs = ["src/../../x"]'), "leaves the folder"),
        (table("stack", "stack", BASE, 'inputs = ["/etc/passwd"]'), "leaves the folder"),
        (table("stack", "stack", BASE, 'inputs = [""]'), "is not a pattern"),
        (table("stack", "stack", BASE, 'inputs = ["src**"]'), "is not a pattern"),
        (table("stack", "stack", BASE, 'build-args = { "1A" = "x" }'), "not the name of a build argument"),
        (table("stack", "stack", BASE, 'build-args = { BASE_IMAGE = "x" }'), "BASE_IMAGE names a parent"),
        (table("stack", "stack", BASE, "downstream = true"), "unknown keys: downstream"),
        (table("stack", "stack", BASE, 'name = "other"'), "unknown keys: name"),
        (table("stack", "stack", BASE, 'registry = "x"'), "'x' is not declared"),
        (table("stack", "stack", BASE, "registry = true"), "registry: true is not a name"),
        (table("stack", "stack", BASE, "registry = 1"), "registry is not a string"),
        ("[flavors]\nregistry = false\n", "registry is not a string"),
        (table("missing", "stack", BASE), "does not exist"),
        (table("stock", "stack", BASE), "does not exist"),
        (table("stack", "flavor", BASE), "does not exist"),
        (table('"images/stack"', "stack", BASE), "is a path"),
        (table("Stack", "stack", BASE), "cannot be the name of an image"),
        (table("flavors", "stack", BASE), "marks a repository of images"),
        (table('"my stack"', "stack", BASE), "cannot be the name of an image"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, told: str) -> None:
    repository = make_repository(tmp_path)
    make_image(tmp_path, "stack", {"requirements.txt": ""})
    error = _refused(repository, text)
    assert told in error.reason
    assert "factory.toml" in error.reason
    assert error.solution


def test_the_folder_that_is_likely_meant_is_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_image(tmp_path, "stack", {"requirements.txt": ""})
    assert "such as stack" in _refused(repository, table("stock", "stack", BASE)).solution


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    make_image(tmp_path, NAME, {"requirements.txt": ""})
    assert "two images" in _refused(repository, table(NAME, "stack", BASE)).reason


def test_a_circle_of_parents_is_shown(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    for name in ("a", "b", "c"):
        make_image(tmp_path, name, {})
    text = table("a", "stack", "c") + table("b", "stack", "a") + table("c", "stack", "b")
    circle = _refused(repository, text).reason.rpartition(": ")[2].split(" is built on ")
    assert {*pairwise(circle)} == {("a", "c"), ("c", "b"), ("b", "a")}


def test_an_image_on_itself_is_a_circle(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_image(tmp_path, "a", {})
    assert "a is built on a" in _refused(repository, table("a", "stack", "a")).reason


def test_a_folder_without_a_project_under_flavors_is_no_image(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    (repository.flavors_folder / "notes").mkdir()
    assert read_catalogue(repository).names == ()


def test_a_flavor_whose_folder_could_not_be_pushed_is_refused(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    (repository.flavors_folder / NAME).rename(repository.flavors_folder / "My Flavor")
    with pytest.raises(SpecError, match="cannot be the name of an image"):
        read_catalogue(repository).definition("My Flavor")


def test_an_image_that_is_not_there_is_told_with_what_is_likely_meant(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as raised:
        read_catalogue(four_tiers(tmp_path)).definition("trainr")
    assert "trainer" in raised.value.solution


def test_a_flavor_is_found_by_its_path_as_well(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    flavor = make_flavor(repository)
    by_path = read_catalogue(repository).select((str(flavor.folder), NAME))
    assert [image.name for image in by_path] == [NAME]


def test_a_flavor_is_changed_for_one_build(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    catalogue = read_catalogue(repository)
    image, changed = catalogue.definition(NAME), catalogue.changed
    downstream = changed(image, downstream=True)
    assert (downstream.dockerfile, downstream.moving_tag) == ("Dockerfile.konflux", "downstream")
    assert downstream.parents[0].image == "quay.io/example/product-base:1"
    assert changed(downstream, downstream=True) == downstream
    other = changed(image, base_image=BASE, downstream=True)
    assert (other.parents[0].image, other.variant.words) == (BASE, f"downstream on {BASE}")
    assert changed(image, base_image=image.parents[0].image) == image
    assert changed(image) == image


def test_a_parent_that_the_settings_give_stays_downstream(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    _write(repository, f'[images.{NAME}]\nparent = "{BASE}"\n')
    catalogue = read_catalogue(repository)
    image, changed = catalogue.definition(NAME), catalogue.changed
    assert changed(image, downstream=True).parents[0].image == BASE


def test_what_cannot_be_changed_is_refused(tmp_path: Path) -> None:
    catalogue = read_catalogue(four_tiers(tmp_path))
    image = catalogue.definition("stack")
    assert catalogue.changed(image, downstream=True) == image  # the same in both
    with pytest.raises(SpecError, match="neither a tag nor a digest"):
        catalogue.changed(image, base_image="quay.io/x/y")
