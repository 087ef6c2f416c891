"""``[mirrors]`` and ``builder`` of ``factory.toml`` and ``factory.local.toml``, in every command."""

from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository
from support.tiers import BASE, four_tiers

from factory.errors import SpecError
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import VariantOptions
from factory.images.identity import BuildInputs, ParentState, differences, parse_build_inputs
from factory.images.plan import Plan, PlanRequest, plan_images

HERE = "localhost/standin:1"
DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FACTORY_ENGINE", raising=False)


def _local(repository: Repository, text: str) -> None:
    (repository.root / "factory.local.toml").write_text(text)


def _base(repository: Repository, name: str = "base") -> str:
    return read_catalogue(repository).definition(name).parents[0].image


@pytest.mark.parametrize(
    ("origin", "image", "used"),
    [
        (BASE, "mirror.example/base:2", "mirror.example/base:2"),
        ("registry.example.com/vendor/base", "mirror.example/base", "mirror.example/base:1"),
        ("registry.example.com/vendor/base", "mirror.example/base:2", "mirror.example/base:2"),
        ("registry.example.com/vendor/", "mirror.example/", "mirror.example/base:1"),
        ("registry.example.com/", "localhost:5000/all/", "localhost:5000/all/vendor/base:1"),
        ("registry.example.com/vendor/", "mirror.example/one:2", "mirror.example/one:2"),
        ("registry.example.com/vend/", "mirror.example/", BASE),
        ("registry.example.com/vendor/bas", "mirror.example/bas", BASE),
        ("registry.example.com/vendor/base:2", "mirror.example/base:2", BASE),
    ],
)
def test_mirror_is_used_in_place_of_what_it_is_for(
    tmp_path: Path, origin: str, image: str, used: str
) -> None:
    repository = four_tiers(tmp_path)
    _local(repository, f'[mirrors]\n"{origin}" = "{image}"\n')
    assert _base(repository) == used


def test_mirror_keeps_a_digest(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    settings = repository.root / "factory.toml"
    settings.write_text(settings.read_text().replace(BASE, f"registry.example.com/vendor/base@{DIGEST}"))
    _local(repository, '[mirrors]\n"registry.example.com/vendor/" = "mirror.example/"\n')
    assert _base(repository) == f"mirror.example/base@{DIGEST}"


def test_longest_origin_and_the_local_file_take_precedence(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    settings = repository.root / "factory.toml"
    settings.write_text(
        settings.read_text()
        + '[mirrors]\n"registry.example.com/" = "a.example/"\n"registry.example.com/vendor/" = "b.example/"\n'
    )
    assert _base(repository) == "b.example/base:1"
    assert _base(repository, "launcher") == "a.example/other:2"
    _local(repository, '[mirrors]\n"registry.example.com/vendor/" = "c.example/"\n')
    assert _base(repository) == "c.example/base:1"


def test_mirror_of_a_downstream_base_image_is_used_downstream(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    _local(repository, f'[mirrors]\n"quay.io/example/product-base" = "{HERE}"\n')
    catalogue = read_catalogue(repository)
    image = catalogue.definition(NAME)
    downstream = catalogue.changed(image, downstream=True)
    assert image.parents[0].image == "quay.io/example/base:1"
    assert (downstream.parents[0].image, downstream.parents[0].origin) == (
        HERE,
        "quay.io/example/product-base:1",
    )
    assert downstream.variant.base_image is None  # the settings say it, no option
    assert catalogue.changed(downstream, downstream=False) == catalogue.changed(image, downstream=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirrors = 1\n", "mirrors is not a table"),
        ('[mirrors]\n"quay.io/a:1" = 1\n', "neither a reference nor a table"),
        ('[mirrors]\n"quay.io/a:1" = { image = "quay.io/b:1", standin = true }\n', "unknown keys: standin"),
        ('[mirrors]\n"quay.io/a:1" = { stand-in = true }\n', "lacks image"),
        ('[mirrors]\n"quay.io/a:1" = { image = "quay.io/b:1", stand-in = "yes" }\n', "is not true or false"),
        ('[mirrors]\n"https://quay.io/a" = "quay.io/b"\n', "is not an image reference"),
        ('[mirrors]\n"quay.io/a:1/" = "quay.io/b/"\n', "is not an image reference"),
        ('[mirrors]\n"quay.io/a:1" = "quay.io/b"\n', "neither a tag nor a digest"),
        ('[mirrors]\n"quay.io/a/" = "quay.io/b"\n', "cannot take its place"),
        ('[mirrors]\n"quay.io/a" = "quay.io/b/"\n', "cannot take its place"),
        ('builder = "magic"\n', "'magic', which is no builder"),
        ("builder = 1\n", "1, which is no builder"),
        ('[flavors]\ntests = "full"\n', "not settings of one machine: flavors"),
        ('mirror = "x"\n', "not settings of one machine: mirror"),
        ("[mirrors\n", "not TOML"),
    ],
)
def test_mistake_in_local_settings_is_refused_and_the_file_is_named(
    tmp_path: Path, text: str, said: str
) -> None:
    repository = four_tiers(tmp_path)
    _local(repository, text)
    with pytest.raises(SpecError) as raised:
        read_catalogue(repository)
    assert said in raised.value.reason
    assert "factory.local.toml" in raised.value.reason
    assert raised.value.solution


def test_builder_makes_a_layout_of_downstream_flavors_alone(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    _local(repository, 'builder = "layout"\n')
    catalogue = read_catalogue(repository)
    image = catalogue.definition(NAME)
    assert (image.builder, catalogue.changed(image, downstream=True).builder) == ("engine", "layout")
    settings = repository.root / "factory.toml"
    settings.write_text(f'[flavors]\ndownstream = true\n[images.{NAME}]\nbuilder = "engine"\n')
    assert read_catalogue(repository).definition(NAME).builder == "engine"
    settings.write_text("[flavors]\ndownstream = true\n")
    assert read_catalogue(repository).definition(NAME).variant.words == "downstream, in a layout"


def _plan(repository: Repository, options: VariantOptions | None = None) -> Plan:
    return plan_images(repository, PlanRequest(variant=options or VariantOptions(), offline=True))


def test_mirror_and_its_being_a_stand_in_count_in_the_identity(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    origins = f'"{BASE}" = '
    identities = []
    for mirror in (
        "",
        '"mirror.example/x:1"',
        '"mirror.example/x:2"',
        '{ image = "mirror.example/x:2", stand-in = true }',
    ):
        _local(repository, f"[mirrors]\n{origins}{mirror}\n" if mirror else "")
        identities.append({step.name: step.identity for step in _plan(repository).steps})
    for name in ("base", "stack", "trainer"):
        assert len({one[name] for one in identities}) == 4
    assert len({one["launcher"] for one in identities}) == 1


def test_stand_in_is_read_back_from_a_label() -> None:
    parent = ParentState(argument="BASE_IMAGE", image="mirror.example/x:1")
    marked = ParentState(argument="BASE_IMAGE", image="mirror.example/x:1", stand_in=True)
    before, after = (
        BuildInputs(dockerfile="Dockerfile", files={}, build_args={}, parents=(one,))
        for one in (parent, marked)
    )
    assert parse_build_inputs(after.text) == after
    assert differences(before, after) == ("parent mirror.example/x:1 is a stand-in now",)
    assert differences(after, before) == ("parent mirror.example/x:1 is not a stand-in now",)


def test_children_are_of_the_variant_of_their_parents(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    folder = repository.root / "images" / "stack"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    (repository.root / "factory.toml").write_text(f'[images.stack]\nkind = "stack"\nparent = "{NAME}"\n')

    def variants(options: VariantOptions) -> dict[str, str]:
        return {step.name: step.definition.variant.words for step in _plan(repository, options).steps}

    assert variants(VariantOptions()) == {NAME: "midstream", "stack": "midstream"}
    assert variants(VariantOptions(downstream=True)) == {NAME: "downstream", "stack": "downstream"}
    other = VariantOptions(downstream=True, base_image=HERE, rebased=frozenset({NAME}))
    request = PlanRequest(names=("stack",), variant=other, offline=True)
    with pytest.raises(Exception, match="the engine does not have the parent"):
        plan_images(repository, request)
    away = VariantOptions(downstream=True, base_image="x.example/y:1", rebased=frozenset({NAME}))
    (flavor, stack) = plan_images(
        repository, PlanRequest(names=("stack",), variant=away, offline=True, forced_by="--force")
    ).steps
    assert flavor.definition.variant.words == stack.definition.variant.words == "downstream on x.example/y:1"
    assert stack.definition.moving_tag == "downstream"
    catalogue = read_catalogue(repository)
    assert not catalogue.definition("stack").declared
    (repository.root / "factory.toml").write_text(
        f'[flavors]\ndownstream = true\n[images.stack]\nkind = "stack"\nparent = "{NAME}"\n'
    )
    stack_definition = read_catalogue(repository).definition("stack")
    assert (stack_definition.declared, stack_definition.downstream) == (True, True)
    assert stack_definition.moving_tag == "latest"
