# SPDX-License-Identifier: GPL-2.0-or-later
"""What the command line of `fail2ban-regex` says.

Source: jail-conf.md section 14. The options --explain and --require-match are ours.
"""

from __future__ import annotations

import getopt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fail2ban import levels, zones
from fail2ban.records import UseDns

DEFAULT_CONFIG = "/etc/fail2ban"

USAGE = """\
Usage: fail2ban-regex [OPTIONS] LOG REGEX [IGNOREREGEX]
       fail2ban-regex [OPTIONS] --explain LINE JAIL

Show what the patterns of a filter make of the lines of a log.

  LOG                    a file; systemd-journal, or systemd-journal[OPTION=VALUE,...];
                         anything else is a line of a log itself, or several lines
  REGEX                  a jail or a filter, as sshd or sshd[mode=aggressive]; the path
                         of a filter file; anything else is a failregex itself
  IGNOREREGEX            instead of those of the filter; a pattern, or the path of a
                         filter file
  JAIL                   its name, as sshd

What is read, and how:
  -c, --config DIR       configuration directory (/etc/fail2ban)
  -d, --datepattern P    how timestamps look
      --timezone, --TZ Z zone of timestamps that name none, as CET or UTC+0200
  -e, --encoding E       of the file (UTF-8)
      --usedns V         yes, warn, no or raw: what to do with host names
  -r, --raw              the same as --usedns raw
  -L, --maxlines N       lines that a pattern sees at a time
  -m, --journalmatch M   which entries of the journal to read
      --no-check-all     stop at the first failregex that matches, as the daemon does

What is printed:
  -v, --verbose          also patterns without hits, whom each hit blames, all formats
                         of dates; twice: the options of the filter, too
      --verbosity N      the same as N times -v
      --verbose-date, --VD
                         how each format of dates is looked for
  -o, --out TOKEN        only one line for each failure: id, fid, ip, msg, row, the name
                         of a group, or a text with tags as '<ip> <F-USER> <time> <msg>'
  -i, --invert           with -o: the lines that do not match
      --print-all-matched, --print-all-missed, --print-all-ignored
                         however many lines there are
      --print-no-missed, --print-no-ignored
  -D, --debuggex         with each line, its patterns as addresses of debuggex.com
      --explain LINE     say step by step what a jail makes of one line, and which
                         commands would run
      --require-match    exit with status 1 if no line matches
  -l, --log-level LEVEL  which of our own messages to print (critical)
  -t, --log-traceback, --full-traceback
                         where in the program an error comes from
  -V                     show the version number and exit
      --version          show the version and exit
  -h, --help             show this text and exit

Exit status: 0 done, 1 nothing matched and --require-match is given, 255 failed."""

_SHORT = "hVc:d:e:rL:m:l:vDo:it"
_LONG = (
    "help version config= datepattern= timezone= TZ= encoding= raw usedns= maxlines="
    " journalmatch= log-level= verbose verbosity= verbose-date VD debuggex no-check-all"
    " out= invert print-no-missed print-no-ignored print-all-matched print-all-missed"
    " print-all-ignored log-traceback full-traceback explain= require-match"
).split()


class UsageError(ValueError):
    """The command line makes no sense; one sentence."""


@dataclass(frozen=True)
class Arguments:
    """The command line.

    Attributes:
        log, regex: empty with `explain`, but for `regex`, which is the jail then.
        ignoreregex: None: those of the filter.
        datepattern, encoding, journalmatch: empty: as the filter or jail says.
        timezone: seconds east of Greenwich; None: as the jail says.
        usedns, maxlines: None: as the filter or jail says.
        level: of `logging`.
        out: empty: a report.
        print_all: "matched", "missed" and "ignored", as far as given.
        print_no: "missed" and "ignored", as far as given.
        explain: None: read `log`.
    """

    log: str = ""
    regex: str = ""
    ignoreregex: str | None = None
    config: str = DEFAULT_CONFIG
    datepattern: str = ""
    timezone: int | None = None
    encoding: str = ""
    usedns: UseDns | None = None
    maxlines: int | None = None
    journalmatch: str = ""
    level: int = logging.CRITICAL
    verbose: int = 0
    verbose_date: bool = False
    debuggex: bool = False
    check_all: bool = True
    out: str = ""
    invert: bool = False
    print_all: frozenset[str] = field(default_factory=frozenset)
    print_no: frozenset[str] = field(default_factory=frozenset)
    traceback: bool = False
    explain: str | None = None
    require_match: bool = False
    show: str = ""


def parse(words: Sequence[str]) -> Arguments:
    """Read the command line; `Arguments.show` is what to show and nothing else.

    Raises:
        UsageError: it makes no sense.
    """
    try:
        flags, rest = getopt.gnu_getopt(list(words), _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    arguments = Arguments()
    for flag, value in flags:
        arguments = _with(arguments, flag, value)
        if arguments.show:
            return arguments
    return _placed(arguments, rest)


def _placed(arguments: Arguments, rest: Sequence[str]) -> Arguments:
    if arguments.explain is not None:
        if len(rest) != 1:
            raise UsageError("--explain LINE needs a JAIL, and nothing else")
        return replace(arguments, regex=rest[0])
    if len(rest) not in (2, 3):
        raise UsageError("provide both LOG and REGEX, and at most one IGNOREREGEX")
    if arguments.invert and not arguments.out:
        raise UsageError("-i needs -o, which says what to print of a line")
    log, regex, *ignored = rest
    return replace(arguments, log=log, regex=regex, ignoreregex=ignored[0] if ignored else None)


def _with(arguments: Arguments, flag: str, value: str) -> Arguments:
    """Add one flag; those of gnu_getopt are spelled in full."""
    if change := _SWITCHES.get(flag):
        return replace(arguments, **change)
    name, convert = _VALUES.get(flag, ("", str))
    if name:
        try:
            return replace(arguments, **{name: convert(value)})
        except ValueError as error:
            raise UsageError(f"option {flag}: {error}") from None
    if flag in ("-v", "--verbose"):
        return replace(arguments, verbose=arguments.verbose + 1)
    which, what = flag.removeprefix("--print-").split("-")
    if which == "all":
        return replace(arguments, print_all=arguments.print_all | {what})
    return replace(arguments, print_no=arguments.print_no | {what})


def _count(low: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < low:
            raise ValueError(f"expected a whole number of at least {low}, got {text!r}")
        return int(text)

    return convert


def _usedns(text: str) -> UseDns:
    if text.lower() not in ("yes", "warn", "no", "raw"):
        raise ValueError(f"expected yes, warn, no or raw, got {text!r}")
    return cast(UseDns, text.lower())


def _zone(text: str) -> int:
    found = zones.offset(text)
    if found is None:
        raise ValueError(f"expected a zone as UTC, CET or UTC+0200, got {text!r}")
    return found


def _level(text: str) -> int:
    if text.isdigit():
        return int(text)
    if text.upper() not in levels.LEVELS:
        raise ValueError(f"expected one of {', '.join(levels.LEVELS)}, got {text!r}")
    return levels.LEVELS[text.upper()]


_VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "-c": ("config", str), "--config": ("config", str),
    "-d": ("datepattern", str), "--datepattern": ("datepattern", str),
    "--timezone": ("timezone", _zone), "--TZ": ("timezone", _zone),
    "-e": ("encoding", str), "--encoding": ("encoding", str),
    "--usedns": ("usedns", _usedns),
    "-L": ("maxlines", _count(1)), "--maxlines": ("maxlines", _count(1)),
    "-m": ("journalmatch", str), "--journalmatch": ("journalmatch", str),
    "-l": ("level", _level), "--log-level": ("level", _level),
    "--verbosity": ("verbose", _count(0)),
    "-o": ("out", str), "--out": ("out", str),
    "--explain": ("explain", str),
}  # fmt: skip

_SWITCHES: dict[str, dict[str, Any]] = {
    "-h": {"show": "help"}, "--help": {"show": "help"},
    "-V": {"show": "number"}, "--version": {"show": "version"},
    "-r": {"usedns": "raw"}, "--raw": {"usedns": "raw"},
    "--verbose-date": {"verbose_date": True}, "--VD": {"verbose_date": True},
    "-D": {"debuggex": True}, "--debuggex": {"debuggex": True},
    "--no-check-all": {"check_all": False},
    "-i": {"invert": True}, "--invert": {"invert": True},
    "-t": {"traceback": True}, "--log-traceback": {"traceback": True},
    "--full-traceback": {"traceback": True},
    "--require-match": {"require_match": True},
}  # fmt: skip
