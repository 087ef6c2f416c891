"""Whole hand-made folders: the spec that is read, what contradicts, what is missing, and what is written."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.adopted import BASE, MINIMAL, URL, adopt, hand_made
from support.clean_flavor import make_repository
from support.golden import CASES as GOLDEN_CASES
from support.golden import GOLDEN
from support.hand_made import FOLDERS, NAMES, expected_project, lay_out

from factory.adopt.adopt import adopt_folder
from factory.adopt.decide import decide_spec
from factory.adopt.dockerfile import read_old_dockerfile
from factory.adopt.evidence import AdoptOptions, read_sources
from factory.check.check import check_flavors
from factory.console import to_plain
from factory.errors import FlavorExistsError, NotFoundError, SpecError
from factory.flavor.hooks import NO_HOOKS
from factory.flavor.project import Project, parse_project
from factory.flavor.repository import Repository
from factory.flavor.spec import Spec
from factory.index.configured import PYTHON_PACKAGE_INDEX
from factory.lock.lockfile import read_lock
from factory.render.drift import find_drift
from factory.render.render import render_flavor

CASES = tuple(NAMES)
HOOKS = r"""
[tool.factory.hooks]
environment = { HF_HOME = "/opt/cache", OWN_PATH = "/opt/own:${PATH}", SAID = 'say "\$5" to #1' }
system-packages = ["jq", "gcc-c++-11*"]
midstream = "RUN touch /midstream"
before-install = '''
USER 0
RUN touch /before && \
    true
'''
after-install = '''
COPY --chmod=0644 own.py conf/own.cfg /opt/own/
'''
files = ["own.py", "conf/own.cfg", "extra.repo"]
"""
TODAY = dt.date(2026, 11, 22)
PRODUCT = "registry.example.com/p:2"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def cases(tmp_path: Path) -> dict[str, Path]:
    return {case: lay_out(case, tmp_path / "hand-made") for case in CASES}


def _spec(folder: Path, **wanted: str) -> Spec:
    return decide_spec(read_sources(folder), AdoptOptions(**wanted)).spec  # type: ignore[arg-type]


def _notes(folder: Path, **wanted: str) -> str:
    return "\n".join(decide_spec(read_sources(folder), AdoptOptions(**wanted)).notes)  # type: ignore[arg-type]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_the_project_of_a_folder_is_the_golden_one(
    case: str, repository: Repository, cases: dict[str, Path]
) -> None:
    adopted = adopt(repository, cases[case])
    assert (adopted.folder / "pyproject.toml").read_text(encoding="utf-8") == expected_project(case)


@pytest.mark.parametrize("case", CASES)
def test_every_file_and_instruction_is_accounted_for_once(
    case: str, repository: Repository, cases: dict[str, Path]
) -> None:
    sources = read_sources(cases[case])
    placements = adopt(repository, cases[case], write=False).placements
    expected: list[tuple[str, int | None]] = [(path, None) for path in sources.folder.paths]
    for dockerfile in (sources.dockerfile, sources.downstream):
        expected += [(step.path, step.line) for step in (dockerfile.steps if dockerfile else ())]
    assert sorted(map(str, ((each.path, each.line) for each in placements))) == sorted(map(str, expected))
    on_disk = {path.relative_to(cases[case]).as_posix() for path in cases[case].rglob("*") if path.is_file()}
    assert {each.path for each in placements} == on_disk


@pytest.mark.parametrize("case", CASES)
def test_an_adopted_flavor_is_clean_but_for_what_locking_mends(
    case: str, repository: Repository, cases: dict[str, Path]
) -> None:
    adopted = adopt(repository, cases[case])
    flavor = repository.flavor(adopted.name)
    assert find_drift(flavor) == ()
    errors = {
        item.code
        for item in check_flavors([flavor], root=repository.root, today=TODAY).findings
        if item.severity == "error"
    }
    expected = {
        "cuda": {"FAC321", "FAC322"},
        "rocm": {"FAC321", "FAC304"},
        "cpu": {"FAC321"},
        "suffixed": {"FAC321", "FAC322", "FAC323"},
        "torch-line": {"FAC304", "FAC321", "FAC322"},
    }
    assert errors == expected[case]


@pytest.mark.parametrize("case", CASES)
def test_without_write_nothing_is_written_and_the_same_is_said(
    case: str, repository: Repository, cases: dict[str, Path]
) -> None:
    before = _files(cases[case])
    dry = adopt(repository, cases[case], write=False)
    assert list(repository.flavors_folder.iterdir()) == []
    made = adopt(repository, cases[case])
    assert (dry.placements, dry.notes, dry.files) == (made.placements, made.notes, made.files)
    assert _files(cases[case]) == before
    assert {name for name, _ in made.files} == {
        path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("case", CASES)
def test_no_password_leaves_thehand_made(case: str, repository: Repository, cases: dict[str, Path]) -> None:
    adopted = adopt(repository, cases[case])
    said = json.dumps(to_plain(adopted)) + "".join(map(str, adopted.describe()))
    assert "s3cret" not in said
    assert not any(b"s3cret" in content for content in _files(repository.root).values())


def test_the_versions_of_the_old_lock_are_there_to_be_kept(
    repository: Repository, cases: dict[str, Path]
) -> None:
    lock = read_lock(adopt(repository, cases["cuda"]).folder)
    assert lock is not None
    assert lock.versions()["torch"] == "2.9.1+cu130"
    assert lock.index_urls == (URL,)
    assert lock.inputs is None


def test_the_pin_counts_and_not_the_name_of_thehand_made(cases: dict[str, Path]) -> None:
    assert _spec(cases["cuda"]).training_hub == "0.5.0"
    notes = _notes(cases["cuda"])
    assert "training-hub is 0.5.0" in notes
    assert "though pyproject.toml, dependencies says 0.6.0" in notes
    assert f"the folder is called {NAMES['cuda']}" in notes


NO_PYTHON = "FROM quay.io/x/cuda:1\n"
PINS = "torch==2.11.0+cu130\ntraining_hub==1.0\n"
EXACT = "[project]\ndependencies = ['torch==2.9.1+cu128', 'training_hub[x]==0.8.0']\n"
RANGE = "[project]\nrequires-python = '>=3.11,<3.12'\n"
ROCM = {
    "Dockerfile": "FROM quay.io/x/rocm-py312:1\n",
    "rocm.repo": "[r]\nbaseurl=https://x.example.com/rocm/el9/6.4.3/main\n",
    "requirements.txt": "torch==2.11.0\ntraining-hub==0.9.2\n",
}
COMPILED = (
    "# uv pip compile --python-version 3.13 --python-platform=linux "
    "--python-platform aarch64-manylinux_2_28\n"
)


@pytest.mark.parametrize(
    ("files", "key", "value"),
    [
        ({}, "accelerator", "cuda"),
        ({}, "accelerator_version", "13.0"),
        ({}, "torch", "2.11.0"),
        ({}, "python", "3.12"),
        ({}, "training_hub", "0.9.2"),
        ({}, "index_url", URL),
        ({}, "base_image", BASE),
        ({}, "platforms", ("linux/amd64",)),
        (ROCM, "accelerator_version", "6.4.3"),
        ({"Dockerfile": f"FROM {BASE}\nRUN dnf install -y cuda-nvcc-12-8\n"}, "accelerator_version", "12.8"),
        ({"Dockerfile": f"ARG CUDA_VERSION=12.6.3\nFROM {BASE}\n"}, "accelerator_version", "12.6"),
        ({"Dockerfile.konflux": "FROM registry.example.com/p:2\n"}, "downstream_base_image", PRODUCT),
        ({"Dockerfile": NO_PYTHON, "pyproject.toml": RANGE}, "python", "3.11"),
        ({"Dockerfile": NO_PYTHON, "requirements.txt": COMPILED + PINS}, "python", "3.13"),
        ({"requirements.txt": COMPILED + PINS}, "platforms", ("linux/amd64", "linux/arm64")),
        ({"requirements.txt": PINS}, "index_url", None),
        ({"requirements.txt": PINS, "pyproject.toml": f"[[tool.uv.index]]\nurl='{URL}'"}, "index_url", URL),
        ({"requirements.txt": PINS, "Dockerfile": f"FROM {BASE}\nENV PIP_INDEX_URL={URL}"}, "index_url", URL),
        ({"requirements.txt": PINS, "Dockerfile": f"FROM {BASE}\nRUN pip -i {URL} x"}, "index_url", URL),
        ({"requirements.txt": f"-i {PYTHON_PACKAGE_INDEX}\n{PINS}"}, "index_url", None),
        ({"requirements.txt": "a==1\n", "pyproject.toml": EXACT}, "accelerator_version", "12.8"),
        ({"requirements.txt": "a==1\n", "pyproject.toml": EXACT}, "training_hub", "0.8.0"),
        ({"requirements.txt": "a==1\n", "pyproject.toml": EXACT}, "torch", "2.9.1"),
    ],
)
def test_what_the_files_say_goes_to_the_spec(
    tmp_path: Path, files: dict[str, str], key: str, value: object
) -> None:
    assert getattr(_spec(hand_made(tmp_path, MINIMAL | files)), key) == value


def test_options_go_before_the_files_and_the_difference_is_said(tmp_path: Path) -> None:
    folder = hand_made(tmp_path, MINIMAL)
    wanted = {"torch": "2.12.0", "python": "3.13", "index_url": "https://other.example.com/simple/"}
    spec = _spec(folder, **wanted, name="mine")
    assert (spec.torch, spec.python, spec.name) == ("2.12.0", "3.13", "mine")
    assert spec.index_url == "https://other.example.com/simple/"
    assert "torch is 2.12.0 (--torch), though requirements.txt, line 2 says 2.11.0" in _notes(
        folder, **wanted
    )


def test_all_that_is_missing_is_named_at_once_with_its_option(tmp_path: Path) -> None:
    folder = hand_made(tmp_path, {"Dockerfile": "FROM quay.io/example/base\n", "requirements.txt": "a==1\n"})
    with pytest.raises(SpecError) as refused:
        _spec(folder)
    for key in ("accelerator", "torch", "training-hub", "python", "base-image"):
        assert f"--{key} " in refused.value.solution
    assert "has neither a tag nor a digest" in refused.value.reason
    spec = _spec(
        folder, accelerator="cpu", torch="2.11.0", training_hub="1.0", python="3.12", base_image=BASE
    )
    assert spec.derived_name == "th10-cpu-torch2110-py312"


def test_a_version_from_the_folders_name_is_a_last_hint_and_said(tmp_path: Path) -> None:
    files = MINIMAL | {"requirements.txt": "torch==2.11.0\ntraining-hub==1.0\n"}
    decision = decide_spec(
        read_sources(hand_made(tmp_path, files, "th10-cuda128-torch2110-py312")), AdoptOptions()
    )
    (origin,) = (each for each in decision.origins if each.key == "accelerator-version")
    assert (origin.value, origin.where) == ("12.8", "a guess from the folder's name")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"--index-url {URL.replace('//', '//me:s3cret@')}", "held credentials"),
        (f"--index-url {URL}?token=s3cret", "held credentials or a query"),
    ],
)
def test_credentials_in_an_index_url_are_left_out_and_said(tmp_path: Path, line: str, said: str) -> None:
    folder = hand_made(
        tmp_path, MINIMAL | {"requirements.txt": f"{line}\ntorch==2.11.0\ntraining-hub==1.0\n"}
    )
    assert _spec(folder).index_url == URL
    notes = _notes(folder)
    assert said in notes
    assert "s3cret" not in notes


def test_a_torch_for_another_accelerator_is_asked_about(tmp_path: Path) -> None:
    files = MINIMAL | {"requirements.txt": f"-i {URL}\ntorch==2.13.0+cpu\ntraining-hub==0.11.2\n"}
    folder = hand_made(tmp_path, files)
    with pytest.raises(SpecError) as asked:
        _spec(folder)
    assert "in Dockerfile says cuda, and requirements.txt, line 2 pins torch for cpu" in asked.value.reason
    assert "--accelerator cuda or --accelerator cpu" in asked.value.solution
    assert _spec(folder, accelerator="cpu").folder_name == "th011-cpu-torch2130-py312"


def test_a_build_that_the_public_index_cannot_have_is_said(tmp_path: Path) -> None:
    notes = _notes(hand_made(tmp_path, MINIMAL | {"requirements.txt": PINS}))
    assert "torch==2.11.0+cu130: the public index has no such builds" in notes


def test_indexes_that_contradict_are_said(tmp_path: Path) -> None:
    other = "https://packages.example.com/cpu/simple/"
    folder = hand_made(tmp_path, MINIMAL | {"pyproject.toml": f"[tool.uv]\nindex-url = '{other}'\n"})
    assert f"index-url is {URL} (requirements.txt, line 1), though" in _notes(folder)
    assert other in _notes(folder)


def test_a_name_that_is_taken_is_refused_and_nothing_is_lost(repository: Repository, tmp_path: Path) -> None:
    folder = hand_made(tmp_path, MINIMAL)
    adopt(repository, folder)
    before = _files(repository.root)
    for write in (True, False):
        with pytest.raises(FlavorExistsError):
            adopt(repository, folder, write=write)
    assert _files(repository.root) == before


def test_a_folder_where_the_flavor_would_stand_is_left_alone(repository: Repository) -> None:
    folder = hand_made(repository.flavors_folder, MINIMAL, "th09-cuda130-torch2110-py312")
    before = _files(repository.root)
    with pytest.raises(FlavorExistsError) as refused:
        adopt(repository, folder)
    assert "Move it out of flavors/" in refused.value.solution
    assert _files(repository.root) == before
    named = adopt_folder(repository, folder, AdoptOptions(name="new"), write=True)
    assert (named.name, _files(folder)) == ("new", {name: before[name] for name in before})


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ({"pyproject.toml": "[tool.factory]\n"}, SpecError, "is a flavor already"),
        ({"pyproject.toml": "[tool"}, SpecError, "is not TOML"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_nothing_is_written(
    repository: Repository, tmp_path: Path, files: dict[str, str], error: type[Exception], says: str
) -> None:
    folder = hand_made(tmp_path, MINIMAL | files)
    with pytest.raises(error, match=says):
        adopt(repository, folder)
    assert list(repository.flavors_folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a folder"):
        adopt(repository, tmp_path / "none")


def test_links_and_strange_files_are_named(repository: Repository, tmp_path: Path) -> None:
    folder = hand_made(tmp_path, MINIMAL | {"requirements-gpu.txt": "a==1\n", "notes/todo.txt": "x\n"})
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "linked").symlink_to(tmp_path)
    found = {each.path: each for each in adopt(repository, folder).placed("not kept")}
    assert set(found) == {"requirements-gpu.txt", "notes/todo.txt", "link", "linked"}
    assert "a second lock" in found["requirements-gpu.txt"].why


def test_golden_folders_are_there_for_each_case() -> None:
    assert {path.name for path in FOLDERS.iterdir() if path.is_dir()} == set(CASES)


def _without_a_spec(case: str, parent: Path, hooks: str) -> tuple[Path, Project]:
    """A rendered flavor as if it were made by hand: its project has no spec."""
    text = (GOLDEN / case / "input" / "pyproject.toml").read_text(encoding="utf-8") + hooks
    project = parse_project(text, where="pyproject.toml")
    files = {
        file.path: file.content.decode() for file in render_flavor(project, name=project.spec.folder_name)
    }
    files |= dict.fromkeys(project.spec.hooks.files, "own\n")
    files["pyproject.toml"] = text.partition("[tool.factory]")[0]
    index = f"--index-url {project.spec.index_url}\n" if project.spec.index_url else ""
    files["requirements.txt"] = f"{index}a==1\n"
    return hand_made(parent, files, project.spec.folder_name), project


@pytest.mark.parametrize("hooks", ["", HOOKS.replace(', "extra.repo"', "")], ids=["plain", "hooks"])
@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_what_the_factory_rendered_is_read_back_as_it_was(
    case: str, hooks: str, repository: Repository, tmp_path: Path
) -> None:
    folder, project = _without_a_spec(case, tmp_path, hooks)
    adopted = adopt_folder(repository, folder, AdoptOptions(platforms=project.spec.platforms), write=True)
    again = repository.flavor(adopted.name).project
    assert replace(again.spec, hooks=NO_HOOKS) == replace(project.spec, hooks=NO_HOOKS)
    assert again.dependencies == project.dependencies
    assert adopted.placed("not kept") == ()
    if not hooks:
        assert again.spec.hooks == NO_HOOKS
    for path in ("Dockerfile", "Dockerfile.konflux"):
        made, given = (
            [step.normal for step in read_old_dockerfile(path, (place / path).read_bytes()).steps]
            for place in (adopted.folder, folder)
        )
        assert made == given


def test_a_file_whose_place_the_templates_takes_is_said_to_differ(
    repository: Repository, tmp_path: Path
) -> None:
    folder = hand_made(tmp_path, MINIMAL | {"LICENSE.md": "ours\n", "cuda.repo": "[own]\nname=x\n"})
    found = {each.path: each for each in adopt(repository, folder, write=False).placements}
    for path in ("LICENSE.md", "cuda.repo"):
        assert "differs" in found[path].why


def test_the_base_image_that_is_asked_for_tells_what_the_folders_does(
    repository: Repository, tmp_path: Path
) -> None:
    files = {"requirements.txt": "torch==2.11.0\ntraining-hub==1.0\n", ".dockerignore": "x\n"}
    wanted = AdoptOptions(base_image="quay.io/example/workbench-cpu-py312:1")
    adopted = adopt_folder(repository, hand_made(tmp_path, files), wanted, write=False)
    assert adopted.name == "th10-cpu-torch2110-py312"
    assert any("there is no Dockerfile" in note for note in adopted.notes)
    assert any(".dockerignore is not read" in note for note in adopted.notes)


def test_a_python_and_all_above_it_is_no_claim_of_one(tmp_path: Path) -> None:
    files = MINIMAL | {"Dockerfile": NO_PYTHON, "pyproject.toml": "[project]\nrequires-python = '>=3.11'\n"}
    with pytest.raises(SpecError, match="python"):
        _spec(hand_made(tmp_path, files))
