"""Images put into a real registry through its API, as `factory push` leaves them, with what is theirs."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from factory.engine.images import image_labels

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def identity(word: str) -> str:
    """An identity of its own for each word."""
    return hashlib.sha256(word.encode()).hexdigest()


def labels(name: str, word: str, *, parents: Iterable[str] = ()) -> dict[str, str]:
    """The labels that an image of the factory has; parents are ``NAME=WORD`` of other images."""
    on = {
        f"PARENT_{number}": {
            "image": parent.partition("=")[0],
            "identity": identity(parent.partition("=")[2]),
        }
        for number, parent in enumerate(parents)
    }
    inputs = {"version": 1, "dockerfile": "Dockerfile", "inputs": {}, "build-args": {}, "parents": on}
    return image_labels(name=name, identity=identity(word), inputs=json.dumps(inputs))


@dataclass(frozen=True, kw_only=True)
class PackageFinder:
    """Puts manifests into the repositories of a registry on loopback, and looks which are there."""

    host: str
    manifests: dict[str, bytes] = field(default_factory=dict)

    def image(
        self,
        repository: str,
        *tags: str,
        labels: Mapping[str, str] | None = None,
        days: float | None = 100.0,
        layers: Iterable[str] = (),
        size: int = 1000,
        subject: str | None = None,
    ) -> str:
        """Put an image under these tags, or under its digest alone; gives its digest."""
        named = [self.blob(repository, (layer * size)[:size].encode(), LAYER) for layer in layers]
        config: dict[str, Any] = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in named]},
        }
        if days is not None:
            moment = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
            config["created"] = moment.isoformat(timespec="seconds")
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(repository, json.dumps(config).encode(), CONFIG),
            "layers": named,
        }
        if subject is not None:
            document["subject"] = {"mediaType": MANIFEST, "digest": subject, "size": 1}
        return self.manifest(repository, tags, document, MANIFEST)

    def index(self, repository: str, *tags: str, parts: Iterable[str]) -> str:
        """Put an index of manifests that are there under these tags; gives its digest."""
        named = [
            {
                "mediaType": MANIFEST,
                "digest": part,
                "size": len(self.manifests[part]),
                "platform": {"os": "linux", "architecture": ("amd64", "arm64")[number % 2]},
            }
            for number, part in enumerate(parts)
        ]
        return self.manifest(
            repository, tags, {"schemaVersion": 2, "mediaType": INDEX, "manifests": named}, INDEX
        )

    def attach(self, repository: str, subject: str, *, what: str = ".sbom", content: str = "bill") -> str:
        """Put a bill beside an image as cosign does, under a tag after its digest; gives its own."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(repository, b"{}", CONFIG),
            "layers": [self.blob(repository, content.encode(), "application/vnd.cyclonedx+json")],
        }
        return self.manifest(repository, (subject.replace(":", "-") + what,), document, MANIFEST)

    def manifest(self, repository: str, tags: Iterable[str], document: object, media_type: str) -> str:
        """Put a manifest under tags, or under its digest where there are none; gives its digest."""
        content = json.dumps(document).encode()
        digest = _digest(content)
        self.manifests[digest] = content
        with self._client() as client:
            for reference in tuple(tags) or (digest,):
                path = f"/v2/{repository}/manifests/{reference}"
                client.put(path, content=content, headers={"Content-Type": media_type}).raise_for_status()
        return digest

    def blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        """Put a blob; gives its descriptor."""
        digest = _digest(content)
        with self._client() as client:
            begun = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
            place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
            client.put(place, content=content).raise_for_status()
        return {"mediaType": media_type, "size": len(content), "digest": digest}

    def has(self, repository: str, digest: str) -> bool:
        """Whether a manifest is there."""
        with self._client() as client:
            accept = {"Accept": f"{MANIFEST}, {INDEX}"}
            return client.head(f"/v2/{repository}/manifests/{digest}", headers=accept).is_success

    def tags(self, repository: str) -> set[str]:
        """The tags of a repository."""
        with self._client() as client:
            return set(client.get(f"/v2/{repository}/tags/list").json().get("tags") or ())

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.host}", trust_env=False, verify=False)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
