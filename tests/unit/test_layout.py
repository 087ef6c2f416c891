"""Layers as archives, an OCI layout, and a Dockerfile taken apart at its layers of packages."""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from factory.build.layer_container import (
    ContainerChanges,
    InstalledLayer,
    Overlay,
    State,
    changes_since,
    states,
)
from factory.build.layer_tar import LayerBlob, write_layer, write_removals
from factory.build.oci_builder import LayerCache
from factory.build.oci_layout import InsertedLayer, OciImage, OciLayout
from factory.build.package_layers import split_layers
from factory.dockerfile.steps import parse_steps
from factory.errors import ImageError
from factory.tree import Tree

LOCAL = "localhost/parts"
BASE = "org.opencontainers.image.base"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS builder
RUN make /layers
FROM ${BASE}
ENV A=b
# the stack
USER 1001
COPY --from=builder /layers/accelerator/ /usr/share/factory/layers/accelerator/
RUN umask 002 && \\
    # a comment inside
    install accelerator
COPY --from=builder /layers/rest/ /usr/share/factory/layers/rest/
RUN install rest
COPY requirements.txt /usr/share/factory/
LABEL name="x"
"""


def _upper(folder: Path, *, backwards: bool = False) -> tuple[Path, list[str]]:
    """The same files, made in one order or the other, at different times."""
    files = {"opt/a.py": b"a = 1\n", "opt/deep/b.so": b"\0" * 5000, "opt/deep/c": b""}
    for number, (path, content) in enumerate(sorted(files.items(), reverse=backwards)):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.parent.chmod(0o775)
        target.write_bytes(content)
        target.chmod(0o664)
        os.utime(target, (number * 1000 + backwards, number * 1000 + backwards))
    (folder / "opt" / "link").symlink_to("a.py")
    os.link(folder / "opt" / "a.py", folder / "opt" / "z.py")
    (folder / "opt").chmod(0o775)
    return folder, [*files, "opt/link", "opt/z.py"]


def _entries(blob: LayerBlob, folder: Path) -> list[tarfile.TarInfo]:
    content = (folder / blob.digest.removeprefix("sha256:")).read_bytes()
    return tarfile.open(fileobj=io.BytesIO(content)).getmembers()


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def _layer(source: tuple[Path, Iterable[str]], blobs: Path, *, epoch: int) -> LayerBlob:
    with Tree.opened(source[0]) as tree, Tree.opened(blobs) as folder:
        return write_layer(tree, source[1], folder, epoch=epoch)


def test_same_files_give_the_same_bytes_whenever_and_in_whatever_order_they_were_made(
    tmp_path: Path, blobs: Path
) -> None:
    first = _layer(_upper(tmp_path / "one"), blobs, epoch=1000)
    upper, paths = _upper(tmp_path / "two", backwards=True)
    assert _layer((upper, reversed(paths)), blobs, epoch=1000) == first
    assert _layer((upper, paths), blobs, epoch=1001) != first


@pytest.mark.skipif((os.geteuid(), os.getegid()) != (0, 0), reason="owners are part of a layer")
def test_layer_has_the_digest_that_it_always_had(tmp_path: Path, blobs: Path) -> None:
    """Every published layer would be stored and sent again if its bytes changed."""
    assert _layer(_upper(tmp_path / "one"), blobs, epoch=1000).digest == (
        "sha256:758be4b77dfddf1e913118a01924d6409e992de84304aaa9582bf3c07149c264"
    )


def test_blob_is_what_its_digest_and_size_say(tmp_path: Path, blobs: Path) -> None:
    blob = _layer(_upper(tmp_path / "one"), blobs, epoch=0)
    content = (blobs / blob.digest.removeprefix("sha256:")).read_bytes()
    assert blob.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert blob.size == len(content)
    assert [path.name for path in blobs.iterdir()] == [blob.digest.removeprefix("sha256:")]


def test_folders_come_along_sorted_with_one_time_and_their_modes(tmp_path: Path, blobs: Path) -> None:
    entries = _entries(_layer(_upper(tmp_path / "one"), blobs, epoch=77), blobs)
    assert [entry.name for entry in entries] == [
        "opt",
        "opt/a.py",
        "opt/deep",
        "opt/deep/b.so",
        "opt/deep/c",
        "opt/link",
        "opt/z.py",
    ]
    assert {entry.mtime for entry in entries} == {77}
    assert entries[0].isdir()
    assert entries[0].mode == 0o775
    assert (entries[5].issym(), entries[5].linkname) == (True, "a.py")
    assert (entries[6].islnk(), entries[6].linkname) == (True, "opt/a.py")


def test_what_is_not_asked_for_is_not_in_the_layer(tmp_path: Path, blobs: Path) -> None:
    upper, _ = _upper(tmp_path / "one")
    entries = _entries(_layer((upper, ["opt/deep/c"]), blobs, epoch=0), blobs)
    assert [entry.name for entry in entries] == ["opt", "opt/deep", "opt/deep/c"]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[OciLayout]:
    with OciLayout.prepared(tmp_path / "layout") as layout:
        yield layout


def _path(layout: OciLayout, digest: str) -> Path:
    return layout.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _blob(layout: OciLayout, content: bytes) -> LayerBlob:
    digest = hashlib.sha256(content).hexdigest()
    _path(layout, digest).write_bytes(content)
    return LayerBlob(digest=f"sha256:{digest}", size=len(content))


@pytest.fixture
def source(layout: OciLayout) -> Path:
    """A layout beside the other, whose image, of two layers, has its blobs there.

    The history has an instruction without a layer between the two.
    """
    source = layout.folder.parent / "source"
    layers = [_blob(layout, b"base"), _blob(layout, b"top")]
    history = [
        {"created_by": "base", "comment": "FROM quay.io/base:1"},
        {"created_by": "ENV", "empty_layer": True, "comment": f"FROM {LOCAL}/0123:4567"},
        {"created_by": "top"},
    ]
    diff_ids = [layer.digest for layer in layers]
    config = _json_blob(layout, {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history})
    manifest = _json_blob(
        layout,
        {
            "schemaVersion": 2,
            "config": {"mediaType": "x", "digest": config.digest, "size": config.size},
            "layers": [{"mediaType": "y", "digest": one.digest, "size": one.size} for one in layers],
            "annotations": {f"{BASE}.name": f"{LOCAL}/0123:4567", f"{BASE}.digest": "x", "kept": "y"},
        },
    )
    source.mkdir()
    entry = {"mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.size}
    (source / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return source


def _json_blob(layout: OciLayout, document: object) -> LayerBlob:
    return _blob(layout, json.dumps(document).encode())


def _insert(layout: OciLayout, source: Path, name: str, content: bytes) -> OciImage:
    inserted = InsertedLayer(blob=_blob(layout, content), created_by="RUN middle")
    return layout.insert(name, source, [inserted], after=1, created="T", local=LOCAL)


def _document(layout: OciLayout, digest: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(_path(layout, digest).read_bytes())


def test_inserted_layer_stands_at_its_place_in_manifest_config_and_history(
    layout: OciLayout, source: Path
) -> None:
    done = _insert(layout, source, "1", b"middle")
    (entry,) = layout.index()["manifests"]
    manifest = _document(layout, entry["digest"])
    config = _document(layout, manifest["config"]["digest"])
    assert (done.digest, done.config) == (entry["digest"], manifest["config"]["digest"])
    assert [layer["digest"] for layer in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert config["rootfs"]["diff_ids"][1] == f"sha256:{hashlib.sha256(b'middle').hexdigest()}"
    made = [one["created_by"] for one in config["history"] if not one.get("empty_layer")]
    assert made == ["base", "RUN middle", "top"]


def test_names_that_only_this_machine_has_are_left_out_of_an_image(layout: OciLayout, source: Path) -> None:
    """The parts of two repositories have different names, and their images are the same."""
    done = _insert(layout, source, "1", b"middle")
    manifest, config = _document(layout, done.digest), _document(layout, done.config)
    assert manifest["annotations"] == {"kept": "y"}
    comments = [entry.get("comment") for entry in config["history"]]
    assert comments == ["FROM quay.io/base:1", None, None, None]


def test_an_image_takes_the_place_of_the_one_that_had_its_name_and_of_no_other(
    layout: OciLayout, source: Path
) -> None:
    old, other = _insert(layout, source, "1", b"old"), _insert(layout, source, "2", b"other")
    new = _insert(layout, source, "1", b"new")
    names = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
        for entry in layout.index()["manifests"]
    }
    assert names == {"1": new.digest, "2": other.digest}
    layout.remove_unused()
    assert not layout.has_blob(old.layers[1])
    assert all(layout.has_blob(layer) for layer in (*new.layers, *other.layers))


def test_what_an_index_inside_the_index_names_stays(layout: OciLayout, source: Path) -> None:
    done = _insert(layout, source, "1", b"middle")
    inner = _json_blob(layout, {"schemaVersion": 2, "manifests": layout.index()["manifests"]})
    index = {"schemaVersion": 2, "manifests": [{"digest": inner.digest, "size": inner.size}]}
    (layout.folder / "index.json").write_text(json.dumps(index))
    unused = _blob(layout, b"unused")
    before = {path.name for path in _path(layout, "").iterdir()}
    assert layout.remove_unused() >= unused.size
    assert layout.has_blob(inner)
    assert all(layout.has_blob(layer) for layer in done.layers)
    assert unused.digest.removeprefix("sha256:") in before
    assert not layout.has_blob(unused)


def test_blob_cut_short_is_not_there(layout: OciLayout) -> None:
    blob = _blob(layout, b"content")
    assert layout.has_blob(blob)
    _path(layout, blob.digest).write_bytes(b"cont")
    assert not layout.has_blob(blob)


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(ImageError, match="something else than an OCI image layout"),
        OciLayout.prepared(tmp_path),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ImageError, match="no OCI image layout"), OciLayout.opened(tmp_path):
        pass


def test_layers_that_were_made_are_found_while_their_blobs_are_there(layout: OciLayout) -> None:
    removed = {"opt/old": {"opt": (0o775, 1001, 0)}}
    made = InstalledLayer(blob=_blob(layout, b"made"), removed=removed)
    LayerCache.read(layout).add("key", made)
    LayerCache.read(layout).add("other", InstalledLayer(blob=_blob(layout, b"other"), removed={}))
    assert LayerCache.read(layout).find("key") == made
    _path(layout, made.blob.digest).unlink()
    assert list(LayerCache.read(layout).known) == ["other"]


def test_dockerfile_is_split_at_its_layers() -> None:
    parts = split_layers(parse_steps(DOCKERFILE))
    assert parts.builder == "builder"
    assert [(layer.name, layer.user) for layer in parts.layers] == [("accelerator", "1001"), ("rest", "1001")]
    assert parts.layers[0].run == "umask 002 &&     install accelerator"
    assert parts.layers[1].source == "/layers/rest/"
    assert parts.layers[1].target == "/usr/share/factory/layers/rest/"
    assert parts.below is not None
    assert parts.below.text == "ENV A=b\n# the stack\nUSER 1001"
    assert [one.name for one in parts.above.instructions] == ["COPY", "LABEL"]


def test_layers_may_stand_on_the_base_image_itself() -> None:
    text = DOCKERFILE.replace("ENV A=b\n", "").replace("USER 1001\n", "")
    parts = split_layers(parse_steps(text))
    assert parts.below is None
    assert [layer.user for layer in parts.layers] == [None, None]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM scratch\nRUN true\n", "no layers of packages"),
        (f"{DOCKERFILE}RUN python -c 'import torch'\n", "line 16 of the Dockerfile runs a command"),
        (DOCKERFILE.replace("RUN install rest", "USER 0\nRUN install rest"), "more than a COPY and a RUN"),
        (DOCKERFILE.replace("ENV A=b", 'SHELL ["/bin/bash", "-c"]'), "a shell of its own"),
        (DOCKERFILE.replace("factory/layers/rest/", "factory/layers/"), "into one folder"),
        (DOCKERFILE.partition("COPY requirements")[0], "nothing in the Dockerfile follows"),
    ],
)
def test_dockerfile_that_cannot_be_assembled_is_told(text: str, problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        split_layers(parse_steps(text))


@dataclass(kw_only=True)
class Folders:
    """Folders as of a mount, of which nothing is mounted: the test writes into the upper one."""

    upper: Path
    lowers: tuple[Path, ...]
    before: dict[str, State] = field(default_factory=dict)

    def look(self) -> None:
        """Take what is in the upper folder now for what the engine put there."""
        with Tree.opened(self.upper) as upper:
            self.before = states(upper)

    @property
    def changes(self) -> ContainerChanges:
        """What a container changed that had these."""
        with ExitStack() as stack:
            upper, *lowers = (
                stack.enter_context(Tree.opened(folder)) for folder in (self.upper, *self.lowers)
            )
            return changes_since(Overlay(upper=upper, merged=upper, lowers=tuple(lowers)), self.before)


def _overlay(tmp_path: Path, *lowers: str) -> Folders:
    for name in ("upper", *lowers):
        (tmp_path / name).mkdir()
    return Folders(upper=tmp_path / "upper", lowers=tuple(tmp_path / name for name in lowers))


def _made_opaque(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")


def test_what_the_engine_puts_into_every_container_is_no_change(tmp_path: Path) -> None:
    overlay = _overlay(tmp_path, "base")
    for name in ("cachi2", "etc"):
        (overlay.upper / name).mkdir()
    (overlay.upper / "etc" / "hosts").write_text("")
    overlay.look()
    (overlay.upper / "cachi2").chmod(0o700)
    (overlay.upper / "new" / "empty").mkdir(parents=True)
    (overlay.upper / "etc" / "new").write_text("")
    assert set(overlay.changes.made) == {"cachi2", "new", "new/empty", "etc/new"}


def test_a_folder_that_is_as_it_is_below_is_no_change(tmp_path: Path) -> None:
    overlay = _overlay(tmp_path, "base")
    for top in (overlay.upper, overlay.lowers[0]):
        for name in ("tmp", "mode"):
            (top / name).mkdir()
    (overlay.upper / "mode").chmod(0o700)
    assert overlay.changes.made == ("mode",)


def test_a_folder_hides_only_what_is_below_it(tmp_path: Path) -> None:
    overlay = _overlay(tmp_path, "top", "base")
    top, base = overlay.lowers
    (base / "google" / "old").mkdir(parents=True)
    (base / "hidden" / "old").mkdir(parents=True)
    (top / "hidden").mkdir()
    _made_opaque(top / "hidden")
    for path in ("google", "hidden", "hidden/old", "new"):
        (overlay.upper / path).mkdir()
    for path in ("google", "hidden/old", "new"):
        _made_opaque(overlay.upper / path)
    assert overlay.changes.removed == ("google",)
    assert set(overlay.changes.made) == {"google", "hidden/old", "new"}


def test_a_folder_that_came_to_hide_the_one_below_is_seen_although_the_engine_makes_one(
    tmp_path: Path,
) -> None:
    overlay = _overlay(tmp_path, "base")
    for top in (overlay.upper, overlay.lowers[0]):
        (top / "google").mkdir()
    (overlay.lowers[0] / "google" / "old").mkdir()
    overlay.look()
    assert not overlay.changes.removed
    _made_opaque(overlay.upper / "google")
    changed = overlay.changes
    assert (changed.removed, changed.made) == (("google",), ("google",))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_of_overlayfs_is_a_file_that_is_gone(tmp_path: Path) -> None:
    overlay = _overlay(tmp_path, "top", "base")
    top, base = overlay.lowers
    (base / "opt" / "gone").mkdir(parents=True)
    (top / "opt").mkdir()
    os.mknod(top / "opt" / "gone", stat.S_IFCHR | 0o600, 0)
    (overlay.upper / "opt" / "gone").mkdir(parents=True)
    _made_opaque(overlay.upper / "opt" / "gone")
    os.mknod(overlay.upper / "opt" / "old", stat.S_IFCHR | 0o600, 0)
    assert overlay.changes.removed == ("opt/old",)


def test_removals_are_whiteouts_with_the_folders_above_as_they_are(tmp_path: Path, blobs: Path) -> None:
    owned = {"opt": (0o755, 0, 0), "opt/site": (0o775, 1001, 0)}
    removed = {
        "opt/site/a.py": owned,
        "opt/site/old": owned,
        "opt/site/old/b.py": owned | {"opt/site/old": (0o700, 1, 1)},
    }
    with Tree.opened(blobs) as folder:
        entries = _entries(write_removals(removed, folder, epoch=7), blobs)
    assert [(entry.name, entry.isdir()) for entry in entries] == [
        ("opt", True),
        ("opt/site", True),
        ("opt/site/.wh.a.py", False),
        ("opt/site/.wh.old", False),
    ]
    assert [(entry.mode, entry.uid, entry.gid) for entry in entries[:2]] == list(owned.values())
    assert {entry.mtime for entry in entries} == {7}
