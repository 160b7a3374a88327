# SPDX-License-Identifier: GPL-2.0-or-later
"""One socket at which clients come in, and those who are in."""

from __future__ import annotations

import logging
import math
import socket

from fail2ban.control.connection import Connection
from fail2ban.control.socketfile import SocketFile
from fail2ban.control.worker import Execute, Worker

log = logging.getLogger(__name__)

#: Clients served at a time; who comes then takes the place of the most silent one.
MAX_CLIENTS = 100
#: Those among them who may watch.
MAX_WATCHERS = 20
#: Seconds without new clients when the system has no room for one.
RESPITE = 1.0


class Door:
    """Belongs to the server's thread.

    No crowd at one door keeps anybody out at another.

    Args:
        file: makes the socket.
        execute: carries out the commands of those who come in here, on a thread of
            its own, one call at a time. It gets the words of a command, at least one, all
            plain data, and returns plain data, what has a text, or a `Watch`; or it
            raises, and the client is told.

    Attributes:
        clients: the most silent one first.
        worker: executes; the server's.
        listener: None while it is closed.
        opens: when new clients are let in, on the server's clock.
    """

    worker: Worker

    def __init__(self, file: SocketFile, execute: Execute) -> None:
        self._file = file
        self.execute = execute
        self.clients: dict[Connection, None] = {}
        self.listener: socket.socket | None = None
        self.opens = math.inf

    @property
    def path(self) -> str:
        """The place of the socket, for messages."""
        return self._file.path

    def open(self, now: float) -> None:
        """Make the socket.

        Raises:
            OSError: see `SocketFile.open`.
        """
        self.listener = self._file.open()
        self.opens = now

    def close(self) -> None:
        """Remove the socket."""
        if self.listener is not None:
            self._file.remove()
            self.listener.close()
            self.listener = None

    def accept(self, now: float) -> Connection | None:
        """Let a client in; None if he is gone, or there is no room.

        Raises:
            OSError: the system has none; it would say so again at once, and for ever.
        """
        assert self.listener is not None
        try:
            accepted, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        return Connection(accepted, now, self)

    def silent(self) -> Connection | None:
        """Return who has to leave if somebody else is to come in: the most silent one.

        One whose command is executed stays, or else its like could queue up without limit.
        """
        return next((c for c in self.clients if not c.busy and c.watcher is None), None)

    @property
    def is_full(self) -> bool:
        return len(self.clients) >= MAX_CLIENTS

    def may_watch(self) -> bool:
        """Tell whether one more may watch."""
        return sum(one.watcher is not None for one in self.clients) < MAX_WATCHERS
