# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban`: flags, configuration check, start and end.

Source: fail2ban-conf-0.6.md sections 2 and 14.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fail2ban import __version__, launch, pidlock
from fail2ban.config.classic import Loaded, Overrides, load
from fail2ban.daemon import serve
from fail2ban.errors import Fail2BanError
from fail2ban.plan import Plan, make_plan, missing_logs
from fail2ban.records import Settings

DEFAULT_CONFIG = "/etc/fail2ban.conf"
DONE, FAILED, USAGE, BAD_CONFIG = 0, 1, 2, os.EX_CONFIG


# Flags that replace an option of [DEFAULT]: attribute, option, flag.
_OVERRIDES = (
    ("bantime", "bantime", "-t"),
    ("findtime", "findtime", "-f"),
    ("maxfailures", "maxfailures", "-r"),
    ("ignoreip", "ignoreip", "-i"),
    ("pidlock", "pidlock", "-p"),
    ("background", "background", "-b"),
    ("debug", "debug", "-d"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    launch.open_standard_streams()
    flags = _parser().parse_args(arguments)
    read = functools.partial(load, Path(flags.config), _overrides(flags))
    try:
        loaded = read()
        if misused := [str(p) for p in loaded.problems if p.origin.file == "command line"]:
            return _complain(misused, USAGE)
        if flags.check:
            return _check(make_plan(loaded))
        if flags.kill:
            return _kill(flags.pidlock, loaded)
        return _start(make_plan(loaded), read)
    except Fail2BanError as error:
        return _complain([str(error)], FAILED)
    except KeyboardInterrupt:  # before there was anything to end
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fail2ban",
        allow_abbrev=False,
        add_help=False,
        description="Read logs, recognise attackers, lock them out.",
        epilog="Exit status: 0 done, 1 failed, 2 usage, 78 configuration."
        " What is given here replaces [DEFAULT]; a section's own value wins.",
    )
    flag = parser.add_argument
    flag("-b", dest="background", action="store_const", const="true", help="run in background")
    flag("-c", dest="config", metavar="FILE", default=DEFAULT_CONFIG, type=os.path.abspath,
         help="configuration file (default %(default)s)")  # fmt: skip
    flag("-d", dest="debug", action="store_const", const="true",
         help="show commands instead of executing them; root is not required")  # fmt: skip
    flag("-e", dest="enable", metavar="NAMES", default="",
         help="enable these sections; separated by colon, comma or blank")  # fmt: skip
    flag("-f", dest="findtime", metavar="SEC", help="window in which failures count")
    flag("-h", "--help", action="help", help="show this text and exit")
    flag("-i", dest="ignoreip", metavar='"IP IP"', help="addresses never to be banned")
    flag("-k", dest="kill", action="store_true",
         help="end the running instance and wait until it is gone")  # fmt: skip
    flag("-p", dest="pidlock", metavar="FILE", help="PID file", type=os.path.abspath)
    flag("-r", dest="maxfailures", metavar="N", help="failures that lead to a ban")
    flag("-t", dest="bantime", metavar="SEC", help="length of a ban; negative: for ever")
    flag("-v", dest="verbose", action="count", default=0,
         help="say more; repeat it to say everything")  # fmt: skip
    flag("-V", "--version", action="version", version=f"%(prog)s {__version__}",
         help="show the version and exit")  # fmt: skip
    flag("--check", action="store_true",
         help="check the configuration, report all errors, and exit")  # fmt: skip
    # Words that are no flags were always ignored.
    flag("words", nargs="*", help=argparse.SUPPRESS)
    return parser


def _overrides(flags: argparse.Namespace) -> Overrides:
    given = {
        option: (str(getattr(flags, name)), flag)
        for name, option, flag in _OVERRIDES
        if getattr(flags, name) is not None
    }
    enable = tuple(name for name in re.split(r"[\s:,]+", flags.enable) if name)
    return Overrides(given, enable, flags.verbose)


def _check(plan: Plan) -> int:
    """Print everything that is to be said about a configuration."""
    for problem in (*plan.problems, *missing_logs(plan)):
        print(f"{problem.severity}: {problem}", file=sys.stderr)
    if plan.errors:
        return BAD_CONFIG
    names = ", ".join(jail.name for jail in plan.jails) or "none"
    print(f"The configuration is good. Sections that will run: {names}")
    return DONE


def _kill(path: str | None, loaded: Loaded) -> int:
    """End the instance whose PID file is given, or named by the configuration."""
    if path is None and loaded.settings is None:
        unknown = "so the PID file is not known; give it with -p"
        return _complain([*map(str, loaded.problems), unknown], BAD_CONFIG)
    pid = pidlock.kill(os.path.abspath(path or (loaded.settings or Settings()).pidlock))
    print(f"Killed Fail2Ban with PID {pid}")
    return DONE


def _start(plan: Plan, read: Callable[[], Loaded]) -> int:
    """Find out what can go wrong while there is a terminal, then serve."""
    if plan.settings is None or plan.hopeless:
        return _complain([str(problem) for problem in plan.problems], BAD_CONFIG)
    if os.geteuid() != 0 and not plan.settings.firewall.dryrun:
        return _complain(["You must be root"], FAILED)
    pidlock.check_free(plan.settings.pidlock)
    if not plan.settings.background:
        return serve(plan, read)
    return launch.in_background(
        lambda ready, line: serve(plan, read, ready=ready, preserve=[line])
    )


def _complain(sentences: Sequence[str], status: int) -> int:
    for sentence in sentences:
        print(f"fail2ban: {sentence}", file=sys.stderr)
    return status
