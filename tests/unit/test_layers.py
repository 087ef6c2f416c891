"""Layers of packages: the rule, what goes where, their times, and how they come into pyproject.toml."""

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clean_flavor import PROJECT, make_flavor, make_repository

from factory.documents import TableReader
from factory.errors import LockFileError, SpecError
from factory.flavor.repository import Flavor
from factory.flavor.spec import PackageLayer, default_layers, layer_of, read_layers
from factory.layers.choose import SHARE, SizedPackage, choose_layers
from factory.layers.contents import layer_epochs, newest_upload, pins_by_layer, wheel_sizes
from factory.layers.record import report_layers, with_layers
from factory.lock.lockfile import Artifact, Pin, format_lock, parse_lock
from factory.lock.lockset import LockSet
from factory.render.drift import find_drift

STACK = PackageLayer(name="accelerator", patterns=("torch", "nvidia-*"))
NAMES = st.from_regex(r"[a-z]{1,6}(-[a-z]{1,4})?", fullmatch=True)
PACKAGES = st.dictionaries(
    st.one_of(NAMES, st.sampled_from(["torch", "nvidia-cublas", "nvidia-nccl"])),
    st.integers(min_value=0, max_value=10_000),
    max_size=60,
)
# Each is quick; the whole suite is long.
FEW = settings(max_examples=40)
JANUARY = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())


def _sized(sizes: dict[str, int]) -> list[SizedPackage]:
    return [SizedPackage(name=name, size=size) for name, size in sizes.items()]


def _by_layer(sizes: dict[str, int], layers: tuple[PackageLayer, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sizes:
        found.setdefault(layer_of(name, layers), []).append(name)
    return found


@FEW
@given(PACKAGES)
def test_no_layer_of_several_packages_is_more_than_the_share(sizes: dict[str, int]) -> None:
    layers = choose_layers(_sized(sizes), stack=STACK)
    limit = SHARE * sum(sizes.values())
    for name, packages in _by_layer(sizes, layers).items():
        if name != STACK.name and len(packages) > 1:
            assert sum(sizes[package] for package in packages) <= limit


@FEW
@given(PACKAGES)
def test_the_stack_stands_alone_and_no_layer_that_the_rule_makes_is_empty(sizes: dict[str, int]) -> None:
    layers = choose_layers(_sized(sizes), stack=STACK)
    found = _by_layer(sizes, layers)
    assert layers[0] == STACK
    assert {name for name in sizes if STACK.takes(name)} == set(found.get(STACK.name, []))
    assert all(found.get(layer.name) for layer in layers[1:])


@FEW
@given(PACKAGES)
def test_the_order_of_packages_says_nothing(sizes: dict[str, int]) -> None:
    packages = _sized(sizes)
    assert choose_layers(packages, stack=STACK) == choose_layers(packages[::-1], stack=STACK)


@FEW
@given(PACKAGES)
def test_chosen_again_nothing_moves(sizes: dict[str, int]) -> None:
    chosen = choose_layers(_sized(sizes), stack=STACK)
    assert choose_layers(_sized(sizes), stack=STACK, before=chosen) == chosen


@FEW
@given(PACKAGES, st.integers(min_value=0, max_value=3))
def test_a_small_new_package_moves_no_other(sizes: dict[str, int], size: int) -> None:
    chosen = choose_layers(_sized(sizes), stack=STACK)
    more = sizes | {"zzz-new": size}
    # The sum only grows, so no layer can come to exceed its share but the one that the package joins.
    again = choose_layers(_sized(more), stack=STACK, before=chosen)
    moved = [name for name in sizes if layer_of(name, again) != layer_of(name, chosen)]
    room = SHARE * sum(more.values()) - sum(sizes[name] for name in sizes if layer_of(name, chosen) == "rest")
    assert size > room or not moved


def test_package_larger_than_the_share_stands_alone() -> None:
    sizes = {"torch": 700, "giant": 200, "one": 40, "two": 40, "three": 20}
    layers = choose_layers(_sized(sizes), stack=STACK)
    assert _by_layer(sizes, layers)["large-1"] == ["giant"]


def test_layer_that_grew_beyond_its_share_gives_its_smallest_away() -> None:
    before = (STACK, PackageLayer(name="large-1", patterns=("big", "medium", "small")))
    sizes = {"torch": 800, "big": 70, "medium": 60, "small": 5, "other": 65}
    layers = choose_layers(_sized(sizes), stack=STACK, before=before)
    assert layer_of("big", layers) == "large-1"
    assert layer_of("medium", layers) != "large-1"


def test_stack_that_somebody_changed_stays_as_it_is() -> None:
    own = PackageLayer(name="accelerator", patterns=("torch", "triton"))
    layers = choose_layers(_sized({"torch": 1, "nvidia-x": 1}), stack=STACK, before=(own,))
    assert layers[0] == own


def test_what_somebody_wrote_stays_and_new_names_come_after() -> None:
    sizes = {"torch": 900, "ray-core": 20, "ray-data": 20, "z": 60, "giant": 200}
    before = (
        PackageLayer(name="ray", patterns=("ray-*", "gone")),
        PackageLayer(name="accelerator", patterns=("torch", "ray-core")),
        PackageLayer(name="future", patterns=("foo-*",)),
    )
    layers = choose_layers(_sized(sizes), stack=STACK, before=before)
    assert layers == (*before, PackageLayer(name="large-1", patterns=("giant",)))


def test_what_a_pattern_takes_is_not_taken_out_and_a_name_is() -> None:
    sizes = {"torch": 800, "ray-core": 60, "ray-data": 60, "b": 20, "a": 20}
    before = (STACK, PackageLayer(name="ray", patterns=("b", "ray-*", "a")))
    layers = choose_layers(_sized(sizes), stack=STACK, before=before)
    assert layers == (STACK, PackageLayer(name="ray", patterns=("ray-*",)))


def test_a_name_that_leaves_its_layer_goes_where_a_later_one_names_it() -> None:
    sizes = {"torch": 800, "ray-core": 60, "large": 70, "other": 70}
    before = (
        STACK,
        PackageLayer(name="large-1", patterns=("ray-core", "large")),
        PackageLayer(name="ray", patterns=("ray-*",)),
    )
    layers = choose_layers(_sized(sizes), stack=STACK, before=before)
    assert layers == (STACK, PackageLayer(name="large-1", patterns=("large",)), before[2])


@FEW
@given(PACKAGES, st.lists(st.sampled_from(["a*", "b*", "torch", "c", "d", "*-e"]), min_size=1, unique=True))
def test_layers_that_somebody_chose_move_once_at_most(sizes: dict[str, int], patterns: list[str]) -> None:
    before = (PackageLayer(name="own", patterns=tuple(patterns)), STACK)
    chosen = choose_layers(_sized(sizes), stack=STACK, before=before)
    assert [layer.name for layer in chosen[:2]] == ["own", "accelerator"]
    assert choose_layers(_sized(sizes), stack=STACK, before=chosen) == chosen


@pytest.mark.parametrize(
    ("accelerator", "package", "layer"),
    [
        ("cpu", "torch", "accelerator"),
        ("cpu", "nvidia-cublas-cu12", "rest"),
        ("cuda", "nvidia-cublas-cu12", "accelerator"),
        ("cuda", "triton", "accelerator"),
        ("cuda", "transformers", "rest"),
        ("rocm", "pytorch-triton-rocm", "accelerator"),
        ("rocm", "torchvision", "accelerator"),
    ],
)
def test_default_layers_hold_the_stack_of_the_accelerator(accelerator: str, package: str, layer: str) -> None:
    assert layer_of(package, default_layers(accelerator)) == layer


def _read(layers: dict[str, object]) -> tuple[PackageLayer, ...]:
    return read_layers(TableReader({"layers": layers}, where="pyproject.toml", name="tool.factory"))


def test_first_layer_that_names_a_package_gets_it() -> None:
    layers = _read({"second": ["b*"], "first": ["a", "b"]})
    assert [layer_of(name, layers) for name in ("a", "b", "bc", "c")] == ["first", "second", "second", "rest"]


@pytest.mark.parametrize(
    "layers",
    [
        {"rest": ["torch"]},
        {"Large": ["torch"]},
        {"large/1": ["torch"]},
        {"large": []},
        {"large": "torch"},
        {"large": ["Torch"]},
        {"large": ["torch; rm -rf /"]},
        {"large": ["a|b"]},
        {"large": ["$(id)"]},
        {"large": ["[a-z]"]},
        {"large": [""]},
    ],
)
def test_what_could_not_stand_in_a_shell_is_refused(layers: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"tool\.factory\.layers"):
        _read(layers)


def _pin(name: str, uploaded: int | None, size: int | None = 10) -> Pin:
    artifact = Artifact(sha256="a" * 64, file_name=f"{name}-1-py3-none-any.whl", size=size, uploaded=uploaded)
    return Pin(line=0, text=f"{name}==1", name=name, version="1", marker=None, artifacts=(artifact,))


def _locks(*pins: Pin) -> LockSet:
    text = format_lock(pins, index_url=None, inputs="x", command="factory lock x", platforms=["linux/amd64"])
    return LockSet(files={"requirements.txt": parse_lock(text)})


def test_a_layer_has_the_time_of_its_newest_pin_and_no_other() -> None:
    locks = _locks(_pin("torch", JANUARY), _pin("b", JANUARY + 5), _pin("c", JANUARY + 9), _pin("d", None))
    layers = (STACK, PackageLayer(name="large", patterns=("b",)), PackageLayer(name="old", patterns=("d",)))
    epochs = layer_epochs(locks, layers)
    assert epochs == {"accelerator": JANUARY, "large": JANUARY + 5, "old": None, "rest": JANUARY + 9}
    assert newest_upload(locks) == JANUARY + 9
    fixed = _locks(_pin("torch", JANUARY), _pin("b", JANUARY + 5), _pin("c", JANUARY + 90), _pin("d", None))
    assert layer_epochs(fixed, layers) == epochs | {"rest": JANUARY + 90}


def test_every_pin_is_in_one_layer() -> None:
    locks = _locks(_pin("torch", 1), _pin("nvidia-nccl", 1), _pin("b", 1))
    found = pins_by_layer(locks.pins, (STACK,))
    assert {name: [pin.name for pin in pins] for name, pins in found.items()} == {
        "accelerator": ["nvidia-nccl", "torch"],
        "rest": ["b"],
    }


def test_sizes_and_times_are_read_back_and_make_no_other_artifact() -> None:
    (pin,) = _locks(_pin("a", JANUARY, size=123)).pins
    (artifact,) = pin.artifacts
    assert (artifact.size, artifact.uploaded) == (123, JANUARY)
    assert artifact == Artifact(sha256="a" * 64, file_name="a-1-py3-none-any.whl")


@pytest.mark.parametrize(
    ("comment", "size", "uploaded"),
    [
        ("a-1-py3-none-any.whl", None, None),
        ("a-1-py3-none-any.whl, 12 bytes", 12, None),
        ("a-1-py3-none-any.whl, 2026-01-01T00:00:00Z", None, JANUARY),
        ("a-1-py3-none-any.whl, 12 bytes, 2026-02-31T00:00:00Z", 12, None),
    ],
)
def test_lock_that_records_less_is_read(comment: str, size: int | None, uploaded: int | None) -> None:
    text = f"a==1 \\\n    --hash=sha256:{'a' * 64}\n    # {comment}\n"
    (artifact,) = parse_lock(text).pins[0].artifacts
    assert (artifact.file_name, artifact.size, artifact.uploaded) == ("a-1-py3-none-any.whl", size, uploaded)


def test_lock_without_sizes_says_what_to_do() -> None:
    with pytest.raises(LockFileError, match="does not record the size of a") as caught:
        wheel_sizes(_locks(_pin("a", None, size=None)).pins, flavor="x")
    assert "--prefetched" in caught.value.solution


def test_layers_come_into_the_text_and_nothing_else_changes(tmp_path: Path) -> None:
    del tmp_path
    layers = (STACK, PackageLayer(name="large-1", patterns=("scipy",)))
    written = with_layers(PROJECT, layers)
    assert written.startswith(PROJECT.rstrip("\n").rsplit("\n", 1)[0])
    again = with_layers(written, layers)
    assert again == written
    noted = written.replace('"scipy"]', '"scipy"] # slow to compile')
    assert with_layers(noted, (*layers, PackageLayer(name="large-2", patterns=("b",)))).startswith(noted)
    other = with_layers(written, (STACK,))
    assert "large-1" not in other
    assert "# The layers of packages" in other


def _sized_lock(flavor: Flavor) -> None:
    """Have the flavor's lock record sizes: a kilobyte a package, and a large one."""
    path = flavor.folder / "requirements.txt"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(# \S+\.whl)$", r"\1, 1000 bytes", text, flags=re.MULTILINE), encoding="utf-8")


def test_layers_are_recorded_and_rendered_and_the_second_time_nothing_is_written(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path))
    _sized_lock(flavor)
    (would,) = report_layers([flavor], write=True, dry_run=True).flavors
    assert (would.differs, would.written) == (True, False)
    assert "layers" not in (flavor.folder / "pyproject.toml").read_text()
    (done,) = report_layers([flavor], write=True).flavors
    assert done.written
    again = Flavor(flavor.folder)
    assert tuple(layer.name for layer in again.project.spec.layers) == tuple(
        layer.name for layer in done.layers if layer.name != "rest"
    )
    dockerfile = (flavor.folder / "Dockerfile").read_text()
    for layer in done.layers:
        assert f"COPY --from=builder /layers/{layer.name}/ " in dockerfile
    assert find_drift(again) == ()
    (third,) = report_layers([again], write=True).flavors
    assert (third.differs, third.written, third.layers) == (False, False, done.layers)


def test_flavor_that_is_not_locked_is_reported_among_others_and_an_error_alone(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    locked = make_flavor(repository)
    _sized_lock(locked)
    other = make_flavor(repository, name="th09-cuda130-torch2110-py311", locked=False)
    found = report_layers([locked, other], write=False).flavors
    assert [bool(one.layers) for one in found] == [True, False]
    assert "not locked" in found[1].problem
    with pytest.raises(LockFileError, match="not locked"):
        report_layers([other], write=False)
