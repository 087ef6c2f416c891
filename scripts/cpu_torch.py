"""Find a CPU build of torch, or fetch one: the public index's is built for CUDA, gigabytes of it.

Looks in the folders that UV_FIND_LINKS and PIP_FIND_LINKS name, then asks uv for PyTorch's own CPU
index, whose address uv knows (`--torch-backend cpu`), and keeps the wheel under `.work/wheels`.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import httpx
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
_QUICK_LOOK_SECONDS = 60


def cpu_torch(version: str, python: str) -> Path | None:
    """The folder that holds a CPU build of torch for this machine; None where there is none to be had."""
    wheels = ROOT / ".work" / "wheels"
    named = [*os.environ.get("UV_FIND_LINKS", "").split(","), *os.environ.get("PIP_FIND_LINKS", "").split()]
    folders = [*(Path(name) for name in named if name), wheels]
    pattern = f"torch-{version}*cp{python.replace('.', '')}-*{platform.machine()}.whl"
    for folder in folders:
        if folder.is_dir() and any(folder.glob(pattern)):
            return folder.resolve()
    return wheels if _fetch(version, python, wheels) else None


def _fetch(version: str, python: str, wheels: Path) -> bool:
    try:
        wheel = _look_up(version, python)
        return wheel is not None and _download(*wheel, wheels)
    except (subprocess.TimeoutExpired, httpx.HTTPError) as error:
        print(f"no CPU build of torch could be fetched: {error}", file=sys.stderr)
        return False


def _look_up(version: str, python: str) -> tuple[str, str] | None:
    """URL and SHA-256 of the wheel on PyTorch's CPU index; None where uv cannot reach it."""
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch, "pylock.toml")
        requirement = Path(scratch, "requirements.in")
        requirement.write_text(f"torch=={version}\n")
        asked = subprocess.run(
            [find_uv_bin(), "pip", "compile", "--quiet", "--torch-backend", "cpu", "--only-binary", ":all:",
             "--python-version", python, "--python-platform", f"{platform.machine()}-manylinux_2_34",
             "--python", sys.executable, "--format", "pylock.toml", "--output-file", str(lock),
             str(requirement)],
            capture_output=True, timeout=_QUICK_LOOK_SECONDS * 2, check=False,
            env={**os.environ, "UV_HTTP_TIMEOUT": "15", "UV_PYTHON_DOWNLOADS": "never"},
        )  # fmt: skip
        if asked.returncode != 0:
            return None
        packages = tomllib.loads(lock.read_text())["packages"]
    wheel = next(package for package in packages if package["name"] == "torch")["wheels"][0]
    return wheel["url"], wheel["hashes"]["sha256"]


def _download(url: str, sha256: str, wheels: Path) -> bool:
    wheels.mkdir(parents=True, exist_ok=True)
    name = httpx.URL(url).path.rsplit("/", 1)[-1]
    part = wheels / f".{name}.part"
    digest = hashlib.sha256()
    print(f"fetching {name}", file=sys.stderr)
    with httpx.stream("GET", url, follow_redirects=True, timeout=_QUICK_LOOK_SECONDS) as response:
        response.raise_for_status()
        with part.open("wb") as file:
            for chunk in response.iter_bytes(1 << 20):
                digest.update(chunk)
                file.write(chunk)
    if digest.hexdigest() != sha256:
        part.unlink()
        raise SystemExit(f"{name} does not have the digest that its index names")
    part.rename(wheels / name)
    return True


if __name__ == "__main__":
    found = cpu_torch(sys.argv[1], sys.argv[2])
    if found is None:
        sys.exit("no CPU build of torch is to be had here")
    print(found)
