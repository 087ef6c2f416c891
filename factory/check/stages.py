"""The stages of a Dockerfile: what the last is made of, and the images that are none of them."""

from collections.abc import Iterator, Sequence

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.sources import mount_options
from factory.dockerfile.stages import FROM


def final_stage(instructions: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """The instructions of the last stage, after those of the stages that it is built on; none without a FROM.

    An image inherits environment and labels from the stage that its FROM names.
    """
    starts = [number for number, item in enumerate(instructions) if item.name == "FROM"]
    if not starts:
        return ()
    named: dict[str, list[Instruction]] = {}
    whole: list[Instruction] = []
    for start, stop in zip(starts, (*starts[1:], len(instructions)), strict=True):
        match = FROM.fullmatch(instructions[start].text)
        below = named.get(match["image"].lower(), []) if match else []
        whole = [*below, *instructions[start:stop]]
        if match and match["stage"]:
            named[match["stage"].lower()] = whole
    return tuple(whole)


def unpulled(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """Where an image is copied or mounted from that is neither a stage nor the image of one.

    Konflux pulls what the FROM lines name, and then builds with the network taken away and
    ``--pull=never``: an image that no FROM names is not there, with a digest or without.
    """
    lines = [item.text for item in instructions if item.name == "FROM"]
    pulled = {match["image"] for text in lines if (match := FROM.fullmatch(text))}
    stages: list[str] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            match = FROM.fullmatch(instruction.text)
            stages.append((match["stage"] or "").lower() if match else "")
        for source in _sources(instruction):
            numbered = source.isdecimal() and int(source) < len(stages)
            if not (numbered or source in pulled or source.lower() in stages):
                yield instruction, source


def _sources(instruction: Instruction) -> Iterator[str]:
    for flag in instruction.flags:
        option, _, value = flag.partition("=")
        if instruction.name == "COPY" and option == "--from":
            yield value
        elif (
            instruction.name == "RUN" and option == "--mount" and (source := mount_options(value).get("from"))
        ):
            yield source
