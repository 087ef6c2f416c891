"""Tests of images: what a test makes of what an image tells, and what a run of nothing is."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.clean_flavor import make_flavor, make_repository
from support.subjects import made_context

from factory.cli.test import command
from factory.engine.engine import Engine
from factory.engine.images import IDENTITY_LABEL
from factory.errors import ImageTestError
from factory.image_tests import container
from factory.image_tests.container import Conditions, Containers, Ran
from factory.image_tests.context import Context
from factory.image_tests.definition import ImageTest, Result, Selection, Status, passed, select
from factory.image_tests.dropin import read_test
from factory.image_tests.importing import imports, no_network, openssl
from factory.image_tests.inventory import installed_packages
from factory.image_tests.report import ImageTestReport, report_folder
from factory.image_tests.running import run_test
from factory.image_tests.subject import BaseImage, find_subject, is_credential, step_of
from factory.image_tests.tidy import credentials
from factory.image_tests.training import collectives

REPORT = ImageTestReport(
    image="localhost/x:1", image_id="b" * 64, identity="c" * 64, flavor="f", level="quick",
    engine="podman 4", started="2026-11-22T00:00:00Z", seconds=2.0, outcomes=(), packages=(), layers=(),
)  # fmt: skip


def _test(function: Callable[[Context], Result]) -> ImageTest:
    return ImageTest(name="one", title="one", level="quick", function=function)


ONE = _test(lambda context: passed())


@pytest.mark.parametrize(
    "selection", [Selection(only=("one",), skip=("one",)), Selection(level="quick", skip=("one",))]
)
def test_a_run_of_no_test_at_all_is_refused(selection: Selection) -> None:
    with pytest.raises(ImageTestError, match="no test is left"):
        select((ONE,), selection)


def test_a_test_that_is_asked_for_and_left_out_is_a_usage_error() -> None:
    ran = CliRunner().invoke(command, ["x", "--only", "labels", "--skip", "labels"])
    assert ran.exit_code == 2
    assert "--only" in ran.output


def test_a_run_of_selected_tests_takes_no_report_s_place(tmp_path: Path) -> None:
    whole = REPORT
    assert report_folder(whole, tmp_path) == tmp_path
    part = replace(whole, selected=True)
    assert report_folder(part, tmp_path) not in (tmp_path, tmp_path.parent)
    assert "selected" in str(list(part.describe())[-1])
    assert "selected" not in str(list(whole.describe())[-1])


def _told(*packages: str, missing: tuple[str, ...] = ()) -> dict[str, object]:
    modules = [{"module": name, "package": name, "ok": True, "seconds": 0.1} for name in packages]
    return {"modules": modules, "missing": list(missing), "seconds": 1.0}


def test_a_locked_package_that_is_not_installed_does_not_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"contents.py": {"locks": {}}, "imports.py": _told("a", missing=("b",))}
    monkeypatch.setattr(Context, "probe", lambda _self, script, *_, **__: answers[script])
    result = imports(made_context(tmp_path))
    assert (result.status, [finding.subject for finding in result.findings]) == ("failed", ["b"])


@pytest.mark.parametrize(
    ("told", "status", "outcome"),
    [(_told("a"), 0, "passed"), (_told(), 0, "error"), (_told("a"), 127, "error")],
)
def test_no_network_has_to_have_been_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, object], status: int, outcome: Status
) -> None:
    answers = {"contents.py": {"locks": {}}, "imports.py": told}
    monkeypatch.setattr(Context, "probe", lambda _self, script, *_, **__: answers[script])
    ran = Ran(status=status, stdout="lo\n", stderr="", seconds=0)
    monkeypatch.setattr(Context, "run", lambda *_, **__: ran)
    assert run_test(_test(no_network), made_context(tmp_path)).status == outcome


def test_modules_that_nobody_found_do_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"contents.py": {"locks": {}}, "imports.py": _told()}
    monkeypatch.setattr(Context, "probe", lambda _self, script, *_, **__: answers[script])
    assert run_test(_test(imports), made_context(tmp_path)).status == "error"


def test_collectives_that_print_nothing_have_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Ran(status=0, stdout="", stderr="", seconds=0)
    monkeypatch.setattr(Context, "run", lambda *_, **__: nothing)
    assert collectives(made_context(tmp_path)).status == "failed"


@pytest.mark.parametrize("packages", [None, [{}], [{"name": None, "version": "1", "size": 1}], "x"])
def test_packages_that_make_no_sense_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: object
) -> None:
    monkeypatch.setattr(Context, "probe", lambda *_, **__: {"packages": packages, "locks": {}})
    assert installed_packages(made_context(tmp_path)) == ()


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("c" * 64, "x/" + "c" * 16),
        ("/tmp/evil", "x/" + "a" * 12),
        ("../../x", "x/" + "a" * 12),
        ("c" * 64 + "\n", "x/" + "a" * 12),
        ("", "x/" + "a" * 12),
    ],
)
def test_reports_stay_in_their_folder_whatever_an_image_is_labelled(
    tmp_path: Path, label: str, folder: str
) -> None:
    subject = made_context(tmp_path).subject
    labelled = replace(subject.configuration, labels={IDENTITY_LABEL: label})
    assert replace(subject, configuration=labelled).report_folder == Path(folder)


@pytest.mark.parametrize(
    ("name", "value", "credential"),
    [
        ("HF_TOKEN", "hf_abc", True),
        ("TOKEN", "x1", True),
        ("AWS_SECRET_ACCESS_KEY", "ab/c", True),
        ("OPENAI_API_KEY", "sk-1", True),
        ("PGPASSWORD", "abc", True),
        ("PROXY", "https://me:it@host.example", True),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("MAX_TOKENS", "4096", False),
        ("SKIP_TOKEN", "True", False),
        ("NEXT_TOKEN", "0.5", False),
        ("HF_TOKEN", "", False),
        ("SECRETARY", "Ann", False),
        ("BROKEN", "abc", False),
    ],
)
def test_what_variable_is_a_credential(name: str, value: str, *, credential: bool) -> None:
    assert is_credential(name, value) is credential


def test_credentials_of_the_base_image_are_its_vendor_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "probe", lambda *_, **__: {"leftovers": []})
    theirs, own = step_of(1, "ENV A_TOKEN=abc"), step_of(1, "ENV B_TOKEN=abc C_TOKEN=abc")
    environment = {"A_TOKEN": "abc", "B_TOKEN": "abc", "C_TOKEN": "abc"}
    context = made_context(tmp_path)
    configuration = replace(context.subject.configuration, environment=environment)
    context.subject = replace(context.subject, configuration=configuration, history=(theirs, own))
    context.base = BaseImage(
        image_id="b",
        configuration=replace(configuration, environment={"A_TOKEN": "abc", "B_TOKEN": "other"}),
        history=(theirs,),
    )
    result = credentials(context)
    assert [finding.subject for finding in result.findings] == [
        "environment variable B_TOKEN",
        "environment variable C_TOKEN",
        "history: the value of B_TOKEN",
        "history: the value of C_TOKEN",
    ]
    assert [advice.subject for advice in result.advice] == [
        "environment variable A_TOKEN",
        "history: the value of A_TOKEN",
    ]


@pytest.mark.parametrize(
    ("prefix", "path", "status"),
    [
        ("/opt/app-root", "/usr/lib64/libcrypto.so.3", "passed"),
        ("/usr", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "passed"),
        ("/usr", "/usr/lib/python3/dist-packages/x/libcrypto.so.3", "failed"),
        ("/usr/lib/venv", "/usr/lib/venv/lib/libcrypto.so.3", "failed"),
        ("/usr", "/usr/local/lib/libcrypto.so.3", "failed"),
    ],
)
def test_whose_openssl_python_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, path: str, status: Status
) -> None:
    told = {
        "loaded": [path], "prefix": prefix, "version": "OpenSSL 3", "bundled": [],
        "fips": {"kernel": False, "openssl": False},
    }  # fmt: skip
    answers = {"openssl.py": told, "imports.py": _told("a"), "contents.py": {"locks": {}}}
    monkeypatch.setattr(Context, "probe", lambda _self, script, *_, **__: answers[script])
    assert openssl(made_context(tmp_path)).status == status


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("import torch\n\ndef test_it():\n    assert torch\n", True),
        ('"""Docs."""\nimport torch\nX = 1\nclass TestIt:\n    def test_it(self): ...\n', True),
        ("def test_it(): ...\n\ntest_it()\n", False),
        ("def test_it(): ...\n\nif __name__ == '__main__':\n    test_it()\n", False),
        ("import torch\n", False),
        ("def test_it(:\n", False),
    ],
)
def test_a_file_for_pytest_is_refused_as_it_would_test_nothing(
    tmp_path: Path, text: str, *, only: bool
) -> None:
    path = tmp_path / "it.py"
    path.write_text(text)
    if not only:
        assert read_test(path).name == "it"
        return
    with pytest.raises(ImageTestError, match="nothing calls them"):
        read_test(path)


@pytest.mark.parametrize("name", ["it.py", "it.sh"])
@pytest.mark.parametrize(("tags", "given"), [("gpu", True), ("cuda, gpu", True), ("cuda", False)])
def test_a_drop_in_test_for_a_gpu_is_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tags: str, *, given: bool
) -> None:
    path = tmp_path / name
    path.write_text(f"# tags: {tags}\necho\n")
    seen: list[Conditions] = []

    def ran(_self: Context, *_: str, conditions: Conditions, **_more: object) -> Ran:
        seen.append(conditions)
        return Ran(status=0, stdout="", stderr="", seconds=0)

    monkeypatch.setattr(Context, "run", ran)
    assert read_test(path).function(made_context(tmp_path)).status == "passed"
    assert ("nvidia.com/gpu=all" in seen[0].options) is given


def test_an_engine_that_hangs_while_it_removes_keeps_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(container, "_ENGINE_SECONDS", 0.2)
    engine = Engine(kind="podman", program=program)
    with Containers(engine=engine, image="x") as containers:
        start = time.monotonic()
        containers.remove("one")
    assert time.monotonic() - start < 30


def test_a_flavor_that_an_image_of_the_repository_is_not_is_refused(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    for name in ("th09-cpu-torch2110-py311", "th09-cpu-torch2110-py312"):
        make_flavor(repository, name=name, locked=False)
    program = tmp_path / "podman"
    document = {"Id": "a", "RootFS": {"Layers": []}, "Size": 1, "Config": {}}
    program.write_text(f"#!/bin/sh\necho '{json.dumps([document])}'\n")
    program.chmod(0o755)
    engine = Engine(kind="podman", program=program)
    with pytest.raises(ImageTestError, match="not the flavor th09-cpu-torch2110-py312"):
        find_subject(
            engine,
            "th09-cpu-torch2110-py311",
            repository=repository,
            flavor="th09-cpu-torch2110-py312",
        )
