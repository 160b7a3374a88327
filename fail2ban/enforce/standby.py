# SPDX-License-Identifier: GPL-2.0-or-later
"""Have the next process for a batch stand by: it is started before there is work for it.

To start `nft` takes longer than what it does. So where a program has carried out a batch,
another one is started that waits for its standard input: what comes next costs no more
than the work itself. It has no part in anything until it is fed; not fed, it reads an
empty text and ends, as it does when the daemon is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fail2ban.enforce import bulk, direct, shell

log = logging.getLogger(__name__)

#: Seconds for which a process stands by: what it read when it began, /etc/iproute2 for
#: one, must not be much older than what it is told to do.
LONGEST = 600.0

#: Which file a program is, and how it was written: device, number, time, size.
_State = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Program:
    """What would be executed for a command.

    Attributes:
        variables: its environment.
        state: tells whether there is another one at its place.
    """

    file: str
    words: tuple[str, ...]
    variables: Mapping[str, str]
    state: _State

    @classmethod
    def of(cls, command: str) -> _Program | None:
        """Find it as `shell.run` does; None: it takes a shell, or there is none."""
        variables, words = shell.environment({}), direct.plain_words(command)
        if not words or (file := direct.program(words[0], variables)) is None:
            return None
        try:
            found = os.stat(file)
            variables = direct.environment(variables)
        except OSError:
            return None
        state = found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
        return cls(file, tuple(words), variables, state)


@dataclass(frozen=True)
class _Waiting:
    """A process that stands by.

    Attributes:
        since: in ticks.
    """

    program: _Program
    process: subprocess.Popen[bytes]
    since: float

    def dismiss(self) -> None:
        """End it: it has done nothing."""
        with self.process:
            self.process.kill()


class Standby:
    """Runs commands, those of batches by processes that stand by. Any thread.

    Args:
        ticks: seconds that only go forward.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()  # held for memory work only
        #: By program, so that there are few.
        self._waiting: dict[str, _Waiting] = {}
        self._closed = False

    def run(
        self,
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        """Run a command as `shell.run` does; a `Shell`.

        Raises:
            CommandError: see there.
        """
        batch = None if arguments else _batch(command, feed)
        data = _encoded(feed) if batch == command else None
        waiting = None if data is None else self._take(command)
        if waiting is None:
            shell.run(command, variables, timeout, *arguments, feed=feed)
        else:
            log.debug("%s", command)
            shell.attend(command, waiting.process, timeout, data, alone=True)
        if batch is not None:
            self._prepare(batch)

    def has(self, command: str) -> bool:
        """Tell whether a process stands by for a command; it may have ended, or be too old."""
        with self._lock:
            waiting = self._waiting.get(_name(command))
        return waiting is not None and waiting.program.words == tuple(command.split())

    def close(self) -> None:
        """End those that stand by, and start no more."""
        with self._lock:
            self._closed = True
            gone, self._waiting = self._waiting, {}
        for waiting in gone.values():
            waiting.dismiss()

    def _take(self, command: str) -> _Waiting | None:
        """Return the process that stands by for a command, if it is as good as a new one."""
        with self._lock:
            waiting = self._waiting.pop(_name(command), None)
        if waiting is None:
            return None
        is_new = self._ticks() - waiting.since <= LONGEST
        if is_new and waiting.process.poll() is None and waiting.program == _Program.of(command):
            return waiting
        waiting.dismiss()
        return None

    def _prepare(self, command: str) -> None:
        """Have a process stand by for the next command of that kind."""
        if self._closed or (program := _Program.of(command)) is None:
            return
        # The next command starts a process of its own then, and tells what is wrong.
        with contextlib.suppress(OSError):
            process = shell.spawn(program.file, program.words, program.variables, fed=True)
            self._put(_name(command), _Waiting(program, process, self._ticks()))

    def _put(self, name: str, waiting: _Waiting) -> None:
        with self._lock:
            surplus = self._waiting.get(name)
            if self._closed:
                surplus = waiting
            else:
                self._waiting[name] = waiting
        if surplus is not None:
            surplus.dismiss()


def _batch(command: str, feed: str | None) -> str | None:
    """Return the command of a batch that a command is, or could be a line of; None: of none."""
    if feed is not None:
        return command if bulk.is_for_many(command) else None
    words = direct.plain_words(command)
    written = bulk.line(words) if words else None
    return None if written is None else written[0].command


def _encoded(feed: str | None) -> bytes | None:
    """Return what a process is fed; None: nothing, or what cannot be, as `shell.run` tells."""
    try:
        return None if feed is None else os.fsencode(feed)
    except ValueError:
        return None


def _name(command: str) -> str:
    return command.split(maxsplit=1)[0]
