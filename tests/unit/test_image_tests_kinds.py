"""The tests know the kinds: a trainer is no workbench, and what a parent accepts is accepted."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.small_flavors import make_flavor
from support.subjects import made_context

from factory.flavor.repository import Repository
from factory.image_tests import running
from factory.image_tests.container import Ran
from factory.image_tests.context import Context
from factory.image_tests.definition import Status
from factory.image_tests.inventory import locked_versions
from factory.image_tests.matching import dependencies, versions
from factory.image_tests.starting import (
    entrypoint_kept,
    entrypoint_torchrun,
    launch_script,
    trainer_script,
)
from factory.image_tests.subject import BaseImage, Configuration, Lineage, labelled_lineage, lineage_of

FLAVOR = "th011-cpu-torch2130-py311"
WORKBENCH = {"entrypoint-command", "entrypoint-notebook", "notebook", "sigterm-command", "ipv6-only"}
OF_A_TRAINER = {"entrypoint-torchrun", "trainer-script", "ipv6-torchrun"}
OF_A_LAUNCHER = {"entrypoint-kept", "launch-script"}
SETTINGS = f"""
[images.stack]
kind = "stack"
parent = "{FLAVOR}"
[images.trainer]
kind = "trainer"
parent = "stack"
[images.plain-trainer]
kind = "trainer"
parent = "stack"
[images.launcher]
kind = "launcher"
parent = "quay.io/example/agent:1"
[images.base]
kind = "pytorch-base"
parent = "quay.io/example/devel:1"
build-args.PYTORCH_ROCM_ARCH = "gfx942"
"""
CONFIGURATION = Configuration(environment={}, entrypoint=(), command=(), user="", folder="/", labels={})
OVERRIDE = """
[tool.uv]
override-dependencies = ["torchvision; sys_platform == 'never'"]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A flavor, a stack on it, and two trainers on that, one without an entry point; a launcher; a base."""
    flavor = make_flavor(tmp_path, index_url=None)
    project = flavor.folder / "pyproject.toml"
    project.write_text(project.read_text() + OVERRIDE)
    for name in ("stack", "trainer", "plain-trainer", "launcher", "base"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        entry = 'ENTRYPOINT ["torchrun"]\n' if name == "trainer" else ""
        (folder / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{entry}")
    (tmp_path / "factory.toml").write_text(SETTINGS)
    return Repository(tmp_path)


def _lineage(repository: Repository, name: str) -> Lineage:
    lineage = lineage_of(repository, name)
    assert lineage is not None
    return lineage


def _context(
    repository: Repository, name: str, *, entrypoint: tuple[str, ...] = (), command: tuple[str, ...] = ()
) -> Context:
    context = made_context(repository.root)
    configuration = replace(CONFIGURATION, entrypoint=entrypoint, command=command)
    context.subject = replace(
        context.subject, lineage=_lineage(repository, name), configuration=configuration
    )
    return context


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        (FLAVOR, WORKBENCH, OF_A_TRAINER | OF_A_LAUNCHER),
        ("stack", WORKBENCH | {"versions", "imports"}, OF_A_TRAINER | OF_A_LAUNCHER),
        ("trainer", OF_A_TRAINER | {"torchrun", "versions"}, WORKBENCH | OF_A_LAUNCHER),
        ("plain-trainer", OF_A_TRAINER | WORKBENCH, OF_A_LAUNCHER),
        ("launcher", OF_A_LAUNCHER | {"labels"}, WORKBENCH | OF_A_TRAINER | {"torchrun", "gpu"}),
        ("base", {"entrypoint-command", "architectures"}, {"notebook", *OF_A_TRAINER}),
    ],
)
def test_each_kind_has_its_tests_and_no_workbench_is_expected_of_another_entry_point(
    repository: Repository, name: str, own: set[str], others: set[str]
) -> None:
    found = {test.name for test in running.tests_of(_lineage(repository, name))}
    assert own <= found
    assert not others & found


def test_accelerator_and_flavor_are_those_of_the_nearest_parent_that_has_them(repository: Repository) -> None:
    lineage = _lineage(repository, "trainer")
    assert (lineage.kind, lineage.flavor, lineage.accelerator) == ("trainer", None, "cpu")
    assert lineage.nearest_flavor is not None
    assert lineage.nearest_flavor.name == FLAVOR
    assert _lineage(repository, "base").accelerator == "rocm"
    assert _lineage(repository, "launcher").accelerator is None


def _packages(*packages: tuple[str, str, list[str]]) -> dict[str, object]:
    environment = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}
    return {
        "packages": [
            {"name": name, "version": version, "requires": requires, "python": None}
            for name, version, requires in packages
        ],
        "environment": environment,
        "locks": {"requirements.txt": "torch==2.13.0\ntimm==1.0\n"},
    }


def test_a_requirement_that_a_parent_s_spec_overrides_is_advice(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _packages(("timm", "1.0", ["torchvision"]), ("odd", "1.0", ["even"]))
    monkeypatch.setattr(Context, "probe", lambda *_, **__: answer)
    result = dependencies(_context(repository, "trainer"))
    assert [finding.subject for finding in result.findings] == ["odd"]
    assert [advice.subject for advice in result.advice] == ["timm"]


@pytest.mark.parametrize(
    ("locked", "installed", "status"),
    [({}, "2.13.0", "passed"), ({}, "2.12.0", "failed"), ({"torch": "2.12.0"}, "2.12.0", "passed")],
)
def test_a_stack_has_the_versions_of_its_flavor_but_for_what_its_lock_replaces(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    locked: dict[str, str],
    installed: str,
    status: Status,
) -> None:
    answer = _packages(("torch", installed, []), ("training-hub", "0.11.2", []))
    answer["locks"] = {
        "requirements.txt": "torch==2.13.0\n",
        "stack/requirements.txt": "".join(f"{name}=={version}\n" for name, version in locked.items()),
    }
    monkeypatch.setattr(Context, "probe", lambda *_, **__: answer)
    for name in ("stack", "trainer"):
        assert versions(_context(repository, name)).status == status


def test_the_lock_of_an_image_replaces_those_of_its_parents(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = {
        "requirements.txt": "aa==1\nbb==1\ncc==1\n",
        "stack/requirements.txt": "bb==2\ncc==2\n",
        "trainer/requirements.txt": "cc==3\n",
        "source.json": "",
    }
    monkeypatch.setattr(Context, "probe", lambda *_, **__: {"locks": locks})
    assert locked_versions(_context(repository, "trainer")) == {"aa": "1", "bb": "2", "cc": "3"}
    # Of an image that only the engine knows, the label says which of the locks is its own.
    context = made_context(repository.root)
    labels = {"io.universal-image-factory.image": "stack"}
    configuration = replace(CONFIGURATION, labels=labels)
    context.subject = replace(context.subject, configuration=configuration)
    assert (locked_versions(context) or {})["bb"] == "2"


def _ran(status: int, stdout: str = "", stderr: str = "") -> Ran:
    return Ran(status=status, stdout=stdout, stderr=stderr, seconds=0.1)


@pytest.mark.parametrize(
    ("entrypoint", "ran", "status"),
    [
        (("torchrun",), _ran(0, "two words|$HOME|*||`id`|"), "passed"),
        (("/opt/app-root/bin/torchrun", "--standalone"), _ran(0, "two words|$HOME|*||`id`|"), "passed"),
        (("torchrun",), _ran(0, "two|words|"), "failed"),
        (("torchrun",), _ran(1, "", "no module named torch"), "failed"),
        (("python", "train.py"), _ran(0), "skipped"),
        ((), _ran(0), "skipped"),
    ],
)
def test_the_entry_point_of_a_trainer_is_torchrun_and_starts_what_it_is_given(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    entrypoint: tuple[str, ...],
    ran: Ran,
    status: Status,
) -> None:
    monkeypatch.setattr(Context, "start", lambda *_, **__: ran)
    assert entrypoint_torchrun(_context(repository, "trainer", entrypoint=entrypoint)).status == status


@pytest.mark.parametrize(
    ("command", "ran", "status"),
    [
        (("--standalone", "train.py"), 0, "passed"),
        (("--standalone", "train.py"), 1, "failed"),
        (("--module", "trainer.main"), 1, "skipped"),
        ((), 1, "skipped"),
    ],
)
def test_the_script_of_a_trainer_s_command_has_to_compile(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    ran: int,
    status: Status,
) -> None:
    started: list[tuple[str, ...]] = []

    def run(_: Context, *words: str, **__: object) -> Ran:
        started.append(words)
        return _ran(ran)

    monkeypatch.setattr(Context, "run", run)
    assert trainer_script(_context(repository, "trainer", command=command)).status == status
    assert [words[-1] for words in started] == (["train.py"] if status != "skipped" else [])


@pytest.mark.parametrize(
    ("parent", "status"),
    [((("/agent",), ("serve",)), "passed"), ((("/agent",), ()), "failed"), (None, "skipped")],
)
def test_a_launcher_keeps_the_entry_point_of_its_parent(
    repository: Repository, parent: tuple[tuple[str, ...], tuple[str, ...]] | None, status: Status
) -> None:
    context = _context(repository, "launcher", entrypoint=("/agent",), command=("serve",))
    if parent is not None:
        configuration = replace(CONFIGURATION, entrypoint=parent[0], command=parent[1])
        context.base = BaseImage(image_id="b", configuration=configuration, history=())
    assert entrypoint_kept(context).status == status


@pytest.mark.parametrize(
    ("there", "works", "status"), [(0, 0, "passed"), (0, 1, "failed"), (1, 0, "skipped")]
)
def test_a_launcher_s_program_runs_and_is_given_no_job(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, there: int, works: int, status: Status
) -> None:
    started: list[tuple[str, ...]] = []

    def run(_: Context, *words: str, **__: object) -> Ran:
        started.append(words)
        return _ran(there if words[0] == "sh" else works)

    monkeypatch.setattr(Context, "run", run)
    assert launch_script(_context(repository, "launcher")).status == status
    assert all(words[-1] == "--help" for words in started if words[0] == "python3")


KIND = "io.universal-image-factory.kind"
IMAGE = "io.universal-image-factory.image"


@pytest.mark.parametrize(
    ("labels", "entrypoint", "kinds", "own"),
    [
        ({f"{KIND}.flavor": "f", IMAGE: "f"}, ("/entry",), ("flavor", "pytorch-base"), False),
        (
            {f"{KIND}.pytorch-base": "b", f"{KIND}.stack": "s", f"{KIND}.trainer": "t", IMAGE: "t"},
            ("torchrun",),
            ("trainer", "stack", "pytorch-base"),
            True,
        ),
        (
            {f"{KIND}.flavor": "f", f"{KIND}.trainer": "t", IMAGE: "t"},
            ("/entry",),
            ("trainer", "flavor", "pytorch-base"),
            False,
        ),
        ({f"{KIND}.launcher": "l", IMAGE: "l"}, ("/agent",), ("launcher",), True),
        ({}, ("/opt/app-root/bin/torchrun",), ("trainer", "flavor", "pytorch-base"), True),
    ],
)
def test_an_image_that_only_the_engine_has_says_its_kind_by_its_labels(
    labels: dict[str, str], entrypoint: tuple[str, ...], kinds: tuple[str, ...], *, own: bool
) -> None:
    lineage = labelled_lineage(replace(CONFIGURATION, labels=labels, entrypoint=entrypoint))
    assert lineage is not None
    assert (lineage.kinds, lineage.own_entrypoint) == (kinds, own)


@pytest.mark.parametrize(
    "labels", [{}, {f"{KIND}.rocket": "x", IMAGE: "x"}, {f"{KIND}.stack": "s", IMAGE: "other"}]
)
def test_labels_that_name_no_kind_of_the_image_say_nothing(labels: dict[str, str]) -> None:
    assert labelled_lineage(replace(CONFIGURATION, labels=labels, entrypoint=("/entry",))) is None
