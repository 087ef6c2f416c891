"""The image that the steps run in: its locks, and the image itself on the stand-in base."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.podman import podman, run_podman

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "tekton" / "image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_PIN = re.compile(r"^(?P<requirement>[a-z0-9._-]+==\S+?)(?P<marker> ; .*?)? \\$", re.MULTILINE)


def pins(lock: str) -> dict[str, list[Requirement]]:
    """The pins of a lock, by the name of the package."""
    found: dict[str, list[Requirement]] = {}
    for match in _PIN.finditer((IMAGE / lock).read_text(encoding="utf-8")):
        pin = Requirement(match["requirement"])
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.txt", PROJECT["project"]["dependencies"]),
        ("requirements-build.txt", PROJECT["build-system"]["requires"]),
    ],
)
def test_a_lock_has_every_dependency_in_a_version_that_fits(lock: str, wanted: list[str]) -> None:
    locked = pins(lock)

    assert wanted
    for requirement in map(Requirement, wanted):
        versions = [next(iter(pin.specifier)).version for pin in locked[canonicalize_name(requirement.name)]]
        assert versions
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-build.txt"])
def test_a_lock_has_a_hash_for_every_pin_and_names_no_place(lock: str) -> None:
    text = (IMAGE / lock).read_text(encoding="utf-8")

    entries = [entry for entry in re.split(r"\n(?=[^ #])", text) if not entry.startswith("#")]
    assert sum(map(len, pins(lock).values())) == len(entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_the_base_image_has_no_default() -> None:
    text = (IMAGE / "Containerfile").read_text(encoding="utf-8")

    assert re.findall(r"^ARG .*", text, re.MULTILINE) == ["ARG BASE_IMAGE"]
    assert [line.split()[1] for line in re.findall(r"^FROM .*", text, re.MULTILINE)] == ["${BASE_IMAGE}"] * 2


@pytest.mark.tekton
@pytest.mark.parametrize("user", [None, "1000660000:0", "0:0"])
def test_it_works_as_any_user(factory_image: str, user: str | None) -> None:
    script = """
        set -euo pipefail
        factory --version; uv --version; buildah --version; skopeo --version; git --version
        unshare --version; ip -V; command -v newuidmap
        touch "$HOME/writable"
        grep -qx root:1:65535 /etc/subuid /etc/subgid
        id -u; id -g
    """

    said = run(factory_image, script, *([] if user is None else [f"--user={user}"]))

    assert said[-2:] == (user or "1001:0").split(":")


@pytest.mark.tekton
def test_nothing_of_this_machine_is_in_it(factory_image: str) -> None:
    variables = json.loads(podman("image", "inspect", "--format", "{{json .Config.Env}}", factory_image))
    container = podman("create", factory_image).strip()
    try:
        with (
            subprocess.Popen(["podman", "export", container], stdout=subprocess.PIPE) as exported,
            tarfile.open(fileobj=exported.stdout, mode="r|") as files,
        ):
            settings = {f"/{one.name}": read(files, one) for one in files if is_setting(one)}
    finally:
        podman("rm", "--force", container)

    names = {variable.partition("=")[0] for variable in variables}
    assert names <= {"HOME", "LANG", "PATH", "PYTHONUNBUFFERED", "container"}
    assert "/etc/passwd" in settings, "files were read at all"
    assert not settings.get("/etc/resolv.conf")
    assert not settings.get("/etc/hostname")
    assert not [
        name for name in settings if re.search(r"pip\.conf$|/uv/|/apt/sources|/local/share/ca-", name)
    ]


def is_setting(member: tarfile.TarInfo) -> bool:
    """Whether it is a file that a machine's settings could stand in."""
    return member.isfile() and member.name.startswith(("etc/", "root/", "cachi2/", "usr/local/share/"))


def read(files: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a file in an archive."""
    content = files.extractfile(member)
    assert content is not None
    return content.read()


@pytest.mark.tekton
def test_a_base_image_that_lacks_a_program_and_cannot_install_it_is_told(
    engine: None, tmp_path: Path
) -> None:
    base = subprocess.run(
        [ROOT / "scripts" / "standin-steps-base.sh"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()[-1]
    lacking = tmp_path / "Containerfile"
    check = (IMAGE / "Containerfile").read_text(encoding="utf-8").split("RUN set -eu;")[1].split("\nCOPY")[0]
    lacking.write_text(f"FROM {base}\nRUN rm /usr/bin/skopeo /usr/bin/git\nRUN set -eu;{check}")

    done = run_podman("build", "--network=none", "--no-cache", f"--file={lacking}", tmp_path)

    assert done.returncode != 0
    assert "the base image has no dnf and lacks: git skopeo" in done.stdout


def run(image: str, script: str, *options: str) -> list[str]:
    """The lines that a script in the image prints."""
    said = podman("run", "--rm", "--network=none", *options, "--entrypoint=bash", image, "-c", script)
    sys.stdout.write(said)
    return said.splitlines()
