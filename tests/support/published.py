"""Images without layers, put into a real registry through its own API: what a plan asks for is there."""

import hashlib
import json
from collections.abc import Iterable, Mapping

import httpx

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


def publish(host: str, repository: str, tags: Iterable[str], labels: Mapping[str, str] | None = None) -> str:
    """Put an image with these labels under these tags, the last one last; gives its digest."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    ).encode()
    digest = _digest(config)
    described = {"mediaType": _CONFIG, "size": len(config), "digest": digest}
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": []}
    ).encode()
    with httpx.Client(base_url=f"http://{host}", trust_env=False) as client:
        begun = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        client.put(place, content=config).raise_for_status()
        for tag in tags:
            client.put(
                f"/v2/{repository}/manifests/{tag}", content=manifest, headers={"Content-Type": _MANIFEST}
            ).raise_for_status()
    return _digest(manifest)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
