"""Planning a build: what is refused, and what the engine is told."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support.clean_flavor import NAME, PROJECT, lock_text, make_flavor, make_repository
from support.tiers import four_tiers

from factory.build.parts import part_options
from factory.build.plan import BuildPlan, BuildRequest, Target, build_options, plan_build, shell_command
from factory.build.prepare import Prepared
from factory.dockerfile.model import mount_in_every_run
from factory.engine.engine import ENGINE_VARIABLE, Engine, find_engine
from factory.engine.leftovers import ContainerOwner
from factory.errors import DriftError, EngineError, FactoryError, LockFileError, SpecError
from factory.flavor.repository import Flavor, Repository

MOUNT = "type=bind,from=prefetched,target=/cachi2"
FLAG = f" --mount={MOUNT}"
IMAGE = '[{"Id": "sha256:1", "Size": 1, "RepoTags": ["localhost/b:1"], "RootFS": {"Layers": []}}]'


def program(folder: Path, name: str, script: str = "exit 1") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path / "root"))


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    return folder


def planned(flavor: Flavor, tmp_path: Path, **changes: object) -> BuildPlan:
    wanted = {"work": tmp_path / "work", "names": (flavor.name,), **changes}
    return plan_build(Repository(flavor.folder.parents[1]), BuildRequest(**wanted))  # type: ignore[arg-type]


def target_of(flavor: Flavor, tmp_path: Path, **changes: object) -> tuple[Target, Engine]:
    plan = planned(flavor, tmp_path, **changes)
    (target,) = plan.targets
    return target, plan.engine


def arguments_of(target: Target, engine: Engine) -> tuple[str, ...]:
    return build_options(target, engine, dockerfile=target.dockerfile)


@pytest.mark.parametrize(
    ("installed", "variable", "asked", "found"),
    [
        (["podman", "docker"], None, None, "podman"),
        (["docker"], None, None, "docker"),
        (["podman", "docker"], "docker", None, "docker"),
        (["podman", "docker"], "docker", "podman", "podman"),
        (["podman", "docker"], "", None, "podman"),
    ],
)
def test_the_engine_is_the_one_asked_for_else_podman_else_docker(
    engines: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: list[str],
    variable: str | None,
    asked: str | None,
    found: str,
) -> None:
    for name in installed:
        program(engines, name)
    if variable is not None:
        monkeypatch.setenv(ENGINE_VARIABLE, variable)
    engine = find_engine(asked)
    assert (engine.kind, engine.program) == (found, engines / found)


@pytest.mark.parametrize(
    ("variable", "asked", "reason"),
    [
        (None, None, "no container engine is installed"),
        (None, "docker", "docker is not installed"),
        ("rkt", None, "'rkt' is not a container engine that the factory knows"),
    ],
)
def test_no_engine_is_an_error_that_says_what_to_install(
    engines: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, asked: str | None, reason: str
) -> None:
    if variable is not None:
        monkeypatch.setenv(ENGINE_VARIABLE, variable)
    with pytest.raises(EngineError) as caught:
        find_engine(asked)
    assert caught.value.reason == reason
    assert "podman" in caught.value.solution


def test_an_engine_that_does_not_work_is_not_taken_for_one_without_the_image(
    engines: Path, flavor: Flavor, tmp_path: Path
) -> None:
    program(engines, "podman", "echo no storage >&2; exit 125")
    with pytest.raises(EngineError, match="podman does not work: no storage"):
        planned(flavor, tmp_path, hermetic=True)


def test_a_hermetic_build_wants_its_base_image_here(engines: Path, flavor: Flavor, tmp_path: Path) -> None:
    program(engines, "podman", '[ "$2" = ls ]')
    with pytest.raises(EngineError, match="does not have the base image") as caught:
        planned(flavor, tmp_path, hermetic=True)
    assert "podman pull quay.io/example/product-base:1" in caught.value.solution


def test_podman_cannot_mount_a_path_with_a_colon(engines: Path, flavor: Flavor, tmp_path: Path) -> None:
    program(engines, "podman")
    with pytest.raises(EngineError, match="colon"):
        planned(flavor, tmp_path, prefetched=tmp_path / "a:b")


def unlocked(flavor: Flavor) -> None:
    (flavor.folder / "requirements.txt").unlink()


def stale(flavor: Flavor) -> None:
    (flavor.folder / "requirements.txt").write_text(lock_text(PROJECT.replace("urllib3>=2.6", "urllib3>=2")))


def edited(flavor: Flavor) -> None:
    with (flavor.folder / "Dockerfile.konflux").open("a") as file:
        file.write("RUN true\n")


def gone(flavor: Flavor) -> None:
    (flavor.folder / "entrypoint-universal.sh").unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "reason", "solution"),
    [
        (unlocked, LockFileError, "not locked", f"factory lock {NAME}"),
        (stale, LockFileError, "pyproject.toml has changed since the lock was made", f"factory lock {NAME}"),
        (edited, DriftError, "Dockerfile.konflux", f"factory sync {NAME}"),
        (gone, DriftError, "entrypoint-universal.sh", f"factory sync {NAME}"),
    ],
)
def test_a_folder_that_is_not_as_its_project_says_is_not_built(
    engines: Path, flavor: Flavor, tmp_path: Path, spoil: object, error: type[FactoryError], reason: str,
    solution: str,
) -> None:  # fmt: skip
    program(engines, "podman")
    assert callable(spoil)
    spoil(flavor)
    with pytest.raises(error, match=reason) as caught:
        planned(flavor, tmp_path)
    assert solution in caught.value.solution


@pytest.mark.parametrize("changes", [{"base_image": "quay.io/base"}, {"tag": "Not A Tag"}])
def test_a_reference_that_names_no_image_is_refused(
    engines: Path, flavor: Flavor, tmp_path: Path, changes: dict[str, object]
) -> None:
    program(engines, "podman")
    with pytest.raises(SpecError):
        planned(flavor, tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "dockerfile", "base", "tag", "prefetched"),
    [
        ({}, "Dockerfile", "quay.io/example/base:1", f"localhost/{NAME}:latest", None),
        (
            {"downstream": True},
            "Dockerfile.konflux",
            "quay.io/example/product-base:1",
            f"localhost/{NAME}:downstream",
            None,
        ),
        (
            {"hermetic": True},
            "Dockerfile.konflux",
            "quay.io/example/product-base:1",
            f"localhost/{NAME}:downstream",
            f"work/prefetched/{NAME}",
        ),
        (
            {"hermetic": True, "base_image": "localhost/b:1", "tag": "localhost/t:1"},
            "Dockerfile.konflux",
            "localhost/b:1",
            "localhost/t:1",
            f"work/prefetched/{NAME}",
        ),
    ],
)
def test_a_build_is_planned_from_the_spec(
    engines: Path,
    flavor: Flavor,
    tmp_path: Path,
    changes: dict[str, object],
    dockerfile: str,
    base: str,
    tag: str,
    prefetched: str | None,
) -> None:
    program(engines, "podman", f"echo '{IMAGE}'")
    target, _ = target_of(flavor, tmp_path, **changes)
    assert target.dockerfile == flavor.folder / dockerfile
    assert (target.arguments["BASE_IMAGE"], target.moving) == (base, tag)
    assert target.prefetched == (None if prefetched is None else tmp_path / prefetched)
    assert target.hermetic == (prefetched is not None)
    assert target.step.local == f"localhost/{NAME}:{target.step.tag}"


def test_podman_gets_the_prefetched_folder_as_a_volume_and_no_network(
    engines: Path, flavor: Flavor, tmp_path: Path
) -> None:
    program(engines, "podman", f"echo '{IMAGE}'")
    target, engine = target_of(flavor, tmp_path, prefetched=Path("/with space/prefetched"))
    arguments = arguments_of(target, engine)
    assert arguments[arguments.index("--volume") + 1] == "/with space/prefetched:/cachi2:ro,z"
    assert arguments[arguments.index("--network") + 1] == "none"
    assert "--pull=never" in arguments
    assert shell_command(target, engine).endswith(f" -- {flavor.folder}")
    assert "'/with space/prefetched:/cachi2:ro,z'" in shell_command(target, engine)


def test_docker_gets_it_as_a_named_context_and_no_network(
    engines: Path, flavor: Flavor, tmp_path: Path
) -> None:
    program(engines, "docker", f"echo '{IMAGE}'")
    arguments = arguments_of(*target_of(flavor, tmp_path, prefetched=Path("/prefetched")))
    assert arguments[arguments.index("--build-context") + 1] == "prefetched=/prefetched"
    assert arguments[arguments.index("--network") + 1] == "none"
    assert "--volume" not in arguments


def test_a_build_with_a_network_has_no_prefetched_folder(
    engines: Path, flavor: Flavor, tmp_path: Path
) -> None:
    program(engines, "podman")
    arguments = arguments_of(*target_of(flavor, tmp_path))
    assert not {"--network", "--volume", "--pull=never", "--build-context"} & set(arguments)


@pytest.mark.parametrize("hermetic", [False, True])
def test_every_part_of_a_build_has_its_time_and_the_network_of_the_whole(
    engines: Path, flavor: Flavor, tmp_path: Path, *, hermetic: bool
) -> None:
    program(engines, "podman", f"echo '{IMAGE}'")
    target, engine = target_of(flavor, tmp_path, prefetched=Path("/prefetched") if hermetic else None)
    arguments = (("TAKEN", "1"), ("OTHER", "2"))
    definition = replace(target.step.definition, build_args=arguments)
    prepared = Prepared(
        target=replace(target, step=replace(target.step, definition=definition)),
        engine=engine,
        owner=ContainerOwner(repository="r", notes=Path("image")),
        dockerfile="",
        bases={},
        context=Path("context"),
        epoch=0,
        layer_epochs={},
        prefetched=None,
        fresh=False,
        twice=False,
        log=Path("build.log"),
        say=print,
    )
    text = "FROM base\nARG TAKEN\nARG SOURCE_DATE_EPOCH\nRUN true\n"
    options = part_options(prepared, text, epoch=7, labels={"a": "b"})
    assert options[:4] == ["--layers=false", "--pull=never", "--timestamp", "7"]
    pairs = list(pairwise(options))
    given = [value for name, value in pairs if name == "--build-arg"]
    assert sorted(given) == ["SOURCE_DATE_EPOCH=7", "TAKEN=1"]
    assert ("--label", "a=b") in pairs
    assert (("--network", "none") in pairs) == hermetic
    assert (("--volume", "/prefetched:/cachi2:ro,z") in pairs) == hermetic


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"names": (), "tag": "localhost/a:1"}, "--tag"),
        ({"names": (NAME, "other"), "tag": "localhost/a:1"}, "--tag"),
        ({"names": (), "base_image": "localhost/a:1"}, "--base-image"),
        ({"names": (NAME, "other"), "prefetched": Path("/a")}, "--prefetched"),
    ],
)
def test_an_option_for_one_image_wants_its_name(
    engines: Path, flavor: Flavor, tmp_path: Path, changes: dict[str, object], option: str
) -> None:
    program(engines, "podman")
    with pytest.raises(SpecError, match=option):
        planned(flavor, tmp_path, **changes)


def _tiers(tmp_path: Path, engines: Path) -> Repository:
    program(engines, "podman", "exit 1")
    return four_tiers(tmp_path / "tiers")


def _on_another(repository: Repository, tmp_path: Path, *names: str) -> dict[str, str]:
    """The parents of what is built with --base-image, as an image's name where it is the repository's."""
    request = BuildRequest(work=tmp_path / "work", names=names, base_image="quay.io/example/other:1")
    plan = plan_build(repository, request)
    parents = {target.name: target.step.parents[0] for target in plan.targets}
    return {name: parent.image or parent.reference for name, parent in parents.items()}


def test_another_base_image_leaves_a_child_on_its_parent(engines: Path, tmp_path: Path) -> None:
    repository = _tiers(tmp_path, engines)
    assert _on_another(repository, tmp_path, "trainer", "base", "launcher", "stack") == {
        "base": "quay.io/example/other:1",
        "launcher": "quay.io/example/other:1",
        "stack": "base",
        "trainer": "stack",
    }


def test_one_image_alone_leaves_its_parent_for_another_base_image(engines: Path, tmp_path: Path) -> None:
    found = _on_another(_tiers(tmp_path, engines), tmp_path, "stack")
    assert found == {"stack": "quay.io/example/other:1"}


def test_another_base_image_for_children_alone_is_refused(engines: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--base-image does not say for which"):
        _on_another(_tiers(tmp_path, engines), tmp_path, "stack", "trainer")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN true\n", f"RUN --mount={MOUNT} true\n"),
        ("  run\ttrue\n", f"  run --mount={MOUNT}\ttrue\n"),
        ("RUN --network=none true", f"RUN --mount={MOUNT} --network=none true"),
        ("RUN a && \\\n    run b\nRUN c\n", f"RUN{FLAG} a && \\\n    run b\nRUN{FLAG} c\n"),
        ("RUN a && \\\n# why\n    RUN b\n", f"RUN --mount={MOUNT} a && \\\n# why\n    RUN b\n"),
        ("# RUN \\\nRUN a\n", f"# RUN \\\nRUN --mount={MOUNT} a\n"),
        ('COPY a b\nENTRYPOINT ["RUN"]\n', 'COPY a b\nENTRYPOINT ["RUN"]\n'),
        ("RUNNER x\nENV A=b \\\n    RUN=c\n", "RUNNER x\nENV A=b \\\n    RUN=c\n"),
        ("RUN a\r\n", f"RUN --mount={MOUNT} a\r\n"),
        ("RUN <<END\nRUN a\nEND\n", f"RUN{FLAG} <<END\nRUN a\nEND\n"),
    ],
)  # fmt: skip
def test_docker_s_mount_goes_into_every_run_and_nowhere_else(before: str, after: str) -> None:
    assert mount_in_every_run(before, MOUNT) == after


def test_every_run_of_a_rendered_dockerfile_gets_the_mount(flavor: Flavor) -> None:
    text = (flavor.folder / "Dockerfile").read_text()
    rewritten = mount_in_every_run(text, MOUNT)
    assert rewritten.count(f"RUN --mount={MOUNT} ") == text.count("\nRUN ") > 0
    assert rewritten.replace(f" --mount={MOUNT}", "") == text
