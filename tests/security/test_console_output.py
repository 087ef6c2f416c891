"""Terminal escapes, hidden text and commands of CI systems in what others wrote: none is printed as it is.

Each channel is real: a command in a process, a pseudo-terminal, a program whose lines are passed on.
"""

import datetime as dt
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.clean_flavor import NAME, PROJECT, make_flavor, make_repository
from support.stub_registry import Reply, stub_registry

from factory.check.finding import Problem, finding
from factory.check.report import CheckReport, as_sarif, error_as_sarif
from factory.cli.main import main
from factory.console import Console, Failure, Levels, Table, harmless, to_json, visible
from factory.engine.engine import Engine, Operand, run_engine
from factory.errors import EngineError, IndexAccessError, RegistryError, StorageError
from factory.flavor.repository import Repository
from factory.image_tests.report import ImageTestReport, TestOutcome, junit, report_page
from factory.index.client import IndexClient
from factory.markdown import code, plain, table
from factory.process import run

# The title of the window, colour by C1, text that runs backwards, or has no width, a line for some.
HOSTILE = "\x1b]0;owned\x07\x9b31m\x7f\u202egpj.exe\u2066\u200b\ufeff\u2028\x85\U000e0041"
_TOML_HOSTILE = HOSTILE.encode("unicode_escape").decode().replace("\\x", "\\u00")
CI_COMMANDS = (
    "::error file=x::owned",
    "  ::stop-commands::x",
    "::add-mask::a",
    "x ##[error]owned",
    "##vso[task.setvariable]x",
    "##teamcity[message]",
)


def _is_safe(text: str) -> bool:
    """Whether a text has line feeds and tabs, and else what is seen; not the console's own list."""
    return not [
        character
        for character in text
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Co"} and character not in "\n\t"
    ]


def _obeyed(text: str) -> list[str]:
    """The lines in which GitHub's or Azure's runner, or TeamCity, finds a command."""
    return [
        line
        for line in text.splitlines()
        if line.lstrip().startswith("::") or "##[" in line or "##vso[" in line or "##teamcity[" in line
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = make_repository(tmp_path)
    make_flavor(found)
    return found


@pytest.fixture
def factory(repository: Repository, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command; give all that it printed."""

    def run_command(command: str, *arguments: str) -> str:
        with pytest.raises(SystemExit):
            main([command, "--root", str(repository.root), *arguments])
        return "".join(capfd.readouterr())

    return run_command


def _add_waiver(repository: Repository, reason: str) -> None:
    project = repository.flavors_folder / NAME / "pyproject.toml"
    waiver = f'[[tool.factory.waivers]]\nfinding = "drift"\nreason = "{reason}"\nexpires = 2000-01-01\n'
    project.write_text(f"{PROJECT}\n{waiver}")


@pytest.mark.parametrize("form", ["text", "github", "sarif", "json", "test-output"])
def test_the_reason_of_a_waiver_is_shown_and_not_obeyed(
    repository: Repository, factory: Callable[..., str], form: str
) -> None:
    _add_waiver(repository, f"{_TOML_HOSTILE}\\n::error::owned\\n##vso[task.complete]")
    said = factory("check", "--format", form)
    assert "owned" in said
    assert _is_safe(said)
    annotation = re.compile(
        r"::(error|warning|notice) file=flavors/[\w./-]+,(line=\d+,)?title=FAC\d{3} [a-z-]+::"
    )
    own = [line for line in said.splitlines() if form == "github" and annotation.match(line)]
    assert [line for line in _obeyed(said) if line not in own or "##vso[" in line] == []


@pytest.mark.parametrize("command", ["check", "list", "show", "drift-report", "plan"])
def test_a_line_of_a_lock_is_shown_and_not_obeyed(
    repository: Repository, factory: Callable[..., str], command: str
) -> None:
    lock = repository.flavors_folder / NAME / "requirements.txt"
    lock.write_text(f"{lock.read_text()}\nnumpy{HOSTILE} @ file:///x\n::error::owned\n")
    said = factory(command, *([NAME] if command == "show" else ["--offline"] if command == "plan" else []))
    assert _is_safe(said)
    assert _obeyed(said) == []


def test_the_name_of_a_file_is_shown_and_not_obeyed(
    repository: Repository, factory: Callable[..., str]
) -> None:
    stray = os.fsencode(repository.flavors_folder / NAME) + b"/::error::\x1b[31m\xff\xe2\x80\xae"
    Path(os.fsdecode(stray)).touch()
    for form in ("text", "github", "json"):
        said = factory("check", "--format", form)
        assert "error::" in said.replace("%3A", ":")
        assert _is_safe(said)


def test_names_in_a_layout_are_shown_and_not_obeyed(tmp_path: Path, factory: Callable[..., str]) -> None:
    layout = tmp_path / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{'0' * 64}",
        "size": 2,
    }
    names = (f"{HOSTILE}\n::error::owned", "b")
    entries = [entry | {"annotations": {"org.opencontainers.image.ref.name": name}} for name in names]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    said = factory("push", f"oci:{layout}", "--to", "127.0.0.1:1/x")
    assert "owned" in said
    assert _is_safe(said)
    assert _obeyed(said) == []


def test_a_content_type_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"Content-Type": "text/\x9b31m\x85owned"}
    with (
        stub_registry(lambda _: Reply(headers=said)) as stub,
        IndexClient(f"http://{stub.host}/simple", environment={}, cache=tmp_path) as client,
        pytest.raises(IndexAccessError) as caught,
    ):
        client.project("numpy")
    Console().error(caught.value)
    printed = capsys.readouterr().err
    assert "owned" in printed
    assert _is_safe(printed)


@pytest.mark.parametrize("json_output", [False, True])
def test_what_a_server_said_is_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str], *, json_output: bool
) -> None:
    error = RegistryError(f"is no page, but {HOSTILE}\n::error::owned", solution=f"Ask {HOSTILE}")
    Console(json_output=json_output).error(error)
    said = "".join(capsys.readouterr())
    assert _is_safe(said)
    assert _obeyed(said) == []
    if json_output:
        assert json.loads(said)["error"]["reason"] == error.reason


@pytest.mark.parametrize("line", CI_COMMANDS)
def test_commands_of_ci_systems_are_taken_apart_in_every_channel(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    console = Console()
    console.result(None, f"first\n{line}", Table(headings=("name",), rows=((line,),)))
    console.note(line)
    console.warning(f"\n{line}")
    with console.progress("fetching", total=1) as progress:
        progress.begin(f"\n{line}")
    said = "".join(capsys.readouterr())
    assert said.count("owned") + said.count("x") + said.count("message") >= 4
    assert _obeyed(said) == []


def test_a_cell_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    Console().result(None, Table(headings=("name", "state"), rows=((f"a\n{HOSTILE}\nb  ok", "broken"),)))
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 2
    assert _is_safe(said)


def _fails(tmp_path: Path, script: str) -> tuple[str, str]:
    """What the log of an engine that runs a script and fails has, and what the error says."""
    program, log = tmp_path / "podman", tmp_path / "build.log"
    program.write_text(f"#!/bin/sh\n{script}\nexit 3\n")
    program.chmod(0o755)
    engine = Engine(kind="podman", program=program)
    with pytest.raises(EngineError) as raised:
        run_engine(engine, "build", operands=[Operand.path(tmp_path)], solution="Fix it.", log=log)
    return log.read_text(), raised.value.reason


def test_the_log_of_an_engine_has_every_line_without_what_a_terminal_obeys(tmp_path: Path) -> None:
    log, reason = _fails(
        tmp_path,
        "printf '\\033]0;owned\\007\\302\\233\\n\\377\\342\\200\\256end\\n'; "
        "echo https://user:secret@host/ >&2; for n in $(seq 40); do echo line $n; done",
    )
    lines = log.splitlines()
    assert len(lines) == 44  # with the command
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert _is_safe(log)
    assert "owned" in log
    assert "secret" not in log
    assert reason.splitlines()[1:-1] == [f"line {number}" for number in range(16, 41)]
    assert reason.endswith(f"All of them are in {tmp_path / 'build.log'}")


def test_an_engine_that_prints_nothing_fails_in_words(tmp_path: Path) -> None:
    assert "ended with status 3. Its last lines:\n(it printed nothing)\n" in _fails(tmp_path, "")[1]


def test_a_log_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    engine = Engine(kind="podman", program=Path("/bin/true"))
    log = tmp_path / "missing" / "build.log"
    with pytest.raises(StorageError, match=str(log)):
        run_engine(engine, "build", operands=[Operand.path(tmp_path)], solution="-", log=log)


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    lines: list[str] = []
    run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], each_line=lines.append)
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) <= 1 << 16


@pytest.mark.parametrize("output", ["1", "2"])
def test_a_program_that_prints_without_an_end_is_stopped_before_the_memory_is_full(output: str) -> None:
    """Such as what is run in an image under test: it had made 4 GB of memory in four seconds."""
    told = subprocess.run(
        (sys.executable, "-c", _ENDLESS, output), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    reason, megabytes = told.split("|")
    assert "sh printed more than" in reason
    assert int(megabytes) < 400


_ENDLESS = """
import re, sys
from factory.errors import ProgramError
from factory.process import run
try:
    run(["sh", "-c", "yes 0123456789012345678901234567890123456789 >&" + sys.argv[1]], timeout=30)
except ProgramError as error:
    # Not getrusage: what it says begins with the memory of the process that started this one.
    peak = re.search("VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())
    print(error.reason, int(peak[1]) // 1024, sep="|")
"""


def test_what_a_program_leaves_behind_is_not_waited_for() -> None:
    lines: list[str] = []
    run(["sh", "-c", "echo started; sleep 30 & exit 0"], each_line=lines.append)
    assert lines == ["started\n"]


def _on_terminal(script: str, environment: Mapping[str, str] | None = None) -> str:
    """What a program writes to a terminal of 80 columns."""
    terminal, own = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=own,
        stdout=own,
        stderr=own,
        env=inherited | {"COLUMNS": "80", "TERM": "xterm"} | dict(environment or {}),
    )
    os.close(own)
    said = b""
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
    except OSError:  # how a terminal of Linux ends
        pass
    assert process.wait() == 0, said
    os.close(terminal)
    return said.decode()


def test_progress_on_a_terminal_obeys_no_markup_and_no_escape() -> None:
    message = f"{HOSTILE}[/][link=http://x]owned[red]"
    said = _on_terminal(
        "from factory.console import Console\n"
        f"with Console().progress({message!r}, total=2) as bar:\n"
        f"    bar.begin({message!r}); bar.advance(message={message!r})\n"
    )
    assert "owned" in said
    assert "\x1b]" not in said
    assert "\x07" not in said
    assert "\u202e" not in said


def test_bytes_on_a_terminal_are_shown_and_in_a_pipe_are_themselves(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    content = f"RUN echo {HOSTILE}\n::error::owned\n".encode() + b"\xff"
    Console().raw(content)
    assert capfdbinary.readouterr().out == content
    said = _on_terminal(f"from factory.console import Console\nConsole().raw({content!r})")
    assert "owned" in said
    assert _is_safe(said.replace("\r\n", "\n"))
    assert _obeyed(said) == []


def test_what_the_locale_cannot_print_is_escaped(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "factory", "show", "größe\u202e", "--root", tmp_path],
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 13
    assert b"Traceback" not in done.stderr
    assert done.stderr.isascii()


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_a_document_is_json_in_every_locale(repository: Repository, form: str) -> None:
    _add_waiver(repository, "gr\u00f6\u00dfe")
    done = subprocess.run(
        [sys.executable, "-m", "factory", "check", "--format", form],
        cwd=repository.root,
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert "gr\u00f6\u00dfe" in json.dumps(json.loads(done.stdout), ensure_ascii=False)


@given(st.text())
def test_every_text_is_printed_as_what_is_seen(text: str) -> None:
    said = harmless(text)
    assert not [
        each
        for each in said
        if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} - {"\n"} and each not in "\n\t"
    ]
    assert _obeyed("\n".join(said.split("\n"))) == []
    said.encode()


@pytest.mark.parametrize(
    "character",
    [
        *map(chr, (*range(9), *range(11, 32), *range(127, 160))),
        *"\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\xad\u2028\u2029\ud800\udfff\ufffe\U000e0001\U000e007f",
        *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    ],
    ids=lambda character: f"{ord(character):x}",
)
def test_each_dangerous_character_is_escaped(character: str) -> None:
    assert visible(f"a{character}b").isascii()
    document = to_json({character: [character]})
    assert document.isascii()
    assert json.loads(document) == {character: [character]}


def test_ordinary_text_is_left_alone() -> None:
    text = "größe\t→ 10 “ok” 日本語 עברית 🎉\nstd::vector a::b # ## [x]"
    assert harmless(text) == text
    assert to_json([text]) == json.dumps([text], indent=2, ensure_ascii=False)


MARKDOWN_ATTACKS = (
    "[a](http://x)", "![a](http://x)", "<img src=x onerror=y>", "<!-- -->", "a | b", "a \\| b",
    "a\n| b | c |", "`a` | `b`", "``` x", "**bold**", "_a_", "~~a~~", "&lt;script&gt;",
    "[a]: http://x", "\\", "a\\", HOSTILE,
)  # fmt: skip


@pytest.mark.parametrize("attack", MARKDOWN_ATTACKS)
@pytest.mark.parametrize("cell", [plain, code, str], ids=["plain", "code", "as it is"])
def test_a_cell_of_a_markdown_table_is_text(attack: str, cell: Callable[[str], str]) -> None:
    shown = "\n".join(table(("one", "two"), [(cell(attack), "end"), ("next", "row")]))
    assert _is_safe(shown)
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(shown)
    tree = ET.fromstring(f"<page>{page}</page>")
    assert {element.tag for element in tree.iter()} <= {
        "page", "table", "thead", "tbody", "tr", "th", "td", "code",
    }  # fmt: skip
    rows = [["".join(each.itertext()) for each in row] for row in tree.iter("tr")]
    assert [len(row) for row in rows] == [2, 2, 2]
    assert rows[1][1] == "end"


def test_a_message_of_sarif_has_no_link_that_somebody_else_wrote() -> None:
    """Code scanning shows ``[text](address)`` of a message as a link (SARIF 2.1.0, 3.11.6)."""
    link = "[the owners' page](https://evil.example/login)"
    failure = Failure(kind="LockFileError", reason=f"line 3 is {link}", solution=link, exit_code=4)
    problem = Problem(code="FAC301", path="requirements.txt", line=3, message=link, solution="Lock it.")
    findings = (finding(problem, flavor="f", folder="flavors/f"),)
    report = CheckReport(flavors=("f",), errors=1, warnings=0, waived=0, findings=findings)
    for document in (error_as_sarif(failure), as_sarif(report)):
        assert "evil.example/login" in document
        assert not re.search(r"\[[^\]]*\]\(", document)


@pytest.mark.parametrize("call", ["@team", "fixes #12", "closes GH-12"])
def test_nobody_is_called_and_no_issue_closed_by_a_text(call: str) -> None:
    assert "<!-- -->" in plain(call)
    assert code(call).startswith("`")


def _outcome(text: str) -> TestOutcome:
    return TestOutcome(
        name="test",
        title=text,
        level="quick",
        tags=(),
        status="failed",
        seconds=0.0,
        reason=text,
        output=text,
    )


def _report(text: str) -> ImageTestReport:
    return ImageTestReport(
        image="image",
        image_id="a" * 64,
        identity=None,
        flavor=None,
        level="full",
        engine="podman",
        started=dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat(),
        seconds=1.0,
        outcomes=(_outcome(text),),
        packages=(),
        layers=(),
    )


@pytest.mark.parametrize("text", [HOSTILE, "\x00\ufffe\uffff\ud800]]><x/>"], ids=["hostile", "not in XML"])
def test_reports_hold_no_character_that_hides_and_stay_well_formed(text: str) -> None:
    xml, page = junit(_report(text)), report_page(replace(_report(text), image=text))
    assert _is_safe(xml)
    assert _is_safe(page)
    cases = ET.fromstring(xml.partition("\n")[2]).iter("testcase")
    assert [case.get("name") for case in cases]


@pytest.mark.parametrize("indentation", ["", "    "])
def test_a_name_on_a_terminal_is_never_broken(indentation: str) -> None:
    """Where the columns do not fit side by side, they are one below the other."""
    name, words = "registry.example.com/" + "x" * 40, "this is the reason why it is built " * 4
    digest = f"{indentation}sha256:{'a' * 64}"
    lines = _table_lines(f"headings=('NAME', 'D', 'WHY'), rows=(({name!r}, {digest!r}, {words!r}),)")
    assert [line.strip() for line in lines[3:5]] == [name, digest.strip()]
    assert " ".join(" ".join(lines[5:]).split()) == words.strip()
    assert max(map(len, lines)) <= 80


def test_a_table_whose_names_fit_on_a_terminal_wraps_between_words() -> None:
    row = ("th011-cpu-torch2130-py311", "12 kB", "what it says is longer than there is room for " * 4)
    lines = _table_lines(
        f"headings=('NAME', 'SIZE', 'WHY'), rows=({row!r},), right_aligned=frozenset({{'SIZE'}})"
    )
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("th011-cpu-torch2130-py311  12 kB  what it says")
    assert " ".join(" ".join(lines[1:]).split()[3:]) == " ".join(row[2].split())


def test_an_address_gives_way_before_a_state_does() -> None:
    address = "https://packages.example.com/api/pypi/a-rather-long-name/3.6/simple/"
    name, state = "th011-cpu-torch2130-py311", "rendered, not locked"
    rows = f"(({name!r}, {address!r}, {state!r}),)"
    lines = _table_lines(f"headings=('NAME', 'INDEX', 'STATE'), rows={rows}, yielding=frozenset({{'INDEX'}})")
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(f"{name}  https://")
    assert lines[1].endswith(f"  {state}")
    pieces = [line.removeprefix(name).removesuffix(state).strip() for line in lines[1:]]
    assert "".join(pieces) == address
    assert all(piece.endswith("/") for piece in pieces)


def test_a_pair_of_key_and_value_stays_on_one_line_however_long_it_is() -> None:
    base = "quay.io/opendatahub/odh-midstream-cuda-base-12-8@sha256:" + "a" * 64
    lines = _table_lines(f"headings=('spec', ''), rows=(('base image', {base!r}), ('torch', '2.13.0'))")
    assert "".join(lines[1:-1]) == f"base image  {base}"
    assert lines[-1] == "torch       2.13.0"


@pytest.mark.parametrize(
    ("environment", "shown"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_levels_have_a_colour_on_a_terminal_that_shows_it(
    environment: dict[str, str], *, shown: bool
) -> None:
    script = "from factory.console import Console, Levels\n"
    said = _on_terminal(f"{script}Console().result(None, Levels('  error F101\\n    error'))", environment)
    assert ("\x1b[31m  error\x1b[0m F101" in said) == shown
    assert said.count("\x1b[") == 2 * shown


def test_levels_in_a_pipe_have_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    Console().result(None, Levels("  error F101  x"))
    assert capsys.readouterr().out == "  error F101  x\n"


def _table_lines(arguments: str) -> list[str]:
    """Return the lines of a table as a terminal of 80 cells shows it, without styles."""
    said = _on_terminal(
        f"from factory.console import Console, Table\nConsole().result(None, Table({arguments}))"
    )
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in said.replace("\r", "").splitlines()]
