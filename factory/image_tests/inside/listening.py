"""Run beside a starting workbench: wait until JupyterLab listens on a port."""

from __future__ import annotations

import json
import os
import sys
import time

LISTENING = "0A"  # as the kernel shows a socket's state in /proc/net/tcp
PAUSE_SECONDS = 0.1


def ports() -> list[int]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING:
                    found.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(found)


def command(number: str) -> str:
    """Return the words of a process; none if it has ended, or is no process."""
    try:
        with open(f"/proc/{number}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def commands() -> list[str]:
    return [words for number in os.listdir("/proc") if (words := command(number))]


def main() -> None:
    start = time.monotonic()
    seconds = float(sys.argv[1])
    while True:
        open_ports = ports()
        jupyter = any("jupyter" in words for words in commands())
        if (open_ports and jupyter) or time.monotonic() - start > seconds:
            break
        time.sleep(PAUSE_SECONDS)
    answer = {
        "ports": open_ports,
        "jupyter": jupyter,
        "commands": commands(),
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
