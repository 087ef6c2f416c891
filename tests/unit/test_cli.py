"""The command line as a user meets it: exit codes, messages, JSON. Each run is a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository

from factory import __version__
from factory.cli.main import COMMANDS
from factory.files import exclusive
from factory.flavor.repository import Flavor, Repository

FACTORY = (sys.executable, "-m", "factory")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


@pytest.fixture
def flavor(repository: Repository) -> Flavor:
    return make_flavor(repository)


def _factory(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FACTORY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def _json(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401
    return json.loads(done.stdout)


def test_the_version_is_told(tmp_path: Path) -> None:
    done = _factory("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f"factory, version {__version__}")


def test_the_help_lists_every_command_in_the_order_of_the_job(tmp_path: Path) -> None:
    done = _factory("--help", cwd=tmp_path)
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line[:2] == "  " and line[2:3].strip()] == list(COMMANDS)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_needs_no_command_imports_none(tmp_path: Path, option: str) -> None:
    program = (
        "import sys\n"
        "from factory.cli.main import main\n"
        "try: main([sys.argv[1]])\n"
        "finally: print(*(name for name in sys.modules if name.startswith('factory')), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, option], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["factory", "factory.cli", "factory.cli.main"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_without_a_repository(tmp_path: Path, name: str) -> None:
    done = _factory(name, "-h", cwd=tmp_path)
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert "--root" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["check", "--no-such-option"],
        ["check", "--format", "xml"],
        ["show"],
        ["check", "--all", NAME],
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = _factory(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["check"], ["sync"]])
def test_without_a_repository_a_command_says_how_to_get_one(tmp_path: Path, command: list[str]) -> None:
    done = _factory(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (13, "")
    assert done.stderr.startswith("error: ")
    assert "`factory init`" in done.stderr


@pytest.mark.parametrize("command", ["show", "check", "sync"])
def test_a_flavor_is_found_by_its_path_from_anywhere(
    flavor: Flavor, tmp_path_factory: pytest.TempPathFactory, command: str
) -> None:
    done = _factory(command, str(flavor.folder), cwd=tmp_path_factory.mktemp("elsewhere"))
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_usage_is_one_json_document_where_json_was_asked_for(flavor: Flavor) -> None:
    done = _factory("new-flavor", "--json", "--accelerator", "tpu", cwd=flavor.folder)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"], error["exit_code"]) == (2, "UsageError", 2)
    assert "'tpu'" in error["reason"]


@pytest.mark.parametrize("command", ["show", "check", "sync"])
def test_an_unknown_flavor_is_named_with_those_that_are_there(flavor: Flavor, command: str) -> None:
    done = _factory(command, "th99", cwd=flavor.folder)
    assert (done.returncode, done.stdout) == (13, "")
    assert "'th99'" in done.stderr
    assert NAME in done.stderr


def test_among_many_flavors_the_likeliest_are_named(repository: Repository) -> None:
    for python in range(10, 25):
        make_flavor(repository, name=f"th09-cpu-torch2110-py3{python}", locked=False)
    done = _factory("show", "th09-cpu-torch2110-py312x", cwd=repository.root)
    assert "Did you mean th09-cpu-torch2110-py312? `factory list` lists all." in done.stderr
    assert done.stderr.count("th09-cpu-torch2110") == 2  # what was asked for, and the likely one


@pytest.mark.parametrize("arguments", [("--json", "show", "th99"), ("show", "th99", "--json")])
def test_an_error_in_json_is_one_document_with_its_exit_code(
    flavor: Flavor, arguments: tuple[str, ...]
) -> None:
    done = _factory(*arguments, cwd=flavor.folder)
    error = _json(done)["error"]
    assert (done.returncode, error["exit_code"], error["kind"]) == (13, 13, "NotFoundError")
    assert "th99" in error["reason"]
    assert NAME in error["solution"]


def test_the_root_is_the_nearest_folder_upwards_or_the_one_that_is_given(
    flavor: Flavor, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    runs = [
        _factory("list", "--json", cwd=flavor.folder),
        _factory("--root", repository.root, "list", "--json", cwd=elsewhere),
        _factory("list", "--json", "--root", repository.root, cwd=elsewhere),
    ]
    assert [done.returncode for done in runs] == [0, 0, 0]
    assert [state["name"] for done in runs for state in _json(done)] == [NAME] * 3


def test_a_root_without_flavors_is_refused(tmp_path: Path) -> None:
    done = _factory("list", "--root", tmp_path, cwd=tmp_path)
    assert done.returncode == 13
    assert f"{tmp_path} holds no flavors/" in done.stderr


def test_a_flavor_may_be_given_as_a_path(flavor: Flavor) -> None:
    done = _factory("show", ".", "--json", cwd=flavor.folder)
    assert (done.returncode, _json(done)["name"]) == (0, NAME)


def test_check_exits_with_0_where_there_are_only_warnings(flavor: Flavor) -> None:
    done = _factory("check", cwd=flavor.folder)
    assert done.returncode == 0
    assert done.stdout.endswith("\n1 image checked, 0 errors, 1 warning\n")
    assert done.stderr == ""


@pytest.mark.parametrize("chosen", [[], ["--all"], [NAME]])
def test_check_exits_with_1_where_there_is_an_error(flavor: Flavor, chosen: list[str]) -> None:
    (flavor.folder / "LICENSE.md").unlink()
    done = _factory("check", *chosen, cwd=flavor.folder)
    assert done.returncode == 1
    assert f"error FAC101 missing-file  flavors/{NAME}/LICENSE.md" in done.stdout
    assert f"what to do: Run `factory sync {NAME}`." in done.stdout
    assert done.stdout.endswith("\n1 image checked, 1 error, 1 warning\n")


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_check_in_json_is_one_document(flavor: Flavor, option: list[str]) -> None:
    (flavor.folder / "LICENSE.md").unlink()
    done = _factory("check", *option, cwd=flavor.folder)
    report = _json(done)
    assert (done.returncode, report["errors"], report["warnings"], report["flavors"]) == (1, 1, 1, [NAME])
    assert report["findings"][0] | {"why": "", "solution": "", "message": ""} == {
        "code": "FAC101",
        "rule": "missing-file",
        "severity": "error",
        "flavor": NAME,
        "path": f"flavors/{NAME}/LICENSE.md",
        "line": None,
        "package": None,
        "message": "",
        "why": "",
        "solution": "",
        "waiver": None,
    }


def test_check_for_code_scanning_is_one_sarif_document_and_exits_as_ever(flavor: Flavor) -> None:
    assert _factory("check", "--format", "sarif", cwd=flavor.folder).returncode == 0
    (flavor.folder / "LICENSE.md").unlink()
    done = _factory("check", "--format", "sarif", cwd=flavor.folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert _json(done)["runs"][0]["results"][0]["ruleId"] == "FAC101"


def test_check_for_code_scanning_says_so_in_its_document_where_it_fails(flavor: Flavor) -> None:
    done = _factory("check", "no-such-flavor", "--format", "sarif", cwd=flavor.folder)
    (run,) = _json(done)["runs"]
    (failed,) = run["invocations"]
    assert done.returncode > 2
    assert (failed["executionSuccessful"], failed["exitCode"]) == (False, done.returncode)
    (notification,) = failed["toolExecutionNotifications"]
    assert "no-such-flavor" in notification["message"]["text"]
    assert (run["results"], "no-such-flavor" in done.stderr) == ([], True)


def test_a_waived_finding_is_in_the_json_document_with_its_last_day(flavor: Flavor) -> None:
    waiver = '\n[[tool.factory.waivers]]\nfinding = "FAC208"\nreason = "known"\nexpires = 2999-01-31\n'
    path = flavor.folder / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8") + waiver, encoding="utf-8")
    done = _factory("check", "--json", cwd=flavor.folder)
    report = _json(done)
    assert (done.returncode, report["warnings"], report["waived"]) == (0, 0, 1)
    assert report["findings"][0]["waiver"] == {
        "finding": "FAC208",
        "package": None,
        "reason": "known",
        "expires": "2999-01-31",
    }
    assert (
        _json(_factory("show", NAME, "--json", cwd=flavor.folder))["spec"]["waivers"][0]["reason"] == "known"
    )


def test_check_for_github_annotates_the_line(flavor: Flavor) -> None:
    done = _factory("check", "--format", "github", cwd=flavor.folder)
    first, last = done.stdout.splitlines()
    path = f"flavors/{NAME}/pyproject.toml"
    assert first.startswith(
        f"::warning file={path},line=28,title=FAC208 missing-from-index::flash-attn>=2.8 is"
    )
    assert last == "1 image checked, 0 errors, 1 warning"


def test_check_of_nothing_says_so(repository: Repository) -> None:
    done = _factory("check", cwd=repository.root)
    assert (done.returncode, done.stdout) == (0, "no images yet: make one with `factory new-flavor`\n")


def test_check_needs_neither_a_network_nor_a_program(flavor: Flavor) -> None:
    code = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.exec', 'os.posix_spawn', 'os.fork')):\n"
        "        raise SystemExit(f'refused: {event}')\n"
        "sys.addaudithook(refuse)\n"
        "from factory.cli.main import main\n"
        "main(['check'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=flavor.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 image checked" in done.stdout


def test_list_shows_versions_and_states(repository: Repository, flavor: Flavor) -> None:
    broken = make_flavor(repository, name="a-broken-one")
    (broken.folder / "pyproject.toml").write_text("[project]\n[tool.factory]\n", encoding="utf-8")
    done = _factory("list", cwd=repository.root)
    assert done.returncode == 0
    heading, first, second, problem = done.stdout.splitlines()
    assert heading.split() == [
        "name",
        "kind",
        "accelerator",
        "torch",
        "python",
        "training",
        "hub",
        "index",
        "state",
    ]
    assert first.split()[0] == "a-broken-one"
    assert first.rstrip().endswith("broken")
    assert second.split()[:6] == [NAME, "flavor", "cuda", "13.0", "2.11.0", "3.12"]
    assert second.rstrip().endswith("rendered, locked")
    assert problem.startswith("a-broken-one: ")
    assert "lacks accelerator" in problem


def test_list_of_nothing_says_how_to_make_one(repository: Repository) -> None:
    done = _factory("list", cwd=repository.root)
    assert (done.returncode, done.stdout) == (0, "no images yet: make one with `factory new-flavor`\n")


def test_show_tells_everything_about_a_flavor(flavor: Flavor) -> None:
    (flavor.folder / "LICENSE.md").unlink()
    done = _factory("show", NAME, cwd=flavor.folder)
    assert done.returncode == 0
    for words in (
        f"{NAME}: drifted, locked",
        "  training-hub[lora]==0.9.2\n",
        "  flash-attn>=2.8: the index has source distributions only\n",
        "lock: 5 packages, 7 artifacts, from https://packages.example.com/cuda13.0/simple/",
    ):
        assert words in done.stdout
    states = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()}
    assert states["LICENSE.md"] == ["missing"]
    assert states["Dockerfile"] == ["generated"]
    assert states["pyproject.toml"] == ["edited", "by", "people"]


def test_show_of_a_broken_spec_exits_with_the_specs_code(flavor: Flavor) -> None:
    (flavor.folder / "pyproject.toml").write_text("[project]\n[tool.factory]\n", encoding="utf-8")
    done = _factory("show", NAME, cwd=flavor.folder)
    assert done.returncode == 11
    assert "lacks accelerator" in done.stderr


def test_sync_goes_on_past_a_folder_that_is_no_flavor(flavor: Flavor) -> None:
    (flavor.folder.parent / "a-folder").mkdir()
    (flavor.folder / "LICENSE.md").unlink()
    done = _factory("sync", "--json", cwd=flavor.folder)
    by_name = {outcome["flavor"]: outcome for outcome in json.loads(done.stdout)["flavors"]}
    assert (done.returncode, by_name["a-folder"]["error"]["kind"]) == (13, "NotFoundError")
    assert by_name[NAME]["differences"] == [{"path": "LICENSE.md", "kind": "missing"}]
    assert (flavor.folder / "LICENSE.md").is_file()


def test_a_folder_that_is_no_flavor_is_a_finding(flavor: Flavor) -> None:
    (flavor.folder.parent / "a-folder").mkdir()
    done = _factory("check", cwd=flavor.folder)
    assert done.returncode == 1
    assert "error FAC201 unreadable-spec  flavors/a-folder/pyproject.toml" in done.stdout


def test_sync_mends_drift_and_says_what_it_wrote(flavor: Flavor) -> None:
    before = (flavor.folder / "Dockerfile").read_bytes()
    (flavor.folder / "Dockerfile").write_bytes(before + b"RUN dnf install gcc\n")
    (flavor.folder / "mine.txt").touch()
    dry = _factory("sync", "--dry-run", cwd=flavor.folder)
    assert f"{NAME}/Dockerfile: would be written" in dry.stdout
    assert (flavor.folder / "Dockerfile").read_bytes() != before
    done = _factory("sync", cwd=flavor.folder)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{NAME}/Dockerfile: written",
        f"{NAME}/mine.txt: is stray, left alone",
    ]
    assert (flavor.folder / "Dockerfile").read_bytes() == before


@pytest.mark.parametrize("arguments", [["check", "--json"], ["check"], ["list"]])
def test_a_reader_that_stops_reading_is_no_crash(flavor: Flavor, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [*FACTORY, *arguments], cwd=flavor.folder, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGINT, []), (signal.SIGINT, ["--json"]), (signal.SIGTERM, ["--json"])]
)
def test_an_interrupted_command_says_so_and_exits_with_130(
    flavor: Flavor, number: signal.Signals, options: list[str]
) -> None:
    with exclusive(flavor.folder):
        process = subprocess.Popen(
            [*FACTORY, "sync", NAME, *options],
            cwd=flavor.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _wait_until_open(process.pid, flavor.folder)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    if options:
        error = json.loads(output)["error"]
        assert (error["kind"], error["exit_code"]) == ("Interrupted", 130)
        return
    assert output == ""
    # click ends the line that shows ^C.
    assert errors == "\ninterrupted; no file of the repository was changed\n"


def _wait_until_open(pid: int, folder: Path) -> None:
    """Until the process holds the folder open: it waits for the lock on it."""
    descriptors = Path(f"/proc/{pid}/fd")
    for _ in range(600):
        if any(os.path.realpath(link) == str(folder) for link in descriptors.iterdir()):
            return
        time.sleep(0.05)
    pytest.fail("the command did not come to wait for the folder")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["chekc"], "Did you mean `factory check`?"),
        (["regsitry", "prune"], "Did you mean `factory registry`?"),
        (["help", "statsu"], "Did you mean `factory status`?"),
        (["nothing-like-it-at-all"], "`factory --help` lists them."),
    ],
)
def test_a_misspelt_command_is_answered_with_the_likely_one(
    tmp_path: Path, words: list[str], meant: str
) -> None:
    done = _factory(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert meant in done.stderr


@pytest.mark.parametrize("words", [["check"], ["registry", "prune"], []])
def test_help_prints_what_the_option_does(tmp_path: Path, words: list[str]) -> None:
    asked, option = _factory("help", *words, cwd=tmp_path), _factory(*words, "--help", cwd=tmp_path)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == option.stdout


def _completed(words: str, cwd: Path, *, after: str = "") -> list[str]:
    """What a shell is told that may come next, of the last of these words."""
    environment = {
        **os.environ,
        "COMP_WORDS": f"factory {words}",
        "COMP_CWORD": str(len(words.split(" "))),
        "_FACTORY_COMPLETE": "bash_complete",
    }
    program = f"from factory.cli.main import main\ntry: main([])\nfinally: {after or 'pass'}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_shell_completes_commands_images_registries_and_options(flavor: Flavor) -> None:
    root = flavor.folder.parents[1]
    (root / "factory.toml").write_text(
        '[images.ml-stack]\nfolder = "x"\n[images."$(id)"]\n[registries.mine]\nurl = "localhost:1"\n'
    )
    assert _completed("bui", root) == ["build"]
    assert _completed("build ", root) == sorted([NAME, "ml-stack"])
    assert _completed("build --jobs 2 ml", root) == ["ml-stack"]
    assert _completed("build ml-stack th", flavor.folder) == [NAME]
    assert _completed("build --engine p", root) == ["podman"]
    assert _completed("build --verify", root) == ["--verify-reproducible"]
    assert _completed("registry prune ", root) == ["mine"]
    assert _completed("help stat", root) == ["status"]
    assert NAME in _completed("bump --image th", root)
    assert NAME in _completed("new-image --parent th", root)


@pytest.mark.parametrize("text", ["[images", "images = 3", "\0", "[images.x]\n" * 2])
def test_a_broken_settings_file_is_no_reason_to_complete_nothing(flavor: Flavor, text: str) -> None:
    root = flavor.folder.parents[1]
    (root / "factory.toml").write_text(text)
    assert _completed("build ", root) == [NAME]


def test_a_name_is_completed_without_the_command(flavor: Flavor) -> None:
    loaded = "print(*('plain,' + name for name in sys.modules if name.startswith('factory')), sep='\\n')"
    names = _completed("build th", flavor.folder, after=f"import sys; {loaded}")
    assert NAME in names
    assert not {"factory.cli.build", "factory.cli.options", "factory.flavor.repository"} & set(names)


def test_the_script_of_bash_completes_a_name(flavor: Flavor, tmp_path: Path) -> None:
    program = tmp_path / "factory"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m factory "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(factory completion bash)"; COMP_WORDS=(factory build th); COMP_CWORD=2; '
        '_factory_completion factory; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=flavor.folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [NAME]


@pytest.mark.parametrize("before", [True, False])
def test_quiet_prints_no_step_and_still_says_what_failed(
    flavor: Flavor, tmp_path: Path, *, before: bool
) -> None:
    words = ["status", "--html", str(tmp_path / "page.html"), "--offline"]
    loud = _factory(*words, cwd=flavor.folder)
    quiet = _factory(*(["-q", *words] if before else [*words, "--quiet"]), cwd=flavor.folder)
    assert "written: " in loud.stderr
    assert (quiet.returncode, quiet.stderr) == (loud.returncode, "")
    assert quiet.stdout == loud.stdout
    assert "there is no" in _factory("show", "nothing", "--quiet", cwd=flavor.folder).stderr


@pytest.mark.parametrize(
    "words", [["list"], ["plan"], ["check"], ["sync"], ["layers"], ["drift-report"], ["lock", "--all"]]
)
def test_a_repository_without_images_is_said_to_have_none(repository: Repository, words: list[str]) -> None:
    done = _factory(*words, cwd=repository.root)
    assert (done.returncode, done.stdout) == (0, "no images yet: make one with `factory new-flavor`\n")
