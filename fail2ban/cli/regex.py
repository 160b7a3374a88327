# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-regex`: what the patterns of a filter make of a log.

Source: jail-conf.md section 14.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence

from fail2ban import __version__, launch
from fail2ban.cli import regex_explain as explain
from fail2ban.cli import regex_output as output
from fail2ban.cli import regex_report as report
from fail2ban.cli import regex_sources as sources
from fail2ban.cli.regex_arguments import USAGE, Arguments, UsageError, parse
from fail2ban.cli.regex_patterns import Rules, find_rules
from fail2ban.cli.regex_progress import progress
from fail2ban.cli.regex_run import Failure, Run, Tally, Wishes
from fail2ban.detect import budget
from fail2ban.detect.match import Line
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.records import Problem
from fail2ban.text import printable

DONE, NO_MATCH, FAILED = 0, 1, 255
# As a shell reports who was ended by SIGINT or SIGPIPE.
_INTERRUPTED, _NO_READER = 130, 141


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    launch.open_standard_streams()
    try:
        arguments = parse(sys.argv[1:] if words is None else words)
    except UsageError as error:
        print(f"fail2ban-regex: {error}", file=sys.stderr)
        print("fail2ban-regex: see fail2ban-regex --help", file=sys.stderr)
        return FAILED
    try:
        status = _shown(arguments) if arguments.show else _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whatever is still in the buffer has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _NO_READER
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Fail2BanError as error:
        return _fail(error, arguments.traceback)


def _shown(arguments: Arguments) -> int:
    texts = {"help": USAGE, "number": __version__, "version": f"fail2ban-regex {__version__}"}
    print(texts[arguments.show])
    return DONE


def _run(arguments: Arguments) -> int:
    logging.basicConfig(
        level=arguments.level, stream=sys.stderr, format="%(asctime)s %(levelname)-8s %(message)s"
    )
    budget.install()
    if arguments.explain is not None:
        matched = explain.run(arguments, _warn)
    else:
        matched = bool(_examine(arguments).kept["matched"].count)
    return DONE if matched or not arguments.require_match else NO_MATCH


def _examine(arguments: Arguments) -> Tally:
    rules = find_rules(arguments, sources.is_journal(arguments.log))
    filter = _filter(rules)
    source = _source(arguments, rules)
    if not arguments.out:
        _print(report.head(arguments, rules, filter, source))
    run = _prepared(arguments, rules, filter)
    with contextlib.ExitStack() as stack:
        tally = run.run(_lines(arguments, rules, stack))
    if not arguments.out:
        _print(report.results(arguments, rules, filter, tally))
    return tally


def _filter(rules: Rules) -> TaggedFilter:
    """Compile the patterns.

    Raises:
        ConfigError: one of them cannot be used; the daemon would work without it.
    """
    _warn(rules.problems)
    filter = TaggedFilter(rules.filter, doubting=False)
    if errors := [one for one in filter.problems if one.severity == "error"]:
        raise ConfigError(errors)
    _warn(filter.problems)
    return filter


def _prepared(arguments: Arguments, rules: Rules, filter: TaggedFilter) -> Run:
    wishes = Wishes(
        every=arguments.check_all,
        listing=arguments.verbose > 0 and not arguments.out,
        limits=report.limits(arguments),
        maxlines=rules.filter.maxlines,
    )
    if not arguments.out:
        return Run(filter, wishes)
    if arguments.invert:
        return Run(filter, wishes, left=functools.partial(_put_line, arguments.out))
    return Run(filter, wishes, functools.partial(_put, arguments.out, rules.filter.section))


def _put(token: str, jail: str, failure: Failure) -> None:
    print(output.of_failure(token, jail, time.time, failure))


def _put_line(token: str, line: Line) -> None:
    print(output.of_line(token, line))


# Where the lines are from ----------------------------------------------------------


def _source(arguments: Arguments, rules: Rules) -> report.Source:
    log, encoding = arguments.log, _encoding(arguments, rules)
    if sources.is_journal(log):
        terms = " + ".join(" ".join(words) for words in rules.journal)
        return report.Source("systemd journal", "", encoding=encoding, journal=terms)
    if sources.is_file(log):
        return report.Source("log file", log, encoding=encoding)
    lines = log.split("\n")
    if len(lines) > 1 or rules.filter.maxlines > 1:
        return report.Source("multi line", f"{len(lines)} line(s)", tuple(lines))
    return report.Source("single line", report.shortened(log))


def _encoding(arguments: Arguments, rules: Rules) -> str:
    return arguments.encoding or rules.encoding or "UTF-8"


def _lines(
    arguments: Arguments, rules: Rules, stack: contextlib.ExitStack
) -> Iterable[Line] | Iterator[Line]:
    log = arguments.log
    if sources.is_journal(log):
        settings = sources.journal_settings(log)
        return sources.journal_lines(settings, rules.journal)
    if sources.is_file(log):
        encoding = sources.encoding_of(_encoding(arguments, rules))
        advance = stack.enter_context(progress(log, bool(arguments.out)))
        return sources.kept(sources.file_lines(log, encoding, advance))
    return sources.kept(log.split("\n"))


# What is told ----------------------------------------------------------------------


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _warn(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"{problem.severity.upper()}: {printable(str(problem))}", file=sys.stderr)


def _fail(error: Fail2BanError, with_traceback: bool) -> int:
    sys.stdout.flush()
    if isinstance(error, ConfigError):
        _warn(error.problems)
    else:
        print(f"ERROR: {printable(str(error))}", file=sys.stderr)
    if with_traceback:
        traceback.print_exception(error)
    return FAILED
