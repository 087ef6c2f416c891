#!/opt/factory/bin/python
"""Stores folders in a registry and restores them, each by its digest, with the arguments of Konflux's image.

    create --store REPOSITORY RESULT_FILE=FOLDER...
    use oci:REPOSITORY@sha256:DIGEST=FOLDER...

An artifact is a gzipped tar, a blob of the registry. A folder with a file `.skip-trusted-artifacts` is passed
over by both, an artifact without a name by `use`; what is not there makes an empty archive.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx

_SKIP = ".skip-trusted-artifacts"
_ARTIFACT = re.compile(r"oci:(?P<host>[^/]+)/(?P<name>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})")
_STORE = re.compile(r"(?P<host>[^/]+)/(?P<name>[^:@]+)(:(?P<tag>.+))?")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def main(arguments: list[str]) -> None:
    """Carry out one of the two commands."""
    command, *rest = arguments or [""]
    if command == "create" and rest[:1] == ["--store"] and len(rest) > 1:
        _create(rest[1], _pairs(rest[2:]))
    elif command == "use":
        _use(_pairs(rest))
    else:
        sys.exit(
            f"usage: create --store REPOSITORY RESULT=FOLDER... | use ARTIFACT=FOLDER...; got {arguments}"
        )


def _pairs(words: list[str]) -> list[tuple[str, Path]]:
    if unknown := [word for word in words if word.startswith("-") or "=" not in word]:
        sys.exit(f"neither an option nor a pair: {unknown}")
    return [(word.partition("=")[0], Path(word.rpartition("=")[2])) for word in words]


def _create(store: str, pairs: list[tuple[str, Path]]) -> None:
    place = _STORE.fullmatch(store)
    if place is None:
        sys.exit(f"no repository: {store!r}")
    repository = f"http://{place['host']}/v2/{place['name']}"
    layers: list[dict[str, object]] = []
    for result, folder in pairs:
        if (folder / _SKIP).is_file():
            _say(f"skipped: {folder}")
            continue
        archive = _archive(folder)
        digest = _push(repository, archive)
        Path(result).write_text(f"oci:{place['host']}/{place['name']}@{digest}", encoding="utf-8")
        layers.append(
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(archive)}
        )
        _say(f"created {Path(result).name} of {folder}: {digest}")
    if layers:
        _tag(repository, place["tag"], layers)


def _archive(folder: Path) -> bytes:
    words = ["--files-from", "/dev/null"] if not folder.exists() else ["--directory", str(folder), "."]
    return subprocess.run(
        ["tar", "--create", "--use-compress-program=gzip -n", *words], stdout=subprocess.PIPE, check=True
    ).stdout


def _push(repository: str, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    started = httpx.post(f"{repository}/blobs/uploads/", timeout=60).raise_for_status()
    place = httpx.URL(started.headers["location"]).copy_merge_params({"digest": digest})
    httpx.put(place, content=content, timeout=600).raise_for_status()
    return digest


def _tag(repository: str, tag: str | None, layers: list[dict[str, object]]) -> None:
    """Name the blobs in a manifest, without which a registry throws them away."""
    empty = b"{}"
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": _push(repository, empty), "size": 2}
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
    ).encode()
    reference = tag or f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    httpx.put(
        f"{repository}/manifests/{reference}",
        content=manifest,
        headers={"content-type": _MANIFEST},
        timeout=60,
    ).raise_for_status()


def _use(pairs: list[tuple[str, Path]]) -> None:
    for artifact, folder in pairs:
        if not artifact or (folder / _SKIP).is_file():
            _say(f"skipped: {artifact or 'no artifact'} for {folder}")
            continue
        place = _ARTIFACT.fullmatch(artifact)
        if place is None:
            sys.exit(f"no artifact: {artifact!r}")
        content = httpx.get(
            f"http://{place['host']}/v2/{place['name']}/blobs/{place['digest']}",
            follow_redirects=True,
            timeout=600,
        ).raise_for_status()
        if hashlib.sha256(content.content).hexdigest() != place["digest"].removeprefix("sha256:"):
            sys.exit(f"other bytes than {place['digest']} says")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["tar", "--extract", "--gzip", "--preserve-permissions", "--directory", folder],
            input=content.content,
            check=True,
        )
        _say(f"restored {artifact} to {folder}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
