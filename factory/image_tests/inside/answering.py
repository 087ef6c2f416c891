"""Run in a container beside its JupyterLab: wait until it answers.

Arguments: the address, and the seconds.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request


def status(address: str, seconds: float) -> int:
    """Return the status of a GET once there is an answer; 0 if it comes too late."""
    deadline = time.monotonic() + seconds
    found = 0
    while not found and time.monotonic() < deadline:
        found = ask(address)
        time.sleep(0 if found else 0.2)
    return found


def ask(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


print(json.dumps({"status": status(sys.argv[1], float(sys.argv[2]))}))
