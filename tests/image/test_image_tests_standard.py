"""``factory test``, standard and full: the CPU flavor's image passes; what is planted is explained."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.built import BuiltFlavor, factory
from support.podman import podman
from support.small_flavors import make_flavor
from support.tour import Tour

from factory.lock.lockfile import require_lock

# Everything in one run, of which most is importing torch; a busy machine takes several times as long.
pytestmark = [pytest.mark.container, pytest.mark.timeout(1500)]

ARM = "dd of=arm.so bs=1 seek=18 conv=notrunc"  # e_machine of an ELF file
COPY = "einops.libs/libcrypto-0badcafe.so.3"
PACKAGES = "/opt/app-root/lib/python3.11/site-packages"
SPEEDUPS = f"{PACKAGES}/markupsafe/_speedups.cpython-311-x86_64-linux-gnu.so"
STANDARD = (
    "imports",
    "no-network",
    "shared-libraries",
    "openssl",
    "sigterm-command",
    "torchrun",
    "notebook",
    "ipv6-only",
)
CHANGED = ("einops", "markupsafe", "py-cpuinfo", "sentencepiece", "shellingham")
FULL = ("gpu", "collectives", "model", "training-hub")
# What of a locked package is changed, the test that sees it, and what its finding or its advice says.
PLANTED = (
    (
        f"echo 'import cv2' >>{PACKAGES}/shellingham/__init__.py",
        ("imports", "shellingham", "missing module cv2", "Add opencv-python-headless "),
    ),
    (
        f"echo 'import ctypes; ctypes.CDLL(\"libGL.so.1\")' >>{PACKAGES}/cpuinfo/__init__.py",
        ("imports", "cpuinfo", "missing shared library libGL.so.1", "dnf install mesa-libGL"),
    ),
    (
        f"echo 'import os; os.kill(os.getpid(), 11)' >>{PACKAGES}/webencodings/__init__.py",
        None,  # the base image's own: not locked, and so nothing of this image's
    ),
    (
        f"echo 'import os; os.kill(os.getpid(), 11)' >>{PACKAGES}/einops/__init__.py",
        ("imports", "einops", "SIGSEGV", "build of einops"),
    ),
    (
        f"sed 's/libc\\.so\\.6/libq.so.6/' {SPEEDUPS} >{PACKAGES}/einops/copied.so",
        ("shared-libraries", "einops/copied.so", "missing shared library libq.so.6", "dnf provides"),
    ),
    (
        f"cd {PACKAGES}/einops && cp {SPEEDUPS} arm.so && printf '\\267' | {ARM}",
        ("shared-libraries", "einops/arm.so", "wrong architecture", "platform"),
    ),
    (
        f"cd {PACKAGES} && mkdir einops.libs && cp /usr/lib/*/libcrypto.so.3 {COPY}",
        ("openssl", COPY, "not covered", "Do not use einops for security"),
    ),
    (
        f"echo 'import hashlib; hashlib.md5()' >>{PACKAGES}/sentencepiece/__init__.py",
        ("openssl", "sentencepiece/__init__.py", "hashlib refuses it", "usedforsecurity=False"),
    ),
)


def outcomes(flavor: BuiltFlavor, image: str, folder: Path, *words: str, status: int) -> dict[str, Any]:
    """What came of each test of an image."""
    root = flavor.folder.parents[1]
    factory("--root", root, "test", image, *words, "--report", folder, status=status)
    report = json.loads((folder / "report.json").read_text())
    return {outcome["name"]: outcome for outcome in report["outcomes"]}


def test_the_cpu_image_passes_every_standard_and_full_test(
    tour: Tour, cpu_flavor: BuiltFlavor, tmp_path: Path
) -> None:
    """The tour of the README has run the standard ones."""
    only = [word for name in FULL for word in ("--only", name)]
    found = outcomes(cpu_flavor, cpu_flavor.tag, tmp_path, *only, status=0)
    found |= {outcome["name"]: outcome for outcome in tour.outcomes(cpu_flavor.folder.name)}
    passed = {name for name, outcome in found.items() if outcome["status"] == "passed"}
    assert {*STANDARD, "model"} <= passed
    skipped = {name: outcome["reason"] for name, outcome in found.items() if outcome["status"] == "skipped"}
    assert set(skipped) == {"training-hub", "gpu", "collectives"}
    assert skipped["gpu"] == "the image is for the CPU"
    assert "trains on a GPU alone" in skipped["training-hub"]
    assert "made 16 rows of tokens" in skipped["training-hub"]
    # What is known to be missing, and what is to be known of FIPS, is told and fails nothing.
    assert [advice["subject"] for advice in found["imports"]["advice"]] == ["timm"]
    linked = {advice["subject"].rpartition("/")[2].partition(".")[0] for advice in found["openssl"]["advice"]}
    assert {"cygrpc", "libarrow"} <= linked


@pytest.fixture
def few_packages(cpu_flavor: BuiltFlavor, tmp_path: Path) -> Iterator[BuiltFlavor]:
    """An image with the packages that something is planted in: few, so that all import soon."""
    tag = "localhost/universal-image-tests:few-packages"
    root, words = tmp_path / "root", ("--hermetic", "--base-image", cpu_flavor.base, "--tag", tag)
    pins = require_lock(cpu_flavor.folder).pins
    made = make_flavor(
        root,
        index_url=None,
        dependencies=[f"{pin.name}=={pin.version}" for pin in pins if pin.name in CHANGED],
    )
    for command in ("sync", "lock"):
        factory("--root", root, command, made.name)
    factory("--root", root, "--json", "build", made.name, *words)
    yield BuiltFlavor(tag=tag, folder=made.folder, base=cpu_flavor.base)
    podman("rmi", "--force", tag)


def test_what_is_planted_is_found_with_its_cause_and_what_mends_it(
    few_packages: BuiltFlavor, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    lines = [f"FROM {few_packages.tag}", "USER 0", *(f"RUN {line}" for line, _ in PLANTED), "USER 1001"]
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    tag = "localhost/universal-image-tests:planted"
    podman("build", "--quiet", "--network", "none", "--tag", tag, context)
    try:
        words = [word for name in ("imports", "shared-libraries", "openssl") for word in ("--only", name)]
        found = outcomes(few_packages, tag, tmp_path / "report", *words, status=1)
    finally:
        podman("rmi", "--force", tag)
    told = [
        (name, finding["subject"], finding["cause"], finding["fix"])
        for name, outcome in found.items()
        for finding in (*outcome["findings"], *outcome["advice"])
    ]
    for _, wanted in PLANTED:
        if wanted is not None:
            name, subject, cause, fix = wanted
            near = [one for one in told if one[0] == name and subject in one[1]]
            assert [one for one in near if cause in one[2] and fix in one[3]], (wanted, near)
    assert not [one for one in told if "webencodings" in one[1]]
    assert {name: outcome["status"] for name, outcome in found.items()} == {
        "imports": "failed",
        "shared-libraries": "failed",
        "openssl": "passed",
    }
