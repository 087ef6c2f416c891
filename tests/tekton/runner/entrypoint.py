"""The first process of a step's container, as Tekton's entrypointer is: starts the step, tells how it ended.

It runs with the image's own python3, so it keeps to the standard library. The first argument is the file that
it writes: a number, negative for the signal that ended the step, or why there is no such program.
"""

import os
import subprocess
import sys
from pathlib import Path

# What Go's os.Exit(-1) comes to: a step that a signal ended has no other exit code in Tekton.
_BY_A_SIGNAL = 255


def main() -> int:
    """Run the command of the arguments, and write how it ended."""
    file, *command = sys.argv[1:]
    try:
        # A group of its own, as in Tekton; and not the first process, which no signal of its own ends.
        status = subprocess.run(command, check=False, preexec_fn=os.setpgrp).returncode
    except OSError as error:
        Path(file).write_text(f"no program: {error}", encoding="utf-8")
        sys.stderr.write(f"{error}\n")
        return 127
    Path(file).write_text(str(status), encoding="utf-8")
    return status if status >= 0 else _BY_A_SIGNAL


if __name__ == "__main__":
    sys.exit(main())
