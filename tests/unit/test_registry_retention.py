"""What of a registry goes, what stays, and which reason is told."""

import datetime as dt
from dataclasses import replace

import pytest
from support.memory_registry import World

from factory.console import Silent
from factory.errors import RegistryError
from factory.registry.declared import Registry, place
from factory.registry.inventory import FactoryLabels, Inventory, RecordedParent, RegistryImage
from factory.registry.maintenance import clean_up
from factory.registry.retention import Policy, Purpose, decide, freed

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
SCRATCH = Registry(name="scratch", url="r.example/scratch", kind="disposable", keep=1, keep_days=30)
RELEASE = Registry(name="release", url="r.example/release", kind="persistent")
POLICY = Policy(
    now=NOW,
    images=frozenset({"base", "stack"}),
    moving={"stack": frozenset({"nightly"})},
    named=frozenset({(place("r.example/scratch/base"), "blessed")}),
)


def _digest(word: str) -> str:
    return f"sha256:{word.encode().hex():0<64}"


def _image(
    word: str, *tags: str, days: float | None = 100, on: str = "", name: str = "stack"
) -> RegistryImage:
    """An image of the factory's, so many days old, that stands on the one whose identity is ``on``."""
    parents = (RecordedParent(image="base", identity=on),) if on else ()
    return RegistryImage(
        repository=f"scratch/{name}",
        image=name,
        digest=_digest(word),
        tags=tags or (word,),
        moment=None if days is None else NOW - dt.timedelta(days=days),
        blobs={_digest(f"layer of {word}"): 100},
        labels=FactoryLabels(image=name, identity=word, parents=parents),
    )


NEWEST = _image("newest", days=50)


def _decided(
    *images: RegistryImage, purpose: Purpose = "prune", others: tuple[Inventory, ...] = ()
) -> dict[str, str]:
    """The reason why each stays, by its digest; empty for one that goes."""
    scratch = Inventory(registry=SCRATCH, images=images)
    verdicts = decide(purpose, {"scratch", "release"}, (scratch, *others), POLICY)
    return {verdict.image.digest: "" if verdict.goes else verdict.reason for verdict in verdicts}


def test_an_old_image_that_nothing_protects_goes() -> None:
    assert _decided(_image("old"), NEWEST) == {
        _digest("old"): "",
        _digest("newest"): "it is one of the newest 1",
    }


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (_image("x", "latest"), "its tag latest moves with every build"),
        (_image("x", "abc", "nightly"), "its tag nightly moves with every build"),
        (_image("x", "abc", "1.2.3"), "its tag 1.2.3 is a version"),
        (_image("x", "v0.1.0"), "its tag v0.1.0 is a version"),
        (_image("x", "blessed", name="base"), "a file of this repository names it as a parent"),
        (_image("x", days=29.9), "it is 29 days old, and what is younger than 30 days stays"),
        (_image("x", days=-3), "it is 0 days old, and what is younger than 30 days stays"),
        (_image("x", days=None), "its age is not known"),
        (_image("x", name="retired"), "no image of this repository is called retired"),
        (replace(_image("x"), labels=None), "it has no label of the factory, which did not build it"),
        (replace(_image("x"), problem="HTTP 500"), "it cannot be read: HTTP 500"),
        (
            replace(_image("x"), labels=FactoryLabels(image="base", identity="x", parents=())),
            "its label says that it is 'base'",
        ),
        (
            replace(_image("x"), labels=FactoryLabels(image="stack", identity="x", parents=None)),
            "its label cannot be read: its parents are not known",
        ),
    ],
)
def test_what_prune_leaves_and_why(image: RegistryImage, reason: str) -> None:
    # Newer than it, so that it is not one of the newest itself.
    newer = replace(NEWEST, repository=image.repository, image=image.image)
    assert _decided(image, newer)[image.digest] == reason


@pytest.mark.parametrize("tag", ["latest", "1.2.3", "abc"])
def test_teardown_takes_young_and_tagged_ones_too(tag: str) -> None:
    assert _decided(_image("x", tag, days=1), purpose="teardown") == {_digest("x"): ""}


@pytest.mark.parametrize("purpose", ["prune", "teardown"])
def test_what_stays_elsewhere_holds_its_parents_and_theirs(purpose: Purpose) -> None:
    base = _image("b", name="base")
    stack = _image("s", on="b")
    trainer = replace(_image("t", on="s", name="trainer"), repository="release/trainer", tags=("latest",))
    release = Inventory(registry=RELEASE, images=(trainer,))
    newest = (NEWEST, replace(NEWEST, repository="scratch/base", image="base"))
    found = _decided(base, stack, *newest, purpose=purpose, others=(release,))
    assert found[stack.digest] == "release: trainer:latest is built on it, and stays"
    assert found[base.digest] == "scratch: stack:s is built on it, and stays"
    assert found[trainer.digest] == "the registry release is persistent"


@pytest.mark.parametrize(
    "parent",
    [
        RecordedParent(image="r.example/scratch/base:b"),
        RecordedParent(image="r.example/scratch/base:b", digest=_digest("b")),
        RecordedParent(image=f"r.example/scratch/base@{_digest('b')}"),
        RecordedParent(image="localhost/base:latest", digest="sha256:the-engine's"),
    ],
)
def test_a_parent_is_found_by_whatever_the_label_has_of_it(parent: RecordedParent) -> None:
    base = replace(_image("b", name="base"), config_digest="sha256:the-engine's")
    child = replace(
        _image("s", "latest"), labels=FactoryLabels(image="stack", identity="s", parents=(parent,))
    )
    newer = replace(NEWEST, repository="scratch/base", image="base")
    assert _decided(base, child, newer)[base.digest] == "scratch: stack:latest is built on it, and stays"


@pytest.mark.parametrize("purpose", ["prune", "teardown"])
def test_what_a_persistent_registry_has_as_well_stays_with_its_bill(purpose: Purpose) -> None:
    """Its host has another name, and what is written does not tell that both are one."""
    old, other = _image("old"), _image("other", days=90)
    bill = replace(_image("bill"), labels=None, tags=(), subjects=(old.digest,))
    alias = Registry(name="alias", url="alias.example", kind="persistent")
    # The same image in another repository is another copy.
    there = Inventory(registry=alias, images=(old, replace(other, repository="elsewhere/stack")))
    found = _decided(old, other, bill, NEWEST, purpose=purpose, others=(there,))
    reason = "the persistent registry alias has it as well: both may be one place"
    assert (found[old.digest], found[bill.digest], found[other.digest]) == (reason, reason, "")


def test_what_an_image_without_labels_is_built_on_is_seen_by_its_layers() -> None:
    base = replace(_image("b", name="base"), layers=("l1", "l2"))
    equal = replace(_image("e", name="base"), layers=("l1", "l2", "l3"))
    foreign = replace(_image("f", name="theirs"), layers=("l1", "l2", "l3"), labels=None)
    newer = replace(NEWEST, repository="scratch/base", image="base")
    found = _decided(base, equal, foreign, newer)
    assert found[base.digest] == "scratch: theirs:f is built on it, and stays"
    assert not found[equal.digest]


def test_a_registry_that_cannot_be_read_protects_everything() -> None:
    error = RegistryError("no answer", solution="Wait.")
    found = _decided(_image("x"), NEWEST, others=(Inventory(registry=RELEASE, error=error),))
    assert set(found.values()) == {"release could not be read, so its images may be built on this"}


def test_an_index_goes_and_stays_with_its_parts() -> None:
    part = replace(_image("part"), tags=(), labels=None)
    going = replace(_image("i"), parts=(part.digest, _digest("unlisted")))
    staying = replace(_image("j", "latest"), parts=(part.digest,))
    assert _decided(going, part, NEWEST)[part.digest] == ""
    both = _decided(going, staying, part, NEWEST)
    assert both[going.digest] == ""
    assert both[part.digest] == "the index scratch: stack:latest names it, and stays"


def test_the_parts_that_are_on_no_list_go_after_the_last_index_that_names_them() -> None:
    going = replace(_image("i"), parts=(_digest("p"), _digest("q")))
    staying = replace(_image("j", "latest"), parts=(_digest("q"),))
    inventory = Inventory(registry=SCRATCH, images=(going, staying, NEWEST))
    verdicts = {
        verdict.image.digest: verdict for verdict in decide("prune", {"scratch"}, (inventory,), POLICY)
    }
    assert verdicts[going.digest].loose_parts == (_digest("p"),)


def test_a_bill_of_two_images_stays_with_the_one_that_stays() -> None:
    old, young = _image("old"), _image("young", days=1)
    tags = tuple(f"{image.digest.replace(':', '-')}.sbom" for image in (old, young))
    shared = RegistryImage(
        repository="scratch/stack",
        image="stack",
        digest=_digest("bill"),
        tags=tags,
        subjects=(old.digest, young.digest),
    )
    found = _decided(old, young, NEWEST, shared)
    assert found[old.digest] == ""
    assert found[shared.digest] == f"it belongs to {young.digest[:19]}, which stays"
    own = replace(shared, tags=tags[:1], subjects=(old.digest,))
    assert _decided(old, young, NEWEST, own)[own.digest] == ""
    named = replace(own, tags=(*own.tags, "signed-off"))
    assert _decided(old, NEWEST, named)[named.digest] == "it has a tag of its own: signed-off"


def test_a_bill_of_what_is_on_no_list_stays_unless_that_is_gone() -> None:
    bill = RegistryImage(
        repository="scratch/stack", image="stack", digest=_digest("bill"), subjects=(_digest("unlisted"),)
    )
    assert _decided(bill)[bill.digest] == f"it belongs to {_digest('unlisted')[:19]}, which stays"
    assert _decided(replace(bill, gone=frozenset(bill.subjects)))[bill.digest] == ""


def test_what_is_attached_and_what_stands_on_it_has_to_be_gone_before() -> None:
    base, stack = _image("b", name="base"), _image("s", on="b")
    bill = RegistryImage(
        repository="scratch/stack", image="stack", digest=_digest("bill"), subjects=(stack.digest,)
    )
    inventory = Inventory(registry=SCRATCH, images=(base, stack, bill))
    verdicts = decide("teardown", {"scratch"}, (inventory,), POLICY)
    assert {verdict.image.digest: [need[2] for need in verdict.needs] for verdict in verdicts} == {
        base.digest: [stack.digest],
        stack.digest: [bill.digest],
        bill.digest: [],
    }


def test_what_is_freed_is_what_nothing_that_stays_names() -> None:
    shared = {"sha256:shared": 1000}
    old = replace(_image("old"), blobs={**shared, "sha256:old": 10})
    older = replace(_image("older"), blobs={**shared, "sha256:old": 10, "sha256:older": 1})
    young = replace(_image("young", days=1), blobs=shared)
    inventory = Inventory(registry=SCRATCH, images=(old, older, young))
    assert freed(inventory, decide("prune", {"scratch"}, (inventory,), POLICY)) == 11


def test_two_that_each_say_that_they_belong_to_the_other_both_go() -> None:
    world = World()
    one, other = _digest("one"), _digest("other")
    for digest, subject in ((one, other), (other, one)):
        tag = f"{subject.replace(':', '-')}.sbom"
        bill = RegistryImage(
            repository="scratch/stack", image="stack", digest=digest, tags=(tag,), subjects=(subject,)
        )
        world.put("r.example", bill)
    clean_up(
        "teardown",
        {"scratch": SCRATCH},
        ("scratch",),
        POLICY,
        world.open,
        dry_run=False,
        progress=Silent(),
    )
    assert not world.stored[0, "scratch/stack"]


def test_nothing_goes_while_a_registry_is_known_in_part() -> None:
    release = Inventory(registry=RELEASE, partial="the registry does not list its repositories")
    assert _decided(_image("old"), NEWEST, purpose="teardown", others=(release,))[_digest("old")] == (
        "release is known in part, so its other images may be built on this"
    )
