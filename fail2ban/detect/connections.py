# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lines of one connection say together.

A service tells the address on one line and the failure on another; the group
`mlfid` of a pattern captures what shows that they belong together. Whoever
attacks chooses how many connections there are and how much is said on each, so
both are bounded.

Source: jail-conf.md section 7.4.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from fail2ban.detect import memory
from fail2ban.detect.addresses import parse_address
from fail2ban.detect.groups import shown
from fail2ban.detect.identity import WHO, Identity, identify
from fail2ban.detect.regextags import ADDRESS_GROUPS
from fail2ban.records import NOTHING, Capture, UseDns

#: Connections remembered, and seconds after their last line.
SIZE, LIFETIME = 1000, 300.0
#: Lines kept of one connection, the newest, and names of users, the first.
MAX_LINES, MAX_USERS = 100, 100
#: Characters of each of them.
LENGTH = 512
#: Characters of the lines, and of the users, of one connection that outlive the process;
#: who says much on many connections is not to make us write all of it again and again.
STORED = 8192

#: Groups in which a host name may stand, and what belongs to it.
_NAMES = ("dns", "host", "cidr")

#: What a line comes to: somebody failed; nobody did; somebody did whom only a
#: later line can name; somebody did whom nothing names.
Verdict = Literal["failure", "nofail", "pending", "nobody"]


class Outcome(NamedTuple):
    """What a line says, together with those of its connection before it.

    Attributes:
        lines: all that led to it, oldest first.
        identity: None where nobody is named.
        groups: what was captured on all of the lines.
    """

    verdict: Verdict
    lines: tuple[str, ...]
    identity: Identity | None
    groups: Mapping[str, Capture]


class _Connection(NamedTuple):
    """What is known of one connection.

    Attributes:
        groups: of all its lines; a later line overrides an earlier one.
        users: who tried to log in.
        lines: those that are part of the next failure.
        pending: one of them was a failure of somebody unknown.
        end: when to forget all this, seconds since the epoch.
    """

    groups: Mapping[str, Capture] = NOTHING
    users: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    pending: bool = False
    end: float = 0.0


_NEW = _Connection()


class _Marks:
    """Of each id that is known a word, for telling at once which lines cannot have any.

    A word is of ASCII letters, digits and "_", and stands between other characters of
    ASCII; so it is a word of each line that has the id.
    """

    def __init__(self) -> None:
        self._of: dict[str, bytes] = {}
        self._words: dict[bytes, int] = {}  # how many ids have each
        self._without = 0

    def add(self, id: str) -> None:
        word = self._of[id] = _mark(id)
        if word:
            self._words[word] = self._words.get(word, 0) + 1
        else:
            self._without += 1

    def remove(self, id: str) -> None:
        word = self._of.pop(id)
        if not word:
            self._without -= 1
        elif self._words[word] == 1:
            del self._words[word]
        else:
            self._words[word] -= 1

    def may_be_in(self, line: bytes) -> bool:
        """Tell whether a line may have one of the ids."""
        if self._without:
            return True
        return not self._words.keys().isdisjoint(line.translate(_SPACED).split())


#: Bytes of words, and a space for each other.
_SPACED = bytes(
    code if code < 128 and (chr(code).isalnum() or code == ord("_")) else ord(" ")
    for code in range(256)
)
#: A word between other characters of ASCII; one with a digit, the last of them.
_WORD = re.compile(r"(?<=[\0-/:-@\[-^`{-\x7f])[A-Za-z0-9_]+(?=[\0-/:-@\[-^`{-\x7f])")


def _mark(id: str) -> bytes:
    """Return the word that most likely only this id has; none where it has no word."""
    mark = ""
    for word in _WORD.findall(id):
        # The number of a process comes behind its host and name.
        if not mark or not word.isalpha():
            mark = word
    return mark.encode()


class Connections:
    """The connections of one section. Used on one thread at a time.

    Args:
        section: for log messages.
    """

    def __init__(self, usedns: UseDns, section: str = "") -> None:
        self._usedns, self._section = usedns, section
        self._known: OrderedDict[str, _Connection] = OrderedDict()  # the longest unused first
        self._changed: set[str] = set()  # whose texts are not those of `_texts`
        self._texts: dict[str, str] = {}
        self._marks = _Marks()

    def __len__(self) -> int:
        return len(self._known)

    def may_know(self, line: bytes) -> bool:
        """Tell whether a line may be of a connection that is known.

        Args:
            line: in an encoding that keeps ASCII; each word of what the patterns see of
                it is a word of this.
        """
        return bool(self._known) and self._marks.may_be_in(line)

    def add(self, groups: Mapping[str, Capture], lines: tuple[str, ...], now: float) -> Outcome:
        """Say what a match comes to, and remember it if it names a connection.

        Args:
            groups: what it captured, see `groups.captured`.
            lines: what it matched.
            now: seconds since the epoch.

        Raises:
            NoAddress: what should be an address is none; nothing is remembered.
        """
        key, forgets = str(groups.get("mlfid", "")), bool(groups.get("mlfforget"))
        before = self._recall(key, now)
        verdict, together, identity, after = _join(before or _NEW, groups, lines, self._usedns, now)
        joined = after.groups
        if key and not (forgets and before is None):
            if forgets:
                self._drop(key)
            else:
                self._remember(key, after, now)
            if after.users:
                joined = {**joined, "users": tuple(sorted(after.users))}
        return Outcome(verdict, together, identity, joined)

    def _recall(self, key: str, now: float) -> _Connection | None:
        known = self._known.get(key)
        return known if known and now < known.end else None

    def _remember(self, key: str, connection: _Connection, now: float) -> None:
        self._put(key, connection)
        self._known.move_to_end(key)
        while len(self._known) > SIZE or next(iter(self._known.values())).end <= now:
            self._drop(next(iter(self._known)))

    def _put(self, key: str, connection: _Connection) -> None:
        if key not in self._known:
            self._marks.add(key)
        self._known[key] = connection
        self._changed.add(key)

    def _drop(self, key: str) -> None:
        del self._known[key]
        self._marks.remove(key)
        self._changed.add(key)

    def memory(self) -> dict[str, str]:
        """Return what is known, see `Matcher`."""
        for key in self._changed:
            if known := self._known.get(key):
                self._texts[memory.key_of(key)] = _text(key, known)
            else:
                self._texts.pop(memory.key_of(key), None)
        self._changed.clear()
        return self._texts

    def recall(self, texts: Mapping[str, str]) -> None:
        """Know what was known, see `Matcher`."""
        told = (memory.read(self._section, text, _parse) for text in texts.values())
        for key, connection in sorted(filter(None, told), key=lambda one: one[1].end):
            self._put(key, connection)


def _text(key: str, known: _Connection) -> str:
    said: dict[str, object] = {"id": key, "groups": dict(known.groups), "end": known.end}
    if known.users:
        said["users"] = [*memory.newest(tuple(sorted(known.users)), STORED)]
    if known.lines:
        said["lines"] = [*memory.newest(known.lines, STORED)]
    if known.pending:
        said["pending"] = True
    return memory.dumped(said)


def _parse(said: Any) -> tuple[str, _Connection]:
    return memory.text(said["id"]), _Connection(
        memory.captures(said["groups"]),
        tuple(dict.fromkeys(memory.texts(said.get("users", [])))),
        memory.texts(said.get("lines", [])),
        said.get("pending") is True,
        memory.number(said["end"]),
    )


def _join(
    before: _Connection,
    groups: Mapping[str, Capture],
    lines: tuple[str, ...],
    usedns: UseDns,
    now: float,
) -> tuple[Verdict, tuple[str, ...], Identity | None, _Connection]:
    """Return what a line and those before it come to, and what is known after it.

    The first three are those of an `Outcome`.
    """
    # What this line names must be right, whatever is known.
    identity = identify(groups, usedns)
    joined = _joined(before.groups, groups)
    users = _users(before.users, groups)
    gained = bool(groups.get("mlfgained"))
    pending = before.pending and not gained
    # Who has failed, or tries one user after another, is not made innocent by
    # what follows.
    innocent = (gained or bool(groups.get("nofail"))) and not pending and len(users) < 2
    if before.groups:
        identity = identify(joined, usedns)
    verdict = _verdict(identity, innocent, bool(groups.get("mlfid")))
    together = (*before.lines, *lines)[-MAX_LINES:]
    kept = () if verdict == "failure" else tuple(line[:LENGTH] for line in together)
    after = _Connection(joined, users, kept, verdict == "pending", now + LIFETIME)
    return verdict, together, identity, after


def _verdict(identity: Identity | None, innocent: bool, connected: bool) -> Verdict:
    if innocent:
        return "nofail"
    if identity:
        return "failure"
    return "pending" if connected else "nobody"


def _joined(before: Mapping[str, Capture], groups: Mapping[str, Capture]) -> dict[str, Capture]:
    """Return the groups of a connection when a line has come.

    An address of the line replaces whatever was known, also in other groups. A name
    does not replace an address: whoever attacks can have any name.
    """
    if not before:
        return shown(groups)
    known = any(_is_address(name, groups) for name in ADDRESS_GROUPS)
    kept = {name: text for name, text in before.items() if not (known and name in WHO)}
    new = {name: text for name, text in shown(groups).items() if text or name not in kept}
    if any(_is_address(name, kept) for name in ("dns", "host")):
        new = {name: text for name, text in new.items() if name not in _NAMES}
    return kept | new


def _is_address(name: str, groups: Mapping[str, Capture]) -> bool:
    text = str(groups.get(name) or "")
    return bool(text) and (name in ("ip4", "ip6") or parse_address(text) is not None)


def _users(before: tuple[str, ...], groups: Mapping[str, Capture]) -> tuple[str, ...]:
    user = groups.get("user", "")
    text = (user if isinstance(user, str) else " ".join(user))[:LENGTH]
    if not text or text in before or len(before) >= MAX_USERS:
        return before
    return (*before, text)
