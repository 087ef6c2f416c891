"""The images that a Dockerfile takes files from without building on them."""

import re
from collections.abc import Iterator, Sequence

from factory.dockerfile.instructions import Instruction

_FROM = re.compile(r"(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?\s*", re.IGNORECASE)
_COPIED = re.compile(r"--from=(?P<source>\S+)")
_MOUNTED = re.compile(r"--mount=\S*?\bfrom=(?P<source>[^,\s]+)")


def unpulled(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """Where an image is copied or mounted from that is neither a stage nor the image of one.

    Konflux pulls what the FROM lines name, and then builds with the network taken away and
    ``--pull=never``: an image that no FROM names is not there, with a digest or without.
    """
    lines = [item.text for item in instructions if item.name == "FROM"]
    pulled = {match["image"] for text in lines if (match := _FROM.fullmatch(text))}
    stages: list[str] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            match = _FROM.fullmatch(instruction.text)
            stages.append((match["stage"] or "").lower() if match else "")
        for source in _sources(instruction):
            numbered = source.isdecimal() and int(source) < len(stages)
            if not (numbered or source in pulled or source.lower() in stages):
                yield instruction, source


def _sources(instruction: Instruction) -> Iterator[str]:
    pattern = {"COPY": _COPIED, "RUN": _MOUNTED}.get(instruction.name)
    if pattern is None:
        return
    flags = re.match(r"(?:--\S+\s+)*", instruction.text)
    for match in pattern.finditer(flags[0] if flags else ""):
        yield match["source"].strip("\"'")
