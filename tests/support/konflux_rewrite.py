"""How Konflux's build tasks give the prefetch environment to a Dockerfile, with sed as they use it.

The facts are in Konflux's buildah tasks and their change logs: up to 0.9 the Dockerfile is rewritten, at
first one line at a time and before any flag, later as a whole and behind the flags of RUN; from 0.10.3 on
nothing is rewritten, and the files are there to be read.
"""

import subprocess
from collections.abc import Mapping

SOURCED = ". /cachi2/cachi2.env && "
# sed writes a new line and the indent for what follows the line that it puts in.
_PUT_IN = r". /cachi2/cachi2.env \&\& \\\n    "
_BLANK = r"([[:space:]]|\\\n)+"
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "line by line": ("-E", f"s/^[[:space:]]*run /RUN {_PUT_IN.replace('/', chr(92) + '/')}/I"),
    "behind the flags": (
        "-E",
        "-z",
        f"s,(^|\\n)([[:blank:]]*run({_BLANK}-[^[:space:]]+)*{_BLANK}),\\1\\2{_PUT_IN},Ig",
    ),
}
"""The arguments of sed, by where the line is put: the older way and the later one."""


def rewritten(text: str, how: str) -> str:
    """A Dockerfile as a build task makes it before it is built."""
    done = subprocess.run(
        ["sed", *PROGRAMS[how]], input=text, capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout
