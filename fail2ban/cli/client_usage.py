# SPDX-License-Identifier: GPL-2.0-or-later
"""What `fail2ban-client --help` shows: flags, and the commands that the daemon knows.

Source: jail-conf.md sections 12.1 and 12.3.
"""

USAGE = """\
Usage: fail2ban-client [OPTIONS] COMMAND

Ask the running daemon what it does, change it, start and end it.

  -c, --conf PATH         configuration: a directory (/etc/fail2ban), or a file of 0.6
  -s, --socket FILE       control socket, instead of the one of fail2ban.conf
  -p, --pidfile FILE      PID file
      --loglevel LEVEL    for start: CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG
      --logtarget TARGET  for start: a file, STDOUT, STDERR, SYSLOG, SYSOUT or
                          SYSTEMD-JOURNAL
      --syslogsocket PATH for start: the socket of syslog, or auto
      --json              print the answer as JSON
  -i                      read commands from the terminal
  -d                      show the configuration in force, each value with its file
                          and line, and exit
      --dp, --dump-pretty the same, laid out like a configuration file
  -t, --test              check the configuration, report all problems, and exit;
                          with a command: carry it out only if there is no error
  -b                      start in the background (default)
  -f                      start in the foreground
  -x                      take over a socket that was left behind
      --timeout TIME      how long a start or an end may take (30)
      --str2sec TEXT      show a duration such as 1d12h in seconds, and exit
  -V, --version           show the version and exit
  -h, --help              show this text and exit

The daemon:
  start                   start it, and wait until it answers
  stop                    end it, and wait until it is gone
  restart                 stop, then start
  reload [--unban]        read the configuration again, as a whole or not at all
  reload JAIL             the same for one jail that runs; --if-exists: or will run
  restart JAIL            as reload --restart JAIL: its bans and failures stay
  ping [SECONDS]          does it answer?
  version                 its version
  flushlogs               open the log targets again
  get loglevel | logtarget | syslogsocket | dbfile | dbpurgeage | dbmaxmatches | thread
  set loglevel LEVEL, logtarget TARGET, dbpurgeage TIME, dbmaxmatches NUMBER

How it stands:
  status                  which jails there are
  status JAIL [FLAVOR]    who fails and who is banned; FLAVOR is basic, short or cymru
  status --all [FLAVOR]   the same for all jails
  stats                   a table of all jails
  banned                  who is banned, for each jail
  banned ID...            in which jails each is banned
  why ID [JAIL]           what was decided about it and done, when, and why
  why-not ID [JAIL]       the same, and what keeps it from being banned in each jail
  top [--once]            a live view; q ends it
  watch [--jail JAIL]... [--kind KIND]...
                          what happens, as it happens, one JSON object a line
  health                  all that is known about the daemon, its jails and its logs
  alarms                  what is wrong at present
  metrics                 numbers, as Prometheus reads them

Bans:
  set JAIL banip ID...    ban by hand
  set JAIL unbanip [--report-absent] ID...
  unban ID...             lift bans, in all jails
  unban --all             lift all bans
  set JAIL attempt ID [LINE...]
                          count a failure, one for each line
  get JAIL banip [SEPARATOR | --with-time]
  get JAIL banned [ID...]

A jail, until the next reload:
  get JAIL OPTION         the value of an option: findtime, bantime, maxretry, usedns,
                          logpath, logencoding, failregex, ignoreregex, prefregex,
                          datepattern, ignoreip, ignoreself, ignorecommand, ignorecache,
                          journalmatch, maxmatches, maxlines, bantime.increment, ...
  set JAIL OPTION VALUE   change such a value
  set JAIL addlogpath FILE [tail], dellogpath FILE
  set JAIL addignoreip NETWORK, delignoreip NETWORK
  set JAIL addfailregex PATTERN, delfailregex NUMBER
  set JAIL addignoreregex PATTERN, delignoreregex NUMBER
  set JAIL addjournalmatch MATCH, deljournalmatch MATCH
  set JAIL idle on | off
  get JAIL actions
  get JAIL actionproperties ACTION, actionmethods ACTION, action ACTION PROPERTY
  set JAIL action ACTION PROPERTY VALUE
  set JAIL action ACTION ban | unban VALUES
  set JAIL addaction ACTION [FILE VALUES], delaction ACTION
  add JAIL [BACKEND]      a new jail without patterns, logs and actions
  start JAIL, stop JAIL   have it run, or end it; its bans come back with it

Beyond the daemon:
  replay [--jail JAIL]... [--list | --verbose] [--resolve] FILE...
                          whom old logs, also packed ones, would have banned;
                          nothing is executed; FILE may be -

Exit status: 0 done, 255 failed."""
