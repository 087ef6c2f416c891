"""The images that a Dockerfile takes from: what is not declared would change and nobody would see it."""

from collections.abc import Sequence

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.segments import SCRATCH, stage_references
from factory.dockerfile.sources import arguments
from factory.dockerfile.stages import FROM, assign, expand
from factory.errors import ImageError
from factory.images.definitions import ImageDefinition
from factory.images.parents import digest_in


def refuse_undeclared(definition: ImageDefinition, instructions: Sequence[Instruction]) -> None:
    """Pass where an identity knows all images that a Dockerfile takes from.

    These are the parents that are declared, its own stages, ``scratch``, and what it names by digest, which
    stands in what the identity counts.

    Raises:
        ImageError: a FROM, a ``COPY --from=`` or a mount takes from another image.
    """
    values = _values(definition, instructions)
    # A stage has a name for what stands below its end: not for its own FROM, nor for what is above.
    stages: set[str] = set()
    begun: set[str] = set()
    count = 0
    for item in instructions:
        if item.name == "FROM":
            stages |= begun
            match = FROM.fullmatch(item.text)
            begun = {str(count)} | ({match["stage"].lower()} if match and match["stage"] else set())
            count += 1
        for text in _named(item):
            if item.name != "FROM" and "$" in text:
                raise _variable(definition, item, text)
            if text.lower() not in stages and not _is_declared(definition, text, expand(text, values)):
                raise _undeclared(definition, item, text, expand(text, values))


def _values(definition: ImageDefinition, instructions: Sequence[Instruction]) -> dict[str, str]:
    """What the arguments are that are declared before the first FROM."""
    given = {parent.argument: parent.image for parent in definition.parents} | dict(definition.build_args)
    values: dict[str, str] = {}
    for item in instructions:
        if item.name == "FROM":
            break
        if item.name == "ARG":
            assign(item, values, {})
            values |= {name: given[name] for name in arguments([item]) if name in given}
    return values


def _named(item: Instruction) -> tuple[str, ...]:
    if item.name != "FROM":
        return stage_references(item)
    match = FROM.fullmatch(item.text)
    # What is no FROM is for the engine to refuse.
    return (match["image"].strip("\"'"),) if match else ()


def _is_declared(definition: ImageDefinition, text: str, reference: str) -> bool:
    if "$" in reference:
        return False
    if reference.lower() == SCRATCH or digest_in(reference) is not None:
        return True
    others = {parent.image for parent in definition.parents if parent.is_reference}
    own = {parent.image for parent in definition.parents if not parent.is_reference}
    # The name of an image of the repository means that image in an argument alone.
    return reference in others or ("$" in text and reference in own)


def _variable(definition: ImageDefinition, item: Instruction, text: str) -> ImageError:
    """Engines differ in which of these they fill, and what is taken of it would not count in a part's key."""
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile}"
    return ImageError(
        f"{where} takes from {text}, which an argument names",
        solution=f"Make it a stage, `FROM {text} AS NAME` above, and take from that name.",
    )


def _undeclared(definition: ImageDefinition, item: Instruction, text: str, reference: str) -> ImageError:
    where = f"{definition.name}: line {item.line_of(text)} of {definition.dockerfile} takes from {text}"
    if "$" in reference:
        return ImageError(
            f"{where}, and nothing tells what that is",
            solution="Write `ARG NAME` before the first FROM, and give NAME an image in `parents` of "
            "factory.toml.",
        )
    named = "" if text == reference else f" ({reference})"
    return ImageError(
        f"{where}{named}, which is none of its `parents`: nothing would be built when it changes",
        solution=f'Give it in factory.toml, parents = {{ …, NAME_IMAGE = "{reference}" }}, and take it from '
        "there: `ARG NAME_IMAGE` before the first FROM, `FROM ${NAME_IMAGE}`, and for a COPY that stage's "
        "name. Or name it by its digest: …@sha256:….",
    )
