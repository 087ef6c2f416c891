"""What an identity is made of, and what never changes it."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clean_flavor import make_flavor, make_repository
from support.tiers import BASE, make_image

from factory.errors import FactoryError, ImageError
from factory.flavor.kinds import Parent
from factory.images.catalogue import read_catalogue
from factory.images.definitions import ImageDefinition, Variant
from factory.images.identity import BuildInputs, ParentState, parse_build_inputs, read_build_inputs

PARENT = ParentState(argument="BASE_IMAGE", image=BASE)
_NAMES = st.sampled_from(["a", "b", "c.py", "data", "requirements.txt", ".hidden", "Dockerfile.old", "ü n"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_TREES = st.dictionaries(_PATHS, st.binary(max_size=8), max_size=6)


def _definition(folder: Path, inputs: tuple[str, ...] | None = None, **arguments: str) -> ImageDefinition:
    return ImageDefinition(
        name="stack",
        kind="stack",
        folder=folder,
        dockerfile="Dockerfile",
        parents=(Parent(argument="BASE_IMAGE", image=BASE),),
        inputs=inputs,
        build_args=tuple(arguments.items()),
    )


def _inputs(folder: Path, inputs: tuple[str, ...] | None = None, **arguments: str) -> BuildInputs:
    return read_build_inputs(_definition(folder, inputs, **arguments), [PARENT])


def _refused(folder: Path, inputs: tuple[str, ...] | None = None, **arguments: str) -> FactoryError:
    with pytest.raises(ImageError) as raised:
        _inputs(folder, inputs, **arguments)
    return raised.value


def _write(folder: Path, tree: Mapping[str, bytes]) -> None:
    """Write what of a tree can stand beside what is there: what is a file is no folder as well."""
    for path, content in tree.items():
        place = folder / path
        if any(parent.is_file() for parent in place.parents) or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def test_the_identity_is_the_digest_of_a_canonical_text(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"b.txt": "b", "a.txt": "ä"})
    inputs = _inputs(folder)
    assert inputs.identity == sha256(inputs.text.encode()).hexdigest()
    assert inputs.tag == inputs.identity[:16]
    data = json.loads(inputs.text)
    assert inputs.text == json.dumps(data, sort_keys=True, separators=(",", ":"))
    assert list(data["inputs"]) == ["Dockerfile", "a.txt", "b.txt"]
    assert data["inputs"]["a.txt"] == [sha256("ä".encode()).hexdigest(), False]
    assert data["parents"] == {"BASE_IMAGE": {"image": BASE}}


def test_a_label_is_read_back_as_it_was(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"a.txt": "a"})
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nARG A\nFROM ${BASE_IMAGE}\nCOPY a.txt /\n")
    state = replace(PARENT, digest=f"sha256:{'1' * 64}")
    inputs = read_build_inputs(_definition(folder, A="1"), [state])
    assert parse_build_inputs(inputs.text) == inputs


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "not JSON", '{"inputs": {"a": 1}, "dockerfile": "D"}', '{"inputs": []}'],
)
def test_a_label_of_somebody_else_is_no_manifest(text: str) -> None:
    assert parse_build_inputs(text) is None


@given(inside=_TREES.filter(bool), outside=_TREES, content=st.binary(max_size=8))
def test_a_file_outside_the_declared_inputs_never_changes_an_identity(
    inside: dict[str, bytes], outside: dict[str, bytes], content: bytes
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = make_image(Path(root), "stack", {"requirements.txt": "x"}, sources="requirements.txt src")
        _write(folder / "src", inside)
        for inputs in (None, ("requirements.txt", "src/**")):
            before = _inputs(folder, inputs)
            assert {*before.files} == {
                "Dockerfile",
                "requirements.txt",
                *(
                    path.relative_to(folder).as_posix()
                    for path in (folder / "src").rglob("*")
                    if path.is_file()
                ),
            }
        _write(folder, {f"notes/{path}": data for path, data in outside.items()})
        _write(folder, {f"x{path}": data for path, data in outside.items()})
        _write(Path(root), outside)
        assert _inputs(folder).identity == before.identity
        (folder / "src" / "added").write_bytes(content)
        assert _inputs(folder).identity != before.identity


@given(tree=_TREES.filter(bool), data=st.data())
def test_every_byte_and_every_mode_of_a_declared_input_counts(
    tree: dict[str, bytes], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = make_image(Path(root), "stack", {}, sources="src")
        _write(folder / "src", tree)
        before = _inputs(folder)
        files = sorted(path for path in before.files if path != "Dockerfile")
        place = folder / data.draw(st.sampled_from(files))
        content = place.read_bytes()
        place.write_bytes(content + b"\0")
        changed_content = _inputs(folder).identity
        place.write_bytes(content)
        os.utime(place, (1, 1))
        assert _inputs(folder).identity == before.identity
        place.chmod(0o755)
        executable = _inputs(folder).identity
        place.chmod(0o600)
        assert _inputs(folder).identity == before.identity
        assert len({before.identity, changed_content, executable}) == 3


def test_a_renamed_file_is_another_identity(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"src/a": "same"}, sources="src")
    before = _inputs(folder).identity
    (folder / "src" / "a").rename(folder / "src" / "b")
    assert _inputs(folder).identity != before


def test_arguments_and_parents_count(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"a.txt": "a"})
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nARG A\nARG B\nFROM ${BASE_IMAGE}\nCOPY a.txt /\n")
    definition = _definition(folder)
    states = [
        PARENT,
        replace(PARENT, digest=f"sha256:{'1' * 64}"),
        replace(PARENT, digest=f"sha256:{'2' * 64}"),
        replace(PARENT, image="registry.example.com/vendor/base:2"),
        replace(PARENT, image="base", identity="1" * 64),
        replace(PARENT, image="base", identity="2" * 64),
    ]
    identities = [read_build_inputs(definition, [state]).identity for state in states]
    arguments = ([("A", "1")], [("A", "2")], [("B", "1")], [("A", "1"), ("B", "1")])
    identities += [
        read_build_inputs(replace(definition, build_args=tuple(given_)), [PARENT]).identity
        for given_ in arguments
    ]
    assert len({*identities}) == len(identities)


def test_the_builder_counts_and_the_engine_is_not_named(tmp_path: Path) -> None:
    _write(tmp_path, {"Dockerfile": b"ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"})
    by_engine = read_build_inputs(_definition(tmp_path), [PARENT])
    in_layout = read_build_inputs(replace(_definition(tmp_path), variant=Variant(builder="layout")), [PARENT])
    assert by_engine.identity != in_layout.identity
    assert "builder" not in json.loads(by_engine.text)
    assert parse_build_inputs(in_layout.text) == in_layout
    assert parse_build_inputs(in_layout.text.replace('"layout"', '"magic"')) is None


def test_the_inputs_of_a_flavor_are_what_its_dockerfile_copies(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    flavor = make_flavor(repository)
    image = read_catalogue(repository).definition(flavor.name)
    midstream = {*read_build_inputs(image, []).files}
    assert midstream >= {
        "Dockerfile",
        "requirements.txt",
        "entrypoint-universal.sh",
        "package-layers.sh",
        "LICENSE.md",
        "cuda.repo",
    }
    assert not midstream & {"pyproject.toml", "Dockerfile.konflux", "sbom.cdx.json"}
    downstream = {*read_build_inputs(read_catalogue(repository).changed(image, downstream=True), []).files}
    assert "Dockerfile.konflux" in downstream
    assert "package-layers.sh" in downstream
    assert not downstream & {"Dockerfile", "cuda.repo"}
    (flavor.folder / "sbom.cdx.json").write_text("{}")
    assert {*read_build_inputs(image, []).files} == midstream | {"sbom.cdx.json"}


def test_a_flavor_without_its_lock_is_told_what_to_run(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    flavor = make_flavor(repository, locked=False)
    with pytest.raises(ImageError) as raised:
        read_build_inputs(read_catalogue(repository).definition(flavor.name), [])
    assert "requirements.txt does not exist" in raised.value.reason
    assert f"factory lock {flavor.name}" in raised.value.solution


@pytest.mark.parametrize(
    ("sources", "inputs", "told"),
    [
        ("a.txt missing.txt", None, "missing.txt does not exist"),
        ("a.txt", ("a.txt", "missing.txt"), "missing.txt does not exist"),
        ("a.txt b.txt", ("a.txt",), "no pattern covers b.txt"),
        (".", ("a.txt",), "no pattern covers Dockerfile.old, b.txt, src/x.py"),
        ("src", ("a.txt", "src/*.txt"), "no pattern covers src/x.py"),
        ("../stack/a.txt", None, "leaves the folder"),
        ("*.md a.txt", None, "nothing in "),
        ("a.txt", ("a.txt", "conf/**"), "matches conf/** for `inputs`"),
        ("empty/ a.txt", None, "empty is empty, and line 3 of Dockerfile copies it"),
        ("a.txt", ("a.txt", "empty"), "empty is empty for `inputs`"),
        ("kept.out", None, "kept.out, and line 3"),
        ("out*", None, "an ignore file excludes all"),
        ("${WHICH}.txt", None, "whose value is not known"),
    ],
)
def test_an_input_that_is_missing_is_an_error(
    tmp_path: Path, sources: str, inputs: tuple[str, ...] | None, told: str
) -> None:
    files = {
        "a.txt": "a",
        "b.txt": "b",
        "src/x.py": "x",
        "src/y.txt": "",
        "Dockerfile.old": "",
        "kept.out": "",
        "out/a": "",
    }
    folder = make_image(tmp_path, "stack", files, sources=sources)
    (folder / "empty" / "below").mkdir(parents=True)
    (folder / ".containerignore").write_text("kept.out\nout\n.containerignore\n")
    error = _refused(folder, inputs)
    assert told in error.reason
    assert error.reason.startswith("stack: ")


def test_a_dockerfile_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {})
    (folder / "Dockerfile").unlink()
    assert "Dockerfile does not exist" in _refused(folder).reason


def test_an_argument_that_no_arg_takes_is_an_error(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"a.txt": ""})
    assert "takes TORCH" in _refused(folder, TORCH="2").reason


@pytest.mark.parametrize("sources", ["*.txt", "a.tx[t] b.tx[t]", "./a.txt /b.txt", "nothing-[x]* *.txt"])
def test_patterns_of_a_copy_are_matched(tmp_path: Path, sources: str) -> None:
    folder = make_image(tmp_path, "stack", {"a.txt": "", "b.txt": "", "c.md": ""}, sources=sources)
    assert {*_inputs(folder).files} == {"Dockerfile", "a.txt", "b.txt"}


def test_what_an_ignore_file_keeps_out_does_not_count(tmp_path: Path) -> None:
    files = {"src/a.py": "", "src/__pycache__/a.pyc": "", "src/keep.pyc": "", "notes/b": ""}
    folder = make_image(tmp_path, "stack", files, sources=".")
    (folder / ".containerignore").write_text("# caches\n**/*.pyc\n!src/keep.pyc\nnotes\n.containerignore\n")
    assert {*_inputs(folder, ("src",)).files} == {"Dockerfile", "src/a.py", "src/keep.pyc"}


def test_a_link_counts_with_what_it_points_to(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"src/a.py": "a", "src/b.py": "a"}, sources="src")
    (folder / "src" / "link").symlink_to("a.py")
    before = _inputs(folder).identity
    (folder / "src" / "link").unlink()
    (folder / "src" / "link").symlink_to("b.py")
    other = _inputs(folder).identity
    (folder / "src" / "link").unlink()
    (folder / "src" / "link").write_text("a")
    assert len({before, other, _inputs(folder).identity}) == 3


@pytest.mark.parametrize("target", ["/etc/hostname", "../../base/a.txt"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    make_image(tmp_path, "base", {"a.txt": "a"})
    folder = make_image(tmp_path, "stack", {"a.txt": "a"}, sources="src")
    (folder / "src").mkdir()
    (folder / "src" / "link").symlink_to(target)
    assert "leaves the folder" in _refused(folder).reason


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    folder = make_image(tmp_path, "stack", {"src/a.py": "a", "other/b.py": "b"}, sources="src")
    (folder / "src" / "link").symlink_to("../other")
    (folder / "src" / "circle").symlink_to(".")
    assert {*_inputs(folder).files} == {"Dockerfile", "src/a.py", "src/circle", "src/link"}
