"""new-image: a folder and a table that appear together, or a refusal that leaves nothing behind."""

import subprocess
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from support.clean_flavor import NAME, make_flavor, make_repository

from factory.check.check import check_flavors
from factory.clock import today
from factory.dockerfile.model import Dockerfile, read_dockerfile
from factory.errors import FactoryError, FlavorExistsError, SpecError, TemplateError
from factory.flavor.kinds import Kind
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.inputs import read_inputs
from factory.images.new_image import (
    Declaration,
    ImageRequest,
    NewImage,
    PyTorchRequest,
    new_image,
    with_declaration,
)
from factory.lock.given import given_packages
from factory.lock.lockset import read_lock_set
from factory.render.drift import find_drift
from factory.render.image_templates import image_kinds, load_image_template
from factory.render.templates import load_template_set
from factory.sbom.model import LockedFlavor, packages_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CUDA = PyTorchRequest(
    accelerator="cuda", accelerator_version="13.0", version="2.11.0", commit=COMMIT, python="3.12"
)
ROCM = replace(CUDA, accelerator="rocm", accelerator_version="7.1")
BASE = ImageRequest(name="torch-cu130", kind="pytorch-base", pytorch=CUDA)
STACK = ImageRequest(name="stack", kind="stack", parent="registry.example.com/base:1", python="3.12")
TRAINER = ImageRequest(name="trainer", kind="trainer", parent="stack")
LAUNCHER = ImageRequest(
    name="launcher", kind="launcher", parent="registry.example.com/python@sha256:" + "0" * 64
)
TIERS = (
    BASE,
    ImageRequest(name="torch-rocm71", kind="pytorch-base", pytorch=ROCM),
    replace(STACK, parent="torch-cu130", python=None),
    TRAINER,
    LAUNCHER,
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


def _table(repository: Repository, name: str) -> dict[str, Any]:
    document = tomllib.loads((repository.root / "factory.toml").read_text(encoding="utf-8"))
    table: dict[str, Any] = document["images"][name]
    return table


def _everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_tier_and_a_separate_lineage_are_started_one_after_the_other(repository: Repository) -> None:
    for request in TIERS:
        made = new_image(repository, request)
        assert dict(made.files) == {
            path.removeprefix(f"images/{request.name}/"): len(content)
            for path, content in _everything(repository.root).items()
            if path.startswith(f"images/{request.name}/")
        }
    assert _table(repository, "stack") == {"kind": "stack", "parent": "torch-cu130"}
    assert _table(repository, "trainer")["parent"] == "stack"
    assert _table(repository, "launcher")["parent"].startswith("registry.example.com/python@")
    catalogue = read_catalogue(repository)
    assert set(catalogue.names) == {request.name for request in TIERS}
    assert [parent.argument for parent in catalogue.definition(BASE.name).parents] == [
        "BASE_IMAGE",
        "DEVEL_IMAGE",
    ]


def test_all_that_a_dockerfile_copies_is_there_and_decides_the_identity(repository: Repository) -> None:
    for request in TIERS:
        new_image(repository, request)
        if (repository.root / "images" / request.name / "pyproject.toml").exists():
            (repository.root / "images" / request.name / "requirements.txt").write_text("")
    catalogue = read_catalogue(repository)
    inputs = {name: set(read_inputs(catalogue.definition(name))) for name in catalogue.names}
    assert inputs["stack"] == {"Dockerfile", "package-layers.sh", "requirements.txt"}
    assert inputs["trainer"] == {"Dockerfile", "src/train.py"}
    assert inputs["launcher"] == {"Dockerfile", "src/launch.py"}
    # What a lock is made from changes nothing until it is locked again.
    folder = repository.root / "images" / BASE.name
    there = {path.name for path in folder.iterdir()}
    assert inputs[BASE.name] == there - {"pyproject.toml"}


@pytest.mark.parametrize("kind", ["stack", "trainer", "launcher"])
def test_what_a_test_run_leaves_beside_the_code_changes_nothing(repository: Repository, kind: Kind) -> None:
    new_image(repository, replace(STACK, kind=kind))
    definition = read_catalogue(repository).definition("stack")
    (definition.folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY . /app/\n")
    before = read_inputs(definition)
    for path in ("__pycache__/a.pyc", "src/__pycache__/b", "src/c.pyc", "src/.pytest_cache/d", ".git/e"):
        (definition.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (definition.folder / path).write_text("")
    assert read_inputs(definition) == before


def test_a_source_built_base_says_in_factory_toml_what_it_compiles_and_from_what(
    repository: Repository,
) -> None:
    new_image(repository, replace(BASE, registry=None))
    table = _table(repository, BASE.name)
    assert table["build-args"] == {
        "PYTORCH_VERSION": "2.11.0",
        "PYTORCH_COMMIT": COMMIT,
        "TORCH_CUDA_ARCH_LIST": "7.5;8.0;8.6;8.9;9.0",
    }
    assert "13.0.0-cudnn-devel" in table["parents"]["DEVEL_IMAGE"]
    assert "13.0.0-cudnn-runtime" in table["parents"]["BASE_IMAGE"]


@pytest.mark.parametrize(
    ("version", "architectures"), [("6.4", "gfx90a;gfx942"), ("7.1.1", "gfx90a;gfx942;gfx950")]
)
def test_rocm_has_the_architectures_that_its_version_knows(
    repository: Repository, version: str, architectures: str
) -> None:
    new_image(repository, replace(BASE, pytorch=replace(ROCM, accelerator_version=version)))
    table = _table(repository, BASE.name)
    assert table["build-args"]["PYTORCH_ROCM_ARCH"] == architectures
    assert version in table["parents"]["DEVEL_IMAGE"]
    assert "rocm-py312" in table["parents"]["BASE_IMAGE"]


def test_the_architectures_and_the_parents_are_those_that_were_given(repository: Repository) -> None:
    asked = replace(BASE, parent="registry.example.com/a:1", devel_image="registry.example.com/b:1")
    new_image(repository, replace(asked, pytorch=replace(CUDA, arch_list="8.0 9.0a;10.0+PTX")))
    table = _table(repository, BASE.name)
    assert table["build-args"]["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0a;10.0+PTX"
    assert table["parents"] == {
        "BASE_IMAGE": "registry.example.com/a:1", "DEVEL_IMAGE": "registry.example.com/b:1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (replace(STACK, name="../elsewhere"), SpecError, "'../elsewhere' is a path"),
        (replace(STACK, name="UPPER"), SpecError, "'UPPER' cannot be the name"),
        (replace(STACK, name=NAME), FlavorExistsError, "a flavor is named"),
        (replace(STACK, parent=None), SpecError, "is built on another image"),
        (replace(STACK, parent="no-such-image"), SpecError, "neither an image of this repository"),
        (
            replace(STACK, parent="registry.example.com/base"),
            SpecError,
            "nor a reference with a tag or digest",
        ),
        (replace(STACK, registry="nowhere"), SpecError, "'nowhere' is not declared"),
        (replace(STACK, pytorch=CUDA), SpecError, "compiles no PyTorch"),
        (replace(STACK, devel_image="registry.example.com/b:1"), SpecError, "compiles no PyTorch"),
        (replace(STACK, kind="flavor"), TemplateError, "no template"),
        (replace(STACK, parent="wandb/agent:1"), SpecError, "is a short name"),
        (replace(STACK, python=None), SpecError, "installs packages for the Python of"),
        (replace(STACK, python="3.12.1"), SpecError, "3.12.1"),
        (replace(STACK, parent=NAME, python="3.9"), SpecError, "has Python 3"),
        (replace(STACK, packages=("trl >= x",)), SpecError, "is not a requirement"),
        (replace(STACK, packages=("trl @ https://example.com/trl.whl",)), SpecError, "is not a requirement"),
        (replace(STACK, keep_entrypoint=True), SpecError, "the entry point that its Dockerfile says"),
        (replace(STACK, kind="trainer", extras=("cloud-storage",)), SpecError, "has no cloud-storage"),
        (replace(BASE, packages=("trl",)), SpecError, "has the packages that compiling"),
        (replace(BASE, pytorch=None), SpecError, "which PyTorch"),
        (replace(BASE, pytorch=replace(CUDA, accelerator="cpu")), SpecError, "not compiled for 'cpu'"),
        (replace(BASE, pytorch=replace(CUDA, commit="v2.11.0")), SpecError, "is not a commit"),
        (replace(BASE, pytorch=replace(CUDA, commit=COMMIT[:12])), SpecError, "is not a commit"),
        (replace(BASE, pytorch=replace(CUDA, version="v2.11.0")), SpecError, "v2.11.0"),
        (replace(BASE, pytorch=replace(CUDA, python="3.12.1")), SpecError, "3.12.1"),
        (replace(BASE, pytorch=replace(CUDA, accelerator_version="13")), SpecError, "'13'"),
        (replace(BASE, pytorch=replace(CUDA, arch_list="")), SpecError, "is not an architecture of cuda"),
        (replace(BASE, pytorch=replace(CUDA, arch_list="8.0;Hopper")), SpecError, "'Hopper'"),
        (replace(BASE, pytorch=replace(CUDA, arch_list='8.0" && rm')), SpecError, "is not an architecture"),
        (replace(BASE, pytorch=replace(ROCM, arch_list="9.0")), SpecError, "is not an architecture of rocm"),
    ],
    ids=str,
)
def test_a_refusal_says_why_and_leaves_nothing_behind(
    repository: Repository, request_: ImageRequest, error: type[FactoryError], says: str
) -> None:
    make_flavor(repository)
    before = _everything(repository.root)
    with pytest.raises(error, match=says.replace("(", r"\(")):
        new_image(repository, request_)
    assert _everything(repository.root) == before
    assert not (repository.root / "images").exists()


def test_a_dry_run_tells_the_same_and_writes_nothing(repository: Repository) -> None:
    dry = new_image(repository, BASE, dry_run=True)
    assert list(repository.root.iterdir()) == [repository.flavors_folder]
    assert replace(dry, written=True) == new_image(repository, BASE)


def test_a_name_that_is_declared_and_a_folder_that_is_there_are_refused_and_stay(
    repository: Repository,
) -> None:
    new_image(repository, STACK)
    before = _everything(repository.root)
    with pytest.raises(FlavorExistsError, match=r"\[images.stack\]"):
        new_image(repository, STACK)
    other = repository.root / "images" / "other"
    other.mkdir()
    with pytest.raises(FlavorExistsError, match="exists already"):
        new_image(repository, replace(STACK, name="other"))
    (other / "mine.txt").write_text("mine")
    with pytest.raises(FlavorExistsError, match="exists already"):
        new_image(repository, replace(STACK, name="other"))
    assert _everything(repository.root) == before | {"images/other/mine.txt": b"mine"}


def test_what_a_killed_run_left_is_completed_by_the_next(repository: Repository) -> None:
    made = new_image(repository, STACK)
    # As after a kill between the two renames: the folder is there, and its table is not.
    (repository.root / "factory.toml").unlink()
    assert new_image(repository, STACK) == made
    assert _table(repository, "stack")["kind"] == "stack"


def test_of_many_at_once_each_is_there_in_the_end(repository: Repository) -> None:
    names = [f"stack-{number}" for number in range(6)]
    outcomes: list[NewImage | FactoryError] = []

    def start(name: str) -> None:
        try:
            outcomes.append(new_image(repository, replace(STACK, name=name)))
        except FactoryError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start, args=(name,)) for name in [*names, *names]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        sorted(type(outcome).__name__ for outcome in outcomes) == ["FlavorExistsError"] * 6 + ["NewImage"] * 6
    )
    assert {name: _table(repository, name)["kind"] for name in names} == dict.fromkeys(names, "stack")


DECLARED = Declaration(name="new", kind="stack", parents={"BASE_IMAGE": "base"}, build_args={})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# alone",
        '[images.old]  # kept\nkind = "stack"\n\n\n[konflux]\napplication = "x" # and this',
        "[images]\n",
        'images.old.kind = "stack"\n',
        '[konflux]\r\napplication = "x"\r\n',
    ],
)
def test_an_image_is_added_at_the_end_and_the_rest_stays_byte_for_byte(text: str) -> None:
    after = with_declaration(text, DECLARED)
    assert after.startswith(text)
    assert after.count("\r\n") == (after.count("\n") if "\r" in text else 0)
    new = tomllib.loads(after)["images"].pop("new")
    assert new == {"kind": "stack", "parent": "base"}


def test_a_table_of_images_that_is_closed_is_refused(repository: Repository) -> None:
    path = repository.root / "factory.toml"
    path.write_text("images = {}\n")
    with pytest.raises(SpecError, match="cannot be added"):
        new_image(repository, STACK)
    assert path.read_text() == "images = {}\n"
    assert not (repository.root / "images").exists()


def test_tables_that_are_wrong_already_are_told_before_anything_is_done(repository: Repository) -> None:
    path = repository.root / "factory.toml"
    path.write_text("images = 5\n")
    with pytest.raises(SpecError, match="images is not a table"):
        new_image(repository, STACK)
    path.write_text('[images.old]\nkind = "stack"\nparent = "gone"\n')
    with pytest.raises(SpecError, match="'gone' is neither an image"):
        new_image(repository, STACK)
    assert not (repository.root / "images").exists()


def test_a_name_may_have_a_version_in_it(repository: Repository) -> None:
    new_image(repository, replace(STACK, name="stack-1.2"))
    assert read_catalogue(repository).names == ("stack-1.2",)


def test_the_templates_of_images_are_no_template_sets_for_flavors() -> None:
    assert image_kinds() == ("launcher", "pytorch-base", "stack", "trainer")
    for kind in image_kinds():
        with pytest.raises(TemplateError, match="no template set"):
            load_template_set(kind)


def _instructions(repository: Repository, name: str) -> list[tuple[str, str]]:
    return [(found.name, found.text) for found in _dockerfile(repository, name).instructions]


def _dockerfile(repository: Repository, name: str) -> Dockerfile:
    return read_dockerfile((repository.root / "images" / name / "Dockerfile").read_bytes())


@pytest.mark.parametrize("request_", TIERS, ids=lambda request: request.name)
def test_a_dockerfile_names_its_parents_as_arguments(repository: Repository, request_: ImageRequest) -> None:
    for request in TIERS:
        new_image(repository, request)
    found = _instructions(repository, request_.name)
    first = next(index for index, (name, _) in enumerate(found) if name == "FROM")
    # Without a default: factory.toml alone says what an image stands on.
    assert [text for _, text in found[:first]] == list(load_image_template(request_.kind).arguments)
    stages = _dockerfile(repository, request_.name).stages
    names = {stage.name for stage in stages} | {"${BASE_IMAGE}", "${DEVEL_IMAGE}", "scratch"}
    assert {stage.image for stage in stages} <= names


@pytest.mark.parametrize("name", [request.name for request in TIERS if request.kind != "launcher"])
def test_a_dockerfile_ends_as_a_user_that_is_not_root(repository: Repository, name: str) -> None:
    for request in TIERS:
        new_image(repository, request)
    assert [text for found, text in _instructions(repository, name) if found == "USER"][-1] == "1001"


def test_a_launcher_that_keeps_the_entry_point_changes_nothing_that_its_parent_is_started_with(
    repository: Repository,
) -> None:
    new_image(repository, replace(LAUNCHER, keep_entrypoint=True))
    names = {found for found, _ in _instructions(repository, LAUNCHER.name)}
    assert names == {"ARG", "FROM", "COPY", "LABEL"}


def test_a_launcher_starts_its_own_program_else(repository: Repository) -> None:
    new_image(repository, LAUNCHER)
    assert ("ENTRYPOINT", '["python3", "/opt/launcher/launch.py"]') in _instructions(
        repository, LAUNCHER.name
    )


@pytest.mark.parametrize("kind", ["trainer", "launcher"])
def test_what_installs_packages_has_a_project_and_is_to_be_locked(repository: Repository, kind: Kind) -> None:
    without = new_image(repository, replace(STACK, name="without", kind=kind, python=None))
    made = new_image(repository, replace(STACK, kind=kind, packages=("trl>=0.24,<2", 'tqdm; os_name == "x"')))
    assert (without.locks, made.locks) == (False, True)
    own = {"pyproject.toml", "package-layers.sh"}
    assert {name for name, _ in made.files} - {name for name, _ in without.files} == own
    image = repository.image("stack")
    assert image.project.dependencies == ("trl>=0.24,<2", 'tqdm; os_name == "x"')
    assert image.project.spec.python == "3.12"
    assert list(made.describe())[-1] == "Next: factory lock stack && factory build stack"
    assert find_drift(image) == ()


def test_a_stack_has_cloud_storage_if_that_is_asked_for(repository: Repository) -> None:
    new_image(repository, STACK)
    new_image(repository, replace(STACK, name="cloud", extras=("cloud-storage",)))
    names = [
        {Requirement(text).name for text in repository.image(name).project.dependencies}
        for name in ("stack", "cloud")
    ]
    assert {"accelerate", "datasets", "huggingface-hub", "peft", "transformers", "wandb"} <= names[0]
    assert names[1] - names[0] == {"gcsfs", "s3fs"}


def test_what_the_build_of_a_base_needs_alone_is_not_given_to_images_on_it_nor_in_its_sbom(
    repository: Repository,
) -> None:
    new_image(repository, BASE)
    base = repository.image(BASE.name)
    pins = "".join(
        f"{name}==1 --hash=sha256:{'0' * 64}\n" for name in ("cmake", "jinja2", "mkl-static", "uv")
    )
    (base.folder / "requirements.txt").write_text(pins)
    new_image(repository, replace(STACK, parent=BASE.name, python=None))
    given = given_packages(repository.image("stack").project)
    assert given.versions == {"torch": "2.11.0", "jinja2": "1", "uv": "1"}
    locks = read_lock_set(base.folder, base.project.spec)
    assert locks is not None
    locked = LockedFlavor(name=base.name, spec=base.project.spec, locks=locks)
    assert [package.name for package in packages_of(locked)] == ["jinja2", "uv"]
    # The script of the base has the layers; its Dockerfile names none.
    script = (base.folder / "package-layers.sh").read_text()
    assert "'build certifi charset-normalizer cmake" in script


def test_layers_that_the_dockerfile_does_not_install_and_others_that_it_does_are_found(
    repository: Repository,
) -> None:
    new_image(repository, STACK)
    folder = repository.root / "images" / "stack"
    project, dockerfile = folder / "pyproject.toml", folder / "Dockerfile"
    project.write_text(project.read_text() + '\n[tool.factory.layers]\nlarge = ["pyarrow"]\n')
    dockerfile.write_text(dockerfile.read_text().replace("/layers/rest/", "/layers/small/"))

    def found() -> list[str]:
        image = Repository(repository.root).image("stack")
        report = check_flavors([image], root=repository.root, today=today(), others=[image])
        return [finding.message for finding in report.findings if finding.code == "FAC421"]

    assert found() == [
        "the layer large of pyproject.toml is not installed",
        "the layer rest of pyproject.toml is not installed",
        "the layer small is installed, and pyproject.toml has none of that name",
    ]
    text = dockerfile.read_text()
    copied = next(line for line in text.splitlines() if line.startswith("COPY --from=builder"))
    lines = (copied.replace("/small/", f"/{name}/") for name in ("large", "rest"))
    dockerfile.write_text(text.replace(copied, "\n".join(lines)))
    assert found() == []


@pytest.mark.parametrize(
    "request_", [replace(STACK, packages=("trl",)), BASE, replace(LAUNCHER, packages=("trl",), python="3.12")]
)
def test_the_rules_find_nothing_in_a_new_image_but_that_it_is_not_locked(
    repository: Repository, request_: ImageRequest
) -> None:
    new_image(repository, request_)
    image = repository.image(request_.name)
    report = check_flavors([image], root=repository.root, today=today(), others=[image])
    assert {finding.code for finding in report.findings} <= {"FAC301", "FAC217"}


def test_no_compiler_and_no_sources_reach_the_final_stage(repository: Repository) -> None:
    new_image(repository, BASE)
    found = _instructions(repository, BASE.name)
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    assert found[last][1] == "runtime"
    origins = {
        word.removeprefix("--from=")
        for name, text in found[last:]
        if name == "COPY"
        for word in text.split()
        if word.startswith("--from=")
    }
    assert origins == {"install", "locks", "wheel"}


@pytest.mark.parametrize("request_", TIERS, ids=lambda request: request.name)
def test_hadolint_and_shellcheck_have_nothing_to_say(repository: Repository, request_: ImageRequest) -> None:
    for request in TIERS:
        new_image(repository, request)
    folder = repository.root / "images" / request_.name
    linters = [["hadolint", "--no-color", "Dockerfile"]]
    if scripts := sorted(path.name for path in folder.glob("*.sh")):
        linters.append(["shellcheck", *scripts])
    for program, *words in linters:
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "")
