"""Layers as archives, an OCI layout, and a Dockerfile taken apart at its layers of packages."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from factory.errors import ImageError
from factory.image.layer_tar import LayerBlob, write_layer
from factory.image.layout import (
    Inserted,
    blobs_folder,
    has_blob,
    insert_layers,
    read_index,
    remove_unused,
)
from factory.image.package_layers import take_apart

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS builder
RUN make /layers
FROM ${BASE}
ENV A=b
# the stack
COPY --from=builder /layers/accelerator/ /usr/share/factory/layers/accelerator/
USER 1001
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


def test_same_files_give_the_same_bytes_whenever_and_in_whatever_order_they_were_made(
    tmp_path: Path, blobs: Path
) -> None:
    first = write_layer(*_upper(tmp_path / "one"), blobs, epoch=1000)
    upper, paths = _upper(tmp_path / "two", backwards=True)
    assert write_layer(upper, reversed(paths), blobs, epoch=1000) == first
    assert write_layer(upper, paths, blobs, epoch=1001) != first


def test_blob_is_what_its_digest_and_size_say(tmp_path: Path, blobs: Path) -> None:
    blob = write_layer(*_upper(tmp_path / "one"), blobs, epoch=0)
    content = (blobs / blob.digest.removeprefix("sha256:")).read_bytes()
    assert blob.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert blob.size == len(content)
    assert [path.name for path in blobs.iterdir()] == [blob.digest.removeprefix("sha256:")]


def test_folders_come_along_sorted_with_one_time_and_their_modes(tmp_path: Path, blobs: Path) -> None:
    entries = _entries(write_layer(*_upper(tmp_path / "one"), blobs, epoch=77), blobs)
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
    entries = _entries(write_layer(upper, ["opt/deep/c"], blobs, epoch=0), blobs)
    assert [entry.name for entry in entries] == ["opt", "opt/deep", "opt/deep/c"]


def _blob(layout: Path, content: bytes) -> LayerBlob:
    digest = hashlib.sha256(content).hexdigest()
    (blobs_folder(layout) / digest).write_bytes(content)
    return LayerBlob(digest=f"sha256:{digest}", size=len(content))


def _layout(tmp_path: Path) -> Path:
    """An image of two layers, the history of which has an instruction without a layer between them."""
    layout = tmp_path / "layout"
    blobs_folder(layout).mkdir(parents=True)
    layers = [_blob(layout, b"base"), _blob(layout, b"top")]
    history = [{"created_by": "base"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "top"}]
    config = _blob(
        layout,
        json.dumps(
            {
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
                "history": history,
            }
        ).encode(),
    )
    manifest = _blob(
        layout,
        json.dumps(
            {
                "schemaVersion": 2,
                "config": {"mediaType": "x", "digest": config.digest, "size": config.size},
                "layers": [
                    {"mediaType": "y", "digest": layer.digest, "size": layer.size} for layer in layers
                ],
            }
        ).encode(),
    )
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": manifest.digest,
        "size": manifest.size,
        "annotations": {"org.opencontainers.image.ref.name": "image:1"},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return layout


def _document(layout: Path, digest: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((blobs_folder(layout) / digest.removeprefix("sha256:")).read_bytes())


def test_inserted_layer_stands_at_its_place_in_manifest_config_and_history(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    middle = _blob(layout, b"middle")
    done = insert_layers(
        layout, "image:1", [Inserted(blob=middle, created_by="RUN middle")], after=1, created="T"
    )
    entry = read_index(layout)["manifests"][0]
    manifest = _document(layout, entry["digest"])
    config = _document(layout, manifest["config"]["digest"])
    assert (done.digest, done.config) == (entry["digest"], manifest["config"]["digest"])
    assert [layer["digest"] for layer in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert config["rootfs"]["diff_ids"][1] == middle.digest
    made = [one["created_by"] for one in config["history"] if not one.get("empty_layer")]
    assert made == ["base", "RUN middle", "top"]
    assert done.layers[1] == middle


def test_unused_blobs_go_and_what_an_image_has_stays(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    kept, unused = _blob(layout, b"kept"), _blob(layout, b"unused")
    before = {path.name for path in blobs_folder(layout).iterdir()}
    assert remove_unused(layout, keep=[kept.digest]) == unused.size
    after = {path.name for path in blobs_folder(layout).iterdir()}
    assert before - after == {unused.digest.removeprefix("sha256:")}


def test_blob_cut_short_is_not_there(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    blob = _blob(layout, b"content")
    assert has_blob(layout, blob)
    (blobs_folder(layout) / blob.digest.removeprefix("sha256:")).write_bytes(b"cont")
    assert not has_blob(layout, blob)


def test_layout_without_the_image_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no image other"):
        insert_layers(_layout(tmp_path), "other", [], after=0, created="T")
    with pytest.raises(ImageError, match="no OCI image layout"):
        read_index(tmp_path)


def test_dockerfile_is_taken_apart_at_its_layers() -> None:
    parts = take_apart(DOCKERFILE)
    assert parts.builder == "builder"
    assert [(layer.name, layer.user) for layer in parts.layers] == [("accelerator", "1001"), ("rest", "1001")]
    assert parts.layers[0].run == "umask 002 && install accelerator"
    assert parts.layers[1].target == "/usr/share/factory/layers/rest/"
    assert parts.below.endswith("ENV A=b\n# the stack\n")
    assert "install" not in parts.without
    assert "COPY --from" not in parts.without
    assert parts.without.endswith('COPY requirements.txt /usr/share/factory/\nLABEL name="x"\n')
    assert "USER 1001" in parts.without


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM scratch\nRUN true\n", "no layers of packages"),
        (f"{DOCKERFILE}RUN python -c 'import torch'\n", "line 16 of the Dockerfile runs a command"),
        (DOCKERFILE.replace("AS builder", "AS other"), "copy from builder, which is no stage"),
    ],
)
def test_dockerfile_that_cannot_be_assembled_is_told(text: str, problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        take_apart(text)
