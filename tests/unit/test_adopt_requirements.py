"""What a hand-made folder asks for, in whichever file, and what of it cannot be asked for."""

import os
from pathlib import Path

import pytest
import tomlkit
from support.adopted import BASE, MINIMAL, URL, adopt, hand_made
from support.clean_flavor import make_repository

from factory.adopt.adopt import AdoptedFlavor, adopt_folder
from factory.adopt.evidence import AdoptOptions
from factory.errors import SpecError
from factory.flavor.project import Project
from factory.flavor.repository import Repository
from factory.lock.lockfile import parse_lock, read_lock
from factory.render.drift import find_drift


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


PROJECT = """\
# Ours.
[project]
name = "old"
dynamic = ["version"]
requires-python = ">=3.12"
dependencies = [
    "torch>=2.9",  # a range, on purpose
    # the pin
    "training_hub[lora]==0.8.0",
    "trl @ git+https://me:s3cret@git.example.com/trl.git@main",
    "torch-extra",
]

[project.optional-dependencies]
gpu = ["kernels>=0.10,<1"]

[tool.uv]
override-dependencies = ["protobuf>=6"]
extra-index-url = ["https://x.example.com/simple/"]

[tool.uv.pip]
index-strategy = "unsafe-best-match"

[tool.ruff]
line-length = 100
"""


def test_a_project_is_kept_but_for_what_contradicts_the_spec(repository: Repository, tmp_path: Path) -> None:
    lock = f"# uv pip compile --extra gpu pyproject.toml\n{MINIMAL['requirements.txt']}"
    folder = hand_made(tmp_path, MINIMAL | {"pyproject.toml": PROJECT, "requirements.txt": lock})
    adopted = adopt(repository, folder)
    text = (adopted.folder / "pyproject.toml").read_text(encoding="utf-8")
    document = tomlkit.parse(text).unwrap()
    assert document["project"]["dependencies"] == [
        *("torch>=2.9", "training_hub[lora]==0.9.2", "trl", "torch-extra", "kernels>=0.10,<1"),
    ]
    assert "dynamic" not in document["project"] or document["project"]["dynamic"] == []
    assert document["project"]["requires-python"] == "==3.12.*"
    assert document["tool"]["uv"] == {"override-dependencies": ["protobuf>=6"], "pip": {}}
    assert document["tool"]["ruff"] == {"line-length": 100}
    for comment in ("# Ours.", "# a range, on purpose", "# the pin"):
        assert comment in text
    assert "s3cret" not in text
    said = "\n".join(adopted.notes)
    for words in ("field note 10", "field note 6", "index-strategy was taken out", "of the extra 'gpu'"):
        assert words in said


def test_without_a_project_the_requirements_in_file_says_what_is_asked_for(
    repository: Repository, tmp_path: Path
) -> None:
    files = MINIMAL | {"requirements.in": "-c limits.txt\ntorch\ntrl>=0.24  # training\n\n# a comment\n"}
    adopted = adopt(repository, hand_made(tmp_path, files))
    project = repository.flavor(adopted.name).project
    assert project.dependencies == ("torch==2.11.0", "trl>=0.24", "training-hub==0.9.2")


def test_with_a_lock_alone_what_it_says_was_asked_for_is_a_guess_that_is_said(
    repository: Repository, tmp_path: Path
) -> None:
    lock = f"--index-url {URL}\n" + "".join(
        f"{name}=={version}\n    # via {via}\n"
        for name, version, via in (
            ("numpy", "2.4.1", "torch"),
            ("torch", "2.11.0", "training-hub"),
            ("training-hub", "0.9.2", "-r requirements.in"),
            ("trl", "0.24.0", "-r requirements.in"),
        )
    )
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"requirements.txt": lock}))
    project = repository.flavor(adopted.name).project
    assert project.dependencies == ("training-hub==0.9.2", "trl", "torch==2.11.0")
    assert any("a guess from requirements.txt" in note for note in adopted.notes)


OTHER = "https://packages.example.com/extra/simple/"
SPLIT = MINIMAL | {
    "Dockerfile": f"FROM {BASE}\nRUN uv pip install -r requirements.txt -r requirements-gpu.txt\n",
    "requirements-gpu.txt": f"--index-url={OTHER}\nflash_attn==2.8.3\nmamba-ssm==2.2.6\n",
}


def test_a_second_lock_from_an_index_of_its_own_is_a_further_index(
    repository: Repository, tmp_path: Path
) -> None:
    adopted = adopt(repository, hand_made(tmp_path, SPLIT))
    project = repository.flavor(adopted.name).project
    assert {"flash-attn", "mamba-ssm", "torch==2.11.0"} <= set(project.dependencies)
    (index,) = project.spec.indexes
    assert (index.name, index.url, index.packages) == ("gpu", OTHER, ("flash-attn", "mamba-ssm"))
    lock = parse_lock((adopted.folder / "requirements-gpu.txt").read_text(encoding="utf-8"))
    assert (lock.index_urls, lock.versions()) == ((OTHER,), {"flash-attn": "2.8.3", "mamba-ssm": "2.2.6"})
    assert adopted.placed("not kept") == ()
    assert find_drift(repository.flavor(adopted.name)) == ()


@pytest.mark.parametrize(
    "lock", [f"--index-url {OTHER}\ntorch==2.10.0\n", f"--index-url {OTHER}\n", "torch==2.10.0\n"]
)
def test_another_second_lock_is_said_and_not_guessed(
    repository: Repository, tmp_path: Path, lock: str
) -> None:
    folder = hand_made(tmp_path, SPLIT | {"requirements-gpu.txt": lock})
    assert set(_not_kept(repository, folder)) == {("requirements-gpu.txt", None), ("Dockerfile", 2)}
    assert repository.flavor(adopt(repository, folder).name).project.spec.indexes == ()


@pytest.mark.parametrize("project", [{}, {"pyproject.toml": "[project]\ndependencies = ['torch']\n"}])
@pytest.mark.parametrize(
    ("install", "files"),
    [
        ("pip install -r /tmp/requirements.txt -r /tmp/deps.txt", {"deps.txt": "pandas[x]==2.2.2\n"}),
        (
            "pip install -r /tmp/requirements.txt -r /tmp/deps.txt",
            {"deps.txt": f"-i {URL}\npandas[x]==2.2.2\n"},
        ),
        (
            "pip install -r requirements.txt -r /req/a.txt",
            {"req/a.txt": "-r b.txt\n", "req/b.txt": "pandas[x]==2.2.2\n"},
        ),
        (
            "--mount=type=bind,source=d/x.txt,target=/r.txt pip install -r requirements.txt -r /r.txt",
            {"d/x.txt": "pandas[x]==2.2.2\n"},
        ),
    ],
)
def test_the_pins_of_every_file_that_is_installed_are_taken_over(
    repository: Repository, tmp_path: Path, install: str, files: dict[str, str], project: dict[str, str]
) -> None:
    folder = hand_made(tmp_path, MINIMAL | files | project | {"Dockerfile": f"FROM {BASE}\nRUN {install}\n"})
    assert _not_kept(repository, folder) == {}
    adopted = adopt(repository, folder)
    lock = read_lock(adopted.folder)
    assert lock is not None
    assert lock.versions()["pandas"] == "2.2.2"
    assert "pandas[x]" in repository.flavor(adopted.name).project.dependencies


def test_a_lock_of_other_names_is_read_with_all_its_files(repository: Repository, tmp_path: Path) -> None:
    files = {
        "Dockerfile": f"FROM {BASE}\nCOPY req /r/\nRUN pip install -r /r/base.txt -r /r/torch.txt\n",
        "req/base.txt": f"-i {URL}\ntraining-hub==0.9.2\n",
        "req/torch.txt": "torch==2.11.0+cu130\n",
    }
    adopted = adopt(repository, hand_made(tmp_path, files))
    (origin,) = (each for each in adopted.origins if each.key == "torch")
    assert origin.where == "req/torch.txt, line 1"
    assert repository.flavor(adopted.name).project.dependencies == ("training-hub==0.9.2", "torch==2.11.0")


@pytest.mark.parametrize("run", ["pip install -r /opt/reqs.txt", "pip install -r reqs.txt && make"])
def test_an_install_from_a_file_that_is_not_there_is_not_done(
    repository: Repository, tmp_path: Path, run: str
) -> None:
    folder = hand_made(tmp_path, MINIMAL | {"Dockerfile": MINIMAL["Dockerfile"] + f"RUN {run}\n"})
    assert "reqs.txt is not in the folder" in _not_kept(repository, folder)["Dockerfile", 3]


def test_what_a_lock_includes_and_is_not_there_is_said(repository: Repository, tmp_path: Path) -> None:
    lock = MINIMAL["requirements.txt"] + "-r gone.txt\n-c limits.txt\n"
    notes = adopt(repository, hand_made(tmp_path, MINIMAL | {"requirements.txt": lock})).notes
    assert "requirements.txt, line 4: -r gone.txt is left out of the lock" in notes
    assert "requirements.txt, line 5: -c limits.txt is left out of the lock" in notes


def test_of_a_universal_lock_only_what_is_for_the_flavor_counts(
    repository: Repository, tmp_path: Path
) -> None:
    lock = MINIMAL["requirements.txt"] + (
        'numpy==1.26.4 ; python_version < "3.12"\nnumpy==2.1.0 ; python_version >= "3.12"\n'
        'pywin32==308 ; sys_platform == "win32"\n'
    )
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"requirements.txt": lock}))
    made = read_lock(adopted.folder)
    assert made is not None
    assert made.versions() == {"numpy": "2.1.0", "torch": "2.11.0+cu130", "training-hub": "0.9.2"}
    assert any("numpy==1.26.4, pywin32==308" in note for note in adopted.notes)


def _not_kept(repository: Repository, folder: Path) -> dict[tuple[str, int | None], str]:
    placed = adopt(repository, folder, write=False).placed("not kept")
    return {(each.path, each.line): each.why for each in placed}


def test_one_bad_line_is_named_and_the_rest_goes_on(repository: Repository, tmp_path: Path) -> None:
    project = '[project]\ndependencies = [\n    "torch",\n    "a b c",\n]\n[tool.uv]\n'
    project += 'constraint-dependencies = ["d e"]\n'
    folder = hand_made(tmp_path, MINIMAL | {"pyproject.toml": project})
    found = _not_kept(repository, folder)
    assert set(found) == {("pyproject.toml", 4), ("pyproject.toml", 7)}
    assert "PEP 508" in found["pyproject.toml", 4]
    made = repository.flavor(adopt(repository, folder).name).project
    assert (made.dependencies, made.constraints) == (("torch==2.11.0", "training-hub==0.9.2"), ())


def test_every_line_of_requirements_in_is_asked_for_or_named(repository: Repository, tmp_path: Path) -> None:
    files = MINIMAL | {
        "requirements.in": "-r more/base.txt\n-r gone.txt\n-c c.txt\n-e git+https://x.example.com/y\n"
        "a b c\ntrl>=0.24 ; \\\n  python_version > '3'  # why\nfoo @ https://x.example.com/f#sha256=abc\n",
        "more/base.txt": "-r ../requirements.in\npandas\n",
        "c.txt": "numpy<3\n",
    }
    folder = hand_made(tmp_path, files)
    lines = {("requirements.in", number) for number in (2, 3, 4, 5)}
    assert set(_not_kept(repository, folder)) == {*lines, ("c.txt", None)}
    project = repository.flavor(adopt(repository, folder).name).project
    assert set(project.dependencies) == {
        *("trl>=0.24 ; python_version > '3'", "foo", "pandas", "torch==2.11.0", "training-hub==0.9.2"),
    }


def test_a_guess_keeps_extras_and_claims_nothing_untrue(repository: Repository, tmp_path: Path) -> None:
    lock = f"--index-url {URL}\ntorch==2.11.0+cu130\ntraining_hub[lora]==0.9.2\nnumpy>=2,<3\n"
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"requirements.txt": lock}))
    project = repository.flavor(adopted.name).project
    assert project.dependencies == ("torch==2.11.0", "training-hub[lora]==0.9.2", "numpy<3,>=2")
    assert not any("named no version" in note for note in adopted.notes)


def test_an_index_that_became_a_further_one_contradicts_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    project = f"[[tool.uv.index]]\nurl = '{OTHER}'\n"
    adopted = adopt(repository, hand_made(tmp_path, SPLIT | {"pyproject.toml": project}), write=False)
    assert not any(note.startswith("index-url is") for note in adopted.notes)


FIX = "'pip>=26.1.2' 'setuptools>=80'"
BLOCK = "########\n# MIDSTREAM ONLY: fixes\n########\n{}\n########\n# END MIDSTREAM ONLY\n########\n"


LOCK = "RUN uv pip install -r requirements.txt"
SITE = "/opt/app-root/lib/python3.12/site-packages"


@pytest.mark.parametrize(
    "lines",
    [
        [f"FROM {BASE}", f"RUN pip install --upgrade {FIX}", LOCK],
        [f"FROM {BASE}", LOCK, f"RUN python -m pip install -U {FIX}"],
        [f"FROM {BASE}", f"RUN pip install -r requirements.txt {FIX}"],
        [f"FROM {BASE}", f"{LOCK} && \\\n    uv pip install --upgrade {FIX}"],
        [f"FROM {BASE}", "ARG V=26.1.2", "RUN pip install -U \"pip>=$V\" 'setuptools>=80'", LOCK],
        [f"FROM {BASE}", 'RUN ["pip", "install", "-U", "pip>=26.1.2", "setuptools>=80"]', LOCK],
        [f"FROM {BASE}", BLOCK.format(f"RUN pip install -U {FIX}"), LOCK],
        [f"FROM {BASE} AS b", f"RUN pip install -U {FIX}", LOCK, f"FROM {BASE}", f"COPY --from=b {SITE} /x"],
        [f"FROM {BASE}", LOCK, f"RUN dnf install -y jq && pip install -U {FIX}"],
    ],
)
def test_what_is_upgraded_in_the_base_is_asked_of_the_lock(
    repository: Repository, tmp_path: Path, lines: list[str]
) -> None:
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"Dockerfile": "\n".join(lines)}))
    project = repository.flavor(adopted.name).project
    assert {"pip>=26.1.2", "setuptools>=80"} <= set(project.dependencies)
    assert project.spec.hooks.midstream == project.spec.hooks.after_install == ""
    assert adopted.placed("not kept") == ()
    assert any("pip>=26.1.2 is a dependency now" in note for note in adopted.notes)


def test_the_comment_above_an_upgrade_goes_along_as_its_reason(
    repository: Repository, tmp_path: Path
) -> None:
    dockerfile = (
        MINIMAL["Dockerfile"] + "# CVE-2026-3219 in the base's pip\nRUN pip install -U 'pip>=26.1.2'\n"
    )
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"Dockerfile": dockerfile}))
    text = (adopted.folder / "pyproject.toml").read_text(encoding="utf-8")
    assert '"pip>=26.1.2", # installed by Dockerfile, line 4, beside the lock: CVE-2026-3219 in the' in text


@pytest.mark.parametrize(
    ("asked", "after", "said"),
    [
        ("setuptools<82", "setuptools<82,>=80", "setuptools<82 is setuptools<82,>=80 now"),
        ("setuptools", "setuptools>=80", "setuptools is setuptools>=80 now"),
        ("setuptools==75.0", "setuptools==75.0,>=80", "exclude one another"),
        ("setuptools>=80", "setuptools>=80", ""),
    ],
)
def test_a_floor_counts_beside_what_the_project_asks_for(
    repository: Repository, tmp_path: Path, asked: str, after: str, said: str
) -> None:
    files = {
        "Dockerfile": MINIMAL["Dockerfile"] + "RUN pip install -U 'setuptools>=80'\n",
        "pyproject.toml": f"[project]\ndependencies = ['{asked}', 'torch==2.11.0']\n",
    }
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | files))
    assert repository.flavor(adopted.name).project.dependencies[0] == after
    assert said in "\n".join(adopted.notes)


def test_what_a_stage_installs_that_is_not_copied_is_named(repository: Repository, tmp_path: Path) -> None:
    dockerfile = f"FROM {BASE} AS tools\nRUN pip install -U 'pip>=26.1.2'\n{MINIMAL['Dockerfile']}"
    folder = hand_made(tmp_path, MINIMAL | {"Dockerfile": dockerfile})
    assert "not copied into the image" in _not_kept(repository, folder)["Dockerfile", 2]


def test_a_pin_of_one_build_stays_one(repository: Repository, tmp_path: Path) -> None:
    project = "[project]\ndependencies = ['torch==2.11.0+cu130']\n"
    adopted = adopt(repository, hand_made(tmp_path, MINIMAL | {"pyproject.toml": project}))
    assert "torch==2.11.0+cu130" in repository.flavor(adopted.name).project.dependencies


CPU_INDEX = "https://packages.example.com/whl/cpu"
CPU_BASE = "quay.io/example/workbench-cpu-py312:1"
FROM_CPU_INDEX = (
    "RUN pip install \\\n    torch==2.13.0+cpu \\\n    torchvision==0.28.0+cpu \\\n    --index-url"
)
TWO = ("torch==2.13.0", "torchvision==0.28.0")
REST = {"requirements.txt": "training-hub==0.11.2\nnumpy==2.4.1\n"}


def _project(
    repository: Repository, folder: Path, wanted: AdoptOptions | None = None
) -> tuple[AdoptedFlavor, Project]:
    adopted = adopt_folder(repository, folder, wanted or AdoptOptions(), write=True)
    return adopted, repository.flavor(adopted.name).project


@pytest.mark.parametrize(
    "lines",
    [
        f"{LOCK}\n{FROM_CPU_INDEX} {CPU_INDEX}\n",
        f"{FROM_CPU_INDEX}={CPU_INDEX}/\n{LOCK}\n",
        f"ARG U={CPU_INDEX}\n{LOCK} && uv pip install torch==2.13.0+cpu torchvision==0.28.0+cpu -i $U\n",
        f"RUN pip install torch==2.13.0+cpu torchvision==0.28.0+cpu --extra-index-url {CPU_INDEX}\n{LOCK}\n",
        f"RUN uv pip install torch==2.13.0+cpu torchvision==0.28.0+cpu --index t={CPU_INDEX}\n{LOCK}\n",
        "".join(f"RUN pip install {each}+cpu -i {CPU_INDEX}\n" for each in TWO) + f"{LOCK}\n",
    ],
    ids=["after", "before", "argument", "extra", "named", "twice"],
)
def test_an_index_of_torchs_line_alone_serves_what_the_line_names(
    repository: Repository, tmp_path: Path, lines: str
) -> None:
    folder = hand_made(tmp_path, REST | {"Dockerfile": f"FROM {CPU_BASE}\n{lines}"})
    adopted, project = _project(repository, folder)
    (index,) = project.spec.indexes
    assert (index.name, index.packages) == ("torch", ("torch", "torchvision"))
    assert index.url.rstrip("/") == CPU_INDEX
    assert (project.spec.index_url, project.spec.torch) == (None, "2.13.0")
    assert {"torch==2.13.0+cpu", "torchvision==0.28.0+cpu"} <= set(project.dependencies)
    lock = parse_lock((adopted.folder / "requirements-torch.txt").read_text(encoding="utf-8"))
    assert lock.versions() == {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}
    assert adopted.placed("not kept") == ()


def test_the_line_that_names_the_version_is_where_it_is_said(repository: Repository, tmp_path: Path) -> None:
    folder = hand_made(
        tmp_path, REST | {"Dockerfile": f"FROM {CPU_BASE}\n{LOCK}\n{FROM_CPU_INDEX} {CPU_INDEX}\n"}
    )
    origins = {each.key: each.where for each in _project(repository, folder)[0].origins}
    assert origins["torch"] == "Dockerfile, line 4"


def test_a_line_without_a_version_is_named_in_the_error_that_asks_for_it(
    repository: Repository, tmp_path: Path
) -> None:
    lines = f"{LOCK}\nRUN pip install \\\n    torch --index-url {CPU_INDEX}\n"
    folder = hand_made(tmp_path, REST | {"Dockerfile": f"FROM {CPU_BASE}\n{lines}"})
    with pytest.raises(SpecError) as asked:
        _project(repository, folder)
    assert f"torch (Dockerfile, line 4 installs torch from {CPU_INDEX}" in asked.value.reason
    assert asked.value.solution == "Give what is missing: --torch 2.11.0"
    assert _project(repository, folder, AdoptOptions(torch="2.13.0"))[1].spec.indexes[0].packages == (
        "torch",
    )


def test_an_index_that_every_install_names_is_the_index_of_everything(
    repository: Repository, tmp_path: Path
) -> None:
    lines = f"RUN pip install -U pip\nRUN pip install -i {CPU_INDEX} torch==2.13.0+cpu training-hub==0.11.2\n"
    folder = hand_made(tmp_path, {"Dockerfile": f"FROM {CPU_BASE}\n{lines}"})
    adopted, project = _project(repository, folder)
    assert (project.spec.index_url, project.spec.indexes) == (CPU_INDEX, ())
    assert adopted.placed("not kept") == ()


def test_a_further_index_whose_packages_are_not_told_is_refused_with_its_line(
    repository: Repository, tmp_path: Path
) -> None:
    lines = f"{LOCK}\nRUN pip install einops --extra-index-url {CPU_INDEX}\n"
    folder = hand_made(tmp_path, MINIMAL | {"Dockerfile": f"FROM {BASE}\n{lines}"})
    assert f"line 3 installs einops from {CPU_INDEX}" in _not_kept(repository, folder)["Dockerfile", 3]


def test_local_versions_come_from_the_only_index_that_can_have_them(
    repository: Repository, tmp_path: Path
) -> None:
    lock = f"--extra-index-url {CPU_INDEX}\ntorch==2.13.0+cpu\ntraining-hub==0.11.2\n"
    files = {"Dockerfile": f"FROM {CPU_BASE}\n{LOCK}\n", "requirements.txt": lock}
    adopted, project = _project(repository, hand_made(tmp_path, files))
    (index,) = project.spec.indexes
    assert (index.url, index.packages, project.spec.index_url) == (CPU_INDEX, ("torch",), None)
    made = read_lock(adopted.folder)
    assert made is not None
    assert "torch" not in made.versions()


def test_a_lock_that_is_copied_under_another_name_is_the_one_that_is_installed(
    repository: Repository, tmp_path: Path
) -> None:
    files = {
        "Dockerfile": f"FROM {BASE}\nCOPY lock.cuda.txt ./lock.txt\nRUN uv pip install -r ./lock.txt\n",
        "lock.cuda.txt": MINIMAL["requirements.txt"],
        "lock.cpu.txt": "torch==2.11.0+cpu\n",
    }
    adopted, project = _project(repository, hand_made(tmp_path, files))
    assert project.spec.torch == "2.11.0"
    assert {each.path for each in adopted.placed("not kept")} == {"lock.cpu.txt"}


PROJECT_WITH_LIMITS = """\
[project]
dependencies = ["torch"]

[tool.uv]
constraint-dependencies = ["numpy<3"]
"""


def test_limits_that_the_dockerfile_installs_with_are_limits_of_the_lock(
    repository: Repository, tmp_path: Path
) -> None:
    files = {
        "Dockerfile": f"FROM {BASE}\nRUN pip install -r requirements.txt -c /tmp/limits.txt\n",
        "limits.txt": "urllib3>=2.6.2  # CVE-2026-1111\nnumpy<3\n",
        "pyproject.toml": PROJECT_WITH_LIMITS,
    }
    adopted, project = _project(repository, hand_made(tmp_path, MINIMAL | files))
    assert project.constraints == ("numpy<3", "urllib3>=2.6.2")
    assert '"urllib3>=2.6.2", # CVE-2026-1111' in (adopted.folder / "pyproject.toml").read_text("utf-8")
    assert adopted.placed("not kept") == ()


def test_limits_that_are_not_there_are_named(repository: Repository, tmp_path: Path) -> None:
    dockerfile = MINIMAL["Dockerfile"].replace("-r", "-c gone.txt -r")
    folder = hand_made(tmp_path, MINIMAL | {"Dockerfile": dockerfile})
    assert "gone.txt is not in the folder" in _not_kept(repository, folder)["Dockerfile", 2]


def test_what_is_no_file_is_named_and_not_read(repository: Repository, tmp_path: Path) -> None:
    folder = hand_made(tmp_path, MINIMAL)
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pyproject.toml")
    assert {("pipe", None), ("pyproject.toml", None)} == set(_not_kept(repository, folder))
