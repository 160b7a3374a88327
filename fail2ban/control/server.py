# SPDX-License-Identifier: GPL-2.0-or-later
"""Serve the control socket.

One thread talks to all clients and never waits for any of them; another
executes their commands, one after the other, since a reload or a thousand bans
take their time. A client has one command executed at a time, and what it sends
meanwhile is left where it is, so that nobody fills our memory.

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
from collections.abc import Callable

from fail2ban.control.connection import Connection
from fail2ban.control.plain import MessageError
from fail2ban.control.socketfile import SocketFile
from fail2ban.control.wire import CLOSE, Language
from fail2ban.errors import Fail2BanError

log = logging.getLogger(__name__)

#: Clients served at a time; who comes then takes the place of the most silent one.
MAX_CLIENTS = 100
#: Seconds at the end for answers that are on their way.
FAREWELL = 2.0
#: Seconds without new clients when the system has no room for one.
RESPITE = 1.0
#: What a command may raise to be refused; anything else is a defect of ours.
_REFUSALS = (Fail2BanError, ValueError)

Execute = Callable[[list[object]], object]


class ControlServer:
    """Takes commands from clients and gives them the results.

    To be made after detaching, for it holds descriptors from the beginning.

    Args:
        path: of the socket.
        execute: called on a thread of its own, one call at a time, with the words
            of a command, at least one, all plain data. It returns plain data or what
            has a text, or raises; the client is told.
        clock: seconds, only ever growing.
    """

    def __init__(
        self, path: str, execute: Execute, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = SocketFile(path)
        self._execute = execute
        self._clock = clock
        self._clients: dict[Connection, None] = {}  # the most silent one first
        self._commands: queue.SimpleQueue[tuple[Connection, Language, bytes] | None]
        self._commands = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Connection, bytes]] = queue.SimpleQueue()
        self._listener: socket.socket | None = None
        self._listens_from = math.inf
        self._ending = threading.Event()
        self._broken: BaseException | None = None  # what has ended the worker
        self._lock = threading.Lock()  # guards the pair against a late `wake`
        self._wakeups, self._wake = socket.socketpair()
        self._wakeups.setblocking(False)
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeups, selectors.EVENT_READ, self._woken)

    def open(self) -> None:
        """Make the socket; clients wait until `run` is called.

        Raises:
            OSError: another daemon answers there, or it cannot be made.
        """
        self._listener = self._file.open()
        self._listens_from = self._clock()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set and `wake` is called; the body of a thread.

        Answers that are on their way then get some time; clients whose command
        has not begun are told that the daemon stops.
        """
        worker = threading.Thread(target=self._work, name="commands", daemon=True)
        worker.start()
        try:
            while not stop.is_set():
                self._step(math.inf)
            self._say_farewell()
        finally:
            self._ending.set()
            self._commands.put(None)
            for client in list(self._clients):
                self._drop(client)

    def wake(self) -> None:
        """Have `run` look at its stop event. May be called on any thread, also late."""
        with self._lock, contextlib.suppress(OSError):
            # A full pair wakes as well as one byte more.
            self._wake.send(b"!")

    def close(self) -> None:
        """Remove the socket and give everything back; `run` has ended, or never began."""
        if self._listener is not None:
            self._file.remove()
            self._listener.close()
            self._listener = None
        with self._lock:
            self._wake.close()
        self._wakeups.close()
        self._selector.close()

    # What the serving thread does.

    def _step(self, until: float) -> None:
        """Wait for something to do, until then at the latest, and do it."""
        self._listen()
        ready = [key for key, _ in self._selector.select(self._patience(until))]
        # New clients last: they push out who is silent, which nobody is who is ready here.
        for key in sorted(ready, key=lambda key: key.fileobj is self._listener):
            key.data()
        while not self._answers.empty():
            client, answer = self._answers.get()
            self._reply(client, answer)
        if self._broken is not None:
            raise self._broken
        now = self._clock()
        for client in [client for client in self._clients if client.deadline <= now]:
            log.debug("control socket: a client is too slow or silent, closed")
            self._drop(client)

    def _patience(self, until: float) -> float | None:
        pause = self._listens_from
        first = min(until, pause, min((c.deadline for c in self._clients), default=math.inf))
        return None if first == math.inf else max(0.0, first - self._clock())

    def _listen(self) -> None:
        if self._listener is not None and self._clock() >= self._listens_from:
            self._listens_from = math.inf
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _say_farewell(self) -> None:
        self._ending.set()
        self._listens_from = math.inf
        end = self._clock() + FAREWELL
        while any(c.busy or c.is_answering for c in self._clients) and self._clock() < end:
            self._step(end)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeups.recv(4096)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # It would be reported again at once, and for ever.
            log.warning("control socket: no room for a client: %s", error.strerror)
            self._selector.unregister(self._listener)
            self._listens_from = self._clock() + RESPITE
            return
        if self._make_room():
            client = Connection(accepted, self._clock())
            self._clients[client] = None
            self._watch(client, selectors.EVENT_READ)
        else:
            accepted.close()

    def _make_room(self) -> bool:
        """Let the most silent client go if there are too many; return whether there is room.

        One whose command is executed stays, or else its like could queue up without limit.
        """
        if len(self._clients) < MAX_CLIENTS:
            return True
        silent = next((client for client in self._clients if not client.busy), None)
        if silent is None:
            return False
        log.debug("control socket: too many clients, the most silent one is closed")
        self._drop(silent)
        return True

    def _receive(self, client: Connection) -> None:
        self._go_on(client, client.receive(self._clock()))

    def _send(self, client: Connection) -> None:
        self._go_on(client, client.send(self._clock()))

    def _reply(self, client: Connection, answer: bytes) -> None:
        self._go_on(client, client.answer(answer, self._clock()))

    def _go_on(self, client: Connection, is_there: bool) -> None:
        if is_there:
            self._clients[client] = self._clients.pop(client)
            self._advance(client)
        else:
            self._drop(client)

    def _advance(self, client: Connection) -> None:
        """Do the next thing for a client, as far as it can be done now."""
        if client.is_answering:
            self._watch(client, selectors.EVENT_WRITE)
        elif client.leaving:
            self._drop(client)
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
            self._watch(client, selectors.EVENT_READ)
        elif message[1] == CLOSE:
            self._drop(client)
        else:
            self._watch(client, 0)
            client.begin()
            self._commands.put((client, *message))

    def _watch(self, client: Connection, events: int) -> None:
        """Look out for what a client does; not at all while its command is executed."""
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        if events:
            step = self._send if events & selectors.EVENT_WRITE else self._receive
            self._selector.register(client.socket, events, functools.partial(step, client))

    def _drop(self, client: Connection) -> None:
        self._watch(client, 0)
        self._clients.pop(client, None)
        client.socket.close()

    # What the worker does.

    def _work(self) -> None:
        try:
            while (command := self._commands.get()) is not None:
                client, language, body = command
                self._answers.put((client, self._result(language, body)))
                self.wake()
        except BaseException as error:
            # Clients would wait for ever, and nobody would know.
            self._broken = error
            self.wake()

    def _result(self, language: Language, body: bytes) -> bytes:
        """Execute a command; return the answer."""
        if self._ending.is_set():
            return language.stopping()
        try:
            return language.answer(self._execute(language.command(body)))
        except Exception as error:
            # Not even a defect may cost the other clients their server.
            if not isinstance(error, _REFUSALS) and type(error) is not Exception:
                log.exception("control socket: a command failed")
            return language.error(error)
