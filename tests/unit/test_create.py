"""new-flavor: a folder that appears whole, or a refusal that leaves nothing behind."""

import datetime as dt
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from support.clean_flavor import make_repository

from factory.check.check import check_flavors
from factory.errors import FactoryError, FlavorExistsError, SpecError
from factory.flavor.repository import Flavor, Repository
from factory.render.create import CreatedFlavor, FlavorRequest, create_flavor
from factory.render.drift import find_drift

CUDA = FlavorRequest(
    accelerator="cuda", accelerator_version="13.0", torch="2.11.0", python="3.12", training_hub="0.9.2"
)
CPU = FlavorRequest(
    accelerator="cpu", accelerator_version=None, torch="2.13.0", python="3.11", training_hub="0.11.2"
)
ROCM = FlavorRequest(
    accelerator="rocm", accelerator_version="7.14", torch="2.11.0", python="3.12", training_hub="0.9.8"
)
INDEX = "https://packages.example.com/simple/"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


def _entries(repository: Repository) -> list[str]:
    return sorted(path.name for path in repository.flavors_folder.iterdir())


def _document(created: CreatedFlavor) -> dict[str, dict[str, object]]:
    return tomllib.loads((created.folder / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (CUDA, "th09-cuda130-torch2110-py312"),
        (CPU, "th011-cpu-torch2130-py311"),
        (ROCM, "th09-rocm714-torch2110-py312"),
    ],
    ids=["cuda", "cpu", "rocm"],
)
@pytest.mark.parametrize("index_url", [None, INDEX])
def test_a_new_flavor_is_clean_but_for_its_lock(
    repository: Repository, request_: FlavorRequest, name: str, index_url: str | None
) -> None:
    created = create_flavor(repository, replace(request_, index_url=index_url))
    assert created.name == name
    assert _entries(repository) == [name]
    flavor = repository.flavor(name)
    assert find_drift(flavor) == ()
    found = {
        finding.code
        for finding in check_flavors([flavor], root=repository.root, today=dt.date(2026, 11, 22)).findings
    }
    assert found <= {"FAC301", "FAC208"}


def test_what_the_public_index_lacks_is_a_dependency_of_an_index_that_has_it(repository: Repository) -> None:
    public = create_flavor(repository, CUDA)
    private = create_flavor(repository, replace(CUDA, index_url=INDEX, name="private"))
    lacking = {"flash-attn", "mamba-ssm", "causal-conv1d", "deepspeed"}
    assert {item.package for item in public.spec.missing} == lacking
    assert private.spec.missing == ()
    dependencies = " ".join(map(str, _document(private)["project"]["dependencies"]))  # type: ignore[call-overload]
    assert all(package in dependencies for package in lacking)


@pytest.mark.parametrize("accelerator", ["cuda", "rocm", "cpu"])
def test_cpu_has_nothing_for_gpus_and_the_others_do(repository: Repository, accelerator: str) -> None:
    request = {"cuda": CUDA, "rocm": ROCM, "cpu": CPU}[accelerator]
    created = create_flavor(repository, replace(request, index_url=INDEX))
    project = repository.flavor(created.name).project
    names = {text.split("[")[0].split("=")[0].split(">")[0] for text in project.dependencies}
    for_gpus = {"flash-attn", "deepspeed", "liger-kernel", "bitsandbytes"}
    assert names & for_gpus == (set() if accelerator == "cpu" else for_gpus)
    assert {"numpy", "numba", "training-hub", "torch", "peft"} <= names


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../elsewhere"},
        {"name": "a/b"},
        {"name": ".."},
        {"name": "UPPER"},
        {"name": "x" * 64},
        {"accelerator_version": None},
        {"torch": "two"},
        {"python": "3.12.1"},
        {"base_image": "quay.io/example/base"},
        {"base_image": ""},
        {"downstream_base_image": "quay.io/example/base"},
        {"index_url": "https://me:secret@packages.example.com/simple/"},
        {"index_url": 'https://packages.example.com/"\nx = "1'},
        {"platforms": ("linux/s390x",)},
    ],
    ids=str,
)
def test_a_refusal_leaves_nothing_behind(repository: Repository, change: dict[str, str]) -> None:
    with pytest.raises(SpecError) as refused:
        create_flavor(repository, replace(CUDA, **change))  # type: ignore[arg-type]
    assert "secret" not in refused.value.reason + refused.value.solution
    assert _entries(repository) == []
    assert sorted(repository.root.iterdir()) == [repository.flavors_folder]


def test_a_name_that_exists_is_refused_and_what_is_there_stays(repository: Repository) -> None:
    created = create_flavor(repository, CPU)
    (created.folder / "mine.txt").write_text("mine")
    with pytest.raises(FlavorExistsError):
        create_flavor(repository, CPU)
    assert (created.folder / "mine.txt").read_text() == "mine"


def test_a_file_of_that_name_is_refused_as_well(repository: Repository) -> None:
    (repository.flavors_folder / "taken").write_text("")
    with pytest.raises(FlavorExistsError):
        create_flavor(repository, replace(CPU, name="taken"))


def test_a_dry_run_tells_the_same_and_writes_nothing(repository: Repository) -> None:
    dry = create_flavor(repository, CUDA, dry_run=True)
    assert _entries(repository) == []
    assert replace(dry, written=True) == create_flavor(repository, CUDA)


def test_a_name_of_its_own_is_recorded_in_the_spec(repository: Repository) -> None:
    created = create_flavor(repository, replace(CPU, name="my-cpu"))
    assert created.spec.name == "my-cpu"
    assert repository.flavor("my-cpu").project.spec.folder_name == "my-cpu"


def test_of_many_at_once_exactly_one_makes_the_folder(repository: Repository) -> None:
    outcomes: list[object] = []

    def create() -> None:
        try:
            outcomes.append(create_flavor(repository, CPU))
        except FactoryError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        sorted(type(outcome).__name__ for outcome in outcomes)
        == ["CreatedFlavor"] + ["FlavorExistsError"] * 5
    )
    assert find_drift(repository.flavors()[0]) == ()


@pytest.fixture
def source(repository: Repository) -> Flavor:
    created = create_flavor(repository, replace(CUDA, index_url=INDEX))
    path = created.folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("constraint-dependencies = []", CONSTRAINTS)
    path.write_text(text.replace('    "peft>=', '    # peft, for a reason\n    "peft>='), encoding="utf-8")
    return repository.flavor(created.name)


CONSTRAINTS = """constraint-dependencies = [
    "pillow>=12.3.0",  # CVE-2026-54058
    "torch<2.12",      # until flash-attn is built for it
]"""


def test_from_another_flavor_only_what_the_versions_change_is_changed(
    repository: Repository, source: Flavor
) -> None:
    new = replace(CUDA, accelerator_version="13.2", torch="2.12.0", python="3.13", training_hub="0.10.0")
    created = create_flavor(repository, new, source=source)
    before = (source.folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    after = (created.folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    changed = [(old, now) for old, now in zip(before, after, strict=True) if old != now]
    assert {now.split("=")[0].strip().strip('",') for _, now in changed if "=" in now} == {
        *("name", "version", "requires-python", "torch", "training-hub[cuda,lora]"),
        *("accelerator-version", "python", "training-hub", "base-image", "downstream-base-image"),
    }
    assert all(source.name not in line for line in after)
    assert '    "pillow>=12.3.0",  # CVE-2026-54058' in after
    assert "    # peft, for a reason" in after
    assert repository.flavor(created.name).project.spec.index_url == INDEX


def test_from_another_flavor_a_range_is_kept_and_named(repository: Repository, source: Flavor) -> None:
    created = create_flavor(repository, replace(CUDA, torch="2.12.0"), source=source)
    assert '"torch<2.12",' in (created.folder / "pyproject.toml").read_text(encoding="utf-8")
    assert any("torch<2.12 rules out 2.12.0" in note for note in created.notes)


def test_a_base_image_of_ones_own_is_kept_and_named(repository: Repository) -> None:
    own = "registry.example.com/base:1"
    first = create_flavor(repository, replace(CUDA, base_image=own))
    created = create_flavor(repository, replace(CUDA, python="3.13"), source=repository.flavor(first.name))
    assert created.spec.base_image == own
    assert "py313" in created.spec.downstream_base_image
    assert any(note.startswith("base-image is still that of") for note in created.notes)


def test_from_a_flavor_of_another_accelerator_is_refused(repository: Repository, source: Flavor) -> None:
    with pytest.raises(SpecError, match="is for cuda, and the new flavor would be for cpu"):
        create_flavor(repository, CPU, source=source)


def test_from_a_flavor_with_other_line_endings_they_are_kept(repository: Repository, source: Flavor) -> None:
    path = source.folder / "pyproject.toml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    created = create_flavor(repository, replace(CUDA, torch="2.11.1"), source=Flavor(source.folder))
    content = (created.folder / "pyproject.toml").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")


def test_from_another_flavor_its_layers_are_kept(repository: Repository, source: Flavor) -> None:
    path = source.folder / "pyproject.toml"
    path.write_text(
        path.read_text() + '\n[tool.factory.layers]\nstack = ["torch", "nvidia-*"]\nbig = ["trl"]\n'
    )
    created = create_flavor(repository, replace(CUDA, torch="2.11.1"), source=Flavor(source.folder))
    layers = Flavor(created.folder).project.spec.layers
    assert [(layer.name, layer.patterns) for layer in layers] == [
        ("stack", ("torch", "nvidia-*")),
        ("big", ("trl",)),
    ]
