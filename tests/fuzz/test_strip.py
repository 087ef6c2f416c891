"""Strip against a reference that is one regular expression over the whole text."""

import re

from fuzz.searching import searched
from hypothesis import strategies as st

from factory.downstream.blocks import strip_blocks
from factory.errors import MarkerError

_END_OF_LINE = rb"[ \t]*(?:\r\n|\r(?!\n)|\n|\Z)"
_START_OF_LINE = rb"(?:(?<=\n)|(?<=\r)(?!\n)|\A)[ \t]*"
_BANNER = rb"[ \t]*#{8,}" + _END_OF_LINE
_BEGIN = rb"[ \t]*#[ \t]*MIDSTREAM[ \t]+ONLY(?:[ \t]*:[^\r\n]*)?" + _END_OF_LINE
_END = rb"[ \t]*#[ \t]*END[ \t]+MIDSTREAM[ \t]+ONLY" + _END_OF_LINE
_ANY = rb"[^\r\n]*(?:\r\n|\r(?!\n)|\n)"
_MARKER = rb"(?:" + _BANNER + _BEGIN + rb"|" + _END + rb")"
_INSIDE = rb"(?:(?!" + _MARKER + rb")" + _ANY + rb")*?"
# A block right below another may share its banner.
_BLOCK = re.compile(_START_OF_LINE + _BANNER + rb"(?:" + _BEGIN + _INSIDE + _BANNER + _END + _BANNER + rb")+")

ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b""])
LINES = st.one_of(
    st.sampled_from(
        [
            b"################",
            b"################",
            b"################",
            b"########",
            b"#######",
            b"  ######### \t",
            b"# MIDSTREAM ONLY",
            b"# MIDSTREAM ONLY: packages",
            b"#MIDSTREAM\tONLY",
            b"# END MIDSTREAM ONLY",
            b"# END MIDSTREAM ONLY",
            b"#  END  MIDSTREAM  ONLY ",
            b"# midstream only",
            b"# MIDSTREAM-ONLY",
            b"# END OF MIDSTREAM ONLY",
            b"# MIDSTREAM ONLY is explained above",
            b"RUN dnf install x",
            b"# comment",
            b"",
            b"\xff\xfe\x00",
            b"\x0b# MIDSTREAM ONLY",
            b"\xc2\x85",
            "\u2028# END MIDSTREAM ONLY".encode(),
        ]
    ),
    st.binary(max_size=12),
)
BLOCK = st.lists(LINES, max_size=3).map(
    lambda inside: [
        *(b"########", b"# MIDSTREAM ONLY", b"########"),
        *inside,
        *(b"########", b"# END MIDSTREAM ONLY", b"########"),
    ]
)
TEXTS = st.lists(st.tuples(st.one_of(BLOCK, LINES.map(lambda line: [line])), ENDS), max_size=8).map(
    lambda parts: b"".join(line + end for lines, end in parts for line in lines)
)


@searched(TEXTS)
def test_strip_removes_what_the_reference_removes_or_refuses(content: bytes) -> None:
    """What strip gives is what is left after the reference's blocks, and holds no marker under a banner."""
    try:
        stripped = strip_blocks(content)
    except MarkerError:
        # A text of whole blocks and nothing else that says MIDSTREAM ONLY is never refused.
        inside = b"".join(match[0] for match in _BLOCK.finditer(content))
        markers = 2 * len(re.findall(_START_OF_LINE + _END, inside))
        assert len(re.findall(rb"MIDSTREAM", content, re.IGNORECASE)) > markers
        return
    assert stripped == _BLOCK.sub(b"", content)
    assert not re.search(_START_OF_LINE + _END, stripped)
    assert not re.search(_START_OF_LINE + _BANNER + _BEGIN, stripped)
