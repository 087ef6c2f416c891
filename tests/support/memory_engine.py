"""A container engine in memory: what podman answers to the few commands that builds and pushes run.

It takes the place of `factory.process.run` where the package runs podman; all above that is the real thing.
An image is its labels, its parent and the files of its context, as a configuration that names it by digest.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from factory.engine import engine as engine_module
from factory.process import Finished
from factory.publish import source as source_module
from factory.registry.oci import OCI_MANIFEST

_LABEL = re.compile(r'"((?:[^"\\]|\\.)*)"="((?:[^"\\]|\\.)*)"')
_CONFIG, _LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass
class MemoryEngine:
    """Images by ID, and the ID of each name; ``built`` counts the builds."""

    images: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    built: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Take the place of podman in this process."""
        program = folder / "podman"
        program.write_text("#!/bin/sh\nexit 70\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.delenv("FACTORY_ENGINE", raising=False)
        monkeypatch.setattr(engine_module, "run", self.run)
        monkeypatch.setattr(source_module, "run", self.run)

    def image(self, name: str, *, labels: Mapping[str, str] | None = None, files: str = "") -> str:
        """Put an image there, and return its ID."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_EMPTY}"]},
            "history": [{"comment": files}],
        }
        content = json.dumps(config, sort_keys=True).encode()
        number = hashlib.sha256(content).hexdigest()
        self.images[number] = content
        self.names[name] = number
        return number

    def run(self, words: Sequence[object], **options: object) -> Finished:
        """Do what podman does, as `factory.process.run`."""
        del options
        program, *rest = (str(word) for word in words)
        assert Path(program).name == "podman", words
        command = " ".join(rest[:2]) if rest[0] == "image" else rest[0]
        at = rest.index("--") if "--" in rest else len(rest)
        flags, operands = rest[len(command.split()) : at], rest[at + 1 :]
        answers: dict[str, Callable[[list[str], list[str]], tuple[int, str]]] = {
            "image inspect": self._inspect,
            "image ls": self._list,
            "image rm": self._remove,
            "image exists": lambda _, operands: (int(operands[0] not in self.names), ""),
            "build": self._build,
            "tag": self._tag,
            "push": self._push,
            "ps": lambda _, __: (0, "[]"),
            "history": lambda _, __: (0, "[]"),
        }
        status, out = answers[command](flags, operands)
        stderr = "image not known" if status else ""
        return Finished(arguments=(program, *rest), status=status, stdout=out, stderr=stderr)

    def _inspect(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        del flags
        found = dict.fromkeys(number for name in operands if (number := self._number(name)))
        missing = any(self._number(name) is None for name in operands)
        return 125 if missing else 0, json.dumps([self._described(number) for number in found])

    def _number(self, name: str) -> str | None:
        return name if name in self.images else self.names.get(name)

    def _described(self, number: str) -> dict[str, Any]:
        config = json.loads(self.images[number])
        return {
            "Id": number,
            "Size": 1,
            "Created": "1970-01-01T00:00:00Z",
            "RepoTags": [name for name, there in self.names.items() if there == number],
            "RootFS": {"Layers": config["rootfs"]["diff_ids"]},
            "Config": config["config"],
        }

    def _list(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        del operands
        kind, _, wanted = flags[flags.index("--filter") + 1].partition("=")
        if kind == "reference":
            pattern = re.compile(re.escape(wanted).replace(r"\*", "[^/]*"))
            return 0, "\n".join(name for name in self.names if pattern.fullmatch(name))
        label, _, value = wanted.partition("=")
        labels = {name: self._described(number)["Config"]["Labels"] for name, number in self.names.items()}
        return 0, "\n".join(name for name, one in labels.items() if one.get(label) == value)

    def _build(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        options = {
            flag: [value for before, value in pairwise(flags) if before == flag]
            for flag in ("--tag", "--file", "--build-arg", "--iidfile")
        }
        arguments = dict(pair.split("=", 1) for pair in options["--build-arg"])
        dockerfile = Path(options["--file"][0]).read_text()
        parent = self._number(arguments["BASE_IMAGE"])
        if parent is None:
            return 125, ""
        labels = self._described(parent)["Config"]["Labels"] | {
            _plain(name): _plain(value) for name, value in _LABEL.findall(dockerfile)
        }
        context = Path(operands[0])
        files = {
            path.name: path.read_text() for path in sorted(context.iterdir()) if path.name != "Dockerfile"
        }
        number = self.image(options["--tag"][0], labels=labels, files=f"{parent} {json.dumps(files)}")
        Path(options["--iidfile"][0]).write_text(f"sha256:{number}")
        self.built += 1
        return 0, ""

    def _tag(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        del flags
        number = self._number(operands[0])
        if number is None:
            return 125, ""
        self.names |= dict.fromkeys(operands[1:], number)
        return 0, ""

    def _remove(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        del flags
        for name in operands:
            number = self.names.pop(name, None)
            if number is not None and number not in self.names.values():
                del self.images[number]
        return 0, ""

    def _push(self, flags: list[str], operands: list[str]) -> tuple[int, str]:
        """Write an OCI layout; the configuration's digest is the image's ID, as podman's is."""
        del flags
        number, (folder, _, name) = (
            self._number(operands[0]),
            operands[1].removeprefix("oci:").rpartition(":"),
        )
        assert number is not None
        blobs = Path(folder, "blobs", "sha256")
        blobs.mkdir(parents=True)
        Path(folder, "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

        def add(content: bytes, media_type: str) -> dict[str, Any]:
            digest = hashlib.sha256(content).hexdigest()
            (blobs / digest).write_bytes(content)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": add(self.images[number], _CONFIG),
            "layers": [add(gzip.compress(b"", mtime=0), _LAYER)],
        }
        entry = add(json.dumps(manifest).encode(), OCI_MANIFEST)
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        Path(folder, "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return 0, ""


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)
