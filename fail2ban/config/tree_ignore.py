# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom a jail of the tree never bans.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fail2ban.config import arithmetic, values
from fail2ban.config.brackets import BracketError, element
from fail2ban.config.options import Option
from fail2ban.config.tree_options import Options
from fail2ban.config.values import quoted
from fail2ban.records import Command, IgnoreSettings, Network

_FILE = re.compile(r"file:(?://(?=/))?(.*)", re.DOTALL)
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?", re.IGNORECASE)
#: What can only be meant for an address, so that a mistyped one is told.
_ADDRESS = re.compile(r"[0-9./]+|[0-9a-f.]*:[0-9a-f.:/%]*", re.IGNORECASE)
_OF_CACHE = ("key", "max-count", "max-time")
IGNOREIP = Option("ignoreip", str, "")


@dataclass
class _Entries:
    """The entries of `ignoreip`, by kind."""

    networks: list[Network] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def ignore_settings(options: Options) -> IgnoreSettings:
    """Return whom a jail never bans; bad entries are reported and left out.

    Raises:
        ConfigError: an option cannot be made.
    """
    entries = _entries(options)
    command = options.text("ignorecommand")
    cache, size, time = _cache(options)
    return IgnoreSettings(
        networks=tuple(entries.networks),
        names=tuple(entries.names),
        texts=tuple(entries.texts),
        files=tuple(entries.files),
        own=options.truth("ignoreself", True),
        command=Command.same(command),
        cache=cache,
        cache_size=size,
        cache_time=time,
    )


def _entries(options: Options) -> _Entries:
    entries = _Entries()
    value = options.value(IGNOREIP.name)
    for number, (line, _) in enumerate(value.lines if value else ()):
        for word in re.split(r"[\s,]+", line.strip(", \t")):
            try:
                _sort(word, entries)
            except ValueError as error:
                options.report("ignoreip", str(error), "this entry is left out", line=number)
    return entries


def _sort(word: str, entries: _Entries) -> None:
    if found := _FILE.fullmatch(word):
        entries.files.append(values.some_text(found[1]))
    elif (network := _network(word)) is not None:
        entries.networks.append(network)
    elif word:
        # Where names are not resolved, one is an id like any other text.
        entries.texts.append(word)
        if _NAME.fullmatch(word):
            entries.names.append(word)


def _network(word: str) -> Network | None:
    """Return the network of a word; None: it is meant for something else."""
    try:
        return values.any_network(word)
    except ValueError:
        if _ADDRESS.fullmatch(word):
            raise
        return None


def _cache(options: Options) -> tuple[str, int, float]:
    """Return the key, size and time of `ignorecache`."""
    none = IgnoreSettings()
    text = options.text("ignorecache")
    if not text:
        return none.cache, none.cache_size, none.cache_time
    try:
        given = element(f"ignorecache[{text}]").options
        if unknown := sorted(given.keys() - set(_OF_CACHE)):
            expected = f"expected {', '.join(_OF_CACHE)}"
            raise ValueError(f"{quoted(unknown[0])} is unknown; {expected}")
        size, time = given.get("max-count"), given.get("max-time")
        return (
            given.get("key", "<ip>"),
            values.integer_from(1, size) if size else none.cache_size,
            arithmetic.duration(time) if time else none.cache_time,
        )
    except BracketError:
        expected = "expected it as 'key=\"<ip>\", max-count=100, max-time=5m'"
        options.report("ignorecache", f"{quoted(text)} cannot be read; {expected}", "using none")
    except ValueError as error:
        options.report("ignorecache", str(error), "using none")
    return none.cache, none.cache_size, none.cache_time
