"""The lock as a whole: which file is whose, what belongs together, what is left behind."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.clean_flavor import PROJECT

from factory.errors import LockFileError
from factory.flavor.project import Project, parse_project
from factory.flavor.spec import FurtherIndex, Spec
from factory.lock.given import is_stale
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import (
    LockSet,
    format_lock_set,
    inputs_digest,
    keep_recorded,
    lock_file_names,
    misplaced,
    orphans,
    parse_lock_set,
    read_lock_set,
    require_lock_set,
)
from factory.lock.report import compare_form

_MAIN, _EXTRA = "requirements.txt", "requirements-extra.txt"


def _pin(name: str, version: str = "1.0", digest: str = "a") -> Pin:
    artifacts = (Artifact(sha256=digest * 64, file_name=f"{name}-{version}-py3-none-any.whl"),)
    return Pin(
        line=0, text=f"{name}=={version}", name=name, version=version, marker=None, artifacts=artifacts
    )


@pytest.fixture
def project() -> Project:
    """A project with a further index, which has flash and mamba."""
    plain = parse_project(PROJECT, where="here")
    extra = FurtherIndex(name="extra", url="https://extra.example.com/simple/", packages=("flash", "mamba"))
    return replace(plain, spec=replace(plain.spec, indexes=(extra,)))


def _without_further(spec: Spec) -> Spec:
    return replace(spec, indexes=())


def _made(project: Project, *pins: Pin) -> dict[str, bytes]:
    return format_lock_set("name", project.spec, pins, inputs=inputs_digest(project))


def _read(files: dict[str, bytes]) -> LockSet:
    return parse_lock_set({name: content.decode() for name, content in files.items()})


def test_each_pin_stands_in_the_file_of_its_index(project: Project) -> None:
    files = _made(project, _pin("flash"), _pin("numpy"))
    locks = _read(files)
    assert tuple(files) == lock_file_names(project.spec) == (_MAIN, _EXTRA)
    assert {name: list(lock.versions()) for name, lock in locks.files.items()} == {
        _MAIN: ["numpy"],
        _EXTRA: ["flash"],
    }
    assert locks.files[_EXTRA].index_urls == ("https://extra.example.com/simple/",)
    assert [lock.index for lock in locks.files.values()] == ["main", "extra"]
    assert locks.as_locked
    assert locks.belongs_together
    assert locks.inputs == inputs_digest(project)
    assert not misplaced(locks, project.spec)


def test_an_index_without_pins_has_its_file(project: Project) -> None:
    locks = _read(_made(project, _pin("numpy")))
    assert locks.files[_EXTRA].pins == ()
    assert locks.belongs_together


def _telling(pin: Pin, size: int | None, uploaded: int | None) -> Pin:
    (artifact,) = pin.artifacts
    return replace(pin, artifacts=(replace(artifact, size=size, uploaded=uploaded),))


@pytest.mark.parametrize(
    ("before", "now", "only_recorded", "kept"),
    [
        ((10, 100), (10, 200), False, (10, 100)),
        ((10, 100), (None, None), False, (10, 100)),
        ((None, None), (10, 200), False, (10, 200)),
        ((10, None), (10, 200), False, (10, 200)),
        ((None, None), (10, 200), True, (None, None)),
    ],
)
def test_what_a_lock_tells_of_an_artifact_stays(
    project: Project,
    before: tuple[int | None, int | None],
    now: tuple[int | None, int | None],
    *,
    only_recorded: bool,
    kept: tuple[int | None, int | None],
) -> None:
    locks = _read(_made(project, _telling(_pin("numpy"), *before)))
    new, other = _telling(_pin("numpy"), *now), _telling(_pin("flash", digest="b"), *now)
    told = [pin.artifacts[0] for pin in keep_recorded((new, other), locks, only_recorded=only_recorded)]
    assert [(one.size, one.uploaded) for one in told] == [kept, now]


def test_an_edited_lock_tells_nothing_of_an_artifact(project: Project) -> None:
    files = _made(project, _telling(_pin("numpy"), 10, 100))
    edited = _read({name: content.replace(b", 10 bytes", b", 99 bytes") for name, content in files.items()})
    (pin,) = keep_recorded([_telling(_pin("numpy"), 10, 200)], edited)
    assert (pin.artifacts[0].size, pin.artifacts[0].uploaded) == (10, 200)


def test_the_order_of_the_pins_makes_no_difference(project: Project) -> None:
    one, other = (_pin("flash"), _pin("mamba"), _pin("numpy")), (_pin("numpy"), _pin("mamba"), _pin("flash"))
    assert _made(project, *one) == _made(project, *other)


@pytest.mark.parametrize(
    "other",
    [(_pin("flash", "2.0"), _pin("numpy")), (_pin("flash", digest="b"), _pin("numpy")), (_pin("numpy"),)],
    ids=["a version", "a hash", "a package"],
)
def test_files_of_two_runs_do_not_belong_together(project: Project, other: tuple[Pin, ...]) -> None:
    first, second = _made(project, _pin("flash"), _pin("numpy")), _made(project, *other)
    mixed = _read({**first, _EXTRA: second[_EXTRA]})
    assert not mixed.belongs_together
    assert mixed.as_locked
    assert "the files are not those of one run" in compare_form(mixed, _read(first))


def test_a_file_alone_is_not_a_whole_lock(project: Project) -> None:
    files = _made(project, _pin("flash"), _pin("numpy"))
    assert not _read({_MAIN: files[_MAIN]}).belongs_together


def test_a_lock_of_one_index_has_neither_line_and_belongs_together(project: Project) -> None:
    alone = replace(project, spec=_without_further(project.spec))
    files = _made(alone, _pin("numpy"))
    assert list(files) == [_MAIN]
    assert b"# together" not in files[_MAIN]
    assert b"# index:" not in files[_MAIN]
    assert _read(files).belongs_together


def test_a_pin_in_the_file_of_another_index_is_named_with_where_it_belongs(project: Project) -> None:
    locks = _read(_made(replace(project, spec=_without_further(project.spec)), _pin("flash"), _pin("numpy")))
    (found,) = misplaced(locks, project.spec)
    assert (found.file_name, found.pin.name, found.belongs_into) == (_MAIN, "flash", _EXTRA)


def test_only_what_the_factory_wrote_is_an_orphan(project: Project, tmp_path: Path) -> None:
    for name, content in _made(project, _pin("flash"), _pin("numpy")).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "requirements-dev.txt").write_text("numpy==1.0\n")
    assert orphans(tmp_path, project.spec) == ()
    assert orphans(tmp_path, _without_further(project.spec)) == (_EXTRA,)


def test_a_lock_without_one_of_its_files_or_of_two_runs_is_refused(project: Project, tmp_path: Path) -> None:
    assert read_lock_set(tmp_path, project.spec) is None
    files = _made(project, _pin("flash"), _pin("numpy"))
    (tmp_path / _MAIN).write_bytes(files[_MAIN])
    with pytest.raises(LockFileError, match=_EXTRA):
        require_lock_set(tmp_path, project.spec)
    (tmp_path / _EXTRA).write_bytes(_made(project, _pin("flash", "2.0"), _pin("numpy"))[_EXTRA])
    with pytest.raises(LockFileError, match="not the files of one lock"):
        require_lock_set(tmp_path, project.spec)
    (tmp_path / _EXTRA).write_bytes(files[_EXTRA])
    assert require_lock_set(tmp_path, project.spec).versions() == {"flash": "1.0", "numpy": "1.0"}


def test_the_inputs_tell_the_indexes_and_not_the_order_of_their_packages(project: Project) -> None:
    extra = project.spec.indexes[0]
    turned = replace(extra, packages=("mamba", "flash"))
    moved = replace(extra, url="https://extra.example.com/next/simple/")
    fewer = replace(extra, packages=("flash",))

    def digest(*indexes: FurtherIndex) -> str:
        return inputs_digest(replace(project, spec=replace(project.spec, indexes=indexes)))

    assert digest(extra) == digest(turned)
    assert len({digest(), digest(extra), digest(moved), digest(fewer)}) == 4
    assert is_stale(
        _read(_made(project, _pin("numpy"))), replace(project, spec=_without_further(project.spec))
    )
