"""The labels of an image that say what it was built from."""

import re
from collections.abc import Mapping

IDENTITY_LABEL = "io.universal-image-factory.identity"
"""The identity of the image: 64 hex digits."""
INPUTS_LABEL = "io.universal-image-factory.inputs"
"""What the identity is the digest of: canonical JSON (`factory.images.identity.Manifest.text`).

Where that is long, it is ``COUNT:`` and the first part; the others are in ``….inputs.1`` and so on.
"""
IMAGE_LABEL = "io.universal-image-factory.image"
"""The name of the image in its repository."""
# buildah's time for a label grows with the square of its length: 0.04 s for one of this length.
_PART_CHARACTERS = 8_000
_PARTED = re.compile(r"(?P<count>[0-9]{1,5}):(?P<first>.*)", re.DOTALL)


def image_labels(*, name: str, identity: str, inputs: str) -> dict[str, str]:
    """The labels that a built image gets: its name, its identity, and the text of its manifest."""
    labels = {IMAGE_LABEL: name, IDENTITY_LABEL: identity, INPUTS_LABEL: inputs}
    if len(inputs) > _PART_CHARACTERS:
        parts = [inputs[at : at + _PART_CHARACTERS] for at in range(0, len(inputs), _PART_CHARACTERS)]
        labels[INPUTS_LABEL] = f"{len(parts)}:{parts[0]}"
        labels |= {f"{INPUTS_LABEL}.{number}": part for number, part in enumerate(parts[1:], start=1)}
    return labels


def inputs_text(labels: Mapping[str, str]) -> str:
    """Return the text of the manifest that labels hold; empty if they hold none."""
    text = labels.get(INPUTS_LABEL, "")
    match = _PARTED.fullmatch(text)
    if match is None:
        # Further parts may be there all the same: those of the parent.
        return text
    further = (labels.get(f"{INPUTS_LABEL}.{number}", "") for number in range(1, int(match["count"])))
    return match["first"] + "".join(further)


def label_instruction(labels: Mapping[str, str]) -> str:
    """Return the LABEL instruction that sets labels, for a Dockerfile whose escape character is a backslash.

    An argument of a program has at most 128 KiB, too few for the inputs of 1,300 files. A Dockerfile has no
    limit.
    """
    pairs = (f'"{_quoted(name)}"="{_quoted(value)}"' for name, value in labels.items())
    return "LABEL " + " \\\n      ".join(pairs) + "\n" if labels else ""


def _quoted(text: str) -> str:
    return re.sub(r'[\\"$]', lambda match: f"\\{match[0]}", text)
