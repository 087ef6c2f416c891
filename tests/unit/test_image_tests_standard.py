"""The pure parts of the standard and full tests of images: causes, known lists, ELF files, modules, GPUs."""

import os
import runpy
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from factory.errors import ImageTestError
from factory.image_tests.causes import known_failures, parse_known, why_no_import, why_no_library
from factory.image_tests.training import covers

INSIDE = Path(__file__).parents[2] / "factory" / "image_tests" / "inside"
DT_NEEDED, DT_STRTAB, DT_RUNPATH = 1, 5, 29


def script(name: str) -> dict[str, Any]:
    """The functions of a script that runs in an image."""
    return runpy.run_path(str(INSIDE / name), run_name="inside")


def made_elf(needed: str, *, machine: int = 62, runpath: str = "") -> bytes:
    """A shared object of nothing but a header, two segments, a dynamic section and its strings."""
    strings = b"\0" + needed.encode() + b"\0" + runpath.encode() + b"\0"
    where = 64 + 2 * 56
    tags = [(DT_NEEDED, 1), (DT_STRTAB, where)]
    tags += [(DT_RUNPATH, 2 + len(needed))] if runpath else []
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    size = where + len(strings) + len(dynamic)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    place = where + len(strings)
    dyn = struct.pack("<IIQQQQQQ", 2, 4, place, place, place, len(dynamic), len(dynamic), 8)
    return head + load + dyn + strings + dynamic


@pytest.mark.parametrize(
    ("kind", "message", "cause", "fix"),
    [
        ("ModuleNotFoundError", "No module named 'cv2'", "missing module cv2", "opencv-python-headless"),
        ("ModuleNotFoundError", "No module named 'a_b.c'", "missing module a_b.c", "Add a-b "),
        (
            "ImportError",
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "missing shared library libGL.so.1",
            "dnf install mesa-libGL",
        ),
        ("OSError", "/x/libz.so.1: cannot open shared object file: No", "library libz.so.1", "zlib1g"),
        ("ImportError", "libcuda.so.1: cannot open shared object file: No", "NVIDIA's driver", "GPU"),
        ("ImportError", "x.so: undefined symbol: _ZN3c10", "undefined symbol _ZN3c10", "build of pkg"),
        ("ImportError", "version `GLIBC_2.38' not found", "needs GLIBC_2.38", "manylinux"),
        ("OSError", "x.so: wrong ELF class: ELFCLASS32", "wrong architecture", "platform"),
        ("RuntimeError", "Found no NVIDIA driver on your system", "driver of a GPU is absent", "known"),
        (
            "ImportError",
            "cannot import name 'f' from 'a.b' (/x)",
            "a.b of this version has no f",
            "version of a",
        ),
        ("AttributeError", "module 'a' has no attribute 'f'", "a of this version has no f", "constrain"),
        ("ValueError", "numpy.dtype size changed", "another NumPy", "newer pkg"),
        ("gaierror", "[Errno -3] Temporary failure in name resolution", "uses the network", "offline"),
        ("OSError", "[Errno 30] Read-only file system: '/x'", "writes where it is not allowed to", "folder"),
        ("signal", "11", "SIGSEGV", "build of pkg"),
        ("signal", "4", "instruction that this processor lacks", "processor"),
        ("SystemExit", "2", "ends the program (status 2)", "not meant to be imported"),
        ("timeout", "", "does not end", "waits for"),
        ("KeyError", "'x'", "KeyError: 'x'", "another version of pkg"),
    ],
)
def test_the_cause_of_a_failed_import_is_told_from_its_message(
    kind: str, message: str, cause: str, fix: str
) -> None:
    found = why_no_import({"kind": kind, "message": message}, "pkg")
    assert cause in found.cause
    assert fix in found.fix


@pytest.mark.parametrize(
    ("library", "words"),
    [
        ("libcublas.so.12", "nvidia-cublas"),
        ("libnvidia-ml.so.1", "driver"),
        ("libnobody-knows.so.3", "dnf provides '*/libnobody-knows.so.3'"),
    ],
)
def test_the_package_of_a_library_is_named_or_how_to_find_it(library: str, words: str) -> None:
    found = why_no_library(library, "pkg")
    assert words in f"{found.cause} {found.fix}"


def test_a_known_module_is_excused_for_its_own_failure_alone() -> None:
    lists = parse_known(
        '[[modules]]\nmodule = "timm*"\nwhat = "named \'torchvision\'"\nreason = "left out"\n',
        source="known.toml",
    )
    assert lists.module("timm", "No module named 'torchvision'") == "left out"
    assert lists.module("timm", "No module named 'torch'") is None
    assert lists.module("other", "No module named 'torchvision'") is None


@pytest.mark.parametrize(
    "text",
    [
        '[[modules]]\nmodule = "a"\nwhat = "b"\n',
        '[[modules]]\nmodule = "a"\nwhat = "b"\nreason = ""\n',
        '[[libraries]]\nfile = "a"\nlibrary = "b"\nreason = "c"\nmore = "d"\n',
        '[[module]]\nmodule = "a"\nwhat = "b"\nreason = "c"\n',
        "modules = 1\n",
        "modules = [1]\n",
    ],
)
def test_a_known_entry_without_a_reason_or_with_more_is_refused(text: str) -> None:
    with pytest.raises(ImageTestError, match=r"known\.toml"):
        parse_known(text, source="x/known.toml")


def test_known_failures_of_an_image_and_its_parents_are_known_beside_the_factory_s(tmp_path: Path) -> None:
    near, far = tmp_path / "stack", tmp_path / "flavor"
    for folder in (near, far):
        folder.mkdir()
        (folder / "known.toml").write_text(
            f'[[modules]]\nmodule = "odd"\nwhat = "no device"\nreason = "of the {folder.name}"\n'
        )
    found = known_failures([near, far, tmp_path / "nowhere"])
    assert found.module("odd", "there is no device") == "of the stack"
    assert found.library("/opt/x/libtorch_cuda.so", "libcuda.so.1")


@pytest.mark.parametrize("content", [b"\xff", b"[[modules]]\n", b"x = 1\n", b"["])
def test_a_file_of_known_failures_that_is_wrong_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "known.toml").write_bytes(content)
    with pytest.raises(ImageTestError, match=str(tmp_path / "known.toml")):
        known_failures([tmp_path])


def test_the_driver_s_library_is_known_wherever_it_is_wanted() -> None:
    assert "driver" in (known_failures([]).library("/opt/x/libtorch_cuda.so", "libcuda.so.1") or "")
    assert known_failures([]).library("/opt/x/libtorch_cuda.so", "libcudart.so.12") is None


def test_what_a_library_of_this_machine_needs_is_read() -> None:
    elf = script("elf.py")
    found = elf["describe"](os.path.realpath(sys.executable))
    assert found["machine"] == os.uname().machine
    assert any(name.startswith("libc.so") for name in found["needed"])
    assert Path(found["interpreter"]).exists()
    assert all(version for _, version in found["versions"])


@pytest.mark.parametrize(
    ("content", "kind", "what"),
    [
        (made_elf("libnobody.so.7"), "missing", "libnobody.so.7"),
        (made_elf("libc.so.6", machine=183 if os.uname().machine == "x86_64" else 62), "machine", ""),
        (made_elf("libnobody.so.7")[:100], "broken", "cut short"),
    ],
    ids=["missing", "other processor", "cut short"],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, content: bytes, kind: str, what: str) -> None:
    elf = script("elf.py")
    if kind == "missing" and os.uname().machine != "x86_64":
        pytest.skip("the file made here is for x86_64")
    (tmp_path / "made.so").write_bytes(content)
    (found,) = elf["all_elfs"](str(tmp_path)).items()
    (problem,) = elf["problems_of"](*found, {}, {})
    assert problem["kind"] == kind
    assert what in problem["what"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the file made here is for x86_64")
def test_a_library_is_found_beside_the_file_where_its_runpath_says_so(tmp_path: Path) -> None:
    elf = script("elf.py")
    library = tmp_path / "lib" / "libbeside.so"
    library.parent.mkdir()
    library.write_bytes(b"")
    for runpath, kinds in (("$ORIGIN/lib", []), ("$ORIGIN/nowhere", ["missing"])):
        path = tmp_path / "made.so"
        path.write_bytes(made_elf("libbeside.so", runpath=runpath))
        problems = elf["problems_of"](str(path), elf["describe"](str(path)), {}, {})
        assert [problem["kind"] for problem in problems] == kinds
    inside = {"libbeside.so": str(library)}
    (problem,) = elf["problems_of"](str(path), elf["describe"](str(path)), inside, {})
    assert problem["kind"] == "preloaded"


def test_text_is_no_elf_file(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_text("INPUT(libx.so)")
    assert script("elf.py")["all_elfs"](str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("paths", "modules"),
    [
        (["a/__init__.py", "a/b.py", "a/c/__init__.py"], ["a"]),
        (["google/protobuf/__init__.py", "google/protobuf/any.py"], ["google.protobuf"]),
        (["one.py", "_two.abi3.so", "libthree.so"], ["_two", "one"]),
        (["a-1.0.dist-info/RECORD", "../../../bin/a", "a.libs/libz.so"], []),
        (["space/plugin.py"], ["space.plugin"]),
        (["tests/__init__.py", "tests/test_a.py", "setup.py"], []),
        (["nvidia/cublas/lib/libcublas.so.12"], []),
    ],
)
def test_the_top_modules_of_a_package_are_known_by_its_files(paths: list[str], modules: list[str]) -> None:
    assert script("imports.py")["top_modules"](paths) == modules


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("import os\nos._exit(3)", "exit", "3"),
        ("import os\nos.kill(os.getpid(), 9)", "signal", "9"),
        ("import sys\nsys.exit('no')", "SystemExit", "no"),
        ("import nobody_has_this", "ModuleNotFoundError", "No module named 'nobody_has_this'"),
    ],
)
def test_a_module_that_ends_its_process_is_the_one_that_is_named(
    importable: Path, text: str, kind: str, message: str
) -> None:
    (importable / "factory_made_bad.py").write_text(text)
    (importable / "factory_made_good.py").write_text("import hashlib\nhashlib.md5(b'')\n")
    found = script("imports.py")["import_all"](["factory_made_bad", "factory_made_good"], 1)
    by_name = {result["module"]: result for result in found}
    assert (by_name["factory_made_bad"]["kind"], by_name["factory_made_bad"]["message"]) == (kind, message)
    assert by_name["factory_made_good"]["ok"]
    (user,) = by_name["factory_made_good"]["md5"]
    assert user == {"file": str(importable / "factory_made_good.py"), "line": "2"}


def test_md5_that_is_not_for_security_is_nobody_s_concern(importable: Path) -> None:
    (importable / "factory_made_sum.py").write_text(
        "import hashlib\nhashlib.md5(b'', usedforsecurity=False)\n"
    )
    (result,) = script("imports.py")["import_all"](["factory_made_sum"], 1)
    assert result["ok"]
    assert result["md5"] == []


@pytest.mark.parametrize(
    ("built_for", "architecture", "runs"),
    [
        (["sm_80", "sm_90"], "sm_90", True),
        (["sm_80"], "sm_86", True),
        (["sm_86"], "sm_80", False),
        (["sm_80"], "sm_90", False),
        (["sm_80", "compute_80"], "sm_120", True),
        (["gfx90a", "gfx942"], "gfx942", True),
        (["gfx90a"], "gfx942", False),
    ],
)
def test_code_runs_on_devices_of_its_kind(built_for: list[str], architecture: str, *, runs: bool) -> None:
    assert covers(built_for, architecture) is runs
