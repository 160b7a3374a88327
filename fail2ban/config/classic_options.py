# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the language of 0.6, each declared once.

Source: fail2ban-conf-0.6.md sections 3 and 10. `ignoreregex`, `usedns`, `tls`, `digest`,
the aliases `maxretry` and `logpath`, units of time, and what the tree has under the
same names, are ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from fail2ban.config import common, tree_growth, values
from fail2ban.config.lint import Vocabulary
from fail2ban.config.options import Option
from fail2ban.records import FirewallSettings, LogSettings, MailSettings, Settings, UseDns

_from_zero = functools.partial(values.integer_from, 0)
_from_one = functools.partial(values.integer_from, 1)
_firewall, _log, _mail = FirewallSettings(), LogSettings(), MailSettings()

BACKGROUND = Option("background", values.boolean, False)
DEBUG = Option("debug", values.boolean, _firewall.dryrun)
VERBOSE = Option("verbose", _from_zero, _log.verbose)
LOGTARGETS = Option("logtargets", values.log_targets, _log.targets)
SYSLOG_TARGET = Option("syslog-target", str, _log.syslog_target)
SYSLOG_FACILITY = Option("syslog-facility", values.facility, _log.syslog_facility)
PIDLOCK = Option("pidlock", values.some_text, Settings().pidlock)
LOCALE = Option("locale", str, Settings().locale)
SOCKET = Option(common.SOCKET, common.socket_or_none, common.SOCKET_PATH)
# Vital: what one of them opens, the other closes.
CMDSTART = Option("cmdstart", str, _firewall.start, vital=True)
CMDEND = Option("cmdend", str, _firewall.stop, vital=True)
REINITTIME = Option("reinittime", values.duration, _firewall.reinittime)
MAXREINITS = Option("maxreinits", values.integer, _firewall.maxreinits)

POLLTIME = Option("polltime", values.positive_duration, _firewall.polltime)
MAXFAILURES = Option("maxfailures", _from_one, 5, alias="maxretry")
FINDTIME = Option("findtime", values.positive_duration, 600.0)
BANTIME: Option[float | None] = Option("bantime", values.ban_duration, 600.0)
IGNOREIP = Option("ignoreip", str, "")
USEDNS: Option[UseDns] = Option("usedns", values.use_dns, "warn")

ONSTOP, DRYRUN = common.ONSTOP, common.DRYRUN
INCREMENT = Option("bantime.increment", values.boolean, False)
OVERALLJAILS = Option("bantime.overalljails", values.boolean, False)

ENABLED = Option("enabled", values.boolean, False)
LOGFILE = Option("logfile", str, "", alias="logpath")
FAILREGEX = Option("failregex", str, "")
IGNOREREGEX = Option("ignoreregex", str, "")
TIMEREGEX = Option("timeregex", str, "")
TIMEPATTERN = Option("timepattern", str, "")
FWSTART = Option("fwstart", str, "")
FWEND = Option("fwend", str, "")
FWCHECK = Option("fwcheck", str, "")
FWBAN = Option("fwban", str, "")
FWUNBAN = Option("fwunban", str, "")
FWBANMANY = Option("fwbanmany", str, "")
FWUNBANMANY = Option("fwunbanmany", str, "")
FWFLUSH = Option("fwflush", str, "")

HOST = Option("host", values.some_text, _mail.host)
PORT = Option("port", values.port, _mail.port)
USER = Option("user", str, _mail.user)
PASSWORD = Option("password", str, _mail.password)
FROM = Option("from", values.some_text, _mail.sender)
TO = Option("to", values.words, _mail.to)
LOCALTIME = Option("localtime", values.boolean, _mail.localtime)
SUBJECT = Option("subject", str, _mail.subject)
MESSAGE = Option("message", str, _mail.message)
TLS = Option("tls", values.tls, _mail.tls)
DIGEST = Option("digest", values.duration, _mail.digest)

_OF_DAEMON = (
    (BACKGROUND, DEBUG, VERBOSE, LOGTARGETS, SYSLOG_TARGET, SYSLOG_FACILITY)
    + (PIDLOCK, LOCALE, SOCKET, CMDSTART, CMDEND, REINITTIME, MAXREINITS)
    + common.OF_DAEMON
)  # fmt: skip
_OF_JAIL = (
    (ENABLED, LOGFILE, FAILREGEX, IGNOREREGEX, TIMEREGEX, TIMEPATTERN, USEDNS, IGNOREIP)
    + (MAXFAILURES, FINDTIME, BANTIME, POLLTIME, FWSTART, FWEND, FWCHECK, FWBAN, FWUNBAN)
    + (FWBANMANY, FWUNBANMANY, FWFLUSH, ONSTOP, DRYRUN, INCREMENT, OVERALLJAILS)
    + tree_growth.OPTIONS
)  # fmt: skip
_OF_MAIL = (
    (ENABLED, HOST, PORT, USER, PASSWORD, FROM, TO, LOCALTIME, SUBJECT, MESSAGE, TLS, DIGEST)
)  # fmt: skip


def _names(options: Iterable[Option[object]]) -> frozenset[str]:
    return frozenset(name for option in options for name in option.names)


VOCABULARY = Vocabulary(
    daemon=_names(_OF_DAEMON),
    jail=_names(_OF_JAIL),
    mail=_names(_OF_MAIL),
    # Shipped files define these for %(...)s; they mean nothing by themselves.
    helpers=frozenset({"port", "protocol", "hostsdeny", "fwchain"}),
)
