# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-server`: runs a configuration tree.

Its flags and exit statuses are those that init scripts and units of
distributions rely on. Source: jail-conf.md sections 12.1 and 12.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.cli import client, tasks
from fail2ban.cli.flags import DONE, FAILED, Flags, Program
from fail2ban.cli.start import start
from fail2ban.plan import make_plan

_USAGE = """\
Usage: fail2ban-server [OPTIONS] [start]

Read logs, recognise attackers, lock them out: run the configuration in /etc/fail2ban.
Any other command goes to the daemon that runs: see fail2ban-client(1).

  -c, --conf PATH         configuration: a directory (/etc/fail2ban), or a file of 0.6
  -s, --socket FILE       control socket, instead of the one of fail2ban.conf
  -p, --pidfile FILE      PID file
      --loglevel LEVEL    CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG
      --logtarget TARGET  a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL
      --syslogsocket PATH the socket of syslog, or auto
  -d                      show the configuration in force, each value with its file
                          and line, and exit
      --dp, --dump-pretty the same, laid out like a configuration file
  -t, --test              check the configuration, report all problems, and exit
  -b                      run in the background (default)
  -f                      run in the foreground
  -v, -q                  say more, or less, on the terminal
  -x                      take over a socket that was left behind
      --str2sec TEXT      show a duration such as 1d12h in seconds, and exit
  -V, --version           show the version and exit
  -h, --help              show this text and exit

Exit status: 0 done, 255 failed."""

SERVER = Program("fail2ban-server", _USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    return tasks.run_program(SERVER, arguments, _follow)


def _follow(flags: Flags) -> int:
    if flags.dialogue or list(flags.words) not in ([], ["start"]):
        return client.follow(flags)
    status = start(make_plan(flags.read()), flags.read)
    return DONE if status == 0 else FAILED
