# SPDX-License-Identifier: GPL-2.0-or-later
"""The process around the daemon: its PID file, its terminal, its log."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable

from daemon import DaemonContext

from fail2ban.daemon import Daemon, Load
from fail2ban.messages import Messages
from fail2ban.pidlock import PidLock
from fail2ban.plan import Plan
from fail2ban.sd import Supervisor


def serve(
    plan: Plan,
    load: Load,
    ready: Callable[[], None] = lambda: None,
    preserve: Iterable[int] = (),
    supervisor: Supervisor | None = None,
) -> int:
    """Take the PID lock and run until told to end; return the exit status.

    Detaches from the terminal if the settings say so.

    Args:
        plan: not hopeless.
        load: for SIGHUP.
        ready: called once, when the daemon serves.
        preserve: file descriptors that detaching leaves open.
        supervisor: the service manager that watches us; None: nobody does.

    Raises:
        LockError: another instance runs.
    """
    settings, supervisor = plan.settings, supervisor or Supervisor()
    assert settings is not None
    # A reload that is asked for before there is anything to reload means nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    lock = PidLock(settings.pidlock)
    background = settings.background
    context = DaemonContext(
        detach_process=background,
        working_directory="/" if background else _folder(),
        umask=0o077,
        files_preserve=[*preserve, *supervisor.descriptors],
        pidfile=lock,
        signal_map={},
        stdin=None if background else sys.stdin,
        stdout=None if background else sys.stdout,
        stderr=None if background else sys.stderr,
    )
    with context:
        messages = Messages(settings.log, console=not background)
        try:
            return Daemon(plan, load, messages, ready, supervisor).run(lock.unclean)
        finally:
            messages.close()


def _folder() -> str:
    """Return where we are; somebody may have deleted it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"
