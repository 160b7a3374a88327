# SPDX-License-Identifier: GPL-2.0-or-later
"""Start the daemon, for every program that does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from fail2ban import launch, pidlock, sd
from fail2ban.config.loaded import Loaded
from fail2ban.plan import Plan
from fail2ban.process import serve
from fail2ban.records import Settings

DONE, FAILED, USAGE, BAD_CONFIG = 0, 1, 2, os.EX_CONFIG


def start(plan: Plan, read: Callable[[], Loaded]) -> int:
    """Find out what can go wrong while there is a terminal, then serve.

    Args:
        read: reads the configuration again, for a reload.

    Raises:
        LockError: another instance runs.
    """
    supervisor = sd.take(os.environ, os.getpid())
    if supervisor.notifier.wanted:
        plan, read = _in_foreground(plan, read)
    if plan.settings is None or plan.hopeless:
        return complain([str(problem) for problem in plan.problems], BAD_CONFIG)
    if os.geteuid() != 0 and not plan.settings.firewall.dryrun:
        return complain(["You must be root"], FAILED)
    pidlock.check_free(plan.settings.pidlock)
    if not plan.settings.background:
        return serve(plan, read, supervisor=supervisor)
    return launch.in_background(lambda ready, line: serve(plan, read, ready, [line], supervisor))


def _in_foreground(plan: Plan, read: Callable[[], Loaded]) -> tuple[Plan, Callable[[], Loaded]]:
    """Let nothing detach: the service manager watches the process that it has started."""

    def attached(settings: Settings | None) -> Settings | None:
        return replace(settings, background=False) if settings else None

    def read_again() -> Loaded:
        loaded = read()
        return replace(loaded, settings=attached(loaded.settings))

    return replace(plan, settings=attached(plan.settings)), read_again


def complain(sentences: Sequence[str], status: int) -> int:
    """Write sentences to standard error; return the exit status."""
    for sentence in sentences:
        print(f"fail2ban: {sentence}", file=sys.stderr)
    return status
