# SPDX-License-Identifier: GPL-2.0-or-later
"""What LOG means: a file, the journal, or lines that are given as they are.

Source: jail-conf.md section 14. Unlike the daemon, which waits for the rest of a
line, a last line without an end counts; and a log may be a pipe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from fail2ban.config import tree_logs
from fail2ban.config.options import Findings
from fail2ban.config.tree_options import COMMAND_LINE, Above, Options
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.entries import said_by
from fail2ban.detect.journalctl import Journalctl, files_of, form, options
from fail2ban.detect.lines import LineSplitter
from fail2ban.detect.match import Line
from fail2ban.detect.terms import Wanted, union
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.records import JournalSettings, Problem

#: Names the journal, perhaps with options in brackets.
JOURNAL = "systemd-journal"
#: Bytes that are read at once.
_CHUNK = 256 * 1024


class LogError(Fail2BanError):
    """The log cannot be read."""


def is_journal(log: str) -> bool:
    """Tell whether LOG names the journal."""
    return log == JOURNAL or log.startswith(f"{JOURNAL}[")


def is_file(log: str) -> bool:
    """Tell whether LOG is the path of something that can be read as a file."""
    return "\0" not in log and os.path.exists(log) and not os.path.isdir(log)


def kept(lines: Iterable[str]) -> Iterator[Line]:
    """Leave out what is empty or a comment; samples of logs have such lines."""
    return (Line(text) for text in lines if text and not text.startswith("#"))


# Files -----------------------------------------------------------------------------


def encoding_of(name: str) -> Encoding:
    """Return the codec of that name; empty or "auto" for UTF-8.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Encoding("" if name.lower() == "auto" else name)
    except ValueError as error:
        raise ConfigError([Problem(COMMAND_LINE, "", "--encoding", str(error))]) from None


def file_lines(
    path: str, encoding: Encoding, advance: Callable[[int], None] = lambda size: None
) -> Iterator[str]:
    """Yield the lines of a file, as they are read.

    Args:
        advance: told how many bytes were read.

    Raises:
        LogError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            yield from _lines(file, encoding, advance)
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from error


def _lines(file: IO[bytes], encoding: Encoding, advance: Callable[[int], None]) -> Iterator[str]:
    data = file.read(_CHUNK)
    splitter = LineSplitter(encoding.settle(data[:4]))
    while data:
        advance(len(data))
        yield from splitter.feed(data)
        data = file.read(_CHUNK)
    yield from splitter.finish()


# The journal -----------------------------------------------------------------------


def journal_settings(log: str) -> JournalSettings:
    """Return which journal LOG means.

    Raises:
        ConfigError: its options cannot be read.
    """
    text = tree_logs.SYSTEMD + log.removeprefix(JOURNAL)
    findings = Findings()
    source = Above(None, {"backend": (text, "LOG")})
    found = tree_logs.backend(Options(source, "", COMMAND_LINE, findings)).journal
    if problems := findings.problems():
        raise ConfigError(problems)
    return found or JournalSettings()


def journal_lines(
    settings: JournalSettings,
    matches: tuple[tuple[str, ...], ...],
    program: str = "journalctl",
) -> Iterator[Line]:
    """Yield the entries that are there, oldest first.

    Args:
        matches: see `JournalSettings`.

    Raises:
        LogError: it cannot be read.
    """
    try:
        wanted = Wanted(matches)
        files = list(files_of(settings, frozenset()).values())
        if settings.files and not files:
            raise LogError(f"no journal file matches {', '.join(settings.files)}")
        run = Journalctl(_words(program, settings, files, wanted))
    except (OSError, ValueError) as error:
        raise LogError(f"cannot read the journal: {error}") from error
    try:
        for entries in run.read():
            yield from (said_by(entry).line(True) for entry in entries if wanted.fits(entry))
    except BaseException:
        run.kill()
        raise
    reason = run.end()
    if not reason.startswith("journalctl ended with status 0"):
        raise LogError(f"cannot read the journal: {reason}")


def _words(program: str, settings: JournalSettings, files: list[str], wanted: Wanted) -> list[str]:
    return [
        program,
        *form([wanted]),
        *options(settings, files),
        *union([wanted]),
    ]
