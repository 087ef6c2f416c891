"""Registries that are given by their address: noted by a push, asked by the status."""

from pathlib import Path

from factory.registry.declared import given_registry
from factory.registry.given import given_registries, note_given_registry


def _noted(work: Path, *urls: str) -> list[str]:
    for url in urls:
        note_given_registry(work, given_registry(url, of="--to"))
    return list(given_registries(work, ()))


def test_each_registry_is_noted_once(tmp_path: Path) -> None:
    noted = _noted(tmp_path, "localhost:5000", "quay.io/team", "localhost:5000")
    assert sorted(noted) == ["localhost:5000", "quay.io/team"]


def test_a_registry_that_is_declared_by_now_is_left_out(tmp_path: Path) -> None:
    _noted(tmp_path, "localhost:5000", "quay.io/team")
    declared = given_registry("quay.io/team", of="--to")
    assert list(given_registries(tmp_path, [declared])) == ["localhost:5000"]


def test_nothing_is_ever_deleted_from_a_noted_registry(tmp_path: Path) -> None:
    _noted(tmp_path, "localhost:5000")
    assert given_registries(tmp_path, ())["localhost:5000"].kind == "persistent"


def test_a_note_that_was_edited_into_something_else_is_passed_over(tmp_path: Path) -> None:
    _noted(tmp_path, "localhost:5000")
    for name, text in {"a": "{", "b": '{"url": "../elsewhere"}', "c": '{"url": 1}', "d": "[]"}.items():
        (tmp_path / "registries" / f"{name}.json").write_text(text, encoding="utf-8")
    (tmp_path / "registries" / "link.json").symlink_to("/dev/zero")
    assert list(given_registries(tmp_path, ())) == ["localhost:5000"]


def test_no_note_is_no_registry(tmp_path: Path) -> None:
    assert given_registries(tmp_path, ()) == {}
