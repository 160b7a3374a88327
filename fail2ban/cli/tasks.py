# SPDX-License-Identifier: GPL-2.0-or-later
"""Check or show the configuration: the flags `-t`, `-d` and `--dp`.

Source: jail-conf.md section 12.1.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from fail2ban import launch
from fail2ban.cli import dump
from fail2ban.cli.flags import DONE, FAILED, Done, Flags, Program, fail, parse
from fail2ban.config.loaded import Effective
from fail2ban.errors import Fail2BanError


def run_program(
    program: Program, arguments: Sequence[str] | None, follow: Callable[[Flags], int]
) -> int:
    """Run a program of the tree; return its exit status.

    Args:
        arguments: None: those of the process.
        follow: does what the command line says besides these tasks.
    """
    launch.open_standard_streams()
    try:
        flags = parse(program, sys.argv[1:] if arguments is None else arguments)
        status = run(flags)
        return follow(flags) if status is None else status
    except Done as done:
        return int(done.args[0])
    except Fail2BanError as error:
        return fail(program, str(error))
    except KeyboardInterrupt:
        return FAILED


def run(flags: Flags) -> int | None:
    """Do what a flag asks for; return the exit status, None to go on with the command."""
    return TASKS[flags.task](flags) if flags.task else None


def _test(flags: Flags) -> int | None:
    from fail2ban.plan import make_plan  # all that detects and bans: not for each question

    plan = make_plan(flags.read())
    for problem in plan.problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)
    if plan.errors:
        print("ERROR: test configuration failed")
        return FAILED
    if flags.words or flags.dialogue:
        return None
    print("OK: configuration test is successful")
    return DONE


def _show(lay_out: Callable[[Iterable[Effective]], Iterable[str]], flags: Flags) -> int:
    loaded = flags.read()
    for problem in loaded.problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)
    try:
        for line in lay_out(loaded.effective):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as in `-d | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE if loaded.settings and not loaded.broken else FAILED


#: Name in `Flags.task` -> what it does.
TASKS: dict[str, Callable[[Flags], int | None]] = {
    "list": functools.partial(_show, dump.one_a_line),
    "sections": functools.partial(_show, dump.in_sections),
    "test": _test,
}
