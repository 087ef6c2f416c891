"""Two layers that should be the same: the first path that differs, and how."""

import io
import tarfile
from dataclasses import dataclass

import pytest

from factory.build.compare import DifferenceKind, compare_layers


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a layer."""

    name: str
    content: bytes = b"x"
    mode: int = 0o644
    uid: int = 0
    mtime: float = 0
    type: bytes = tarfile.REGTYPE
    link: str = ""
    attribute: str = ""


def layer(*members: Member, packed: bool = False) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if packed else "w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.mode, info.uid, info.mtime = member.mode, member.uid, member.mtime
            info.type, info.linkname = member.type, member.link
            if member.attribute:
                info.pax_headers = {"SCHILY.xattr.user.a": member.attribute}
            info.size = len(member.content) if member.type == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(member.content))
    file.seek(0)
    return file


SAME = Member(name="opt/same", content=b"same")


@pytest.mark.parametrize(
    ("one", "other", "kind", "told"),
    [
        (Member(name="a", content=b"1"), Member(name="a", content=b"2"), "content", None),
        (Member(name="a", mode=0o644), Member(name="a", mode=0o755), "mode", ("644", "755")),
        (Member(name="a", uid=0), Member(name="a", uid=1001), "owner", ("0:0", "1001:0")),
        (Member(name="a", mtime=1), Member(name="a", mtime=2), "time", ("1", "2")),
        (Member(name="a", attribute="x"), Member(name="a", attribute="y"), "attributes", None),
        (
            Member(name="a", type=tarfile.SYMTYPE, link="b"),
            Member(name="a", type=tarfile.SYMTYPE, link="c"),
            "link",
            ("b", "c"),
        ),
        (Member(name="a"), Member(name="a", type=tarfile.DIRTYPE), "type", None),
        # Content tells more than the time that differs with it.
        (Member(name="a", content=b"1", mtime=1), Member(name="a", content=b"2", mtime=2), "content", None),
    ],
)
def test_what_differs_of_a_file_is_told(
    one: Member, other: Member, kind: DifferenceKind, told: tuple[str, str] | None
) -> None:
    found = compare_layers(layer(SAME, one), layer(SAME, other))
    assert found is not None
    assert (found.path, found.kind) == ("/a", kind)
    assert told is None or (found.first, found.second) == told


def test_the_first_path_in_the_layer_s_order_is_told() -> None:
    one = layer(SAME, Member(name="z", content=b"1"), Member(name="b", content=b"1"))
    other = layer(SAME, Member(name="z", content=b"2"), Member(name="b", content=b"2"))
    found = compare_layers(one, other)
    assert found is not None
    assert found.path == "/z"


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_that_only_one_has_is_told(*, turned: bool) -> None:
    layers = [layer(SAME, Member(name="x/")), layer(SAME)]
    found = compare_layers(*(reversed(layers) if turned else layers))
    assert found is not None
    assert (found.path, found.kind) == ("/x", "only in one")
    assert (found.first, found.second) == (("not there", "there") if turned else ("there", "not there"))


def test_another_order_is_a_difference() -> None:
    found = compare_layers(layer(SAME, Member(name="a")), layer(Member(name="a"), SAME))
    assert found is not None
    assert (found.path, found.kind) == ("/opt/same", "order")


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_files_are_no_difference_packed_or_not(*, packed: bool) -> None:
    assert compare_layers(layer(SAME, Member(name="a")), layer(SAME, Member(name="a"), packed=packed)) is None
