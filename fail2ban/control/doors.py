# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sockets there are, and what may be said at each."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import MappingProxyType

from fail2ban.control.asking import only_asking
from fail2ban.control.door import Door
from fail2ban.control.socketfile import SocketFile
from fail2ban.control.worker import Execute
from fail2ban.records import Settings

NONE: Mapping[str, socket.socket] = MappingProxyType({})


def doors(
    settings: Settings, execute: Execute, inherited: Mapping[str, socket.socket] = NONE
) -> list[Door]:
    """Return the doors that the settings ask for, closed; there may be none.

    Args:
        execute: carries out every command; questions are asked on other threads, too.
        inherited: sockets that listen already, by path.
    """
    found = []
    if path := settings.socket:
        found.append(Door(SocketFile(path, inherited=inherited.get(path)), execute))
    if path := settings.health.socket:
        file = SocketFile(path, settings.health.group, inherited.get(path))
        found.append(Door(file, only_asking(execute)))
    return found
