"""The labels of an image that say what it was built from."""

IDENTITY_LABEL = "io.universal-image-factory.identity"
"""The identity of the image: 64 hex digits."""
INPUTS_LABEL = "io.universal-image-factory.inputs"
"""What the identity is the digest of: canonical JSON (`factory.image.identity.Manifest.text`)."""
IMAGE_LABEL = "io.universal-image-factory.image"
"""The name of the image in its repository."""


def image_labels(*, name: str, identity: str, inputs: str) -> dict[str, str]:
    """The labels that a built image gets: its name, its identity, and the text of its manifest."""
    return {IMAGE_LABEL: name, IDENTITY_LABEL: identity, INPUTS_LABEL: inputs}
