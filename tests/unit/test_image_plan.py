"""What is built, in which order and why, where neither an engine nor a registry is there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clean_flavor import NAME, make_flavor, make_repository
from support.tiers import BASE, four_tiers, make_image, table

from factory.errors import EngineError, ImageError, LockFileError, NotFoundError, SpecError
from factory.flavor.repository import Repository, find_repository
from factory.images.definitions import VariantOptions
from factory.images.identity import BuildInputs, ParentState, differences
from factory.images.inputs import InputFile
from factory.images.parents import (
    ImageOrigin,
    image_origin,
    pinned,
    read_recorded_digests,
    record_digests,
)
from factory.images.plan import Plan, PlanRequest, plan_images, report_plan

DIGEST, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
PARENT = ParentState(argument="BASE_IMAGE", image=BASE)
OWN = ParentState(argument="BASE_IMAGE", image="base", identity="1" * 64)
INPUTS = BuildInputs(
    dockerfile="Dockerfile",
    files={
        "Dockerfile": InputFile(sha256="d", executable=False),
        "a.txt": InputFile(sha256="a", executable=False),
    },
    build_args={"A": "1"},
    parents=(PARENT,),
)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FACTORY_ENGINE", raising=False)


def _plan(repository: Repository, *names: str, pull: bool = False, force: bool = False) -> Plan:
    return plan_images(repository, PlanRequest(names=names, pull=pull, forced_by="--force" if force else ""))


def _identities(repository: Repository) -> dict[str, str | None]:
    return {step.name: step.identity for step in _plan(repository).steps}


def _inputs(**files: InputFile) -> dict[str, InputFile]:
    return {**INPUTS.files, **{name.replace("_", "."): file for name, file in files.items()}}


@pytest.mark.parametrize(
    ("now", "reasons"),
    [
        (INPUTS, ()),
        (
            replace(INPUTS, files=_inputs(a_txt=InputFile(sha256="b", executable=False))),
            ("a.txt changed",),
        ),
        (
            replace(INPUTS, files=_inputs(a_txt=InputFile(sha256="a", executable=True))),
            ("a.txt is executable now",),
        ),
        (replace(INPUTS, files=_inputs(b_txt=InputFile(sha256="b", executable=False))), ("b.txt is new",)),
        (replace(INPUTS, files={"Dockerfile": INPUTS.files["Dockerfile"]}), ("a.txt was removed",)),
        (
            replace(INPUTS, files=_inputs(Dockerfile=InputFile(sha256="e", executable=False))),
            ("Dockerfile changed",),
        ),
        (
            replace(
                INPUTS,
                dockerfile="Dockerfile.konflux",
                files={
                    "Dockerfile.konflux": InputFile(sha256="k", executable=False),
                    "a.txt": INPUTS.files["a.txt"],
                },
            ),
            ("built with Dockerfile.konflux instead of Dockerfile",),
        ),
        (replace(INPUTS, build_args={"A": "2"}), ("build argument A changed",)),
        (replace(INPUTS, build_args={}), ("build argument A was removed",)),
        (replace(INPUTS, build_args={"A": "1", "B": "1"}), ("build argument B is new",)),
        (
            replace(INPUTS, parents=(replace(PARENT, image="x:2"),)),
            (f"parent BASE_IMAGE is x:2, and was {BASE}",),
        ),
        (
            replace(INPUTS, parents=(replace(PARENT, digest=DIGEST),)),
            (f"the digest of parent {BASE} counts now: sha256:111111111111",),
        ),
        (replace(INPUTS, parents=()), (f"parent {BASE} (BASE_IMAGE) was removed",)),
        (
            replace(INPUTS, parents=(PARENT, replace(PARENT, argument="DEVEL_IMAGE"))),
            (f"parent {BASE} (DEVEL_IMAGE) is new",),
        ),
        (
            replace(INPUTS, build_args={"A": "2"}, files={}),
            ("Dockerfile was removed", "a.txt was removed", "build argument A changed"),
        ),
    ],
)
def test_what_has_changed_is_told(now: BuildInputs, reasons: tuple[str, ...]) -> None:
    assert differences(INPUTS, now) == reasons


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (OWN, replace(OWN, identity="2" * 64), "parent base changed"),
        (OWN, OWN, None),
        (
            replace(PARENT, digest=DIGEST),
            replace(PARENT, digest=OTHER),
            f"parent {BASE} moved at its origin: sha256:111111111111 -> sha256:222222222222",
        ),
        (
            replace(PARENT, digest=DIGEST),
            PARENT,
            f"the digest of parent {BASE} is no longer recorded; it was sha256:111111111111",
        ),
        (
            replace(PARENT, image="localhost/b:1", digest="1" * 64),
            replace(PARENT, image="localhost/b:1", digest="2" * 64),
            "parent localhost/b:1 was rebuilt: 111111111111 -> 222222222222",
        ),
    ],
)
def test_a_parent_that_is_another_now_is_told(
    before: ParentState, now: ParentState, reason: str | None
) -> None:
    found = differences(replace(INPUTS, parents=(before,)), replace(INPUTS, parents=(now,)))
    assert found == (() if reason is None else (reason,))


def test_parents_come_before_what_stands_on_them(tmp_path: Path) -> None:
    plan = _plan(four_tiers(tmp_path))
    names = [step.name for step in plan.steps]
    assert sorted(names) == ["base", "launcher", "stack", "trainer"]
    assert names.index("base") < names.index("stack") < names.index("trainer")
    assert {step.reasons for step in plan.steps} == {("never built",)}
    assert plan.to_build == plan.steps


def test_the_parents_of_what_is_asked_for_come_along_and_nothing_else(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    assert [step.name for step in _plan(repository, "stack").steps] == ["base", "stack"]
    assert [step.name for step in _plan(repository, "launcher").steps] == ["launcher"]
    assert [step.name for step in _plan(repository, "stack", "base", "stack").steps] == ["base", "stack"]


def test_a_step_says_what_to_build_from(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    record_digests(tmp_path, {BASE: DIGEST})
    base, stack = _plan(repository, "stack").steps
    (outside,), (own,) = base.parents, stack.parents
    assert (outside.reference, outside.image) == (BASE, None)
    assert outside.pinned == f"registry.example.com/vendor/base@{DIGEST}"
    assert (own.reference, own.image, own.registry) == (base.local, "base", None)
    assert base.local == f"localhost/base:{base.tag}"


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (lambda root: (root / "images/base/requirements.txt").write_text("x"), {"base", "stack", "trainer"}),
        (lambda root: (root / "images/stack/requirements.txt").write_text("x"), {"stack", "trainer"}),
        (lambda root: (root / "images/trainer/config.yaml").write_text("x"), {"trainer"}),
        (lambda root: (root / "images/launcher/launch.sh").chmod(0o755), {"launcher"}),
        (lambda root: (root / "images/base/notes.md").write_text("x"), set()),
        (lambda root: record_digests(root, {BASE: DIGEST}), {"base", "stack", "trainer"}),
        (lambda root: record_digests(root, {"registry.example.com/unused:1": DIGEST}), set()),
    ],
)
def test_a_change_cascades_to_what_stands_on_it(
    tmp_path: Path, change: Callable[[Path], object], touched: set[str]
) -> None:
    repository = four_tiers(tmp_path)
    before = _identities(repository)
    change(tmp_path)
    after = _identities(repository)
    assert {name for name in before if before[name] != after[name]} == touched


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_what_stands_on_a_changed_image_is_another_image_now(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        repository = make_repository(Path(folder))
        # Each stands on one that was made before it, or on somebody else's: no circles, all trees.
        parents = data.draw(st.lists(st.integers(min_value=-1, max_value=7), min_size=1, max_size=8))
        below = {number: parent for number, parent in enumerate(parents) if 0 <= parent < number}
        tables = []
        for number in range(len(parents)):
            make_image(repository.root, f"image-{number}", {"a.txt": str(number)})
            tables.append(
                table(f"image-{number}", "stack", f"image-{below[number]}" if number in below else BASE)
            )
        (repository.root / "factory.toml").write_text("".join(data.draw(st.permutations(tables))))
        before = _identities(repository)
        chosen = data.draw(st.integers(min_value=0, max_value=len(parents) - 1))
        (repository.root / f"images/image-{chosen}/a.txt").write_text("changed")
        after = _identities(repository)
        above = {chosen}
        for number in range(len(parents)):
            above |= {number} if below.get(number) in above else set()
        assert {name for name in before if before[name] != after[name]} == {
            f"image-{number}" for number in above
        }
        order = [step.name for step in _plan(repository).steps]
        assert all(order.index(f"image-{low}") < order.index(f"image-{high}") for high, low in below.items())


def test_a_change_for_one_build_is_made_to_what_is_named_alone(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    other = PlanRequest(names=("stack",), variant=VariantOptions(base_image="x.example/y:1"))
    (step,) = plan_images(repository, other).steps
    assert [parent.image for parent in step.definition.parents] == ["x.example/y:1"]
    assert step.identity != _identities(repository)["stack"]


def test_a_flavor_that_is_not_locked_is_blocked_until_somebody_asks_for_it(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository, locked=False)
    make_image(tmp_path, "stack", {"a": ""})
    (tmp_path / "factory.toml").write_text(table("stack", "stack", NAME))
    plan = _plan(repository)
    assert [(step.name, step.action) for step in plan.steps] == [(NAME, "blocked"), ("stack", "blocked")]
    assert [step.reasons for step in plan.steps] == [
        (f"not locked: run `factory lock {NAME}`",),
        (f"parent {NAME} cannot be built yet",),
    ]
    assert plan.to_build == ()
    for name in (NAME, "stack"):
        with pytest.raises(LockFileError) as raised:
            _plan(repository, name)
        assert raised.value.not_locked
        assert f"factory lock {NAME}" in raised.value.solution


def test_a_missing_input_is_an_error_even_where_nobody_named_the_image(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    (tmp_path / "images/trainer/config.yaml").unlink()
    with pytest.raises(ImageError, match=r"trainer: a declared input is missing: .*config\.yaml"):
        _plan(repository)


def test_an_image_that_is_not_there_and_an_engine_that_is_not_there_are_errors(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path)
    with pytest.raises(NotFoundError):
        _plan(repository, "nothing")
    with pytest.raises(EngineError):
        plan_images(repository, PlanRequest(engine="podman"))


def test_an_engine_that_the_environment_names_is_as_one_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = four_tiers(tmp_path)
    for name, says in (("podmann", "'podmann' is not a container engine"), ("docker", "docker is not")):
        monkeypatch.setenv("FACTORY_ENGINE", name)
        with pytest.raises(EngineError, match=says):
            _plan(repository)


def test_offline_nobody_says_that_an_image_was_never_built(tmp_path: Path) -> None:
    repository = four_tiers(tmp_path, registry="registry.example.com")
    (step,) = plan_images(repository, PlanRequest(names=("base",), offline=True)).steps
    assert step.reasons == ("no image with this identity in the engine, and release was not asked",)


def test_a_parent_of_this_machine_that_the_engine_lacks_is_an_error(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_image(tmp_path, "stack", {"a": ""})
    (tmp_path / "factory.toml").write_text(table("stack", "stack", "localhost/base:1"))
    with pytest.raises(ImageError, match="localhost/base:1"):
        _plan(repository)


@pytest.mark.parametrize("kind", ["podman", "docker"])
def test_an_engine_that_does_not_work_is_an_error_and_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    program = tmp_path / "bin" / kind
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no space for the storage' >&2\nexit 125\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    with pytest.raises(EngineError, match="no space for the storage"):
        plan_images(four_tiers(tmp_path), PlanRequest(engine=kind))


def test_a_flavor_that_stands_in_no_repository_is_planned_by_its_path(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path / "elsewhere"))
    alone = flavor.folder.rename(tmp_path / flavor.name)
    repository = find_repository(None, start=tmp_path, flavors=(str(alone),))
    (step,) = _plan(repository, str(alone)).steps
    assert (step.name, step.action) == (NAME, "build")


def test_a_plan_for_people_and_as_data(tmp_path: Path) -> None:
    assert [*report_plan(_plan(make_repository(tmp_path / "none"))).describe()] == [
        "no images yet: make one with `factory new-flavor`"
    ]
    report = report_plan(_plan(four_tiers(tmp_path / "four")))
    assert report.summary == "4 of 4 images to build, in this order"
    assert {*report.to_build} == {"base", "launcher", "stack", "trainer"}
    assert {image.where for image in report.images} == {"nowhere"}


@pytest.mark.parametrize(
    ("reference", "origin"),
    [
        ("quay.io/x/y:1", ImageOrigin(host="quay.io", repository="x/y", tag="1")),
        ("127.0.0.1:5000/y:1", ImageOrigin(host="127.0.0.1:5000", repository="y", tag="1")),
        (f"quay.io/x/y:1@{DIGEST}", ImageOrigin(host="quay.io", repository="x/y", tag=DIGEST)),
        ("ubuntu:24.04", ImageOrigin(host="docker.io", repository="library/ubuntu", tag="24.04")),
        ("docker.io/ubuntu:24.04", ImageOrigin(host="docker.io", repository="library/ubuntu", tag="24.04")),
        ("rocm/dev:6", ImageOrigin(host="docker.io", repository="rocm/dev", tag="6")),
        ("docker.io/nvidia/cuda:13", ImageOrigin(host="docker.io", repository="nvidia/cuda", tag="13")),
    ],
)
def test_where_a_reference_leads(reference: str, origin: ImageOrigin) -> None:
    assert image_origin(reference) == origin


def test_a_digest_takes_the_place_of_a_tag() -> None:
    assert pinned("127.0.0.1:5000/y:1", DIGEST) == f"127.0.0.1:5000/y@{DIGEST}"


def test_digests_are_recorded_beside_those_that_are_there(tmp_path: Path) -> None:
    assert read_recorded_digests(tmp_path) == {}
    assert record_digests(tmp_path, {"b:1": DIGEST})
    assert record_digests(tmp_path, {"a:1": OTHER})
    assert not record_digests(tmp_path, {"a:1": OTHER})
    assert read_recorded_digests(tmp_path) == {"a:1": OTHER, "b:1": DIGEST}
    text = (tmp_path / "parents.json").read_text()
    assert text == f'{{\n  "a:1": "{OTHER}",\n  "b:1": "{DIGEST}"\n}}\n'


@pytest.mark.parametrize("text", ["", "[]", '{"a:1": "latest"}', '{"a:1": 1}', "{"])
def test_a_record_that_the_factory_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "parents.json").write_text(text)
    with pytest.raises(SpecError, match=r"parents\.json"):
        read_recorded_digests(tmp_path)
