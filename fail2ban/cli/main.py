# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban`: flags, configuration check, start and end.

Its configuration is one file of the language of 0.6, or the folder of a tree.

Source: fail2ban-conf-0.6.md sections 2 and 14.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fail2ban import __version__, launch, pidlock
from fail2ban.cli.start import BAD_CONFIG, DONE, FAILED, USAGE, complain, start
from fail2ban.config import classic, tree
from fail2ban.config.loaded import Loaded
from fail2ban.errors import Fail2BanError
from fail2ban.plan import Plan, make_plan, missing_logs
from fail2ban.records import Settings

DEFAULT_CONFIG, DEFAULT_TREE = "/etc/fail2ban.conf", "/etc/fail2ban"


# Flags that replace an option of [DEFAULT]: attribute, option, its name in a tree, flag.
_OVERRIDES = (
    ("bantime", "bantime", "bantime", "-t"),
    ("findtime", "findtime", "findtime", "-f"),
    ("maxfailures", "maxfailures", "maxretry", "-r"),
    ("ignoreip", "ignoreip", "ignoreip", "-i"),
    ("pidlock", "pidlock", "pidfile", "-p"),
    ("background", "background", "", "-b"),
    ("debug", "debug", "", "-d"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    launch.open_standard_streams()
    flags = _parser().parse_args(arguments)
    read = _reader(flags)
    try:
        loaded = read()
        if misused := [str(p) for p in loaded.problems if p.origin.file == "command line"]:
            return complain(misused, USAGE)
        if flags.check:
            return _check(make_plan(loaded))
        if flags.kill:
            return _kill(flags.pidlock, loaded)
        return start(make_plan(loaded), read)
    except Fail2BanError as error:
        return complain([str(error)], FAILED)
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
    flag("-c", dest="config", metavar="FILE", default=_default_config(), type=os.path.abspath,
         help="configuration file, or the folder of a tree (default %(default)s)")  # fmt: skip
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


def _default_config() -> str:
    """Return the tree only where there is no file but a tree."""
    has_tree = os.path.exists(os.path.join(DEFAULT_TREE, "jail.conf"))
    return DEFAULT_TREE if has_tree and not os.path.exists(DEFAULT_CONFIG) else DEFAULT_CONFIG


def _reader(flags: argparse.Namespace) -> Callable[[], Loaded]:
    path = Path(flags.config)
    if path.is_dir():
        return functools.partial(_read_tree, path, _tree_overrides(flags), bool(flags.debug))
    return functools.partial(classic.load, path, _overrides(flags))


def _read_tree(path: Path, overrides: tree.TreeOverrides, dryrun: bool) -> Loaded:
    loaded = tree.load(path, overrides)
    if loaded.settings is None or not dryrun:
        return loaded
    firewall = replace(loaded.settings.firewall, dryrun=True)
    # A trial remembers nothing, and leaves the database of the real daemon alone.
    return replace(loaded, settings=replace(loaded.settings, firewall=firewall, store=None))


def _overrides(flags: argparse.Namespace) -> classic.Overrides:
    given = {
        option: (str(getattr(flags, name)), flag)
        for name, option, _, flag in _OVERRIDES
        if getattr(flags, name) is not None
    }
    return classic.Overrides(given, _enabled(flags), flags.verbose)


def _tree_overrides(flags: argparse.Namespace) -> tree.TreeOverrides:
    given = {
        option: (str(getattr(flags, name)), flag)
        for name, _, option, flag in _OVERRIDES
        if option and getattr(flags, name) is not None
    }
    # As ever, `fail2ban` stays in the foreground unless it is told otherwise.
    background = flags.background is not None
    return tree.TreeOverrides(given, _enabled(flags), background, flags.verbose)


def _enabled(flags: argparse.Namespace) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[\s:,]+", flags.enable) if name)


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
        return complain([*map(str, loaded.problems), unknown], BAD_CONFIG)
    pid = pidlock.kill(os.path.abspath(path or (loaded.settings or Settings()).pidlock))
    print(f"Killed Fail2Ban with PID {pid}")
    return DONE
