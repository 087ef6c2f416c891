"""Files of an index that uv could not read, told from requirements that have no solution."""

import re

from factory.errors import IndexContentError

_FOREIGN = re.compile(
    r"Package metadata (?:name|version) .* does not match|does not start with the normalized package name"
)
_CUT = re.compile(
    r"Failed to (?:unzip wheel|read from zip)|invalid package format|The structure of `.*was invalid"
)


def damage(explanation: str) -> IndexContentError | None:
    """The error that uv's explanation of a failure amounts to; None where it is about requirements."""
    if _FOREIGN.search(explanation):
        return IndexContentError(
            f"a wheel holds the metadata of another package than its name says:\n{explanation}",
            solution="Do not use that file until the owners of the index have said what it is.",
        )
    if _CUT.search(explanation):
        return IndexContentError(
            f"a wheel of the index is not a valid wheel:\n{explanation}",
            solution="Ask the owners of the index to push the file again; it may have been cut short.",
        )
    return None
