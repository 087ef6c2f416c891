"""What a new lock changes."""

from support.clean_flavor import make_pin

from factory.lock.lockfile import Artifact, Pin
from factory.lock.report import PinChange, compare_pins


def pin(name: str, version: str, *artifacts: tuple[str, str]) -> Pin:
    made = make_pin(name, version, [])
    return Pin(
        line=made.line,
        text=made.text,
        name=name,
        version=version,
        marker=None,
        artifacts=tuple(Artifact(sha256=digest, file_name=file) for digest, file in artifacts),
    )


def test_without_a_lock_before_everything_is_added() -> None:
    changes = compare_pins((), [pin("b", "1"), pin("a", "2")])
    assert changes.added == (
        PinChange(name="a", before=None, after="2"),
        PinChange(name="b", before=None, after="1"),
    )
    assert changes


def test_each_kind_of_change_is_told_apart() -> None:
    before = (
        pin("gone", "1", ("00", "gone.whl")),
        pin("new-version", "1", ("01", "n-1.whl")),
        pin("pushed-again", "3", ("02", "p-3.whl"), ("03", "p-3-arm.whl")),
        pin("same", "4", ("04", "s.whl")),
    )
    changes = compare_pins(
        before,
        [
            pin("came", "1", ("05", "came.whl")),
            pin("new-version", "2", ("06", "n-2.whl")),
            pin("pushed-again", "3", ("07", "p-3.whl"), ("03", "p-3-arm.whl")),
            pin("same", "4", ("04", "s.whl")),
        ],
    )
    assert changes.added == (PinChange(name="came", before=None, after="1"),)
    assert changes.removed == (PinChange(name="gone", before="1", after=None),)
    assert changes.changed == (PinChange(name="new-version", before="1", after="2"),)
    assert changes.rehashed == (PinChange(name="pushed-again", before="3", after="3", files=("p-3.whl",)),)


def test_hashes_that_only_went_are_a_change_without_new_files() -> None:
    changes = compare_pins((pin("a", "1", ("00", "a"), ("01", "b")),), [pin("a", "1", ("00", "a"))])
    assert changes.rehashed == (PinChange(name="a", before="1", after="1"),)


def test_the_same_lock_has_no_changes() -> None:
    assert not compare_pins((pin("a", "1", ("00", "a")),), [pin("a", "1", ("00", "a"))])
