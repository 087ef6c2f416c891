"""Make the pages of the factory from made-up results, and take pictures of them in Chromium.

    scripts/page_pictures.py DIR       every page: 1280 and 400 pixels wide, light and dark
    scripts/page_pictures.py --docs    docs/pictures/: what the README and the site show

The pages are those that `factory status --html` and `factory test` write. Their content is the same each
time, so that a picture changes only with a page. Chromium is `chromium-headless-shell`, `chromium` or
`google-chrome`.
"""

import argparse
import datetime as dt
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from factory.image_tests.definition import ImageFinding, Level, Status
from factory.image_tests.report import ImageLayer, ImagePackage, ImageTestReport, TestOutcome, report_page
from factory.status.page import status_page
from factory.status.places import AskedRegistry, BuildStatus, PushStatus, TestStatus
from factory.status.status import ImageStatus, RepositoryStatus

ROOT = Path(__file__).parents[1]
NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
CUDA, CPU = "th09-cuda130-torch2110-py312", "th011-cpu-torch2130-py311"
ROCM = "th09-rocm714-torch2110-py312"
BASE = "quay.io/opendatahub/odh-midstream-cuda-base-13-0:latest"
_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_SITE = "/opt/app-root/lib/python3.12/site-packages"
_MOST_PIXELS = 4000
_OLD, _EVERY = 100, 5


def pages() -> dict[str, str]:
    """Return the pages by the name of their pictures."""
    return {
        "status": status_page(_status(), now=NOW),
        "test-report": report_page(_test_report()),
        "test-report-passed": report_page(_passed_report()),
    }


def _image(  # noqa: PLR0913 - one argument per column
    name: str,
    kind: str,
    *parents: str,
    lock: str = "locked",
    rendering: str = "",
    depth: int = 0,
    built: int | None = 3,
    size: int = 3_200_000_000,
    passed: bool | None = True,
    pushed: tuple[str, ...] = ("quay",),
    problem: str = "",
) -> ImageStatus:
    identity = hashlib.sha256(name.encode()).hexdigest()
    tag = identity[:16]
    return ImageStatus(
        name=name,
        kind=kind,
        depth=depth,
        parents=parents,
        lock=lock,
        rendering=rendering,
        identity=identity,
        tag=tag,
        built=None
        if built is None
        else BuildStatus(
            reference=f"localhost/{name}:{tag}",
            current=built < _OLD,
            size=size,
            created=NOW.isoformat(),
            built=(NOW - dt.timedelta(hours=built)).isoformat(),
        ),
        tested=None
        if passed is None
        else TestStatus(
            level="standard",
            passed=passed,
            started=(NOW - dt.timedelta(hours=2)).isoformat(),
            current=built is not None and built < _OLD,
            failed=() if passed else ("imports",),
            report=Path(f".work/reports/{name}/{tag}/report.html"),
        ),
        pushed=tuple(
            PushStatus(registry=one, reference=f"{one}.example.com/{name}:{tag}", current=True)
            for one in pushed
        ),
        problem=problem,
    )


def _status() -> RepositoryStatus:
    return RepositoryStatus(
        repository="training-images",
        images=(
            _image(
                CUDA, "flavor", BASE, rendering="rendered", size=9_400_000_000, pushed=("quay", "nightly"),
            ),
            _image("ml-stack", "stack", CUDA, depth=1, size=10_100_000_000, built=5),
            _image(
                "llama-trainer", "trainer", "ml-stack", depth=2, size=10_100_400_000, passed=False, pushed=(),
            ),
            _image("sweep-launcher", "launcher", "docker.io/wandb/launch-agent:latest", size=420_000_000),
            _image(
                CPU, "flavor", BASE.replace("cuda", "cpu"), rendering="drifted", lock="stale", built=190,
                size=1_800_000_000, pushed=(),
            ),
            _image(
                ROCM, "flavor", "quay.io/opendatahub/odh-midstream-rocm-base-7-14@sha256:" + "5eed" * 16,
                rendering="rendered", lock="not locked", built=None, passed=None, pushed=(),
                problem=f"it is not locked: run `factory lock {ROCM}`, which asks "
                "https://console.redhat.com/api/pypi/public-rhai/rhoai/3.6-EA2/rocm7.14-ubi9-prod/simple/",
            ),
        ),
        registries=(
            AskedRegistry(name="quay", url="quay.example.com/team/universal-images", kind="persistent"),
            AskedRegistry(
                name="nightly", url="registry.example.com:5000/nightly", kind="disposable",
                problem="registry.example.com:5000 did not answer within 20 seconds, 3 times in a row",
            ),
        ),
    )  # fmt: skip


def _outcome(  # noqa: PLR0913 - one argument per field
    name: str,
    title: str,
    seconds: float,
    *,
    status: Status = "passed",
    level: Level = "quick",
    reason: str = "",
    output: str = "",
    findings: tuple[ImageFinding, ...] = (),
    advice: tuple[ImageFinding, ...] = (),
    tags: tuple[str, ...] = (),
) -> TestOutcome:
    return TestOutcome(
        name=name, title=title, level=level, tags=tags, status=status, seconds=seconds, reason=reason,
        output=output, findings=findings, advice=advice,
    )  # fmt: skip


def _outcomes() -> tuple[TestOutcome, ...]:
    missing = ImageFinding(
        subject="bitsandbytes",
        problem="import fails: libnvJitLink.so.13: cannot open shared object file",
        cause=f"{_SITE}/nvidia/nvjitlink/lib is not where the loader looks",
        fix="Add nvidia-nvjitlink to the dependencies of the stack, and run `factory lock ml-stack`.",
    )
    crypto = ImageFinding(
        subject=f"{_SITE}/cryptography/hazmat/bindings/_rust.abi3.so",
        problem="has its own OpenSSL",
        cause="a FIPS host refuses it",
        fix="",
    )
    return (
        _outcome("starts", "The image starts with no command as a workbench", 4.2),
        _outcome("entrypoint", "A command replaces the workbench: torchrun --version", 0.4),
        _outcome(
            "imports", "Every locked package can be imported", 81.3, status="failed", findings=(missing,),
            reason="1 of 143 packages cannot be imported",
            output="Traceback (most recent call last):\n"
            + f'  File "{_SITE}/bitsandbytes/cextension.py", line 294\n' * 40
            + "OSError: libnvJitLink.so.13: cannot open shared object file: No such file or directory\n",
        ),
        _outcome("versions", "The installed versions are those of the lock", 1.1),
        _outcome("user", "It runs as any user of group 0, as OpenShift starts it", 3.0),
        _outcome(
            "fips", "Nothing has a cryptographic library of its own", 12.7, level="standard",
            advice=(crypto,),
        ),
        _outcome(
            "train-cpu", "A small model trains on two processes", 204.0, level="standard", tags=("cpu",),
        ),
        _outcome(
            "train-gpu", "A small model trains on every GPU", 0.0, level="standard", status="skipped",
            reason="no GPU here", tags=("cuda",),
        ),
    )  # fmt: skip


def _layers() -> tuple[ImageLayer, ...]:
    sizes = (221, 96, 3, 410, 12, 2710, 1450, 880, 640, 402, 298, 211, 120, 74, 31, 18, 9, 2)
    made = [
        "ADD file:ubi9.tar in /",
        "RUN dnf install -y cuda-libraries-13-0 && dnf clean all",
        "COPY /opt /opt",
    ]
    names = ("accelerator", "large-1", "large-2", "large-3", "large-4", "large-5", "rest")
    made += [
        f"RUN package-layers.sh install /usr/share/factory/layers/{name}/requirements.txt" for name in names
    ]
    made += [f"COPY entrypoint-{number}.sh /usr/local/bin/" for number in range(len(sizes) - len(made))]
    return tuple(
        ImageLayer(
            digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
            size=size * 1_000_000,
            created_by=text,
        )
        for number, (size, text) in enumerate(zip(sizes, made, strict=True))
    )


def _packages() -> tuple[ImagePackage, ...]:
    named = (
        "torch",
        "nvidia-cublas",
        "nvidia-cudnn-cu13",
        "triton",
        "pyarrow",
        "transformers",
        "bitsandbytes",
    )
    many = (*named, *(f"package-{number}" for number in range(40)))
    return tuple(
        ImagePackage(
            name=name,
            version=f"2.{number}.0",
            size=1_900_000_000 // (number * 2 + 1),
            locked=number % _EVERY > 0,
        )
        for number, name in enumerate(many)
    )


def _test_report() -> ImageTestReport:
    return ImageTestReport(
        image="localhost/llama-trainer:latest", image_id="3f1c" * 16, identity="9b2e" * 16, flavor=CUDA,
        level="standard", engine="podman", started=NOW.isoformat(), seconds=306.7, outcomes=_outcomes(),
        packages=_packages(), layers=_layers(),
    )  # fmt: skip


def _passed_report() -> ImageTestReport:
    return ImageTestReport(
        image="registry.example.com:5000/nightly/th09-cuda130-torch2110-py312@sha256:" + "ab" * 32,
        image_id="77aa" * 16, identity=None, flavor=None, level="quick", engine="docker",
        started=NOW.isoformat(), seconds=7.6, selected=True, packages=(), layers=_layers()[:3],
        outcomes=tuple(one for one in _outcomes() if one.status == "passed")[:3],
    )  # fmt: skip


def take_picture(page: Path, picture: Path, *, width: int, height: int, dark: bool = False) -> None:
    """Take a picture of the top of a page."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"no Chromium: install one of {', '.join(_PROGRAMS)}")
    with tempfile.TemporaryDirectory() as profile:
        words = [
            program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},{height}",
            f"--screenshot={picture}", page.absolute().as_uri(),
        ]  # fmt: skip
        subprocess.run(words, check=True, capture_output=True, timeout=120)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--docs", action="store_true", help="write docs/pictures/ in place of DIR")
    given = parser.parse_args()
    if given.docs == (given.folder is not None):
        parser.error("give DIR or --docs")
    folder = ROOT / "docs" / "pictures" if given.docs else given.folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in pages().items():
            page = (Path(scratch) if given.docs else folder) / f"{name}.html"
            page.write_text(text, encoding="utf-8")
            if given.docs:
                if name != "test-report-passed":
                    take_picture(page, folder / f"{name}.png", width=1280, height=900)
                continue
            for width in (1280, 400):
                for dark in (False, True):
                    picture = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                    take_picture(page, picture, width=width, height=_MOST_PIXELS, dark=dark)


if __name__ == "__main__":
    main()
