"""System packages of an adopted folder: pins stay, nothing is installed twice, what is added is said."""

from dataclasses import replace

import pytest
from support.adopted import GIVEN, INSTALL, SPEC, place

from factory.adopt.dockerfile import read_old_dockerfile
from factory.adopt.template import list_additions, read_template
from factory.flavor.hooks import Hooks
from factory.flavor.project import Project
from factory.flavor.spec import Spec
from factory.render.render import render_flavor
from factory.render.templates import is_installed_by, is_pin_of

BLOCK = "########\n# MIDSTREAM ONLY: packages\n########\n{}\n########\n# END MIDSTREAM ONLY\n########\n"
ROCM = replace(SPEC, accelerator="rocm", accelerator_version="6.4")


@pytest.mark.parametrize(
    ("package", "entry", "pins", "installed"),
    [
        ("libnccl-2.30.7-1+cuda13.3", "libnccl-2*+cuda13.*", True, False),
        ("libnccl-devel-2.30.7-1+cuda13.3", "libnccl-devel-2*+cuda13.*", True, False),
        ("libnccl-devel-2.30.7-1+cuda13.3", "libnccl-2*+cuda13.*", False, False),
        ("libnccl-2.30.7", "libnccl-2*+cuda13.*", True, False),
        ("libnccl-2.3*+cuda12.9", "libnccl-2*+cuda13.*", True, False),
        ("libnccl", "libnccl-2*+cuda13.*", False, True),
        ("libnccl-2*+cuda13.*", "libnccl-2*+cuda13.*", False, True),
        ("rdma-core-57.0-2.el9", "rdma-core", True, False),
        ("rdma-core-0:57.0-2.el9", "rdma-core", True, False),
        ("rdma-core.x86_64", "rdma-core", True, False),
        ("rdma-core-devel", "rdma-core", False, False),
        ("librdmacm-utils-57.0", "librdmacm", False, False),
        ("cuda-nvcc-13-0-13.0.88-1", "cuda-nvcc-13-0", True, False),
        ("cuda-nvcc-13-1", "cuda-nvcc-13-0", False, False),
        ("cuda-nvcc-13-0", "cuda-nvcc-13-0", False, True),
    ],
)
def test_a_pin_is_told_from_what_it_pins(package: str, entry: str, *, pins: bool, installed: bool) -> None:
    assert (is_pin_of(package, entry), is_installed_by(package, entry)) == (pins, installed)


def _dnf(spec: Spec, *packages: str) -> list[str]:
    """What dnf installs in the Dockerfile that the template renders."""
    project = Project(
        spec=replace(spec, hooks=Hooks(system_packages=packages)),
        dependencies=(),
        constraints=(),
        overrides=(),
    )
    files = {file.path: file.content.decode() for file in render_flavor(project, name=spec.folder_name)}
    text = files["Dockerfile"].split("dnf install -y", 1)[1].split("dnf clean all", 1)[0]
    return [line.strip().strip("\\").strip().strip("'") for line in text.splitlines() if "'" in line]


def test_a_pin_takes_the_place_of_the_templates_entry() -> None:
    pin = "libnccl-2.30.7-1+cuda13.3"
    installed = _dnf(SPEC, pin)
    assert pin in installed
    assert "libnccl-2*+cuda13.*" not in installed
    assert "libnccl-devel-2*+cuda13.*" in installed
    assert len(installed) == len(_dnf(SPEC))


@pytest.mark.parametrize("line", ["RUN dnf install -y {} jq", BLOCK.format("RUN dnf install -y {} jq")])
def test_a_pinned_package_keeps_its_pin_and_the_report_says_whose_place_it_takes(line: str) -> None:
    pins = "libnccl-2.30.7-1+cuda13.3 libnccl-devel-2.30.7-1+cuda13.3"
    placed = place(line.format(pins) + "\n")
    assert placed.hooks.system_packages == (*pins.split(), "jq")
    (found,) = (each for each in placed.placements if each.to == "hooks.system-packages")
    assert "libnccl-2.30.7-1+cuda13.3 in place of the template's libnccl-2*+cuda13.*" in found.why


@pytest.mark.parametrize(
    ("run", "midstream", "packages"),
    [
        ("dnf install -y rdma-core jq && ldconfig && dnf clean all", "RUN ldconfig", ("jq",)),
        ("dnf install -y --enablerepo=x rdma-core jq", "RUN dnf install -y --enablerepo=x jq", ()),
        ("dnf install -y --enablerepo=x rdma-core", "", ()),
        ("dnf install -y --enablerepo=x rdma-core && make", "RUN make", ()),
        (
            "curl -o /etc/yum.repos.d/x.repo https://x.example.com && dnf install -y rdma-core jq",
            "RUN curl -o /etc/yum.repos.d/x.repo https://x.example.com && \\\n    dnf install -y jq",
            (),
        ),
        (
            "curl -O https://x.example.com/y\nRUN rpm --import k\nRUN dnf install -y jq rdma-core",
            "RUN curl -O https://x.example.com/y\nRUN rpm --import k\nRUN dnf install -y jq",
            (),
        ),
        (
            "--mount=type=tmpfs,target=/x dnf install -y 'rdma-core' && make",
            "RUN --mount=type=tmpfs,target=/x make",
            (),
        ),
    ],
)
def test_no_hook_installs_again_what_the_template_installs(
    run: str, midstream: str, packages: tuple[str, ...]
) -> None:
    hooks = place(BLOCK.format(f"RUN {run}")).hooks
    assert (hooks.midstream, hooks.system_packages) == (midstream, packages)


def test_an_install_that_cannot_be_taken_apart_is_not_repeated() -> None:
    placed = place(BLOCK.format("RUN if make; then dnf install -y rdma-core jq; ln -s a b; fi"))
    (found,) = (each for each in placed.placements if each.place == "not kept")
    assert "rdma-core" in found.why
    assert placed.hooks == Hooks()


def _added(text: str, spec: Spec = SPEC) -> dict[str, tuple[str, ...]]:
    dockerfile = read_old_dockerfile("Dockerfile", text.encode())
    return {each.what: each.items for each in list_additions(read_template(spec), dockerfile)}


def test_packages_and_variables_that_the_template_adds_are_listed() -> None:
    added = _added(
        "FROM quay.io/example/base:1\nENV ROCM_HOME=/opt/rocm HIP_PATH=/opt/rocm PATH=/opt/rocm/bin:$PATH\n"
        "COPY rocm.repo /etc/yum.repos.d/\nRUN dnf install -y --nobest hip-devel-6.4.1 rocm-llvm\n" + INSTALL,
        ROCM,
    )
    assert "rccl" in added["system packages"]
    assert not {"hip-devel", "rocm-llvm"} & set(added["system packages"])
    assert [item.partition("=")[0] for item in added["environment"]] == ["LD_LIBRARY_PATH", "CPATH"]
    assert added["package repositories"] == ("mellanox.repo",)


def test_a_folder_that_the_factory_rendered_lacks_nothing() -> None:
    assert _added(GIVEN.files["Dockerfile"].decode()) == {}
