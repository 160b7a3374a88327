# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of the control socket: what it still sends, and what it still gets."""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING

from fail2ban.control.watching import Watcher
from fail2ban.control.wire import Inbox

if TYPE_CHECKING:
    from fail2ban.control.door import Door

#: Seconds for a whole message to arrive, and for a whole answer to be taken.
PATIENCE = 30.0
#: Seconds between two commands of one client.
PAUSE = 300.0
#: The first line that a client gets who watches.
WATCHING = b'{"ok": true, "result": "watching"}\n'
_CHUNK = 1 << 16


class Connection:
    """Belongs to the server's thread; nothing here ever waits.

    Attributes:
        door: where it came in.
        socket: the client's; does not block.
        inbox: what has arrived and is not executed yet.
        deadline: when the client must have done its part; for ever while we do ours.
        busy: a command of this client is being executed.
        leaving: to be closed as soon as the answer is out.
        watcher: has what the client is to see of what happens; None: it does not watch.
        awaited: what the server looks out for, as `selectors` has it.
    """

    def __init__(self, client: socket.socket, now: float, door: Door) -> None:
        client.setblocking(False)
        self.door = door
        self.socket = client
        self.inbox = Inbox()
        self.deadline = now + PATIENCE
        self.busy = False
        self.leaving = False
        self.watcher: Watcher | None = None
        self.awaited = 0
        self._outbox = memoryview(b"")

    @property
    def is_answering(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outbox or self.watcher)

    def receive(self, now: float) -> bool:
        """Take what has arrived; return False if the client is gone."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self.watcher is not None:
            # It only listens now; what it says means nothing, but its end does.
            return bool(data)
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

    def show(self, watcher: Watcher, now: float) -> bool:
        """Send events from now on, after a first answer; return False if the client is gone.

        It has all the time there is: who reads slowly loses events, not his place.
        """
        self.watcher = watcher
        return self.answer(WATCHING, now)

    def send(self, now: float) -> bool:
        """Send what the client takes now; return False if it is gone."""
        if self.watcher is not None:
            self.deadline = math.inf
            if not self._outbox:
                self._outbox = memoryview(self.watcher.take())
        try:
            sent = self.socket.send(self._outbox)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._outbox = self._outbox[sent:]
        if not self._outbox and self.watcher is None:
            self.deadline = now + (PATIENCE if self.inbox else PAUSE)
        return True
