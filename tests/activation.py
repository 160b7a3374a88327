# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand in for systemd: hear how a program is, and hand sockets over to it.

Source: sd_notify(3), sd_listen_fds(3).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence


class Manager:
    """Hears what a program tells its service manager.

    Attributes:
        address: for NOTIFY_SOCKET: a path, or "@" and a name.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def heard(self, patience: float = 60.0) -> dict[str, str]:
        """Return the variables of the next message.

        Raises:
            TimeoutError: there was none within `patience` seconds.
        """
        self._socket.settimeout(patience)
        lines = self._socket.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, name: str) -> dict[str, str]:
        """Return the next message that has a variable of this name."""
        while name not in (heard := self.heard()):
            pass
        return heard

    def close(self) -> None:
        self._socket.close()


#: Where descriptors are put out of the way: one may have the number that another gets.
AWAY = 200

# A number of one's choice can only be had in a process of one's own.
_LAUNCHER = """
import os, sys
given, names, *command = sys.argv[1:]
numbers = [int(one) for one in given.split(",")]
for place, number in enumerate(numbers):
    os.dup2(number, {away} + place)
for place, number in enumerate(numbers):
    os.dup2({away} + place, 3 + place)
    os.close({away} + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def handing_over(command: Sequence[str], descriptors: Sequence[int], names: str = "") -> list[str]:
    """Return the command that runs another one with descriptors from 3 on.

    The process gets them under the numbers that they have here.

    Args:
        names: for LISTEN_FDNAMES.
    """
    given = ",".join(map(str, descriptors))
    return [sys.executable, "-c", _LAUNCHER.format(away=AWAY), given, names, *command]
