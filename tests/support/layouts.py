"""Small images in OCI layouts, made in the test: skopeo reads them, and no engine is needed."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, kw_only=True)
class SmallImage:
    """An image in a layout: its folder, the digest of its manifest, and the sizes of its blobs."""

    folder: Path
    digest: str
    blobs: dict[str, int]

    @property
    def reference(self) -> str:
        """As `factory push` is told."""
        return f"oci:{self.folder}"


def small_image(
    folder: Path,
    *,
    content: str = "hello",
    labels: Mapping[str, str] | None = None,
    size: int = 200_000,
    layers: int = 2,
    compressed: bool = True,
    created: str | None = None,
) -> SmallImage:
    """An image of layers of so many bytes, which do not compress; equal arguments give equal bytes."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    tars = [_tar(f"{content}-{number}", size) for number in range(layers)]
    descriptors = [
        _add(folder, gzip.compress(tar, mtime=0) if compressed else tar, LAYER + "+gzip" * compressed)
        for tar in tars
    ]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": dict(labels or {})},
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        **({"created": created} if created else {}),
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _add(folder, json.dumps(config).encode(), CONFIG),
        "layers": descriptors,
    }
    described = _add(folder, json.dumps(manifest).encode(), MANIFEST)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    blobs = {str(item["digest"]): int(item["size"]) for item in (manifest["config"], *descriptors)}  # type: ignore[index]
    return SmallImage(folder=folder, digest=str(described["digest"]), blobs=blobs)


def indexed(image: SmallImage) -> str:
    """Put an index (for one platform) before an image in its layout; gives the digest of the index."""
    index_path = image.folder / "index.json"
    (entry,) = json.loads(index_path.read_text())["manifests"]
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    described = _add(image.folder, json.dumps(index).encode(), INDEX)
    index_path.write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return str(described["digest"])


def _tar(content: str, size: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(f"data/{content}")
        payload = random.Random(content).randbytes(size)
        member.size = len(payload)
        archive.addfile(member, io.BytesIO(payload))
    return file.getvalue()


def _add(folder: Path, blob: bytes, media_type: str) -> dict[str, str | int]:
    digest = _digest(blob)
    (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(blob)
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
