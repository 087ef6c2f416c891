"""What a Dockerfile takes from its build context."""

import pytest

from factory.dockerfile.instructions import declared_arguments, read_instructions
from factory.dockerfile.model import context_sources
from factory.images.inputs import is_ignored, read_ignore_patterns


def _sources(text: str, **given: str) -> list[str]:
    return [source.pattern for source in context_sources(read_instructions(text.splitlines()), given)]


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY a b /x/", ["a", "b"]),
        ("COPY --chmod=0644 --chown=1001:0 a /x/", ["a"]),
        ('COPY ["a b", "c", "/x/"]', ["a b", "c"]),
        ("COPY 'a b' /x/", ["a b"]),
        ("COPY ./a/ /b /x/", ["a", "b"]),
        ("COPY . /x", ["."]),
        ("COPY / /x", ["."]),
        ("COPY a \\\n  b \\\n  /x/", ["a", "b"]),
        ("COPY ../a /x", ["../a"]),
        ("COPY --from=builder /a /x", []),
        ("COPY --from=quay.io/x/y:1 --chmod=0755 /a /x", []),
        ("COPY <<EOF /x\nsome text\nEOF", []),
        ("ADD https://example.com/a.tar.gz /x", []),
        ("ADD git@example.com:x/y.git /x", []),
        ("ADD a.tar.gz /x", ["a.tar.gz"]),
        ("ONBUILD COPY a /x", ["a"]),
        ("RUN --mount=type=bind,source=a,target=/x cat /x", ["a"]),
        ("RUN --mount=target=/x,src=a cat /x", ["a"]),
        ("RUN --mount=type=bind,target=/x cat /x", ["."]),
        ("RUN --mount=type=bind,from=builder,source=a,target=/x cat", []),
        ("RUN --mount=type=cache,target=/x --network=none cat", []),
        ("RUN echo --mount=type=bind,source=a", []),
        ("# COPY a /x\nLABEL a=COPY", []),
    ],
)
def test_what_an_instruction_takes(text: str, sources: list[str]) -> None:
    assert _sources(f"FROM x\n{text}") == sources


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("ARG A=a\nFROM x\nCOPY ${A} /", ["${A}"]),
        ("ARG A=a\nFROM x\nARG A\nCOPY ${A} /", ["a"]),
        ("FROM x\nARG A=a\nCOPY $A-${B:-b} /", ["a-b"]),
        ("FROM x\nENV A=a\nCOPY $A /", ["a"]),
        ("FROM x AS one\nENV A=a\nFROM one\nCOPY $A /", ["a"]),
        ("FROM x AS one\nENV A=a\nFROM x\nCOPY $A /", ["$A"]),
    ],
)
def test_variables_are_those_of_the_stage(text: str, sources: list[str]) -> None:
    assert _sources(text) == sources


@pytest.mark.parametrize(
    "text", ["FROM x\nARG A=a\nCOPY $A /", "FROM x\nARG A\nCOPY $A /", "ARG A\nFROM x\nARG A\nCOPY $A /"]
)
def test_a_build_argument_goes_before_a_default(text: str) -> None:
    assert _sources(text, A="given", B="unused") == ["given"]


def test_the_arguments_that_are_taken() -> None:
    text = "ARG A=1\nFROM x\nARG B\nENV C=1\nARG D=x\nRUN ARG=1"
    assert declared_arguments(read_instructions(text.splitlines())) == {"A", "B", "D"}


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "b/a", False),
        ("/a", "a", True),
        ("a/", "a/b", True),
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "b/a.pyc", False),
        ("**/*.pyc", "a.pyc", True),
        ("**/*.pyc", "b/c/a.pyc", True),
        ("b/**", "b/c/d", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a[bc]", "ab", True),
        ("a[bc]", "ad", False),
        ("a.c", "abc", False),
        ("*\n!b", "b", False),
        ("*\n!b", "b/c", False),
        ("!b\n*", "b", True),
        ("# a", "a", False),
        ("", "a", False),
        ("*", "a/b", True),
    ],
)
def test_what_an_ignore_file_keeps_out(patterns: str, path: str, ignored: bool) -> None:  # noqa: FBT001
    assert is_ignored(path, read_ignore_patterns(patterns)) is ignored
