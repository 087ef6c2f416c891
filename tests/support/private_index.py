"""A private index as a product has it, made up from small wheels, beside a public one full of bait.

Three indexes (CUDA, ROCm, CPU) serve one release and three more the next one: the same versions with
new bytes, some newer ones, and gaps. The public index has every private name at `BAIT`, which nothing
may ever pick, fetch or suggest, and each server keeps a log of what it was asked for.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.locked_once import LockedOnce
from support.wheels import make_sdist, make_wheel
from support.workshop import Run

from factory.cli.main import main
from factory.flavor.repository import Flavor, Repository
from factory.render.create import FlavorRequest, create_flavor

VARIANTS = ("cuda130", "rocm714", "cpu")
CUDA = "th09-cuda130-torch2110-py312"
ROCM = "th09-rocm714-torch2110-py312"
CPU = "th09-cpu-torch2110-py312"
FLAVORS = {"cuda130": CUDA, "rocm714": ROCM, "cpu": CPU}
BAIT = "99.7.31"
"""The version of everything on the public index: above all others, and like nothing else in a text."""
INTERNAL = "aipcc-kernels"
"""A package that only the private indexes have, but for whoever took its name on the public one."""

_REQUESTS = {
    "cuda130": FlavorRequest(
        accelerator="cuda",
        accelerator_version="13.0",
        torch="2.11.0",
        python="3.12",
        training_hub="0.9.2",
        platforms=("linux/amd64", "linux/arm64"),
    ),
    "rocm714": FlavorRequest(
        accelerator="rocm", accelerator_version="7.14", torch="2.11.0", python="3.12", training_hub="0.9.2"
    ),
    "cpu": FlavorRequest(
        accelerator="cpu",
        accelerator_version=None,
        torch="2.11.0",
        python="3.12",
        training_hub="0.9.2",
        platforms=("linux/amd64", "linux/arm64"),
    ),
}
_PLATFORMS = {
    "cuda130": ("x86_64", "aarch64"),
    "rocm714": ("x86_64",),
    "cpu": ("x86_64", "aarch64"),
}
_LOCAL = {"cuda130": "+cu130", "rocm714": "+rocm7.14", "cpu": "+cpu"}
_GPU = ("cuda130", "rocm714")
_NVIDIA = {
    "nvidia-cublas": "13.1.0.3",
    "nvidia-cuda-runtime": "13.0.96",
    "nvidia-cudnn-cu13": "9.19.0.56",
    "nvidia-nccl-cu13": "2.28.9",
}


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project of the private indexes.

    ``versions`` are those of this release and ``following`` those that the next one has beside them;
    ``native`` has a wheel for each platform, otherwise one serves all; ``local`` says that the
    version carries the variant, as torch's does; ``requires_of`` is what one variant requires besides.
    """

    name: str
    versions: tuple[str, ...]
    following: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    requires_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    native: bool = False
    local: bool = False
    variants: tuple[str, ...] = VARIANTS


PROJECTS = (
    Project(
        name="torch",
        versions=("2.11.0",),
        requires=("filelock", "jinja2", "networkx", "sympy", "setuptools", "typing-extensions>=4.10"),
        requires_of={
            "cuda130": ("triton==3.6.0", *(f"{name}=={version}" for name, version in _NVIDIA.items())),
            "rocm714": ("triton==3.6.0", "rocm-libs>=7.14"),
        },
        native=True,
        local=True,
    ),
    Project(name="triton", versions=("3.6.0",), native=True, variants=_GPU),
    *(
        Project(name=name, versions=(version,), native=True, variants=("cuda130",))
        for name, version in _NVIDIA.items()
    ),
    Project(name="rocm-libs", versions=("7.14.0",), native=True, variants=("rocm714",)),
    Project(
        name="flash-attn",
        versions=("2.8.2", "2.8.3"),
        requires=("torch", "einops", f"{INTERNAL}>=1.2"),
        native=True,
        local=True,
        variants=_GPU,
    ),
    Project(
        name="mamba-ssm",
        versions=("2.2.6",),
        requires=("torch", "triton", "ninja", "einops", "transformers", "packaging"),
        extras={"causal-conv1d": ("causal-conv1d>=1.5",)},
        native=True,
        local=True,
        variants=_GPU,
    ),
    Project(
        name="causal-conv1d",
        versions=("1.5.3",),
        requires=("torch", "packaging"),
        native=True,
        local=True,
        variants=_GPU,
    ),
    Project(
        name="deepspeed",
        versions=("0.18.4",),
        following=("0.18.5",),
        requires=("torch", "numpy", "ninja", "packaging", "tqdm"),
        variants=_GPU,
    ),
    Project(name=INTERNAL, versions=("1.2.0",), following=("1.3.0",), native=True, variants=_GPU),
    Project(
        name="training-hub",
        versions=("0.9.1", "0.9.2"),
        following=("0.10.0",),
        requires=(
            "torch>=2.6.0",
            "transformers>=4.57.6",
            "datasets>=4.0.0",
            "numpy>=1.26.4",
            "numba>=0.61.2",
            "peft>=0.15",
            "accelerate>=0.34.2",
            "packaging>=24.2",
            "urllib3>=2.4",
        ),
        extras={
            "cuda": (
                "flash-attn>=2.8",
                "einops>=0.8",
                "kernels>=0.9.0",
                "bitsandbytes>=0.47.0",
                "liger-kernel>=0.5.10",
                "mamba-ssm[causal-conv1d]>=2.2.5",
            ),
            "lora": ("unsloth>=2026.1.1", "trl>=0.18.0"),
        },
    ),
    Project(name="unsloth", versions=("2026.10.7",), requires=("torch", "triton"), variants=_GPU),
    Project(
        name="transformers",
        versions=("4.57.6", "5.0.0"),
        following=("5.5.0",),
        requires=("tokenizers>=0.22", "numpy", "packaging", "safetensors", "tqdm"),
    ),
    Project(name="tokenizers", versions=("0.22.1",), following=("0.23.0",), native=True),
    Project(name="numpy", versions=("2.3.5", "2.4.1"), following=("2.4.2",), native=True),
    Project(name="pillow", versions=("12.1.0", "12.2.0"), following=("12.3.0",), native=True),
    Project(name="urllib3", versions=("2.6.1", "2.6.2"), following=("2.6.3",)),
    Project(name="accelerate", versions=("1.12.0",), requires=("torch", "numpy", "packaging")),
    Project(name="datasets", versions=("4.4.1",), requires=("numpy", "pyarrow", "fsspec", "tqdm", "urllib3")),
    Project(name="pyarrow", versions=("22.0.0",), native=True),
    Project(name="fsspec", versions=("2025.9.0",)),
    Project(name="peft", versions=("0.18.0",), requires=("torch", "transformers", "accelerate")),
    Project(name="trl", versions=("0.24.0",), requires=("transformers", "accelerate", "datasets")),
    Project(name="safetensors", versions=("0.6.2",), native=True),
    Project(name="sentencepiece", versions=("0.2.1",), native=True),
    Project(name="einops", versions=("0.8.1",)),
    Project(name="numba", versions=("0.61.2",), requires=("llvmlite", "numpy"), native=True),
    Project(name="llvmlite", versions=("0.44.0",), native=True),
    Project(name="tensorboard", versions=("2.20.0",), requires=("numpy", "pillow", "protobuf")),
    Project(name="protobuf", versions=("6.33.0",)),
    Project(name="bitsandbytes", versions=("0.48.1",), requires=("torch",), native=True, variants=_GPU),
    Project(name="kernels", versions=("0.10.3",), requires=("packaging",), variants=_GPU),
    Project(name="liger-kernel", versions=("0.6.2",), requires=("torch", "triton"), variants=_GPU),
    Project(name="ninja", versions=("1.13.0",), native=True),
    *(
        Project(name=name, versions=(version,))
        for name, version in {
            "filelock": "3.20.0",
            "jinja2": "3.1.6",
            "networkx": "3.5",
            "sympy": "1.14.0",
            "setuptools": "80.9.0",
            "typing-extensions": "4.15.0",
            "packaging": "25.0",
            "tqdm": "4.67.1",
        }.items()
    ),
)
NAMES = frozenset(project.name for project in PROJECTS)
# What the next release of an index lacks: the project as a whole, a version that satisfies the
# flavor (it has the one named), or a wheel for one of its platforms (it has those named).
NO_VERSION_AT_ALL = {"cuda130": "mamba-ssm"}
NO_VERSION_THAT_SATISFIES = {"cuda130": {"bitsandbytes": ("0.47.0",)}}
NO_WHEEL_FOR_A_PLATFORM = {"cuda130": {"numba": ("x86_64",)}}


@dataclass(frozen=True, kw_only=True)
class PrivateWorld:
    """A repository with a flavor for each variant, not locked, and the indexes around it.

    ``indexes`` are those of this release by variant, ``following`` those of the next; ``elsewhere`` is
    an empty folder outside of the repository, where commands are run. ``caches`` are what uv and the
    factory keep, and ``kept`` what locks of the same state left there and in the repository.
    """

    root: Path
    elsewhere: Path
    indexes: Mapping[str, IndexServer]
    following: Mapping[str, IndexServer]
    public: IndexServer
    capsys: pytest.CaptureFixture[str]
    caches: Sequence[Path]
    kept: LockedOnce

    @property
    def servers(self) -> tuple[IndexServer, ...]:
        """Every server, the public one last."""
        return (*self.indexes.values(), *self.following.values(), self.public)

    def folder(self, flavor: str) -> Path:
        """The folder of a flavor."""
        return self.root / "flavors" / flavor

    def flavor(self, name: str) -> Flavor:
        """A flavor as it stands now."""
        return Flavor(self.folder(name))

    def run(self, *arguments: str | Path) -> Run:
        """Run ``factory`` in this process, on this repository."""
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), *map(str, arguments)])
        captured = self.capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Run(status=status, out=captured.out, err=captured.err)

    def locked(self, *flavors: str) -> None:
        """Lock flavors that can be locked: the named ones, or all of them. The logs are empty after it."""
        names = flavors or ("--all",)

        def lock() -> None:
            run = self.run("lock", *names)
            assert run.status == 0, run.err

        read = (self.root, *(server.folder for server in self.servers))
        self.kept.run(names, read=read, written=(self.root, *self.caches), lock=lock)
        self.forget()

    def forget(self) -> None:
        """Empty the logs of the servers."""
        for server in self.servers:
            server.requests.clear()

    def repush(self, variant: str, *names: str) -> None:
        """Push projects of this release again: the same versions and files with other bytes."""
        for project in PROJECTS:
            if project.name in names:
                _push(self.indexes[variant].folder, project, variant, versions=project.versions, salt="again")


def asked_for(server: IndexServer) -> frozenset[str]:
    """The normalized names of the projects that a server was asked for, by page or by file."""
    found = set()
    for request in server.requests:
        kind, _, rest = request.path.strip("/").partition("/")
        if kind == "simple" and rest:
            found.add(rest)
        elif kind == "files":
            found.add(rest.partition("-")[0].replace("_", "-").lower())
    return frozenset(found)


@contextmanager
def index_servers() -> Iterator[Mapping[str, IndexServer]]:
    """A server for each index, by the name of its folder; what they serve is said later."""
    names = ("public", *VARIANTS, *(f"{variant}-next" for variant in VARIANTS))
    with ExitStack() as stack:
        yield {name: stack.enter_context(IndexServer(folder=Path(name))) for name in names}


def make_private_index(root: Path, servers: Mapping[str, IndexServer]) -> None:
    """Build what the servers will serve and a repository with a flavor of each variant, below ``root``."""
    pushed = root / "pushed"
    _push_public(pushed / "public")
    for variant in VARIANTS:
        _push_release(pushed / variant, variant)
        _push_next_release(pushed / f"{variant}-next", variant)
    repository = Repository(root / "repository")
    repository.flavors_folder.mkdir(parents=True)
    (root / "elsewhere").mkdir()
    for variant, request in _REQUESTS.items():
        made = create_flavor(repository, _with_index(request, servers[variant].url))
        assert made.name == FLAVORS[variant]


def private_world(
    root: Path,
    made: Path,
    capsys: pytest.CaptureFixture[str],
    servers: Mapping[str, IndexServer],
    kept: LockedOnce,
    caches: Sequence[Path],
) -> PrivateWorld:
    """Copy what `make_private_index` made to ``root``, and let the servers serve it from there."""
    shutil.copytree(made, root, symlinks=True, dirs_exist_ok=True)
    for name, server in servers.items():
        server.serve(root / "pushed" / name)
    return PrivateWorld(
        root=root / "repository",
        elsewhere=root / "elsewhere",
        indexes={variant: servers[variant] for variant in VARIANTS},
        following={variant: servers[f"{variant}-next"] for variant in VARIANTS},
        public=servers["public"],
        capsys=capsys,
        caches=caches,
        kept=kept,
    )


def _with_index(request: FlavorRequest, url: str) -> FlavorRequest:
    return FlavorRequest(**{**vars(request), "index_url": url})


def _push_release(folder: Path, variant: str) -> None:
    for project in PROJECTS:
        if variant in project.variants:
            _push(folder, project, variant, versions=project.versions)


def _push_next_release(folder: Path, variant: str) -> None:
    """The next release: every version anew, the newer ones, and what it lacks left out."""
    unsatisfying = NO_VERSION_THAT_SATISFIES.get(variant, {})
    one_platform = NO_WHEEL_FOR_A_PLATFORM.get(variant, {})
    for project in PROJECTS:
        if variant not in project.variants or project.name == NO_VERSION_AT_ALL.get(variant):
            continue
        versions = unsatisfying.get(project.name, (*project.versions, *project.following))
        platforms = one_platform.get(project.name)
        _push(folder, project, variant, versions=versions, salt="next", platforms=platforms)


def _push(
    folder: Path,
    project: Project,
    variant: str,
    *,
    versions: Sequence[str],
    salt: str = "",
    platforms: Sequence[str] | None = None,
) -> None:
    tags = ["py3-none-any"]
    if project.native:
        machines = _PLATFORMS[variant] if platforms is None else platforms
        tags = [f"cp312-cp312-manylinux_2_28_{machine}" for machine in machines]
    for version in versions:
        for tag in tags:
            make_wheel(
                folder,
                project.name,
                f"{version}{_LOCAL[variant]}" if project.local else version,
                requires=(*project.requires, *project.requires_of.get(variant, ())),
                extras=project.extras,
                tag=tag,
                salt=f"{variant} {salt}",
            )


def _push_public(folder: Path) -> None:
    """Every private name at a version above all others, in every form in which a client might take it."""
    for name in sorted(NAMES):
        source = {f"{name.replace('-', '_')}/__init__.py": "raise SystemExit('bait was installed')\n"}
        make_wheel(folder, name, BAIT, modules=source)
        make_sdist(folder, name, BAIT)
