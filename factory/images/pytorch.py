"""What a source-built PyTorch is asked to be, checked: its version, its commit, the GPUs it is for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory.dockerfile.references import check_accelerator_version, check_python, check_version
from factory.errors import SpecError
from factory.flavor.spec import DEFAULT_TEMPLATE_SET
from factory.render.create import default_image
from factory.render.image_templates import ImageTemplate
from factory.render.templates import load_template_set

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ARCHITECTURES = {
    "cuda": (re.compile(r"[0-9]{1,2}\.[0-9][af]?(?:\+PTX)?"), "8.0;9.0+PTX"),
    "rocm": (re.compile(r"gfx[0-9a-f]{3,5}(?::(?:xnack|sramecc)[+-])*"), "gfx90a;gfx942"),
}
_PATCH_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class PyTorchRequest:
    """What is asked for; None means the default of the template."""

    accelerator: str
    accelerator_version: str
    version: str
    commit: str
    python: str
    arch_list: str | None = None


@dataclass(frozen=True, kw_only=True)
class PyTorchBase:
    """What follows from it: the parents by default, the build arguments, and the words for it."""

    accelerator: str
    title: str
    python: str
    default_arch_list: str
    base_image: str
    devel_image: str
    build_args: Mapping[str, str]


def pytorch_base(template: ImageTemplate, request: PyTorchRequest) -> PyTorchBase:
    """Check what is asked for, and put the defaults of the accelerator to it.

    Raises:
        SpecError: a version, the commit or an architecture is not acceptable.
    """
    data = template.accelerators.get(request.accelerator)
    if data is None:
        raise SpecError(
            f"PyTorch is not compiled for {request.accelerator!r} here",
            solution=f"Use one of {', '.join(sorted(template.accelerators))}.",
        )
    version = check_accelerator_version(request.accelerator_version)
    python = check_python(request.python)
    check_version(request.version, of="PyTorch")
    if not _COMMIT.fullmatch(request.commit):
        raise SpecError(
            f"{request.commit!r} is not a commit",
            solution="Give all 40 hex digits, as `git ls-remote` of PyTorch's repository prints them for the "
            f"tag v{request.version} (the line that ends in ^{{}}, where there is one).",
        )
    default = _default_architectures(data, version)
    return PyTorchBase(
        accelerator=request.accelerator,
        title=f"{data['title']} {version}",
        python=python,
        default_arch_list=default,
        base_image=_image(data, "base-image", version)
        or default_image(load_template_set(DEFAULT_TEMPLATE_SET), request.accelerator, python, "base-image"),
        devel_image=_image(data, "devel-image", version),
        build_args={
            "PYTORCH_VERSION": request.version,
            "PYTORCH_COMMIT": request.commit,
            data["argument"]: _check_architectures(
                default if request.arch_list is None else request.arch_list, request.accelerator
            ),
        },
    )


def _default_architectures(data: Mapping[str, Any], version: str) -> str:
    numbers = [int(part) for part in version.split(".")]
    return str([entry["list"] for entry in data["arch-lists"] if entry["since"] <= numbers][-1])


def _image(data: Mapping[str, Any], key: str, version: str) -> str:
    parts = version.split(".")
    padded = (*parts, *["0"] * (_PATCH_PARTS - len(parts)))
    return str(data.get(key, "")).format(version=version, patch_version=".".join(padded))


def _check_architectures(arch_list: str, accelerator: str) -> str:
    pattern, example = _ARCHITECTURES[accelerator]
    entries = arch_list.replace(";", " ").split()
    wrong = [entry for entry in entries if not pattern.fullmatch(entry)]
    if wrong or not entries:
        raise SpecError(
            f"{wrong[0] if wrong else arch_list!r} is not an architecture of {accelerator}",
            solution=f'Give numbers, not names, with semicolons between them, such as "{example}".',
        )
    return ";".join(entries)
