"""Rules about the labels of the image: those that the product asks for, and what they say."""

import re
from collections.abc import Iterator, Sequence

from factory.check.finding import Problem
from factory.check.stages import final_stage
from factory.dockerfile.instructions import Instruction
from factory.flavor.project import Project

# What the product's image policy asks for, as far as a Dockerfile can give it (docs/rules.md).
_REQUIRED = (
    *("name", "version", "summary", "description", "com.redhat.component"),
    *("io.k8s.display-name", "io.k8s.description"),
)
_LICENCES = "org.opencontainers.image.licenses"
# shlex would do, and takes ten times as long for what every Dockerfile has.
_QUOTED = r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'"""
_PAIR = re.compile(rf"(?P<key>{_QUOTED}|[^\s=\"']+)=(?P<value>{_QUOTED}|[^\s\"']*)")
_VENDORS = {"cuda": ("nvidia", "cuda"), "rocm": ("amd", "rocm")}


def check_labels(
    path: str, instructions: Sequence[Instruction], project: Project | None
) -> Iterator[Problem]:
    """FAC414 to FAC416, of the final stage: an image has its labels, and those of the stages below it."""
    final = final_stage(instructions)
    if not final:
        return
    stage = [item for item in final if item.name == "LABEL"]
    found = [(item, key, value) for item in stage for key, value in _labels(item.text)]
    names = {key for _, key, _ in found}
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        yield Problem(
            code="FAC414",
            path=path,
            line=stage[-1].line if stage else next(item.line for item in final if item.name == "FROM"),
            message=f"the final stage has no label {' and no '.join(missing)}",
            solution="The template sets it: `factory sync`; a template set of your own has to as well.",
        )
    for item, key, value in found:
        if value != value.strip():
            yield Problem(
                code="FAC415",
                path=path,
                line=item.line_of(key),
                message=f"the label {key} begins or ends with white space: {value!r}",
                solution=f"Write {value.strip()!r}.",
            )
        if key == _LICENCES and project is not None:
            yield from _licence(path, item, value, project.spec.accelerator)


def _licence(path: str, item: Instruction, value: str, accelerator: str) -> Iterator[Problem]:
    for vendor, words in _VENDORS.items():
        if vendor != accelerator and any(word in value.lower() for word in words):
            yield Problem(
                code="FAC416",
                path=path,
                line=item.line_of(_LICENCES),
                message=f"the licence of a flavor for {accelerator} is {value}",
                solution=f"Name the terms that an image for {accelerator} is shipped under.",
            )


def _labels(text: str) -> Iterator[tuple[str, str]]:
    """The keys and values of a LABEL instruction, without quotes; what cannot be read, a build refuses."""
    key, *rest = text.split(maxsplit=1) or [""]
    if "=" not in key:  # the old form: one key, and the rest its value
        yield key, _unquoted("".join(rest))
        return
    for match in _PAIR.finditer(text):
        yield _unquoted(match["key"]), _unquoted(match["value"])


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text
