# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd, or who speaks like it, hands us, and what we tell it.

Everything comes in variables of the environment. They are taken out of it at once,
since they are not meant for the commands that we run.

Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from fail2ban.records import Settings
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Names of sockets: that for commands, and that for questions.
CONTROL, MONITOR = "fail2ban", "fail2ban-monitor"
# The number of the first descriptor that is handed over, and how many we look at.
_FIRST, _MOST = 3, 16
#: Seconds between two signs of life, at most.
LONGEST_INTERVAL = 30.0
_STATUS_LIMIT = 200


class Notifier:
    """Tells the service manager how we are. Never waits, never fails; any thread.

    Args:
        address: of a datagram socket: a path, or "@" and a name; empty: nobody wants
            to know.
    """

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @property
    def wanted(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Say that the start, or a reload, is over."""
        self._send("READY=1", f"MAINPID={os.getpid()}", *_status(status))

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it."""
        # The manager compares this with its own time of the request.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that we are about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what we do, for `systemctl status`."""
        self._send(*_status(text))

    def feed(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A socket of its own for each: none is open while we detach, or start commands.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.setblocking(False)
            line.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)


def _status(text: str) -> list[str]:
    return [f"STATUS={printable(text)[:_STATUS_LIMIT]}"] if text else []


@dataclass(frozen=True)
class Supervisor:
    """What the service manager has handed us.

    Attributes:
        notifier: tells it how we are.
        interval: seconds between two signs of life that it expects; 0: none.
        listeners: sockets that listen already, by name: CONTROL and MONITOR.
        problems: what was wrong with the rest.
    """

    notifier: Notifier = field(default_factory=Notifier)
    interval: float = 0.0
    listeners: Mapping[str, socket.socket] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that detaching must leave open."""
        return [listener.fileno() for listener in self.listeners.values()]

    def by_path(self, settings: Settings) -> dict[str, socket.socket]:
        """Return the sockets that listen by the path that the settings know them by.

        Says in the log what is wrong with what was handed over.
        """
        for problem in self.problems:
            log.warning("%s", problem)
        paths = {CONTROL: ("socket", settings.socket)}
        paths[MONITOR] = ("monitorsocket", settings.health.socket)
        found = {}
        for name, listener in self.listeners.items():
            option, path = paths[name]
            theirs = os.fsdecode(listener.getsockname())
            if not path:
                log.warning("nobody answers at %s: %s is 'none'; expected it", theirs, option)
                continue
            found[path] = listener
            if os.path.realpath(theirs) != os.path.realpath(path):
                text = f"clients look for us at {path} ({option}), but systemd listens at {theirs}"
                log.warning("%s; expected the same path", text)
        return found


def take(environ: MutableMapping[str, str], pid: int) -> Supervisor:
    """Take out of the environment what the service manager has put there.

    Before we detach or run a command. What is garbled is as if it was not there.

    Args:
        environ: loses the variables.
        pid: our process number.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    feeding = _number(environ.pop("WATCHDOG_USEC", ""))
    fed = environ.pop("WATCHDOG_PID", str(pid))
    addressee = environ.pop("LISTEN_PID", "")
    count = _number(environ.pop("LISTEN_FDS", ""))
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    listeners, problems = _listeners(count, names) if addressee == str(pid) else ({}, ())
    return Supervisor(
        Notifier(address if address.startswith(("/", "@")) else ""),
        # Half of what is allowed, so that one may be late.
        min(feeding / 2e6, LONGEST_INTERVAL) if fed == str(pid) and address else 0.0,
        listeners,
        tuple(problems),
    )


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else 0


def _listeners(count: int, names: list[str]) -> tuple[dict[str, socket.socket], list[str]]:
    """Make sockets of the descriptors; all others are closed, and told."""
    found: dict[str, socket.socket] = {}
    problems = []
    named = {name.removesuffix(".socket") for name in names[:count]}
    for number in range(min(count, _MOST)):
        name = names[number].removesuffix(".socket") if number < len(names) else ""
        if name != MONITOR and CONTROL not in named:
            name = CONTROL  # as upstream has it: the first, if none has the name
        try:
            listener = _listener(_FIRST + number)
            if name not in (CONTROL, MONITOR) or name in found:
                listener.close()
                raise ValueError(f"{name!r} is of no use; expected {CONTROL} and {MONITOR}")
            found[name] = listener
        except (OSError, ValueError) as error:
            problems.append(f"systemd hands us descriptor {_FIRST + number}: {error}")
    return found, problems


def _listener(descriptor: int) -> socket.socket:
    """Make a socket of a descriptor.

    Raises:
        OSError, ValueError: it is closed, or nothing at which a client can come in.
    """
    os.set_inheritable(descriptor, False)
    listener = socket.socket(fileno=descriptor)
    stream = (listener.family, listener.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    if not stream or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise ValueError("it is no stream socket of Unix that listens; expected ListenStream=/PATH")
    return listener
