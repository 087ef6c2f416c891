"""A repository that stands in for PyTorch's: a tag, a submodule, and a C extension that knows what it is for.

Its build backend needs a compiler and nothing else, and takes from the environment what PyTorch's setup.py
takes. As the real one, it does not tell its architectures through ``get_arch_list`` where there is no GPU.
"""

import os
import subprocess
from pathlib import Path

VERSION = "2.99.0"

_EXTENSION = """\
#include <Python.h>
#include "third_party/little/little.h"

static PyObject *arch_flags(PyObject *self, PyObject *args) { return PyUnicode_FromString(CUDA_ARCH_FLAGS); }
static PyObject *jobs(PyObject *self, PyObject *args) { return PyUnicode_FromString(MAX_JOBS); }
static PyObject *little(PyObject *self, PyObject *args) { return PyLong_FromLong(LITTLE); }
static PyMethodDef methods[] = {
    {"_cuda_getArchFlags", arch_flags, METH_NOARGS, NULL},
    {"jobs", jobs, METH_NOARGS, NULL},
    {"little", little, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", NULL, -1, methods};
PyMODINIT_FUNC PyInit__C(void) { return PyModule_Create(&module); }
"""
_BACKEND = """\
import os, pathlib, subprocess, sysconfig, zipfile

import standin_ninja

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    version = os.environ["PYTORCH_BUILD_VERSION"]
    entries = os.environ["TORCH_CUDA_ARCH_LIST"].split(";")
    numbers = [entry.partition("+")[0].replace(".", "") for entry in entries]
    flags = ["sm_" + number for number in numbers]
    flags += ["compute_" + number for number, entry in zip(numbers, entries) if entry.endswith("+PTX")]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    subprocess.run(
        ["g++", "-x", "c", "-shared", "-fPIC", "-O2", "-I.", "-I" + sysconfig.get_path("include"),
         '-DCUDA_ARCH_FLAGS="%s"' % " ".join(flags), '-DMAX_JOBS="%s"' % os.environ["MAX_JOBS"],
         "torch/csrc/module.c", "-o", "torch/_C" + suffix], check=True)
    info = "torch-%s.dist-info" % version
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = "cp{0}-cp{0}-{1}".format(sysconfig.get_config_var("py_version_nodot"), platform)
    files = {str(path): path.read_bytes() for path in [
        pathlib.Path("torch/__init__.py"), pathlib.Path("torch/cuda.py"), pathlib.Path("torch/run.py"),
        pathlib.Path("torch/_C" + suffix)]}
    files["torch/version.py"] = ("__version__ = %r" % version).encode()
    files[info + "/METADATA"] = ("Metadata-Version: 2.1\\nName: torch\\nVersion: %s\\n" % version).encode()
    files[info + "/WHEEL"] = ("Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: %s\\n" % tag).encode()
    files[info + "/entry_points.txt"] = b"[console_scripts]\\ntorchrun = torch.run:main\\n"
    files[info + "/RECORD"] = "".join("%s,,\\n" % name for name in [*files, info + "/RECORD"]).encode()
    name = "torch-%s-%s.whl" % (version, tag)
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return name
"""
_FILES = {
    "pyproject.toml": (
        '[build-system]\nrequires = ["standin-ninja"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    ),
    "torch/__init__.py": "from torch import _C, cuda\nfrom torch.version import __version__\n",
    "torch/cuda.py": (
        "def is_available():\n    return False\n\n\ndef get_arch_list():\n"
        "    from torch import _C\n    return _C._cuda_getArchFlags().split() if is_available() else []\n"
    ),
    "torch/run.py": "import sys\n\n\ndef main():\n    print('torchrun', *sys.argv[1:])\n",
    "torch/csrc/module.c": _EXTENSION,
    "backend.py": _BACKEND,
    ".ci/docker/triton_version.txt": "3.99.0\n",
    ".gitmodules": (
        '[submodule "third_party/little"]\n\tpath = third_party/little\n'
        "\turl = https://github.com/standin/little.git\n"
    ),
}


def make_standin(mirror: Path) -> str:
    """Make ``pytorch/pytorch.git`` and the submodule's ``standin/little.git``; give the commit of the tag."""
    little = mirror / "standin" / "little.git"
    _commit(little, {"little.h": "#define LITTLE 42\n"})
    sources = mirror / "pytorch" / "pytorch.git"
    _commit(sources, _FILES, submodule=("third_party/little", _git(little, "rev-parse", "HEAD")))
    _git(sources, "tag", "--annotate", "--message", VERSION, f"v{VERSION}")
    return _git(sources, "rev-parse", "HEAD")


def _commit(repository: Path, files: dict[str, str], *, submodule: tuple[str, str] | None = None) -> None:
    if not repository.exists():
        repository.mkdir(parents=True)
        _git(repository, "init", "--quiet")
    for name, content in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    _git(repository, "add", "--all")
    if submodule is not None:
        _git(repository, "update-index", "--add", "--cacheinfo", f"160000,{submodule[1]},{submodule[0]}")
    _git(repository, "commit", "--quiet", "--message", "sources")


def _git(repository: Path, *words: str) -> str:
    identity = {
        f"GIT_{who}_{what}": "standin" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    dates = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *words], cwd=repository, env=os.environ | identity | dates | nobody, stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
