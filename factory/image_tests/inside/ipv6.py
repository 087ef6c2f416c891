"""Run in a container as root of its own network: remove every IPv4 address, then run a command.

Arguments: UID and GID to run it as, and the command. ``localhost`` is then ``::1``, which is left.
Needs CAP_NET_ADMIN, which the command does not get. Ends with status 77 if the machine cannot do it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

CANNOT = 77
SIOCSIFADDR = 0x8916


def remove_ipv4() -> str | None:
    """Remove the addresses of every interface (netdevice(7)); return why that failed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            none = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, b"\0" * 4)
            try:
                fcntl.ioctl(asked, SIOCSIFADDR, none)
            except OSError as error:
                return f"the address of {name} cannot be removed: {error.strerror}"
    return None


def can_bind(family: int, address: str) -> bool:
    try:
        with socket.socket(family) as tried:
            tried.bind((address, 0))
    except OSError:
        return False
    return True


def name_it(hosts: str) -> None:
    with open(hosts, "w", encoding="ascii") as file:
        file.write(f"::1 localhost {socket.gethostname()}\n")


def main(uid: int, gid: int, command: list[str]) -> None:
    problem = remove_ipv4()
    if not problem and not can_bind(socket.AF_INET6, "::1"):
        problem = "this machine has no ::1 for a container"
    if not problem and can_bind(socket.AF_INET, "127.0.0.1"):
        problem = "127.0.0.1 is still there"
    if problem:
        print(problem)
        raise SystemExit(CANNOT)
    name_it("/etc/hosts")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    # The command cannot get capabilities back (prctl(2), PR_SET_NO_NEW_PRIVS).
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
