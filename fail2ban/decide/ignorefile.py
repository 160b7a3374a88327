# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that list whom to ignore, read again when they change.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass

from fail2ban.decide.networks import Networks
from fail2ban.detect.addresses import parse_address
from fail2ban.records import Network

log = logging.getLogger(__name__)

#: Seconds between two looks at a file; after one that failed.
CHECK_INTERVAL, RETRY_INTERVAL = 1.0, 60.0

#: A "#" or ";" begins a comment at the start of a line or after a blank.
_COMMENT = re.compile(r"(?:^|(?<=\s))[#;].*", re.MULTILINE)
_SEPARATORS = re.compile(r"[\s,]+")
_NAME = re.compile(r"(?=.{1,253}$)(?:[\w-]{1,63}\.)*[A-Za-z][\w-]{0,62}\.?", re.ASCII)

#: What tells that a file is another one than it was.
_Version = tuple[int, int, int]


@dataclass(frozen=True)
class Listed:
    """Whom a file lists; a word may be the name of a host and an id itself."""

    networks: Networks = Networks()
    names: tuple[str, ...] = ()
    texts: frozenset[str] = frozenset()


def parse(text: str) -> Listed:
    """Read the words of a file: addresses, networks, host names, ids."""
    networks: list[Network] = []
    others: dict[str, None] = {}
    for word in _SEPARATORS.split(_COMMENT.sub("", text)):
        network = parse_network(word)
        if network is not None:
            networks.append(network)
        elif word:
            others[word] = None
    names = tuple(word for word in others if _NAME.fullmatch(word))
    return Listed(Networks(networks), names, frozenset(others))


def parse_network(word: str) -> Network | None:
    """Read an address, "address/length" or "address/mask"; None if it is another word."""
    start, slash, size = word.partition("/")
    ip = parse_address(start)
    if ip is None:
        return None
    mask = parse_address(size)
    if mask is not None and mask.version == ip.version:
        bits = f"{int(mask):0{mask.max_prefixlen}b}"
        size = "" if "01" in bits else str(bits.count("1"))
    try:
        return ipaddress.ip_network(f"{ip}/{size}" if slash else ip, strict=False)
    except ValueError:
        return None


class IgnoreFile:
    """One list; any thread may ask for it.

    A file that cannot be read any more leaves what it said last.

    Args:
        jail: for messages.
        ticks: seconds that only go forward.

    Attributes:
        due: when the file is looked at again, by `ticks`.
    """

    def __init__(self, jail: str, path: str, ticks: Callable[[], float]) -> None:
        self._jail, self.path, self._ticks = jail, path, ticks
        self._listed, self._version = Listed(), (0, 0, 0)
        self.due = -math.inf
        self._failing = False
        self._lock = threading.Lock()

    def listed(self) -> Listed:
        """Return what the file says now, or said a second ago."""
        with self._lock:
            now = self._ticks()
            if now >= self.due:
                self.due = now + (CHECK_INTERVAL if self._refresh() else RETRY_INTERVAL)
            return self._listed

    def _refresh(self) -> bool:
        """Read the file if it is another one; tell whether it could be read."""
        try:
            self._read()
        except OSError as error:
            if not self._failing:
                text = "[%s] ignoreip: cannot read %s: %s"
                log.error(text, self._jail, self.path, error.strerror or error)
            self._failing = True
            return False
        if self._failing:
            log.info("[%s] ignoreip: %s can be read now", self._jail, self.path)
        self._failing = False
        return True

    def _read(self) -> None:
        found = os.stat(self.path)
        version: _Version = found.st_mtime_ns, found.st_ino, found.st_size
        if version == self._version:
            return
        if not stat.S_ISREG(found.st_mode):  # a pipe would keep us waiting
            raise OSError("it is no regular file")
        with open(self.path, encoding="utf-8", errors="replace") as file:
            self._listed = parse(file.read())
        self._version = version
