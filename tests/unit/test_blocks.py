"""MIDSTREAM ONLY blocks: removed exactly, and refused where they do not pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.downstream.blocks import find_blocks, strip_blocks
from factory.errors import MarkerError

BANNER = b"#" * 20
BEGIN = b"# MIDSTREAM ONLY"
END = b"# END MIDSTREAM ONLY"
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])
# Any bytes that are one line: not the two that end one.
LINES = st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))
OPENING = st.sampled_from(
    [
        BEGIN,
        b"# MIDSTREAM ONLY: system packages",
        b"#MIDSTREAM ONLY",
        b"  #  MIDSTREAM  ONLY :\xff any bytes",
    ]
)
CLOSING = st.sampled_from([END, b"#END MIDSTREAM ONLY", b" #\tEND  MIDSTREAM ONLY  "])
MENTIONS = st.sampled_from(
    [
        b"# this is MIDSTREAM ONLY as well",
        b"# the MIDSTREAM ONLY block ends below",
        b"# MIDSTREAM ONLYs",
        b"RUN true # MIDSTREAM ONLY",
        b"# see END MIDSTREAM ONLY below",
        b'RUN echo "# END MIDSTREAM ONLY"',
        b"# midstream only",
    ]
)


def _is_marker(line: bytes) -> bool:
    words = line.replace(b"#", b" # ").replace(b":", b" : ").split()
    return b"MIDSTREAM" in words and b"ONLY" in words


PLAIN = st.lists(LINES.filter(lambda line: not _is_marker(line)) | MENTIONS, max_size=8)
INSIDE = PLAIN.map(lambda lines: [b"ENV A=1", *lines])


@st.composite
def _documents(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A text with any number of blocks, and what has to be left of it."""
    ending = draw(ENDINGS)
    parts: list[tuple[bool, list[bytes]]] = [(True, draw(PLAIN))]
    for _ in range(draw(st.integers(0, 4))):
        header = [BANNER, draw(OPENING), *draw(st.sampled_from([[BANNER], []]))]
        block = [*header, *draw(INSIDE), BANNER, draw(CLOSING), BANNER]
        parts += [(False, block), (True, draw(PLAIN))]

    def joined(*, all_of_it: bool) -> bytes:
        return b"".join(line + ending for kept, lines in parts if kept or all_of_it for line in lines)

    return joined(all_of_it=True), joined(all_of_it=False)


@given(_documents())
def test_what_is_outside_the_blocks_is_kept_byte_for_byte(document: tuple[bytes, bytes]) -> None:
    content, expected = document
    assert strip_blocks(content) == expected


@given(_documents())
def test_stripping_twice_changes_nothing_more(document: tuple[bytes, bytes]) -> None:
    once = strip_blocks(document[0])
    assert strip_blocks(once) == once


@given(st.binary())
def test_a_text_without_markers_comes_out_as_it_is(content: bytes) -> None:
    if b"MIDSTREAM" not in content:
        assert strip_blocks(content) == content


@given(before=PLAIN, inside=INSIDE, after=PLAIN, ending=ENDINGS, opening=OPENING, closing=CLOSING)
def test_a_block_with_one_of_its_markers_gone_is_refused(
    *,
    before: list[bytes],
    inside: list[bytes],
    after: list[bytes],
    ending: bytes,
    opening: bytes,
    closing: bytes,
) -> None:
    opened = [*before, BANNER, opening, BANNER, *inside, *after]
    closed = [*before, *inside, BANNER, closing, BANNER, *after]
    for lines in (opened, closed):
        with pytest.raises(MarkerError):
            strip_blocks(ending.join(lines))


@given(inside=INSIDE, ending=ENDINGS, opening=OPENING, closing=CLOSING)
def test_a_block_in_a_block_is_refused(
    inside: list[bytes], ending: bytes, opening: bytes, closing: bytes
) -> None:
    inner = [BANNER, opening, BANNER, *inside, BANNER, closing, BANNER]
    with pytest.raises(MarkerError):
        strip_blocks(
            ending.join([BANNER, opening, BANNER, *inside, *inner, *inside, BANNER, closing, BANNER])
        )


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        ([BANNER, BEGIN, BANNER, b"ENV A=1"], 1, "never closed"),
        ([b"ENV A=1", BANNER, END, BANNER], 3, "not open"),
        ([BANNER, BEGIN, b"A", BANNER, END, BANNER, END, BANNER], 7, "not open"),
        ([BANNER, BEGIN, b"A", BANNER, BEGIN, b"B", BANNER, END, BANNER], 5, "inside the one of line 1"),
        ([BEGIN, b"A", BANNER, END, BANNER], 1, "without a banner"),
        ([BANNER, BEGIN, b"A", END, BANNER], 4, "without a banner"),
        ([BANNER, BEGIN, b"A", BANNER, END], 5, "without a banner"),
        ([BANNER, BEGIN, b"A", BANNER, END, b"", BANNER], 5, "without a banner"),
        (
            [BANNER, b"# Midstream only", BANNER, b"A", BANNER, b"# End midstream only", BANNER],
            2,
            "not quite",
        ),
        ([BANNER, b"# MIDSTREAM ONLY (packages)", BANNER, b"A"], 2, "not quite"),
        ([BANNER, BEGIN, b"A", BANNER, b"# END OF MIDSTREAM ONLY", BANNER], 5, "not quite"),
        ([BANNER, b"# MIDSTREAM-ONLY: packages", BANNER, b"A"], 2, "not quite"),
    ],
)
def test_a_refusal_names_the_line_and_the_fault(lines: list[bytes], line: int, says: str) -> None:
    with pytest.raises(MarkerError) as refused:
        strip_blocks(b"\n".join(lines))
    assert refused.value.line == line
    assert f"line {line} " in refused.value.reason
    assert says in refused.value.reason


def test_line_endings_may_be_mixed() -> None:
    block = (
        BANNER
        + b"\r\n"
        + BEGIN
        + b"\n"
        + BANNER
        + b"\r"
        + b"ENV A=1\r\n"
        + BANNER
        + b"\n"
        + END
        + b"\r\n"
        + BANNER
    )
    assert strip_blocks(b"FROM a\r\n" + block + b"\nRUN b\rRUN c") == b"FROM a\r\nRUN b\rRUN c"


def test_a_last_line_without_an_ending_stays_without() -> None:
    assert strip_blocks(b"\n".join([BANNER, BEGIN, b"A", BANNER, END, BANNER, b"RUN b"])) == b"RUN b"


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feed_and_carriage_return_end_a_line(separator: str) -> None:
    content = f"RUN a{separator}# END MIDSTREAM ONLY{separator}RUN b\n".encode()
    assert strip_blocks(content) == content


def test_a_banner_that_two_blocks_share_is_counted_once() -> None:
    lines = [BANNER, BEGIN, b"RUN a", BANNER, END, BANNER, BEGIN, b"RUN b", BANNER, END, BANNER, b"RUN c"]
    blocks = find_blocks(lines)
    assert sum(block.stop - block.start for block in blocks) == len(lines) - 1
    assert strip_blocks(b"\n".join(lines)) == b"RUN c"
