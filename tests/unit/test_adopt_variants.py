"""Dockerfiles beside one another: the one of the folder's accelerator is read, or the folder asks."""

from pathlib import Path

import pytest
from support.adopted import BASE, MINIMAL, hand_made
from support.clean_flavor import make_repository

from factory.adopt.adopt import AdoptedFlavor, adopt_folder
from factory.adopt.evidence import AdoptOptions
from factory.errors import FactoryError, NotFoundError, SpecError
from factory.flavor.repository import Repository

CPU, CUDA, ROCM = (
    f"registry.example.com/product/workbench-{name}-py312@sha256:{digit * 64}"
    for name, digit in (("cpu", "1"), ("cuda", "2"), ("rocm", "3"))
)
SUFFIXED = {
    "Dockerfile.konflux.cpu": f"FROM {CPU}\nRUN uv pip install -r requirements.txt\n",
    "Dockerfile.konflux.cuda": f"ARG BASE_IMAGE={CUDA}\nFROM ${{BASE_IMAGE}}\nRUN touch /product\n",
    "Dockerfile.konflux.rocm": f"FROM {ROCM}\n",
}
NAMELESS = "FROM quay.io/example/workbench:1\nRUN uv pip install -r requirements.txt\n"
PINS = {"requirements.txt": "torch==2.11.0\ntraining-hub==0.9.2\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def _adopt(repository: Repository, folder: Path, wanted: AdoptOptions | None = None) -> AdoptedFlavor:
    return adopt_folder(repository, folder, wanted or AdoptOptions(), write=False)


def _downstream(adopted: AdoptedFlavor) -> tuple[str | None, str]:
    (origin,) = (each for each in adopted.origins if each.key == "downstream-base-image")
    return origin.value, origin.where


def test_the_downstream_file_of_the_folders_accelerator_is_read_and_its_digest_kept(
    repository: Repository, tmp_path: Path
) -> None:
    adopted = _adopt(repository, hand_made(tmp_path, MINIMAL | SUFFIXED))
    assert _downstream(adopted) == (CUDA, "Dockerfile.konflux.cuda, FROM")
    assert any(
        note == "Dockerfile.konflux.cuda was read: for cuda, as the base image in Dockerfile says"
        for note in adopted.notes
    )


def test_what_the_chosen_file_has_of_its_own_is_listed_and_the_others_are_named(
    repository: Repository, tmp_path: Path
) -> None:
    adopted = _adopt(repository, hand_made(tmp_path, MINIMAL | SUFFIXED))
    left = {(each.path, each.line): each for each in adopted.placed("not kept")}
    assert set(left) == {
        *(("Dockerfile.konflux.cuda", 3), ("Dockerfile.konflux.cpu", None)),
        ("Dockerfile.konflux.rocm", None),
    }
    assert "--accelerator rocm" in left["Dockerfile.konflux.rocm", None].solution


@pytest.mark.parametrize(
    ("wanted", "image"),
    [
        (AdoptOptions(accelerator="rocm", accelerator_version="7.1", base_image=BASE), ROCM),
        (AdoptOptions(downstream_dockerfile="Dockerfile.konflux.cpu"), CPU),
        (AdoptOptions(downstream_base_image="registry.example.com/own:1"), "registry.example.com/own:1"),
    ],
)
def test_an_option_chooses(repository: Repository, tmp_path: Path, wanted: AdoptOptions, image: str) -> None:
    assert _downstream(_adopt(repository, hand_made(tmp_path, MINIMAL | SUFFIXED), wanted))[0] == image


@pytest.mark.parametrize(("accelerator", "version"), [("cuda", "13.0"), ("rocm", "7.14")])
def test_the_version_that_is_asked_for_is_one_of_the_accelerator(
    repository: Repository, tmp_path: Path, accelerator: str, version: str
) -> None:
    folder = hand_made(tmp_path, PINS | {"Dockerfile": f"FROM {CPU}\n"})
    with pytest.raises(SpecError) as caught:
        _adopt(repository, folder, AdoptOptions(accelerator=accelerator))
    assert f"--accelerator-version {version}" in caught.value.solution


@pytest.mark.parametrize(
    ("files", "reason", "solution"),
    [
        (
            {**PINS, "Dockerfile": NAMELESS, **SUFFIXED},
            "Dockerfile.konflux.cuda and Dockerfile.konflux.rocm, and nothing else says which",
            "--accelerator cpu|cuda|rocm",
        ),
        (
            {**MINIMAL, **SUFFIXED, "Dockerfile.konflux": f"FROM {CUDA}\n"},
            "Dockerfile.konflux and Dockerfile.konflux.cuda could each be the one for cuda",
            "--downstream-dockerfile Dockerfile.konflux",
        ),
        (
            {**MINIMAL, **SUFFIXED, "Dockerfile.konflux.cuda-fips": f"FROM {CUDA}\n"},
            "Dockerfile.konflux.cuda and Dockerfile.konflux.cuda-fips could each be",
            "--downstream-dockerfile Dockerfile.konflux.cuda",
        ),
        (
            {**MINIMAL, "Dockerfile.konflux.rocm": f"FROM {ROCM}\n"},
            "is for cuda (the base image in Dockerfile), and has Dockerfile.konflux.rocm: none of them",
            "--downstream-base-image REF",
        ),
        (
            {
                **PINS,
                "cuda.repo": "[c]\n",
                "rocm.repo": "[r]\n",
                "Dockerfile.cuda": MINIMAL["Dockerfile"],
                "Dockerfile.rocm": NAMELESS,
            },
            "Dockerfile.cuda and Dockerfile.rocm, and cuda.repo says cuda; rocm.repo says rocm",
            "--accelerator cuda|rocm",
        ),
    ],
)
def test_a_choice_that_the_folder_leaves_open_is_asked_for(
    repository: Repository, tmp_path: Path, files: dict[str, str], reason: str, solution: str
) -> None:
    with pytest.raises(SpecError) as asked:
        _adopt(repository, hand_made(tmp_path, files))
    assert reason in asked.value.reason
    assert solution in asked.value.solution


def test_the_midstream_file_may_have_a_suffix_as_well(repository: Repository, tmp_path: Path) -> None:
    files = {path: text for path, text in MINIMAL.items() if path != "Dockerfile"}
    files |= SUFFIXED | {"Dockerfile.cuda": MINIMAL["Dockerfile"], "Dockerfile.cpu": NAMELESS}
    adopted = _adopt(repository, hand_made(tmp_path, files))
    assert {each.key: each.where for each in adopted.origins}["base-image"] == "Dockerfile.cuda, FROM"
    assert _downstream(adopted)[0] == CUDA


def test_a_copy_that_an_editor_left_is_no_choice(repository: Repository, tmp_path: Path) -> None:
    files = MINIMAL | {"Dockerfile.konflux": f"FROM {CUDA}\n", "Dockerfile.konflux.bak": f"FROM {CPU}\n"}
    assert _downstream(_adopt(repository, hand_made(tmp_path, files)))[0] == CUDA


def test_a_file_that_is_asked_for_and_not_there_is_refused(repository: Repository, tmp_path: Path) -> None:
    wanted = AdoptOptions(downstream_dockerfile="Dockerfile.konflux.gone")
    with pytest.raises(NotFoundError) as refused:
        _adopt(repository, hand_made(tmp_path, MINIMAL | SUFFIXED), wanted)
    assert isinstance(refused.value, FactoryError)
    assert "Dockerfile.konflux.cuda" in refused.value.solution
