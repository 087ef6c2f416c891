"""From a persistent registry nothing is ever deleted, nor what anything that stays is built on."""

import copy
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from support.memory_registry import HOSTS, World, host_number

from factory.console import Silent
from factory.registry import removal, retention
from factory.registry.declared import Registry
from factory.registry.inventory import FactoryLabels, RecordedParent, RegistryImage
from factory.registry.maintenance import clean_up
from factory.registry.references import References
from factory.registry.retention import Policy, Purpose

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
NAMES = ("base", "stack", "trainer")
PATHS = ("", "a", "base", "a/b", "a/base", "b")
Stored = dict[tuple[int, str], dict[str, RegistryImage]]
# The first layout that shows it is enough: a smaller one is not looked for.
_SEARCH = settings(max_examples=20_000, phases=[Phase.generate], database=None)
TAGS = ("latest", "1.2.0", "candidate", "0123456789abcdef")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Registries that are declared, what lies where, and what is asked for."""

    registries: tuple[Registry, ...]
    world: World
    purpose: Purpose
    targets: tuple[str, ...]


def _digest(*words: object) -> str:
    return f"sha256:{sha256(repr(words).encode()).hexdigest()}"


@st.composite
def _registries(draw: st.DrawFn, most: int) -> tuple[Registry, ...]:
    count = draw(st.integers(1, most))
    found = []
    for number in range(count):
        host = draw(st.sampled_from([name for names in HOSTS[:3] for name in names]))
        path = draw(st.sampled_from(PATHS))
        found.append(
            Registry(
                name=f"r{number}",
                url=f"{host}/{path}".rstrip("/"),
                kind=draw(st.sampled_from(["persistent", "disposable"])),
                keep=draw(st.integers(1, 2)),
                keep_days=draw(st.sampled_from([0, 30])),
                tls_verify=draw(st.booleans()),
            )
        )
    return tuple(found)


@st.composite
def _image(draw: st.DrawFn, registry: Registry, number: int) -> RegistryImage:
    name = draw(st.sampled_from(NAMES))
    version = draw(st.integers(0, 1))
    parents = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 1)), max_size=2))
    made = FactoryLabels(
        image=name,
        identity=f"{name}{version}",
        parents=tuple(RecordedParent(image=parent, identity=f"{parent}{of}") for parent, of in parents),
    )
    days = draw(st.sampled_from([None, 1, 40, 50, 60]))
    return RegistryImage(
        repository=registry.repository(name),
        image=name,
        digest=_digest(name, version, parents, number),
        tags=tuple(draw(st.sets(st.sampled_from(TAGS), max_size=2))),
        moment=None if days is None else NOW - dt.timedelta(days=days),
        labels=made if draw(st.integers(0, 4)) else None,
    )


@st.composite
def layouts(draw: st.DrawFn, most: int = 4) -> Layout:
    """Registries in any places, also in, around and at one another's, under hosts written in any way."""
    registries = draw(_registries(most))
    world = World()
    for number in range(draw(st.integers(0, 7))):
        registry = draw(st.sampled_from(registries))
        image = draw(_image(registry, number))
        world.put(registry.host, image)
        if draw(st.integers(0, 3)) == 0:
            tag = image.digest.replace(":", "-") + ".sbom"
            bill = RegistryImage(
                repository=image.repository,
                image=image.image,
                digest=_digest("bill", number),
                tags=(tag,),
                subjects=(image.digest,),
            )
            world.put(registry.host, bill)
    names = [registry.name for registry in registries]
    return Layout(
        registries=registries,
        world=world,
        purpose=draw(st.sampled_from(["prune", "teardown"])),
        targets=tuple(draw(st.sets(st.sampled_from(names), min_size=1))),
    )


def _cleaned(layout: Layout) -> World:
    """What is there afterwards, where everything is deleted that the decision lets go."""
    world = copy.deepcopy(layout.world)
    clean_up(
        layout.purpose,
        {registry.name: registry for registry in layout.registries},
        layout.targets,
        Policy(now=NOW, images=frozenset({*NAMES, *PATHS, "a/b/base"})),
        world.open,
        dry_run=False,
        progress=Silent(),
    )
    return world


def _in_persistent(layout: Layout, host: int, repository: str) -> bool:
    """Whether a repository lies where a persistent registry is: by the table of hosts and by text."""
    return any(
        registry.kind == "persistent"
        and host_number(registry.host) == host
        and f"{repository}/".startswith(registry.repository(""))
        for registry in layout.registries
    )


def _lost_of_persistent(layout: Layout, after: Stored) -> list[RegistryImage]:
    """What lay in a persistent registry and is there no more."""
    return [
        image
        for (host, repository), images in layout.world.stored.items()
        if _in_persistent(layout, host, repository)
        for digest, image in images.items()
        if after[host, repository].get(digest) != image
    ]


def _lost_parents(layout: Layout, after: Stored) -> list[str]:
    """The identities that something which is still there stands on, and that were there before."""
    before = [image for images in layout.world.stored.values() for image in images.values()]
    now = [image for images in after.values() for image in images.values()]
    there = {image.labels.identity for image in now if image.labels}
    were = {image.labels.identity for image in before if image.labels}
    stood_on = {
        parent.identity
        for image in now
        if image.labels
        for parent in image.labels.parents or ()
        if parent.identity and parent.identity in were
    }
    return sorted(stood_on - there)


def _unfit(layout: Layout, after: Stored) -> list[RegistryImage]:
    """What went and is not the factory's, and bills that went or stayed otherwise than their images."""
    found = []
    for place, images in layout.world.stored.items():
        for digest, image in images.items():
            there = digest in after[place]
            if image.subjects:
                if there != (image.subjects[0] in after[place]):
                    found.append(image)
            elif image.labels is None and not there:
                found.append(image)
    return found


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts())
def test_what_is_persistent_stood_on_or_somebody_elses_stays_and_bills_stay_with_their_images(
    layout: Layout,
) -> None:
    after = _cleaned(layout).stored
    assert not _lost_of_persistent(layout, after)
    assert not _lost_parents(layout, after)
    assert not _unfit(layout, after)


# Of one registry: two with names for one place, which factory.toml may not have, hold what they share twice.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts(most=1))
def test_a_second_run_finds_nothing_to_do(layout: Layout) -> None:
    once = _cleaned(layout)
    assert _cleaned(replace(layout, world=once)).stored == once.stored


def _no_reason(*_: object) -> str:
    return ""


def _no_reasons(*_: object) -> dict[object, str]:
    return {}


def _textual(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """As if a registry were only in its place where it is the very same."""
    return inner == outer


# Both look whether a persistent registry has it too: before anything is decided, and before each delete.
_NO_TWINS: list[tuple[object, str, object]] = [
    (retention, "_reason_of_twin", _no_reason),
    (removal, "_guarded", _no_reason),
]
BROKEN: list[tuple[str, Callable[[Layout, Stored], object], list[tuple[object, str, object]]]] = [
    ("a second name of a host is not seen", _lost_of_persistent, [*_NO_TWINS]),
    (
        "the place is not looked at",
        _lost_of_persistent,
        [(retention, "_reason_of_place", _no_reason), *_NO_TWINS],
    ),
    (
        "hosts are compared as they are written",
        _lost_of_persistent,
        [(retention, "place", lambda url: tuple(url.split("/"))), *_NO_TWINS],
    ),
    (
        "what lies inside is not seen",
        _lost_of_persistent,
        [(retention, "lies_in", _textual), *_NO_TWINS],
    ),
    (
        "the class is not looked at",
        _lost_of_persistent,
        [
            (retention, "_reason_of_registry", _no_reason),
            (retention, "_reason_of_place", _no_reason),
            *_NO_TWINS,
        ],
    ),
    ("parents do not count", _lost_parents, [(References, "bound", _no_reasons)]),
    ("bills do not stay with their images", _unfit, [(References, "bound", _no_reasons)]),
    ("labels do not count", _unfit, [(retention, "_reasons_of_image", lambda *_: iter(()))]),
]


@pytest.mark.parametrize(("what", "lost", "changes"), BROKEN, ids=[what for what, *_ in BROKEN])
def test_a_broken_decision_is_found_by_these_properties(
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    lost: Callable[[Layout, Stored], object],
    changes: list[tuple[object, str, object]],
) -> None:
    for target, name, replacement in changes:
        monkeypatch.setattr(target, name, replacement)
    try:
        # From the same seed each time: what is searched for is rare, and has to be found in every run.
        find(
            layouts(),
            lambda layout: bool(lost(layout, _cleaned(layout).stored)),
            settings=_SEARCH,
            random=Random(0),
        )
    except NoSuchExample:
        pytest.fail(f"nothing shows that {what}")
