"""The lock file: what is written reads back the same, and what a person broke is kept as it stands."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from support.locks import resealed

from factory.errors import LockFileError
from factory.lock.lockfile import Artifact, Option, Pin, format_lock, parse_lock, read_lock, require_lock

INPUTS = "sha256:" + "1" * 64
A, B = "a" * 64, "b" * 64
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).map(
    lambda name: str(canonicalize_name(name))
)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}(rc[0-9])?(\+cu[0-9]{2,3})?", fullmatch=True)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def _pins(draw: st.DrawFn) -> list[Pin]:
    pins = []
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        version = draw(VERSIONS)
        named = draw(st.booleans())
        artifacts = tuple(
            Artifact(sha256=digest, file_name=f"{name}-{version}-{number}-any.whl" if named else None)
            for number, digest in enumerate(sorted(draw(st.sets(DIGESTS, min_size=1, max_size=3))))
        )
        pins.append(
            Pin(
                line=0,
                text=f"{name}=={version}",
                name=name,
                version=version,
                marker=None,
                artifacts=artifacts,
            )
        )
    return pins


def _format(pins: list[Pin], index_url: str | None = None) -> str:
    return format_lock(
        pins, index_url=index_url, inputs=INPUTS, command="factory lock x", platforms=("linux/amd64",)
    )


@given(pins=_pins(), index_url=st.sampled_from([None, "https://packages.example.com/simple/"]))
def test_a_lock_that_is_written_reads_back_the_same(pins: list[Pin], index_url: str | None) -> None:
    lock = parse_lock(_format(pins, index_url))
    found = [(pin.name, pin.version, pin.marker, pin.artifacts) for pin in lock.pins]
    assert found == sorted((pin.name, pin.version, pin.marker, pin.artifacts) for pin in pins)
    assert lock.inputs == INPUTS
    assert lock.index_urls == ((index_url,) if index_url else ())
    assert lock.unreadable == ()


@given(_pins(), st.randoms(use_true_random=False))
def test_the_order_of_pins_does_not_change_the_bytes(pins: list[Pin], random: Random) -> None:
    shuffled = list(pins)
    random.shuffle(shuffled)
    assert _format(shuffled) == _format(pins)


@given(_pins())
def test_the_line_of_a_pin_is_where_it_stands(pins: list[Pin]) -> None:
    text = _format(pins)
    lines = text.splitlines()
    assert all(lines[pin.line - 1].startswith(f"{pin.name}==") for pin in parse_lock(text).pins)


def test_the_index_line_is_there_only_where_there_is_an_index() -> None:
    assert "--index-url" not in _format([])
    assert "\n--index-url https://x.example.com/simple\n" in _format([], "https://x.example.com/simple")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("--index-url https://x/simple", "--index-url", "https://x/simple"),
        ("--index-url=https://x/simple", "--index-url", "https://x/simple"),
        ("--index-url   https://x/a=b", "--index-url", "https://x/a=b"),
        ("-i https://x/simple", "-i", "https://x/simple"),
        ("-i https://x/simple  # the product's", "-i", "https://x/simple"),
        ("-rother.txt", "-r", "other.txt"),
        ("--require-hashes", "--require-hashes", ""),
        ("-r other.txt", "-r", "other.txt"),
        ("--index-url \\\n  https://x/simple", "--index-url", "https://x/simple"),
    ],
)
def test_an_option_is_read_in_every_form(line: str, name: str, value: str) -> None:
    assert parse_lock(f"# comment\n{line}\n").options == (Option(line=2, name=name, value=value),)


@pytest.mark.parametrize(
    ("text", "name", "version", "digests"),
    [
        (f"A_b==1.0 --hash=sha256:{A}", "a-b", "1.0", [A]),
        (f"a==1.0 \\\n  --hash=sha256:{A} \\\n  --hash=sha256:{B}", "a", "1.0", [A, B]),
        (f"a==1.0 --hash sha256:{A.upper()}", "a", "1.0", [A]),
        ("a==1.0 --hash=sha512:ab", "a", "1.0", []),
        ("a==1.0", "a", "1.0", []),
        ("a===1.0", "a", "1.0", []),
        ("a[extra]==1.0  # why", "a", "1.0", []),
        ("a>=1.0", "a", None, []),
        ("a==1.0,!=2", "a", None, []),
        ("a==1.*", "a", None, []),
        ("a", "a", None, []),
        ("a @ https://example.com/a.whl", "a", None, []),
    ],
)
def test_an_entry_is_read(text: str, name: str, version: str | None, digests: list[str]) -> None:
    (pin,) = parse_lock(text).pins
    assert (pin.name, pin.version) == (name, version)
    assert [artifact.sha256 for artifact in pin.artifacts] == digests


def test_a_marker_is_kept() -> None:
    (pin,) = parse_lock(f"a==1 ; python_version < '3.12' \\\n  --hash=sha256:{A}\n").pins
    assert pin.marker == 'python_version < "3.12"'
    assert len(pin.artifacts) == 1


def test_file_names_belong_to_hashes_only_where_there_is_one_for_each() -> None:
    text = f"a==1 \\\n  --hash=sha256:{A} \\\n  --hash=sha256:{B}\n    # a-1-py3-none-any.whl\n"
    (pin,) = parse_lock(text).pins
    assert [artifact.file_name for artifact in pin.artifacts] == [None, None]
    (pin,) = parse_lock(f"{text}    # a-1.tar.gz\n").pins
    assert [artifact.file_name for artifact in pin.artifacts] == ["a-1-py3-none-any.whl", "a-1.tar.gz"]


@pytest.mark.parametrize("line", ["git+https://example.com/a", "a==1 b==2", "./a.whl", "=1", "\N{BULLET} a"])
def test_what_is_no_requirement_is_kept_with_its_line(line: str) -> None:
    lock = parse_lock(f"a==1\n\n{line}\nb==2\n")
    assert lock.unreadable == ((3, line),)
    assert lock.versions() == {"a": "1", "b": "2"}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    lock = parse_lock(text)
    lines = text.count("\n") + text.count("\r") + len(text.splitlines()) + 1
    assert all(0 < pin.line <= lines for pin in lock.pins)


@pytest.mark.parametrize("inputs", ["# inputs: sha256:12", "# inputs:", f"# inputs: md5:{A}", ""])
def test_a_lock_that_does_not_tell_its_inputs_has_none(inputs: str) -> None:
    assert parse_lock(f"{inputs}\na==1\n").inputs is None


def test_a_folder_without_a_lock_is_not_locked(tmp_path: Path) -> None:
    assert read_lock(tmp_path) is None
    with pytest.raises(LockFileError, match="is not locked") as refused:
        require_lock(tmp_path)
    assert f"factory lock {tmp_path.name}" in refused.value.solution


def test_a_lock_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"a==1 # \xff")
    with pytest.raises(LockFileError, match="is not UTF-8"):
        read_lock(tmp_path)


@pytest.mark.parametrize(
    "odd", ["--trusted-host evil.example.com", "NumPy==1.0 --hash=sha256:" + B, "\N{NO-BREAK SPACE}lib==1"]
)
def test_a_line_that_the_factory_would_write_otherwise_is_found_whatever_the_digest(odd: str) -> None:
    pin = Pin(
        line=0,
        text="lib==1",
        name="lib",
        version="1",
        marker=None,
        artifacts=(Artifact(sha256=A, file_name=None),),
    )
    text = format_lock(
        [pin],
        index_url="https://i.example.com/simple/",
        inputs=INPUTS,
        command="factory lock x",
        platforms=("linux/amd64",),
    )
    assert parse_lock(text).odd_line is None
    edited = f"{text}{odd}\n"
    assert parse_lock(edited).odd_line is None  # the digest is wrong
    number, line = parse_lock(resealed(edited)).odd_line or (0, "")
    assert line == odd
    assert edited.split("\n")[number - 1] == odd
