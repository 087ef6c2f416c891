"""The programs that the templates of images bring: fit to lint, and what those of pytorch-base find out."""

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from factory.render.image_templates import image_kinds
from factory.render.templates import templates_folder


@pytest.mark.parametrize("kind", image_kinds())
def test_the_python_of_a_template_is_fit_to_lint(kind: str) -> None:
    rules = "E,F,W,B,I,SIM,PIE"
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "--select", rules,
         "--no-cache", str(templates_folder() / kind)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _script(kind: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("script", templates_folder() / kind / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = {"python": "3.12", "machine": "x86_64", "libc": "glibc", "libc_version": "2.34"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, None),
        ({"libc_version": "2.39"}, None),
        ({"libc_version": "2.9"}, "glibc 2.34, which is newer than BASE_IMAGE's 2.9"),
        ({"python": "3.11"}, "python is 3.12 in DEVEL_IMAGE and 3.11 in BASE_IMAGE"),
        ({"machine": "aarch64"}, "machine is x86_64"),
    ],
)
def test_a_wheel_that_would_not_load_is_known_before_it_is_compiled(
    changed: dict[str, str], says: str | None
) -> None:
    found = list(_script("pytorch-base", "facts.py").differences(HERE, HERE | changed))
    assert len(found) == (0 if says is None else 1)
    assert says is None or says in found[0]


@pytest.mark.parametrize(
    ("arch_list", "architectures"),
    [
        ("7.5;8.0;8.6;8.9;9.0", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]),
        ("8.0 9.0+PTX", ["sm_80", "sm_90", "compute_90"]),
        ("9.0a;10.0;12.0+PTX", ["sm_90a", "sm_100", "sm_120", "compute_120"]),
        ("gfx90a:xnack-;gfx942", ["gfx90a", "gfx942"]),
    ],
)
def test_architectures_are_what_torch_calls_them(arch_list: str, architectures: list[str]) -> None:
    assert _script("pytorch-base", "check_torch.py").wanted_architectures(arch_list) == architectures
