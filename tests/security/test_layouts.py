"""A layout of a stranger: no link in it is followed, and nothing of it is sent that is not what it says."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.layouts import SmallImage, small_image
from support.push_site import Site, push_site

from factory.build.oci_builder import LayerCache
from factory.build.oci_layout import OciLayout
from factory.errors import ImageError, StorageError

pytestmark = pytest.mark.integration

FILE_SYSTEM, IMAGE = StorageError.exit_code, ImageError.exit_code


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with push_site(tmp_path, monkeypatch, capsys) as site:
        yield site


def _blob(image: SmallImage, digest: str) -> Path:
    return image.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _largest(image: SmallImage) -> Path:
    return _blob(image, max(image.blobs, key=lambda digest: image.blobs[digest]))


def _config(image: SmallImage) -> Path:
    return _blob(image, json.loads(_blob(image, image.digest).read_bytes())["config"]["digest"])


def _linked(path: Path) -> None:
    """Put a link in the place of what is there, which leads to the same content."""
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)


def _link_blobs(image: SmallImage) -> None:
    _linked(image.folder / "blobs" / "sha256")


def _link_folder_of_blobs(image: SmallImage) -> None:
    _linked(image.folder / "blobs")


def _link_index(image: SmallImage) -> None:
    _linked(image.folder / "index.json")


def _link_manifest(image: SmallImage) -> None:
    _linked(_blob(image, image.digest))


def _link_config(image: SmallImage) -> None:
    _linked(_config(image))


def _link_layer(image: SmallImage) -> None:
    _linked(_largest(image))


def _fifo_for_a_layer(image: SmallImage) -> None:
    _largest(image).unlink()
    os.mkfifo(_largest(image))


def _fifo_for_the_index(image: SmallImage) -> None:
    (image.folder / "index.json").unlink()
    os.mkfifo(image.folder / "index.json")


@pytest.mark.parametrize(
    "attack",
    [
        _link_blobs,
        _link_folder_of_blobs,
        _link_index,
        _link_manifest,
        _link_config,
        _link_layer,
        _fifo_for_a_layer,
        _fifo_for_the_index,
    ],
)
def test_link_or_fifo_in_a_layout_is_refused_before_anything_is_sent(
    site: Site, attack: Callable[[SmallImage], None]
) -> None:
    image = site.image()
    attack(image)
    site.push(image.reference, "--to", "near", status=FILE_SYSTEM)
    assert site.uploads() == 0


def _other_manifest(image: SmallImage) -> None:
    path = _blob(image, image.digest)
    path.write_bytes(path.read_bytes() + b"\n")


def _other_manifest_of_the_same_size(image: SmallImage) -> None:
    path = _blob(image, image.digest)
    path.write_bytes(path.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion" :2'))


def _other_size_in_the_index(image: SmallImage) -> None:
    path = image.folder / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"][0]["size"] += 1
    path.write_text(json.dumps(index))


def _other_config(image: SmallImage) -> None:
    path = _config(image)
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64"))


def _other_layer(image: SmallImage) -> None:
    content = bytearray(_largest(image).read_bytes())
    content[-1] ^= 1
    _largest(image).write_bytes(content)


def _shorter_layer(image: SmallImage) -> None:
    _largest(image).write_bytes(_largest(image).read_bytes()[:-1])


def _no_layer(image: SmallImage) -> None:
    _largest(image).unlink()


@pytest.mark.parametrize(
    "digest", ["sha256:../../../secret", "sha256:" + "g" * 64, "md5:" + "0" * 32, "../x"]
)
def test_digest_that_is_a_path_is_refused(site: Site, digest: str) -> None:
    image = site.image()
    path = image.folder / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"][0]["digest"] = digest
    path.write_text(json.dumps(index))
    (image.folder.parent / "secret").write_text("{}")
    site.push(image.reference, "--to", "near", status=IMAGE)
    assert site.uploads() == 0


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "attack",
    [
        _other_manifest,
        _other_manifest_of_the_same_size,
        _other_size_in_the_index,
        _other_config,
        _other_layer,
        _shorter_layer,
        _no_layer,
    ],
)
def test_what_has_not_the_digest_that_is_said_of_it_is_refused_before_anything_is_sent(
    site: Site, attack: Callable[[SmallImage], None], *, compressed: bool
) -> None:
    image = site.image(compressed=compressed)
    attack(image)
    site.push(image.reference, "--to", "near", status=IMAGE)
    assert site.uploads() == 0


def test_layout_that_a_person_reaches_by_a_link_is_pushed(site: Site) -> None:
    image = site.image()
    link = site.root / "link"
    link.symlink_to(image.folder)
    (outcome,) = site.push(f"oci:{link}", "--to", "near")["outcomes"]
    assert {tag["digest"] for tag in outcome["tags"]} == {image.digest}


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder of somebody else, with a file whose name is a blob's."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    (folder / hashlib.sha256(b"precious").hexdigest()).write_bytes(b"precious")
    return folder


@pytest.mark.parametrize("path", ["blobs", "blobs/sha256"])
def test_building_into_a_layout_removes_and_writes_nothing_through_a_link(
    tmp_path: Path, stranger: Path, path: str
) -> None:
    layout = small_image(tmp_path / "layout").folder
    _linked(layout / path)
    (layout / path).unlink()
    (layout / path).symlink_to(stranger)
    before = sorted(stranger.rglob("*"))
    with pytest.raises(StorageError, match="is a link"), OciLayout.prepared(layout) as opened:
        opened.remove_unused()
    assert sorted(stranger.rglob("*")) == before


def test_link_as_an_unused_blob_goes_and_what_it_leads_to_stays(tmp_path: Path, stranger: Path) -> None:
    image = small_image(tmp_path / "layout")
    (precious,) = stranger.iterdir()
    link = image.folder / "blobs" / "sha256" / precious.name
    link.symlink_to(precious)
    (image.folder / "blobs" / "sha256" / "notes.txt").write_text("no blob")
    with OciLayout.opened(image.folder) as layout:
        layout.remove_unused()
    assert precious.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert (image.folder / "blobs" / "sha256" / "notes.txt").read_text() == "no blob"
    assert all(_blob(image, digest).is_file() for digest in image.blobs)


def test_layers_recorded_by_a_link_or_with_a_path_for_a_digest_are_refused(tmp_path: Path) -> None:
    image = small_image(tmp_path / "layout")
    record = image.folder / "factory-layers.json"
    record.write_text(json.dumps({"key": {"digest": "sha256:../../x", "size": 1, "removed": {}}}))
    with OciLayout.opened(image.folder) as layout, pytest.raises(ImageError, match="expected shape"):
        LayerCache.read(layout)
    _linked(record)
    with OciLayout.opened(image.folder) as layout, pytest.raises(StorageError, match="is a link"):
        LayerCache.read(layout)
