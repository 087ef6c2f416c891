"""The registries that a repository names, and what cannot be one."""

from pathlib import Path

import pytest

from factory.errors import FactoryError, NotFoundError, SpecError
from factory.registry.declared import Registry, find_registry, read_registries

RELEASE = """\
[registries.release]
url = "quay.io/universal-images"
class = "persistent"
"""


def _read(root: Path, text: str) -> dict[str, Registry]:
    (root / "factory.toml").write_text(text)
    return read_registries(root)


def _table(name: str, url: str, kind: str, *further: str) -> str:
    return "\n".join((f"[registries.{name}]", f'url = "{url}"', f'class = "{kind}"', *further, ""))


def test_no_file_and_no_table_are_no_registries(tmp_path: Path) -> None:
    assert read_registries(tmp_path) == {}
    assert _read(tmp_path, '[konflux]\napplication = "x"\n') == {}


def test_a_registry_has_defaults_for_all_but_its_place_and_class(tmp_path: Path) -> None:
    registry = _read(tmp_path, RELEASE)["release"]
    assert (registry.driver, registry.keep, registry.keep_days, registry.tls_verify) == ("oci", 10, 30, True)
    assert registry.reference("base", "1") == "quay.io/universal-images/base:1"
    assert (registry.host, registry.repository("base")) == ("quay.io", "universal-images/base")


def test_every_key_is_read(tmp_path: Path) -> None:
    further = ('driver = "oci"', "keep = 3", "keep-days = 0", "tls-verify = false", "prune-after-push = true")
    found = _read(tmp_path, _table("scratch", "127.0.0.1:5000", "disposable", *further))
    assert found == {
        "scratch": Registry(
            name="scratch",
            url="127.0.0.1:5000",
            kind="disposable",
            keep=3,
            keep_days=0,
            tls_verify=False,
            prune_after_push=True,
        )
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("registries = 1\n", "registries is not a table"),
        ("[registries]\nx = 1\n", "[registries] x is not a table"),
        (_table("Release", "quay.io/x", "persistent"), "not a name for a registry"),
        ('[registries.x]\nurl = "quay.io/x"\n', "class: is missing, and it has no default"),
        ('[registries.x]\nclass = "persistent"\n', "lacks url"),
        (_table("x", "quay.io/x", "permanent"), "'permanent' is not a class"),
        (_table("x", "quay.io/x", "persistent", 'driver = "gcr"'), "'gcr' is not a driver"),
        (_table("x", "quay.io/x", "persistent", "keep = 0"), "0 is less than 1"),
        (_table("x", "quay.io/x", "persistent", "keep-days = -1"), "-1 is less than 0"),
        (_table("x", "quay.io/x", "persistent", 'keep = "3"'), "keep is not a whole number"),
        (_table("x", "quay.io/x", "persistent", "kept = 3"), "unknown keys: kept"),
        (
            _table("x", "quay.io/x", "persistent", "prune-after-push = true"),
            "nothing is ever deleted from it",
        ),
        (_table("x", "quay.io/x", "persistent", 'driver = "ecr"'), "quay.io is no host of ecr"),
        (
            _table("x", "europe-docker.pkg.dev/p", "persistent", 'driver = "artifact-registry"'),
            "names no repository",
        ),
        ("[registry.x]\n", "unknown tables or keys: registry"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError) as raised:
        _read(tmp_path, text)
    assert told in raised.value.reason


@pytest.mark.parametrize(
    "url",
    [
        "https://quay.io/x",
        "quay.io/x/",
        "quay.io/x:tag",
        "quay.io/X",
        "images",
        "images/x",
        "user:secret@quay.io/x",
        "quay.io//x",
        "quay.io/../x",
        "quay.io/x y",
        "",
    ],
)
def test_what_is_no_address_of_a_registry_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SpecError):
        _read(tmp_path, _table("x", url, "persistent"))


@pytest.mark.parametrize("url", ["[::1]:5000/team", "[::1]", "[2001:db8::1]/x"])
def test_an_address_of_ipv6_is_refused_with_what_to_write_in_its_place(tmp_path: Path, url: str) -> None:
    with pytest.raises(SpecError) as raised:
        _read(tmp_path, _table("x", url, "persistent"))
    assert f"{url!r} has an address of IPv6" in raised.value.reason
    assert "localhost" in raised.value.solution


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("localhost/x", "oci"),
        ("localhost:5000", "oci"),
        ("registry:5000/x/y", "oci"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr"),
        ("127.0.0.1:5000/x", "ecr"),
        ("europe-west4-docker.pkg.dev/project/images", "artifact-registry"),
    ],
)
def test_an_address_of_a_registry_is_taken(tmp_path: Path, url: str, driver: str) -> None:
    found = _read(tmp_path, _table("x", url, "disposable", f'driver = "{driver}"'))
    assert (found["x"].url, found["x"].driver) == (url, driver)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("quay.io/images", "quay.io/images"),
        ("quay.io/images", "quay.io/images/scratch"),
        ("quay.io/images/scratch", "quay.io/images"),
        ("quay.io", "quay.io/images"),
        ("quay.io:443/images", "quay.io/images"),
        ("localhost:5000", "127.0.0.1:5000/x"),
        ("docker.io/images", "index.docker.io/images"),
    ],
)
def test_a_class_in_the_place_of_another_is_refused(tmp_path: Path, one: str, other: str) -> None:
    text = _table("a", one, "persistent") + _table("b", other, "disposable")
    with pytest.raises(SpecError) as raised:
        _read(tmp_path, text)
    assert "a" in raised.value.reason
    assert "b" in raised.value.reason


def test_one_place_has_one_declaration_even_of_one_class(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        _read(tmp_path, _table("a", "quay.io/x", "disposable") + _table("b", "quay.io/x", "disposable"))


@pytest.mark.parametrize("other", ["quay.io/images-scratch", "quay.io/scratch", "quay.example/images"])
def test_places_beside_each_other_may_have_different_classes(tmp_path: Path, other: str) -> None:
    text = _table("a", "quay.io/images", "persistent") + _table("b", other, "disposable")
    assert list(_read(tmp_path, text)) == ["a", "b"]


def test_a_registry_that_nobody_declared_is_told_with_those_that_are(tmp_path: Path) -> None:
    registries = _read(tmp_path, RELEASE)
    assert find_registry(registries, "release") is registries["release"]
    with pytest.raises(NotFoundError) as raised:
        find_registry(registries, "scratch")
    assert "release" in raised.value.solution
    assert isinstance(raised.value, FactoryError)
