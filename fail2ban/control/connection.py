# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of the control socket: what it still sends, and what it still gets."""

from __future__ import annotations

import math
import socket

from fail2ban.control.wire import Inbox

#: Seconds for a whole message to arrive, and for a whole answer to be taken.
PATIENCE = 30.0
#: Seconds between two commands of one client.
PAUSE = 300.0
_CHUNK = 1 << 16


class Connection:
    """Belongs to the server's thread; nothing here ever waits.

    Attributes:
        socket: the client's; does not block.
        inbox: what has arrived and is not executed yet.
        deadline: when the client must have done its part; for ever while we do ours.
        busy: a command of this client is being executed.
        leaving: to be closed as soon as the answer is out.
    """

    def __init__(self, client: socket.socket, now: float) -> None:
        client.setblocking(False)
        self.socket = client
        self.inbox = Inbox()
        self.deadline = now + PATIENCE
        self.busy = False
        self.leaving = False
        self._outbox = memoryview(b"")

    @property
    def is_answering(self) -> bool:
        """Whether a part of the answer has not been taken yet."""
        return bool(self._outbox)

    def receive(self, now: float) -> bool:
        """Take what has arrived; return False if the client is gone."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self.inbox:
            # The time is for the message, not for each of its bytes.
            self.deadline = now + PATIENCE
        self.inbox.feed(data)
        return bool(data)

    def begin(self) -> None:
        """Wait for a command's result, as long as it takes."""
        self.busy = True
        self.deadline = math.inf

    def answer(self, data: bytes, now: float) -> bool:
        """Begin to send an answer; return False if the client is gone."""
        self.busy = False
        self.deadline = now + PATIENCE
        self._outbox = memoryview(data)
        return self.send(now)

    def send(self, now: float) -> bool:
        """Send what the client takes now; return False if it is gone."""
        try:
            sent = self.socket.send(self._outbox)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._outbox = self._outbox[sent:]
        if not self._outbox:
            self.deadline = now + (PATIENCE if self.inbox else PAUSE)
        return True
