"""The results of a TaskRun, and the room that Kubernetes leaves for them.

A step hands the results on in its container's termination message: a list in JSON of all results that are
there when the step ends. It holds at most 4096 bytes, and all containers of a Pod share 12 KiB evenly
(Kubernetes, "Customizing the termination message"; Tekton, "Emitting Results").
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node
from tekton.runner.variables import Value, parsed

_MESSAGE_BYTES = 4096
_POD_BYTES = 12 * 1024
_RESULT, _INTERNAL = 1, 3
# As long as any time that Tekton notes there.
_A_TIME = "2026-08-31T23:59:59.999Z"
_GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


class TooLargeError(Exception):
    """The results do not fit into the termination message."""


def room(steps: Sequence[Node]) -> int:
    """Bytes of a step's termination message in a Pod of these steps and of Tekton's own init containers."""
    init = 1  # "prepare"
    init += any("script" in step for step in steps)  # "place-scripts"
    init += any("workingDir" in step for step in steps)  # "working-dir-initializer"
    return min(_MESSAGE_BYTES, _POD_BYTES // (len(steps) + init))


def check_room(folder: Path, declared: Iterable[str], *, limit: int) -> None:
    """See that the results in a folder fit.

    Raises:
        TooLargeError: they do not.
    """
    entries = [
        {"key": name, "value": _read(folder / name), "type": _RESULT}
        for name in declared
        if (folder / name).is_file()
    ]
    entries.append({"key": "StartedAt", "value": _A_TIME, "type": _INTERNAL})
    # Go's encoding/json: no spaces, UTF-8 as it is, and these three letters escaped.
    message = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    for letter, escape in _GO_ESCAPES.items():
        message = message.replace(letter, escape)
    if (size := len(message.encode())) > limit:
        raise TooLargeError(f"Termination message is above max allowed size {limit}: {size} bytes")


def written(folder: Path, declared: Iterable[Node]) -> Mapping[str, Value]:
    """The declared results that are there, each of its type.

    Raises:
        RefusedError: an array or an object is none.
    """

    def complain(name: str) -> Exception:
        return RefusedError(name)

    return {
        result["name"]: parsed(_read(path), result.get("type", "string"), complain)
        for result in declared
        if (path := folder / result["name"]).is_file()
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
