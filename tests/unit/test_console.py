"""The console: results on standard output, everything else on standard error."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from factory.console import Console, Table, did_you_mean, human_size, plural, to_plain
from factory.errors import MarkerError


@dataclass(frozen=True)
class Inner:
    path: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    found: frozenset[str]
    by_name: dict[str, Inner]
    nothing: None = None


def test_plain_data_is_what_json_knows() -> None:
    inner = Inner(path=Path("a/b"), names=("x", "y"))
    plain = to_plain(Outer(inner=inner, found=frozenset({"b", "a"}), by_name={"n": inner}))
    expected = {"path": "a/b", "names": ["x", "y"]}
    assert plain == {"inner": expected, "found": ["a", "b"], "by_name": {"n": expected}, "nothing": None}
    assert json.loads(json.dumps(plain)) == plain


def test_a_result_is_one_json_document_or_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json_output=True).result({"a": [1]}, "text")
    assert json.loads(capsys.readouterr().out) == {"a": [1]}
    Console().result({"a": [1]}, "first", "second")
    assert capsys.readouterr().out == "first\nsecond\n"


def test_a_table_in_a_pipe_keeps_its_rows_whole(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("name", "quay.io/example/" + "x" * 60 + ":1", "[bold]not markup[/bold] :smile:")
    Console().result(None, Table(headings=("a", "b", "c"), rows=(row,)))
    _, line = capsys.readouterr().out.splitlines()
    assert line.split("  ")[:2] == list(row[:2])
    assert row[2] in line


@pytest.mark.parametrize("heading", ["b", "h" * 300])
def test_a_long_cell_in_a_pipe_is_not_folded(capsys: pytest.CaptureFixture[str], heading: str) -> None:
    row = ("name", f"https://packages.example.com/{'x' * 500}/simple/", "state")
    Console().result(None, Table(headings=("a", heading, "c"), rows=(row,)))
    _, line = capsys.readouterr().out.splitlines()
    assert line.split() == list(row)


def test_notes_and_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Console().note("it goes on")
    Console().warning("look at it")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "it goes on\nwarning: look at it\n"


@pytest.mark.parametrize("json_output", [False, True])
def test_an_error_says_its_reason_and_its_solution(
    capsys: pytest.CaptureFixture[str], *, json_output: bool
) -> None:
    Console(json_output=json_output).error(MarkerError("it broke", solution="Mend it."))
    captured = capsys.readouterr()
    if json_output:
        assert json.loads(captured.out) == {
            "error": {"kind": "MarkerError", "reason": "it broke", "solution": "Mend it.", "exit_code": 15}
        }
    else:
        assert captured.out == ""
        assert captured.err == "error: it broke\n  what to do: Mend it.\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (446_100_000, "446.1 MB"), (3_240_000_000_000, "3.2 TB")],
)
def test_sizes_are_in_decimal_units(size: int, text: str) -> None:
    assert human_size(size) == text


def test_progress_where_nobody_watches_writes_nothing_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console().progress("fetching", total=3) as progress:
        progress.extend(2)
        for _ in range(5):
            progress.advance(message="one")
    assert capsys.readouterr().out == ""


def test_a_note_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads tell their progress side by side: a line in two pieces would have another's in it."""
    written: list[str] = []

    class Pieces(io.StringIO):
        def write(self, text: str, /) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr("sys.stderr", Pieces())
    Console(json_output=False).note("locking one")
    assert [text for text in written if text] == ["locking one\n"]


@pytest.mark.parametrize(
    ("wanted", "names", "said"),
    [
        ("stakc", ("stack", "trainer"), "Did you mean stack? `factory list` lists all."),
        # One that begins with what was given is meant before any that is alike.
        ("th9", ("th09-a", "th9-long-name-of-an-image"), "Did you mean th9-long-name-of-an-image? "),
        ("stak", ("stack", "stark", "trainer"), "Did you mean stack or stark? "),
        ("py312x", ("py312", "py311", "rocm"), "Did you mean py312? "),
        ("xyz", ("stack", "base"), "There are base, stack."),
        ("xyz", ("stack",), "There is stack."),
        ("xyz", (), "There is none yet."),
        (
            "xyz",
            tuple(f"name-{number}" for number in range(11)),
            "`factory list` lists those that there are.",
        ),
    ],
)
def test_a_misspelt_name_is_answered_with_the_likely_ones(
    wanted: str, names: tuple[str, ...], said: str
) -> None:
    assert did_you_mean(wanted, names, listing="factory list").startswith(said)


@pytest.mark.parametrize(("number", "said"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_a_number_and_its_noun(number: int, said: str) -> None:
    assert plural(number, "image") == said
    assert plural(number, "library", "libraries").endswith("library" if number == 1 else "libraries")
