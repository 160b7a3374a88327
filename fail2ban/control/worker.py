# SPDX-License-Identifier: GPL-2.0-or-later
"""Execute the commands of the clients of one socket, one after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from fail2ban.control.connection import Connection
from fail2ban.control.host import Refused
from fail2ban.control.watching import Watch
from fail2ban.control.wire import Language, Lines, Request
from fail2ban.errors import Fail2BanError

log = logging.getLogger(__name__)

#: What a command may raise to be refused; anything else is a defect of ours.
_REFUSALS = (Fail2BanError, ValueError)

#: Called with the words of a command, and with the schema that its answer is to have;
#: None: the shape that Fail2Ban's own client knows.
Execute = Callable[[list[object], int | None], object]
#: Takes the answer for a client, or which events to send from now on; any thread.
Reply = Callable[[Connection, bytes | Watch], object]


class Worker:
    """A thread with a queue.

    Args:
        ending: once it is set, commands are answered by saying so.
        broken: called with what ends the thread before its time.
    """

    def __init__(
        self,
        execute: Execute,
        reply: Reply,
        ending: threading.Event,
        broken: Callable[[BaseException], object],
    ) -> None:
        self._execute, self._reply = execute, reply
        self._ending, self._broken = ending, broken
        self._commands: queue.SimpleQueue[tuple[Connection, Language, bytes] | None]
        self._commands = queue.SimpleQueue()

    def start(self) -> None:
        """Begin to execute."""
        threading.Thread(target=self._work, name="commands", daemon=True).start()

    def put(self, client: Connection, language: Language, body: bytes) -> None:
        """Have a command executed; any thread."""
        self._commands.put((client, language, body))

    def end(self) -> None:
        """End once all that was put has been answered; any thread, returns at once."""
        self._commands.put(None)

    def _work(self) -> None:
        try:
            while (command := self._commands.get()) is not None:
                client, language, body = command
                self._reply(client, self._result(language, body))
        except BaseException as error:
            # Clients would wait for ever, and nobody would know.
            self._broken(error)

    def _result(self, language: Language, body: bytes) -> bytes | Watch:
        """Execute a command; return the answer."""
        if self._ending.is_set():
            return language.stopping()
        try:
            request = language.request(body)
            return self._answer(language, request)
        except Exception as error:
            # Not even a defect may cost the other clients their server.
            if not isinstance(error, _REFUSALS):
                log.exception("control socket: a command failed")
            return language.error(error)

    def _answer(self, language: Language, request: Request) -> bytes | Watch:
        result = self._execute(request.words, request.schema)
        if not isinstance(result, Watch):
            return language.answer(result)
        if not isinstance(language, Lines):
            raise Refused("events are only shown to clients that speak JSON")
        return result
