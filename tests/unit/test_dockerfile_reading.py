"""Dockerfiles as instructions and shell text as commands, as far as the rules need them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.check.installs import fetched
from factory.dockerfile.instructions import read_instructions
from factory.dockerfile.shell import commands, exec_form


def _read(text: str) -> list[tuple[int, str, str]]:
    return [(item.line, item.name, item.text) for item in read_instructions(text.splitlines())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nRUN b", [(1, "FROM", "a"), (2, "RUN", "b")]),
        ("from a AS b", [(1, "FROM", "a AS b")]),
        ("RUN a && \\\n    b", [(1, "RUN", "a && b")]),
        ("RUN a \\\n# comment\n\n  b\nUSER 0", [(1, "RUN", "a  b"), (5, "USER", "0")]),
        ("# RUN a\n\n  RUN b  ", [(3, "RUN", "b")]),
        ("# escape=`\nRUN a `\n b\\\nRUN c", [(2, "RUN", "a  b\\"), (4, "RUN", "c")]),
        ("ONBUILD RUN a", [(1, "RUN", "a")]),
        ("RUN <<EOF\nFROM x\nEOF\nUSER 1", [(1, "RUN", "<<EOF"), (4, "USER", "1")]),
        ("COPY <<-'E' /f\n\tUSER 2\n\tE\nUSER 1", [(1, "COPY", "<<-'E' /f"), (4, "USER", "1")]),
        ("RUN cat <<A <<B\nx\nA\ny\nB\nUSER 1", [(1, "RUN", "cat <<A <<B"), (6, "USER", "1")]),
        ("RUN echo '<<EOF'\nUSER 1", [(1, "RUN", "echo '<<EOF'"), (2, "USER", "1")]),
        ("ENV A=<<EOF\nEOF x", [(1, "ENV", "A=<<EOF"), (2, "EOF", "x")]),
        ("RUN a \\", [(1, "RUN", "a")]),
        ("", []),
    ],
)
def test_instructions_are_read_with_their_lines(text: str, expected: list[tuple[int, str, str]]) -> None:
    found = [(line, name, " ".join(words.split())) for line, name, words in _read(text)]
    assert found == [(line, name, " ".join(words.split())) for line, name, words in expected]


def test_a_heredocs_body_is_kept_apart() -> None:
    (run,) = read_instructions(["RUN <<A sh && <<B sh", "one", "A", "two", "B"])
    assert run.heredoc == "one\ntwo"


def test_a_word_is_found_on_its_own_line() -> None:
    (run,) = read_instructions(["RUN true && \\", "    # why", "    pip install \\", "    trl"])
    assert (run.line, run.line_of("pip"), run.line_of("trl"), run.line_of("none")) == (1, 3, 4, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b && c; d | e || f & g", ["a b", "c", "d", "e", "f", "g"]),
        ("(a b); { c; }", ["a b", "c"]),
        ("if a; then b; else c; fi", ["a", "b", "c"]),
        ("A=1 B='x y' a b", ["a b"]),
        ("/usr/bin/a b", ["a b"]),
        ("a 'b && c' \"d;e\"", ["a b && c d;e"]),
        ("a > f 2>&1 b", ["a 2 b"]),
        ("sh -c 'a && b'", ["a", "b"]),
        ("bash -exc 'a'", ["a"]),
        ("bash script.sh", ["bash script.sh"]),
        ('a "$(b c)"', ["b c", "a $(b c)"]),
        ("a `b c`", ["a", "b c"]),
        ('a "`b c`"', ["b c"]),
        ("env A=1 a b", ["a b"]),
        ("sudo -E a", ["a"]),
        ("a # b && c", ["a"]),
        ("a u#b", ["a u#b"]),
        ("a 'b", ["a 'b"]),
        ("a\n# b\nc \\\n d", ["a", "c d"]),
    ],
)
def test_commands_are_found(text: str, expected: list[str]) -> None:
    found = [" ".join(command) for command in commands(text)]
    assert [command for command in expected if command not in found] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["a", "b c"]', ("a", "b c")),
        ("[ -d /opt ] && a", None),
        ('["a", 1]', None),
        ("[]", ()),
        ("a", None),
    ],
)
def test_exec_form_is_a_json_array_of_strings(text: str, words: tuple[str, ...] | None) -> None:
    assert exec_form(text) == words


@given(st.text())
def test_any_text_can_be_read_as_a_dockerfile(text: str) -> None:
    for instruction in read_instructions(text.splitlines()):
        for command in commands(f"{instruction.text}\n{instruction.heredoc or ''}"):
            fetched(command)


@given(st.lists(st.sampled_from(["pip", "install", "uv", "-r", "--", "&&", "$(", ")", "'", "sh", "-c", "`"])))
def test_any_row_of_words_can_be_read_as_commands(words: list[str]) -> None:
    for command in commands(" ".join(words)):
        fetched(command)
