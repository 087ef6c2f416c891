"""The source-built PyTorch base and what stands on it, built through the templates with no network.

A small C extension stands in for PyTorch, Debian with a compiler for the devel image, and the stand-in
workbench for the parent; the files are those that `factory new-image` writes, but for the lists of
requirements.
"""

import hashlib
import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.built import factory
from support.podman import podman
from support.standin_torch import VERSION, make_standin
from support.wheels import make_wheel

pytestmark = pytest.mark.container

ROOT = Path(__file__).parents[2]
BASE = "torch-standin"
ARCH_LIST = "8.0;9.0+PTX"
SITE = "/opt/app-root/lib/python3.11/site-packages"
ASK = """import torch
print(torch._C._cuda_getArchFlags(), torch._C.jobs(), torch._C.little(), torch.__version__)"""


@dataclass(frozen=True, kw_only=True)
class Tiers:
    """A repository whose factory.toml has every tier and a separate lineage, and what they are built of."""

    root: Path
    mirror: Path
    commit: str
    prefetched: Path

    def build(self, name: str, *options: str | Path, status: int = 0) -> str:
        """Build one as plain podman does, with what factory.toml says; give what was printed."""
        table = tomllib.loads((self.root / "factory.toml").read_text())["images"][name]
        parents = table.get("parents") or {"BASE_IMAGE": table["parent"]}
        own = {
            key: f"localhost/{image}:test" if "/" not in image else image for key, image in parents.items()
        }
        mirror = {
            "PYTORCH_SOURCE": "file:///mirror/pytorch/pytorch.git",
            "SUBMODULE_MIRROR": "file:///mirror/",
        }
        given = own | table.get("build-args", {}) | (mirror if name == BASE else {})
        arguments = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
        return podman(
            "build", "--network", "none", "--pull=never", "--layers", *arguments,
            "--volume", f"{self.mirror}:/mirror:ro", "--volume", f"{self.prefetched}:/cachi2:ro",
            *options, self.root / "images" / name, status=status, timeout=600,
        )  # fmt: skip


@pytest.fixture(scope="module")
def devel_image(_engine: None) -> str:
    """The stand-in for NVIDIA's devel image."""
    script = ROOT / "scripts" / "standin-devel.sh"
    return subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory, base_image: str, devel_image: str) -> Tiers:
    """Base, stack, trainer and launcher, each started with `factory new-image`."""
    root = tmp_path_factory.mktemp("tiers")
    (root / "flavors").mkdir()
    mirror = root / "mirror"
    commit = make_standin(mirror)
    prefetched = root / "prefetched"
    wheels = prefetched / "output" / "deps" / "pip"
    prefetched.mkdir()
    (prefetched / "cachi2.env").write_text("export PIP_FIND_LINKS=/cachi2/output/deps/pip\n")
    for words in (
        (BASE, "--kind", "pytorch-base", "--accelerator", "cuda", "--accelerator-version", "13.0", "--python",
         "3.11", "--pytorch-version", VERSION, "--pytorch-commit", commit, "--arch-list",
         ARCH_LIST, "--parent", base_image, "--devel-image", devel_image),
        ("stack", "--kind", "stack", "--parent", BASE),
        ("trainer", "--kind", "trainer", "--parent", "stack"),
        ("launcher", "--kind", "launcher", "--parent", base_image),
    ):  # fmt: skip
        factory("--root", root, "new-image", *words)
    # cmake is of the layer that is for the build alone.
    for image, names in (
        (BASE, ("cmake", "standin-ninja", "standin-sympy")),
        ("stack", ("standin-transformers",)),
    ):
        lock = ""
        for name in names:
            wheel = make_wheel(wheels, name, "1.0")
            lock += f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
        (root / "images" / image / "requirements.txt").write_text(lock)
    return Tiers(root=root, mirror=mirror, commit=commit, prefetched=prefetched)


@pytest.fixture(scope="module")
def base(tiers: Tiers) -> Iterator[str]:
    """The image of the base, built once; what stands on it in these tests goes with it."""
    tag = f"localhost/{BASE}:test"
    tiers.build(BASE, "--tag", tag)
    yield tag
    names = [f"localhost/{name}:test" for name in (BASE, "stack", "trainer", "launcher", "torch-wheel")]
    podman("image", "rm", "--force", *names, status=None)


def test_what_was_compiled_runs_and_is_for_every_architecture_although_there_is_no_gpu(base: str) -> None:
    jobs = str(len(os.sched_getaffinity(0)))
    assert podman("run", "--rm", base, "python", "-c", ASK).split() == [
        "sm_80", "sm_90", "compute_90", jobs, "42", VERSION,
    ]  # fmt: skip
    assert (
        podman("run", "--rm", base, "python", "-c", "import torch; print(torch.cuda.get_arch_list())")
        == "[]\n"
    )
    assert podman("run", "--rm", base, "python", "-c", "import standin_sympy") == ""
    podman("run", "--rm", base, "python", "-c", "import cmake", status=1)


def test_the_final_image_has_no_compiler_and_no_leftovers(base: str) -> None:
    names = "gcc g++ cc c++ nvcc hipcc ld make git"
    searched = (
        f"for name in {names}; do command -v $name; done; ls -A /tmp; "
        "for folder in /build /facts; do if test -e $folder; then echo $folder; fi; done"
    )
    assert podman("run", "--rm", "--entrypoint", "sh", base, "-c", searched) == ""
    compiled = "find / -xdev -name '*.pyc' -path '*torch*'"
    assert podman("run", "--rm", "--user", "0", "--entrypoint", "sh", base, "-c", compiled) == ""


def test_group_0_may_write_what_was_installed_and_nobody_else(base: str) -> None:
    look = "stat -c '%u:%g %a' /opt/app-root/lib/python3.11/site-packages/torch /opt/app-root/bin/torchrun"
    folder, script = podman("run", "--rm", "--entrypoint", "sh", base, "-c", look).splitlines()
    assert (folder, script) == ("1001:0 775", "1001:0 775")


def test_the_labels_and_source_json_say_what_it_was_compiled_from(base: str, tiers: Tiers) -> None:
    labels = json.loads(podman("image", "inspect", base))[0]["Labels"]
    own = "io.universal-image-factory.pytorch"
    assert labels[f"{own}.version"] == labels["org.opencontainers.image.version"] == VERSION
    assert labels[f"{own}.commit"] == labels["org.opencontainers.image.revision"] == tiers.commit
    assert labels[f"{own}.arch-list"] == ARCH_LIST
    source = json.loads(podman("run", "--rm", base, "cat", "/usr/share/factory/pytorch/source.json"))
    assert (source["commit"], source["architectures"]) == (tiers.commit, ARCH_LIST)
    assert (source["tag"], source["triton"]) == (f"v{VERSION}", "3.99.0")


@pytest.fixture(scope="module")
def kept(base: str, tiers: Tiers) -> tuple[str, str]:
    """Options for a build that takes the wheel out of an image instead of compiling it."""
    tag = "localhost/torch-wheel:test"
    tiers.build(BASE, "--target", "wheel", "--tag", tag)
    return ("--build-context", f"wheel=container-image://{tag}")


def test_the_wheel_is_an_artifact_with_its_digest(base: str, tiers: Tiers, tmp_path: Path) -> None:
    made = tmp_path / "made"
    said = tiers.build(BASE, "--target", "wheel", "--output", f"type=local,dest={made}")
    assert "compiling PyTorch" not in said  # from the cache of the build before
    (wheel,) = made.glob("torch-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (made / "SHA256SUMS").read_text() == f"{digest}  {wheel.name}\n"
    assert json.loads((made / "source.json").read_text())["sha256"] == digest


def test_a_build_that_is_given_the_wheel_has_no_use_for_sources_and_compiler(
    tiers: Tiers, kept: tuple[str, str]
) -> None:
    said = tiers.build(BASE, *kept, "--build-arg", "PYTORCH_SOURCE=file:///nowhere")
    assert " AS fetch\n" not in said
    assert " AS build\n" not in said
    assert podman("run", "--rm", said.split()[-1], "python", "-c", ASK).split()[-1] == VERSION


@pytest.fixture(scope="module")
def parent(tiers: Tiers, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A parent that has a PyTorch and an older one of the base's requirements."""
    folder = tmp_path_factory.mktemp("parent")
    old = {
        "standin_sympy/__init__.py": "",
        "standin_sympy/gone/__init__.py": "",
        "standin_sympy_more.py": "",
    }
    for name, modules in (("standin-sympy", old), ("torch", {"torch/__init__.py": "", "torch/old.so": ""})):
        make_wheel(folder, name, "0.9", modules=modules)
    install = "pip install --no-index --no-deps --no-compile --no-cache-dir /*.whl"
    lines = ["USER 0", "COPY *.whl /", f"RUN {install} && rm /*.whl"]
    # As a copy over an environment leaves it, and what something else has left.
    commands = (
        f"cd {SITE}",
        "python -m compileall -q standin_sympy",
        "touch standin_sympy/made-here",
        "mkdir broken-1.dist-info",
        "cp -r torch-0.9.dist-info torch-0.8.dist-info",
        "sed -i s/0.9.dist/0.8.dist/ torch-0.8.dist-info/RECORD",
    )
    lines.append(f"RUN {' && '.join(commands)}")
    (folder / "Dockerfile").write_text("\n".join([f"FROM {base_image}", *lines]))
    tag = "localhost/torch-parent:test"
    podman("build", "--network", "none", "--pull=never", "--tag", tag, folder)
    yield tag
    podman("image", "rm", "--force", tag)


def test_what_a_parent_has_of_it_is_replaced_and_leaves_one_description(
    tiers: Tiers, kept: tuple[str, str], parent: str
) -> None:
    said = tiers.build(BASE, *kept, "--build-arg", f"BASE_IMAGE={parent}")
    assert "torch 2.99.0 takes the place of the parent's 0.9\n" in said
    look = f"cd {SITE} && find torch* standin_sympy* -not -name '*.pyc' | sort"
    before, after = (
        set(podman("run", "--rm", "--entrypoint", "bash", image, "-c", look).split())
        for image in (parent, said.split()[-1])
    )
    assert {"torch-0.9.dist-info", "torch-0.8.dist-info", "torch/old.so", "standin_sympy_more.py"} <= before
    assert {name for name in after if name.endswith(".dist-info")} == {
        f"torch-{VERSION}.dist-info",
        "standin_sympy-1.0.dist-info",
    }
    assert {"torch/old.so", "standin_sympy_more.py", "standin_sympy/gone"} & after == set()
    # What no RECORD has stays, as after pip.
    assert "standin_sympy/made-here" in after


def test_a_tag_that_is_another_commit_ends_the_build_before_anything_is_compiled(
    base: str, tiers: Tiers
) -> None:
    said = tiers.build(BASE, "--build-arg", f"PYTORCH_COMMIT={'1' * 40}", status=1)
    assert f"is the commit {tiers.commit}, not {'1' * 40}" in said
    assert "compiling PyTorch" not in said


def test_an_architecture_that_was_left_out_ends_the_build(tiers: Tiers, kept: tuple[str, str]) -> None:
    said = tiers.build(BASE, *kept, "--build-arg", "TORCH_CUDA_ARCH_LIST=8.0;8.6+PTX;9.0", status=1)
    assert "torch was not compiled for sm_86, compute_86, only for sm_80, sm_90, compute_90" in said


def test_a_wheel_of_another_commit_is_not_taken_for_the_one_that_was_asked_for(
    tiers: Tiers, kept: tuple[str, str]
) -> None:
    said = tiers.build(BASE, *kept, "--build-arg", f"PYTORCH_COMMIT={'1' * 40}", status=1)
    assert f"torch was compiled from {tiers.commit}, and {'1' * 40} was asked for" in said


def test_a_stack_and_a_trainer_stand_on_it_and_the_launcher_on_something_else(
    base: str, tiers: Tiers
) -> None:
    for name in ("stack", "trainer", "launcher"):
        tiers.build(name, "--tag", f"localhost/{name}:test")
    both = "import torch, standin_transformers; print(torch.__version__)"
    assert podman("run", "--rm", "localhost/stack:test", "python", "-c", both).strip() == VERSION
    started = podman("run", "--rm", "--user", "123456:0", "--read-only", "localhost/trainer:test")
    assert started.split() == ["torchrun", "--standalone", "--nproc-per-node=1", "train.py"]
    printed = podman(
        "run", "--rm", "--user", "123456:0", "--read-only", "localhost/launcher:test",
        "--dry-run", "--nodes", "2", "first", "localhost/trainer:test", "train.py", "--steps", "3",
    )  # fmt: skip
    job = json.loads(printed)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (job["spec"]["completions"], container["image"]) == (2, "localhost/trainer:test")
    assert container["args"][-3:] == ["train.py", "--steps", "3"]
