"""Run in an image: print its user, its Python, and whether it can write temporary files."""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile


def user_name() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def can_write(folder: str) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def main() -> None:
    answer = {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "python": sys.prefix,
        "temporary": can_write(tempfile.gettempdir()),
        "name": user_name(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
