"""Why an image is built: how what it would be built from differs from what the last one was built from."""

from collections.abc import Iterator, Mapping

from factory.images.definitions import Builder
from factory.images.identity import Manifest, ParentState
from factory.images.inputs import InputFile

_DIGITS = 12
_HOW: Mapping[Builder, str] = {"engine": "by the engine", "layout": "in a layout"}


def differences(before: Manifest, now: Manifest) -> tuple[str, ...]:
    """What has changed between two manifests of one image, in words; empty where nothing has."""
    return (
        *_builder(before, now),
        *_files(before, now),
        *_arguments(before.build_args, now.build_args),
        *_parents(before, now),
    )


def _builder(before: Manifest, now: Manifest) -> Iterator[str]:
    if before.builder != now.builder:
        yield f"built {_HOW[now.builder]} instead of {_HOW[before.builder]}"


def _files(before: Manifest, now: Manifest) -> Iterator[str]:
    if before.dockerfile != now.dockerfile:
        yield f"built with {now.dockerfile} instead of {before.dockerfile}"
    for path in sorted({*before.inputs, *now.inputs}):
        # The Dockerfile that is no longer built with is not gone.
        if before.dockerfile == now.dockerfile or path not in {before.dockerfile, now.dockerfile}:
            yield from _file(path, before.inputs.get(path), now.inputs.get(path))


def _file(path: str, before: InputFile | None, now: InputFile | None) -> Iterator[str]:
    if before is None:
        yield f"{path} is new"
    elif now is None:
        yield f"{path} is gone"
    elif before.sha256 != now.sha256:
        yield f"{path} changed"
    elif before.executable != now.executable:
        yield f"{path} {'can be executed now' if now.executable else 'can no longer be executed'}"


def _arguments(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"build argument {name} is new"
        elif name not in now:
            yield f"build argument {name} is gone"
        elif before[name] != now[name]:
            yield f"build argument {name} changed"


def _parents(before: Manifest, now: Manifest) -> Iterator[str]:
    then = {parent.argument: parent for parent in before.parents}
    named = {parent.argument: parent for parent in now.parents}
    for argument, parent in named.items():
        if argument not in then:
            yield f"parent {parent.image} ({argument}) is new"
        else:
            yield from _parent(then[argument], parent)
    yield from (f"parent {then[name].image} ({name}) is gone" for name in then if name not in named)


def _parent(before: ParentState, now: ParentState) -> Iterator[str]:
    if before.image != now.image:
        yield f"parent {now.argument} is {now.image}, and was {before.image}"
    elif before.identity != now.identity:
        yield f"parent {now.image} changed"
    elif before.digest == now.digest:
        return
    elif before.digest is None:
        yield f"the digest of parent {now.image} counts now: {short(now.digest)}"
    elif now.digest is None:
        yield f"the digest of parent {now.image} is no longer recorded; it was {short(before.digest)}"
    elif now.digest.startswith("sha256:"):
        yield f"parent {now.image} moved at its origin: {short(before.digest)} -> {short(now.digest)}"
    else:
        yield f"parent {now.image} was built anew: {short(before.digest)} -> {short(now.digest)}"


def short(digest: str | None) -> str:
    """The first digits of a digest, which tell two apart."""
    kind, colon, digits = (digest or "").rpartition(":")
    return f"{kind}{colon}{digits[:_DIGITS]}"
