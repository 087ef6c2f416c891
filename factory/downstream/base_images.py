"""The images that have to be pulled before a Dockerfile can be built with ``--pull=never``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, read_dockerfile
from factory.dockerfile.references import check_pullable
from factory.dockerfile.stages import FROM, assign, expand
from factory.errors import SpecError

BASE_IMAGE = "BASE_IMAGE"


@dataclass(frozen=True, kw_only=True)
class BaseImages:
    """What the FROMs of a Dockerfile name, each once and in their order, in the form that tools pull."""

    images: tuple[str, ...]


def base_images(stripped: bytes, *, base_image: str | None = None) -> BaseImages:
    """The images that the FROMs of a stripped Dockerfile name, its stages and ``scratch`` left out.

    ``base_image`` is the value of the build argument BASE_IMAGE, in place of the default that the
    Dockerfile gives it.

    Raises:
        SpecError: a FROM names no image that can be pulled beforehand, or there is no FROM at all, or no
            ARG BASE_IMAGE takes the base image that was given.
    """
    instructions = read_dockerfile(stripped)
    if all(item.name != "FROM" for item in instructions):
        raise SpecError(
            "the Dockerfile has no FROM, so it builds nothing", solution="Give the path of a Dockerfile."
        )
    variables = _variables(instructions, base_image)
    return BaseImages(images=tuple(dict.fromkeys(_named(instructions, variables))))


def _variables(instructions: Sequence[Instruction], base_image: str | None) -> dict[str, str]:
    """What the ARGs before the first FROM set: a FROM sees no others."""
    variables: dict[str, str] = {}
    taken = base_image is None
    for instruction in instructions:
        if instruction.name == "FROM":
            break
        if instruction.name != "ARG":
            continue
        assign(instruction, variables, variables)
        names = {word.partition("=")[0] for word in instruction.text.split()}
        if base_image is not None and BASE_IMAGE in names:
            variables[BASE_IMAGE] = base_image
            taken = True
    if not taken:
        raise SpecError(
            f"no ARG {BASE_IMAGE} before the first FROM takes the base image {base_image}",
            solution=f"Write `ARG {BASE_IMAGE}=...` and `FROM ${{{BASE_IMAGE}}}`, or give no base image.",
        )
    return variables


def _named(instructions: Sequence[Instruction], variables: dict[str, str]) -> Iterator[str]:
    stages: set[str] = set()
    for instruction in instructions:
        if instruction.name != "FROM":
            continue
        match = FROM.fullmatch(instruction.text)
        image = expand(match["image"], variables).strip("\"'") if match else ""
        if match is None or "$" in image or not image:
            raise SpecError(
                f"line {instruction.line} of the Dockerfile: `FROM {instruction.text}` names no image",
                solution="Name one, or a variable that has a value from an ARG before the first FROM.",
            )
        # Names of stages are the same in every case, as a builder compares them.
        if image.lower() not in stages and image != "scratch":
            yield check_pullable(image, of=f"the FROM in line {instruction.line} of the Dockerfile")
        if match["stage"]:
            stages.add(match["stage"].lower())
