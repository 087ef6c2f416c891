"""Where a registry is, however it is written."""

import pytest

from factory.errors import SpecError
from factory.registry.declared import lies_in, parse_registries, place

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("quay.io/x", "quay.io:443/x"),
        ("quay.io:80/x", "quay.io:443/x"),
        ("r.example:5000/x", "r.example:05000/x"),
        ("localhost:5000/x", "127.0.0.1:5000/x"),
        ("127.0.0.2:5000", "127.0.0.1:5000"),
        ("localhost:5000", "scratch.localhost:5000"),
        ("localhost:5000/x", "ip6-localhost:5000/x"),
        ("localhost:5000/x", "0x7f.0.0.1:5000/x"),
        ("localhost:5000/x", "127.1:5000/x"),
        ("localhost:5000/x", "0.0.0.0:5000/x"),
        ("10.0.0.1:5000/x", "012.0.0.1:5000/x"),
        ("docker.io/x", "registry-1.docker.io/x"),
        ("docker.io/x", "registry.hub.docker.com/x"),
        (f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/x", f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws/x"),
        (f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/x", f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com/x"),
        ("eu.gcr.io/project/x", "europe-docker.pkg.dev/project/eu.gcr.io/x"),
    ],
)
def test_one_place_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert place(one) == place(other)
    declared = {"a": {"url": one, "class": "persistent"}, "b": {"url": other, "class": "disposable"}}
    with pytest.raises(SpecError, match="the same place"):
        parse_registries({"registries": declared})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("quay.io/x", "quay.io/y"),
        ("r.example:5000/x", "r.example:5001/x"),
        ("r.example:5000/x", "r.example/x"),
        ("localhost:5000/x", "notlocalhost:5000/x"),
        ("10.0.0.1/x", "10.0.0.2/x"),
        (f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com", f"{ACCOUNT}.dkr.ecr.us-east-2.amazonaws.com"),
        ("gcr.io/project", "eu.gcr.io/project"),
    ],
)
def test_two_places_are_two(one: str, other: str) -> None:
    assert place(one) != place(other)


def test_a_place_lies_in_another_by_whole_components() -> None:
    assert lies_in(place("quay.io/a/b"), place("quay.io/a"))
    assert lies_in(place("quay.io/a"), place("quay.io/a"))
    assert not lies_in(place("quay.io/ab"), place("quay.io/a"))
    assert not lies_in(place("quay.io/a"), place("quay.io/a/b"))
