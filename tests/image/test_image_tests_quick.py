"""``factory test``, quick: the CPU flavor's image passes; what is wrong with another is found by its test."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from support.built import BuiltFlavor, factory
from support.podman import podman

from factory.errors import EngineError
from factory.image_tests.container import CONTAINER_LABEL
from factory.image_tests.report import SELECTED_FOLDER

pytestmark = pytest.mark.container

NOTEBOOK = "entrypoint-notebook"
QUICK = ("--level", "quick")  # the settings of the flavor's repository say standard
PACKAGES = "/opt/app-root/lib/python3.11/site-packages"
MADE = "Metadata-Version: 2.1\\nName: made\\nVersion: 1\\nRequires-Dist: numpy>=99\\n"
# A line of a Dockerfile that breaks an image, the test that finds it, and what it names.
BREACHES = (
    ("RUN cp /bin/true /usr/local/bin/gcc", "compilers", "/usr/local/bin/gcc"),
    (
        "RUN echo machine a login b password c >/opt/app-root/src/.netrc",
        "credentials",
        "/opt/app-root/src/.netrc",
    ),
    ("ENV SOME_TOKEN=not-a-real-one", "credentials", "environment variable SOME_TOKEN"),
    (
        "RUN printf '[global]\\nindex-url = https://me:secret@index.example/simple\\n' >/etc/pip.conf",
        "credentials",
        "/etc/pip.conf",
    ),
    ("RUN mkdir -p /opt/app-root/src/.cache/uv", "caches", "/opt/app-root/src/.cache/uv"),
    ("RUN touch /tmp/left && mkdir /layers && touch /layers/x.txt", "stray-files", "/layers/x.txt"),
    (
        f"RUN cd {PACKAGES} && mkdir made-1.dist-info && printf '{MADE}' >made-1.dist-info/METADATA",
        "dependencies",
        "made",
    ),
    (
        f"RUN cd {PACKAGES} && cp -r einops-*.dist-info einops-0.1.dist-info",
        "locked-packages",
        "einops",
    ),
    ("LABEL name=another", "labels", "name"),
    # The owner can still search it, and so can root; a shell is elsewhere.
    ("RUN chmod g-rx,o-rx /opt/app-root/bin", "arbitrary-user", "/opt/app-root"),
    ('ENTRYPOINT ["/bin/sh", "-c", "\\"$@\\"; exit 0", "sh"]', "entrypoint-command", "exit status"),
    ('# the same line: without a command it runs ""', NOTEBOOK, "entry point"),
)
SEEN_AS_WELL = {
    ("stray-files", "/tmp/left"),
    ("credentials", "history: the value of SOME_TOKEN"),
    ("credentials", "history: the login of a URL"),
}
DROP_IN = {
    "good.sh": """
        # Nobody gives it anything to read, and it can write nothing but temporary files.
        read -r line && exit 2
        test "$(id -g)" = 0 || exit 3
        touch /opt/made && exit 4
        touch /tmp/made
    """,
    "good-python.py": "import einops\nprint(einops.__version__)\n",
    "bad.py": "import sys\nprint('looking')\nsys.exit('found nothing')\n",
    "skipped.sh": "#!/bin/bash\n[[ 1 == 1 ]] && echo 'no data here'\nexit 77\n",
    "for-a-gpu.sh": "# tags: cuda gpu\nexit 1\n",
    "later.sh": "# level: standard\nexit 1\n",
    "endless.py": "# seconds: 2\n# level: full\nimport time\ntime.sleep(600)\n",
}


def _root(flavor: BuiltFlavor) -> Path:
    return flavor.folder.parents[1]


def _report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def _containers(process: int) -> list[str]:
    """The containers of one run of the factory."""
    return podman("ps", "--all", "--quiet", "--filter", f"label={CONTAINER_LABEL}={process}").split()


def _started(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "factory", *map(str, words)],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="module")
def passed(cpu_flavor: BuiltFlavor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of the image as it was built."""
    folder = tmp_path_factory.mktemp("reports") / "clean"
    said = factory("--root", _root(cpu_flavor), "--json", "test", cpu_flavor.tag, *QUICK, "--report", folder)
    assert json.loads(said) == _report(folder)
    return folder


@pytest.fixture(scope="module")
def broken(cpu_flavor: BuiltFlavor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The reports of an image in which everything is wrong."""
    folder = tmp_path_factory.mktemp("reports") / "broken"
    context = tmp_path_factory.mktemp("context")
    lines = [f"FROM {cpu_flavor.tag}", "USER 0", *(line for line, _, _ in BREACHES), "USER 1001"]
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    tag = "localhost/universal-image-tests:broken"
    podman("build", "--quiet", "--network", "none", "--tag", tag, context)
    factory("--root", _root(cpu_flavor), "test", tag, *QUICK, "--report", folder, status=1)
    yield folder
    podman("rmi", "--force", tag)


def test_the_cpu_flavor_s_image_passes_every_quick_test(cpu_flavor: BuiltFlavor, passed: Path) -> None:
    report = _report(passed)
    statuses = {outcome["name"]: outcome["status"] for outcome in report["outcomes"]}
    assert set(statuses.values()) == {"passed"}
    assert {test for _, test, _ in BREACHES} | {"versions"} == set(statuses)
    assert report["flavor"] == cpu_flavor.folder.name
    assert report["image"] == cpu_flavor.tag


def test_the_report_has_the_packages_and_the_layers(cpu_flavor: BuiltFlavor, passed: Path) -> None:
    report = _report(passed)
    packages = {package["name"]: package for package in report["packages"]}
    assert packages["torch"]["locked"]
    assert packages["torch"]["size"] > 100_000_000
    assert not packages["jupyterlab"]["locked"]
    inspected = json.loads(podman("image", "inspect", cpu_flavor.tag))[0]
    assert [layer["digest"] for layer in report["layers"]] == inspected["RootFS"]["Layers"]
    assert sum(layer["size"] for layer in report["layers"]) == pytest.approx(inspected["Size"], rel=0.02)
    assert any("pip install" in layer["created_by"] for layer in report["layers"])


def test_junit_and_the_page_have_the_same_tests(passed: Path) -> None:
    names = {outcome["name"] for outcome in _report(passed)["outcomes"]}
    cases = ET.parse(passed / "junit.xml").getroot().iter("testcase")
    assert {case.get("name") for case in cases} == names
    page = (passed / "report.html").read_text()
    assert all(name in page for name in names)


@pytest.mark.parametrize(("line", "test", "subject"), BREACHES)
def test_what_is_wrong_is_found_by_its_test(broken: Path, line: str, test: str, subject: str) -> None:
    outcome = next(outcome for outcome in _report(broken)["outcomes"] if outcome["name"] == test)
    assert outcome["status"] == "failed", outcome
    assert subject in [finding["subject"] for finding in outcome["findings"]]
    assert all(finding["fix"] for finding in outcome["findings"])


def test_nothing_else_is_found(broken: Path) -> None:
    """What one test is for, no other one takes for its own."""
    found = {
        (outcome["name"], finding["subject"])
        for outcome in _report(broken)["outcomes"]
        for finding in outcome["findings"]
    }
    assert found == {(test, subject) for _, test, subject in BREACHES} | SEEN_AS_WELL
    statuses = {outcome["name"]: outcome["status"] for outcome in _report(broken)["outcomes"]}
    assert statuses["versions"] == "passed"


def test_no_credential_is_shown(broken: Path) -> None:
    for path in broken.iterdir():
        text = path.read_text()
        assert "not-a-real-one" not in text
        assert "me:secret" not in text


def test_a_spec_that_the_image_is_not_of_is_found(cpu_flavor: BuiltFlavor, tmp_path: Path) -> None:
    folder = tmp_path / "flavors" / cpu_flavor.folder.name
    folder.mkdir(parents=True)
    text = (cpu_flavor.folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace('training-hub = "0.11.2"', 'training-hub = "0.12.0"'))
    said = factory("--root", tmp_path, "test", cpu_flavor.tag, "--only", "versions", status=1)
    assert "training-hub: the spec says 0.12.0, and the image has 0.11.2" in said


@pytest.fixture
def dropped_in(cpu_flavor: BuiltFlavor, tmp_path: Path) -> Path:
    """A repository with drop-in tests beside the flavor, and one for every image."""
    folder = tmp_path / "flavors" / cpu_flavor.folder.name / "tests"
    folder.mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.txt", "Dockerfile"):
        (folder.parent / name).write_bytes((cpu_flavor.folder / name).read_bytes())
    for name, text in DROP_IN.items():
        (folder / name).write_text(text)
    (tmp_path / "tests" / "images").mkdir(parents=True)
    (tmp_path / "tests" / "images" / "shared.sh").write_text("echo for all\n")
    return tmp_path


def test_drop_in_tests_are_run_in_the_image(cpu_flavor: BuiltFlavor, dropped_in: Path) -> None:
    names = ("good", "good-python", "bad", "skipped", "shared", "endless")
    only = [word for name in names for word in ("--only", name)]
    with _started("--root", dropped_in, "--json", "test", cpu_flavor.tag, *only) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    told = {
        outcome["name"]: (outcome["status"], outcome["reason"]) for outcome in json.loads(said)["outcomes"]
    }
    assert told == {
        "good": ("passed", ""),
        "good-python": ("passed", ""),
        "shared": ("passed", ""),
        "skipped": ("skipped", "no data here"),
        "bad": ("failed", "it ended with status 1: found nothing"),
        "endless": ("failed", "it took more than 2 seconds"),
    }
    assert _containers(process.pid) == []


def test_what_is_for_another_accelerator_is_not_listed(cpu_flavor: BuiltFlavor, dropped_in: Path) -> None:
    said = factory("--root", dropped_in, "--json", "test", cpu_flavor.folder.name, "--list")
    listed = {test["name"]: test["level"] for test in json.loads(said)}
    assert "for-a-gpu" not in listed
    assert (listed["later"], listed["endless"], listed["good"]) == ("standard", "full", "quick")


def test_an_image_of_nobody_s_is_tested_without_a_spec(base_image: str, tmp_path: Path) -> None:
    (tmp_path / "flavors").mkdir()
    said = factory(
        "--root", tmp_path, "--json", "test", base_image, "--only", "versions", "--only", "arbitrary-user"
    )
    told = {outcome["name"]: outcome["status"] for outcome in json.loads(said)["outcomes"]}
    assert told == {"versions": "skipped", "arbitrary-user": "passed"}
    (report,) = (tmp_path / ".work" / "reports" / "universal-image-standin").rglob("report.json")
    # A run of some tests takes no place of one that says more.
    assert report.parent.name == SELECTED_FOLDER


def test_an_image_that_is_not_there_is_no_failed_test(tmp_path: Path) -> None:
    (tmp_path / "flavors").mkdir()
    said = json.loads(factory("--root", tmp_path, "--json", "test", "localhost/is-not-there:1", status=33))
    assert "does not have the image" in said["error"]["reason"]


def test_an_engine_that_starts_no_container_is_no_failed_test(
    base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flavors").mkdir()
    runtime = tmp_path / "runtime.sh"
    runtime.write_text("#!/bin/sh\necho 'setrlimit: not permitted' >&2\nexit 1\n")
    runtime.chmod(0o755)
    settings = Path(os.environ["CONTAINERS_CONF"]).read_text() if "CONTAINERS_CONF" in os.environ else ""
    tables = tomllib.loads(settings)
    tables.setdefault("engine", {}).update({"runtime": "broken", "runtimes": {"broken": [str(runtime)]}})
    (tmp_path / "containers.conf").write_text(tomlkit.dumps(tables))
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
    said = json.loads(factory("--root", tmp_path, "--json", "test", base_image, status=EngineError.exit_code))
    assert "starts no container here" in said["error"]["reason"]
    assert "setrlimit: not permitted" in said["error"]["reason"]
    assert not (tmp_path / ".work" / "reports").exists()


def test_an_interrupted_run_leaves_no_container(cpu_flavor: BuiltFlavor, dropped_in: Path) -> None:
    endless = dropped_in / "tests" / "images" / "waits.py"
    endless.write_text("import time\ntime.sleep(600)\n")
    with _started("--root", dropped_in, "test", cpu_flavor.tag, "--only", "waits") as process:
        deadline = time.monotonic() + 60
        while not _containers(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert _containers(process.pid) == []
