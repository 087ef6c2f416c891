"""``factory align`` on the synthetic private index, beside a public one full of bait."""

import json

import pytest
from support.private_index import BAIT, CPU, CUDA, FLAVORS, PrivateWorld, asked_for

pytestmark = pytest.mark.integration


def test_flavors_of_a_private_index_are_aligned_with_it_and_nobody_else(private_world: PrivateWorld) -> None:
    private_world.locked()
    run = private_world.run("align", *FLAVORS.values(), "--json")
    findings = {
        flavor["flavor"]: [finding["kind"] for finding in flavor["findings"]]
        for flavor in json.loads(run.out)["flavors"]
    }
    assert findings == {name: [] for name in FLAVORS.values()}
    later = private_world.run("align", CUDA, CPU, "--training-hub", "0.10.0")
    assert later.status == 1
    assert later.out.count("the nearest is 0.9.2") == 2
    assert asked_for(private_world.public) == frozenset()
    assert BAIT not in run.out + later.out
