# SPDX-License-Identifier: GPL-2.0-or-later
"""Serve the control sockets.

One thread talks to all clients and never waits for any of them; for each socket
another executes the commands of its clients, one after the other, since a reload or
a thousand bans take their time. A client has one command executed at a time, and
what it sends meanwhile is left where it is, so that nobody fills our memory.

Source: jail-conf.md sections 12.6 and 13.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence

from fail2ban.control.connection import Connection
from fail2ban.control.door import RESPITE, Door
from fail2ban.control.host import Refused
from fail2ban.control.plain import MessageError
from fail2ban.control.watching import Watch, Watcher
from fail2ban.control.wire import CLOSE, Lines
from fail2ban.control.worker import Worker
from fail2ban.events import Events

log = logging.getLogger(__name__)

#: Seconds at the end for answers that are on their way.
FAREWELL = 2.0


class ControlServer:
    """Takes commands from clients and gives them the results.

    To be made after detaching, for it holds descriptors from the beginning.

    Args:
        doors: where clients come in.
        events: what those are shown who watch.
        clock: seconds, only ever growing.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        events: Events | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doors, self._clock = doors, clock
        self._events = Events() if events is None else events
        self._answers: queue.SimpleQueue[tuple[Connection, bytes | Watch]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._broken: BaseException | None = None  # what has ended a worker
        for door in doors:
            door.worker = Worker(door.execute, self._put, self._ending, self._break)
        self._lock = threading.Lock()  # guards the pair against a late `wake`
        self._wakeups, self._wake = socket.socketpair()
        self._wakeups.setblocking(False)
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeups, selectors.EVENT_READ, self._woken)

    def open(self) -> None:
        """Make the sockets; clients wait until `run` is called.

        Raises:
            OSError: not one can be made. If only some can, the others are logged.
        """
        failed: list[OSError] = []
        for door in self._doors:
            try:
                door.open(self._clock())
            except OSError as error:
                failed.append(error)
        if failed and len(failed) == len(self._doors):
            raise failed[0]
        for one in failed:
            reason = one.strerror or one
            log.error("no client can talk to us at %s: %s", one.filename, reason)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set and `wake` is called; the body of a thread.

        Answers that are on their way then get some time; clients whose command
        has not begun are told that the daemon stops.
        """
        for door in self._doors:
            door.worker.start()
        try:
            while not stop.is_set():
                self._step(math.inf)
            self._say_farewell()
        finally:
            self._ending.set()
            for door in self._doors:
                door.worker.end()
            for client in self._clients():
                self._drop(client)

    def wake(self) -> None:
        """Have `run` look at its stop event. May be called on any thread, also late."""
        with self._lock, contextlib.suppress(OSError):
            # A full pair wakes as well as one byte more.
            self._wake.send(b"!")

    def close(self) -> None:
        """Remove the sockets and give everything back; `run` has ended, or never began."""
        for door in self._doors:
            door.close()
        with self._lock:
            self._wake.close()
        self._wakeups.close()
        self._selector.close()

    # What the workers do.

    def _put(self, client: Connection, answer: bytes | Watch) -> None:
        self._answers.put((client, answer))
        self.wake()

    def _break(self, error: BaseException) -> None:
        self._broken = error
        self.wake()

    # What the serving thread does.

    def _clients(self) -> list[Connection]:
        return [client for door in self._doors for client in door.clients]

    def _step(self, until: float) -> None:
        """Wait for something to do, until then at the latest, and do it."""
        self._listen()
        ready = [key for key, _ in self._selector.select(self._patience(until))]
        # New clients last: they push out who is silent, which nobody is who is ready here.
        listeners = [door.listener for door in self._doors]
        for key in sorted(ready, key=lambda key: key.fileobj in listeners):
            key.data()
        while not self._answers.empty():
            self._reply(*self._answers.get())
        if self._broken is not None:
            raise self._broken
        now = self._clock()
        for client in self._clients():
            if client.deadline <= now:
                log.debug("control socket: a client is too slow or silent, closed")
                self._drop(client)
            elif client.watcher:
                self._advance(client)

    def _patience(self, until: float) -> float | None:
        deadlines = [client.deadline for client in self._clients()]
        first = min([until, *(door.opens for door in self._doors), *deadlines])
        return None if first == math.inf else max(0.0, first - self._clock())

    def _listen(self) -> None:
        for door in self._doors:
            if door.listener is not None and self._clock() >= door.opens:
                door.opens = math.inf
                accept = functools.partial(self._accept, door)
                self._selector.register(door.listener, selectors.EVENT_READ, accept)

    def _say_farewell(self) -> None:
        self._ending.set()
        for door in self._doors:
            door.opens = math.inf
        end = self._clock() + FAREWELL
        while any(map(_is_owed, self._clients())) and self._clock() < end:
            self._step(end)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeups.recv(4096)

    def _accept(self, door: Door) -> None:
        # One at a time: who has come in is heard before the next may push him out.
        try:
            if client := door.accept(self._clock()):
                self._welcome(client, door)
        except OSError as error:
            assert door.listener is not None
            self._selector.unregister(door.listener)
            door.opens = self._clock() + RESPITE
            log.warning("control socket: no room for a client: %s", error.strerror)

    def _welcome(self, client: Connection, door: Door) -> None:
        if self._make_room(door):
            door.clients[client] = None
            self._look_out(client, selectors.EVENT_READ)
        else:
            client.socket.close()

    def _make_room(self, door: Door) -> bool:
        """Let the most silent client go if there are too many; return whether there is room."""
        if not door.is_full:
            return True
        if (silent := door.silent()) is None:
            return False
        log.debug("control socket: too many clients, the most silent one is closed")
        self._drop(silent)
        return True

    def _receive(self, client: Connection) -> None:
        self._go_on(client, client.receive(self._clock()))

    def _send(self, client: Connection) -> None:
        self._go_on(client, client.send(self._clock()))

    def _reply(self, client: Connection, answer: bytes | Watch) -> None:
        now = self._clock()
        if isinstance(answer, Watch):
            self._go_on(client, self._show(client, answer, now))
        else:
            self._go_on(client, client.answer(answer, now))

    def _show(self, client: Connection, watch: Watch, now: float) -> bool:
        if not client.door.may_watch():
            return client.answer(Lines().error(Refused("too many watch already")), now)
        watcher = Watcher(watch, self.wake)
        self._events.listen(watcher)
        return client.show(watcher, now)

    def _go_on(self, client: Connection, is_there: bool) -> None:
        if is_there:
            clients = client.door.clients
            clients[client] = clients.pop(client)
            self._advance(client)
        else:
            self._drop(client)

    def _advance(self, client: Connection) -> None:
        """Do the next thing for a client, as far as it can be done now."""
        if client.is_answering:
            self._look_out(client, selectors.EVENT_WRITE)
        elif client.leaving:
            self._drop(client)
        elif client.watcher is not None:
            self._look_out(client, selectors.EVENT_READ)
        else:
            self._take(client)

    def _take(self, client: Connection) -> None:
        try:
            message = client.inbox.take()
        except MessageError as error:
            client.leaving = True
            self._reply(client, client.inbox.language.error(error))
            return
        if message is None:
            self._look_out(client, selectors.EVENT_READ)
        elif message[1] == CLOSE:
            self._drop(client)
        else:
            self._look_out(client, 0)
            client.begin()
            client.door.worker.put(client, *message)

    def _look_out(self, client: Connection, events: int) -> None:
        """Look out for what a client does; not at all while its command is executed."""
        if events == client.awaited:
            return
        if client.awaited:
            self._selector.unregister(client.socket)
        if events:
            step = self._send if events & selectors.EVENT_WRITE else self._receive
            self._selector.register(client.socket, events, functools.partial(step, client))
        client.awaited = events

    def _drop(self, client: Connection) -> None:
        self._look_out(client, 0)
        if client.watcher is not None:
            self._events.ignore(client.watcher)
        client.door.clients.pop(client, None)
        client.socket.close()


def _is_owed(client: Connection) -> bool:
    """Whether an answer is on its way; events that somebody does not read are not waited for."""
    return client.busy or (client.is_answering and client.watcher is None)
