# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and end the daemon from outside, and wait until it is so.

Source: jail-conf.md sections 12.3 and 12.6.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fail2ban import pidlock
from fail2ban.cli.connection import (
    STOPPING,
    HungUp,
    NoServer,
    Refusal,
    Unanswered,
    alive,
    ask,
    server_pid,
)
from fail2ban.cli.flags import Flags
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings

_SERVER = "fail2ban-server"
READY = "Server ready"
#: The process that makes sockets before the daemon runs.
INIT = 1
# Seconds between two looks.
_PAUSE = 0.05


def start(flags: Flags, daemon: Settings) -> str:
    """Start the server with the same flags; return READY once it answers at its socket.

    In the foreground it takes the place of this process, and nothing is returned.

    Raises:
        Fail2BanError: one runs already, or it could not be started.
    """
    if alive(daemon.socket):
        raise Fail2BanError("Server already running")
    patience = flags.patience()
    command = [*server(), *flags.for_server(), "start"]
    if "-f" in command:
        sys.stdout.flush()
        os.execvp(command[0], command)
    # It tells itself, on the same terminal, what is wrong.
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise Fail2BanError("Could not start server")
    if not wait(lambda: alive(daemon.socket), patience):
        raise Fail2BanError(f"the server was started, but does not answer at {daemon.socket}")
    return READY


def stop(flags: Flags, daemon: Settings) -> None:
    """End the server; return when it is gone.

    Raises:
        Fail2BanError: there is none, it does not answer, or it is still there when
            patience ends.
    """
    patience, listener = flags.patience(), server_pid(daemon.socket)
    # Where init has made the socket it listens for ever, and a look there would start a
    # new daemon; then only the PID file tells.
    pid = (pidlock.read_pid(daemon.pidlock) or listener) if listener == INIT else listener
    try:
        ask(daemon.socket, ["stop"], patience)
    except HungUp:  # it ended before it could say so
        pass
    except Unanswered:
        text = f"the server (process {pid}) has not answered for {patience:g} seconds"
        advice = f"wait longer with --timeout, or end it with kill {pid}, at worst with kill -9"
        raise Unanswered(f"{text}: it is stuck or very busy; {advice}") from None
    except Refusal as refusal:
        if refusal.kind != STOPPING:
            raise
    if not wait(lambda: not _is_there(pid, daemon, listener == INIT), patience):
        raise Fail2BanError(f"the server is still ending after {patience:g} seconds")


def _is_there(pid: int, daemon: Settings, by_init: bool) -> bool:
    """Tell whether a process listens at the socket, or holds the PID file.

    Another one may: a supervisor has started it already, or the PID file belongs
    to a daemon that was not meant.

    Args:
        by_init: the socket is that of init, and not to be looked at.
    """
    if pidlock.read_pid(daemon.pidlock) == pid and pidlock.is_held(daemon.pidlock):
        return True
    try:
        return not by_init and server_pid(daemon.socket) == pid
    except NoServer:
        return False


def restart(flags: Flags, daemon: Settings) -> str:
    """End the server if there is one, then start it; see `start`."""
    try:
        server_pid(daemon.socket)
    except NoServer:
        return start(flags, daemon)
    stop(flags, daemon)  # also one that is too busy to answer soon
    return start(flags, daemon)


def server() -> list[str]:
    """Return how to call the server: the one next to us if there is, else that on PATH.

    Raises:
        Fail2BanError: there is neither.
    """
    beside = Path(sys.argv[0]).resolve().with_name(_SERVER)
    if beside.is_file():
        # The same installation, so the same Python.
        return [sys.executable, str(beside)]
    if found := shutil.which(_SERVER):
        return [found]
    raise Fail2BanError(f"there is no {_SERVER}, neither in {beside.parent} nor on PATH")


def wait(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; return whether it came to that in time."""
    end = time.monotonic() + seconds
    while not (so := done()) and time.monotonic() < end:
        time.sleep(_PAUSE)
    return so
