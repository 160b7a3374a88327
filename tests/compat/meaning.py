# SPDX-License-Identifier: GPL-2.0-or-later
"""What the peer and we make of a whole tree, in one shape that can be compared.

Source: jail-conf.md sections 5.4, 5.8 and 9.3.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fail2ban.config.loaded import Loaded
from fail2ban.config.tree import load
from fail2ban.records import ActionSettings, JailSettings
from tests.compat.peer import Peer

Value = str | list[str]

#: What options are called in the commands of the peer and by us.
_NAMES = {
    "addfailregex": "failregex",
    "addignoreregex": "ignoreregex",
    "addjournalmatch": "journalmatch",
    "addignoreip": "ignoreip",
    "addlogpath": "logpath",
}
#: What the commands do not name where a jail has none.
_NOTHING: dict[str, Value] = {
    "failregex": [],
    "ignoreregex": [],
    "prefregex": "",
    "datepattern": "",
    "maxlines": "1",
    "journalmatch": [],
    "ignoreip": [],
    "logpath": [],
}
_FAMILIES = ("any", "inet4", "inet6")
#: The commands of an action; it calls `ban` "actionban".
_VERBS = "start stop check ban unban reban prolong flush repair reload".split()


@dataclass
class PeerJail:
    """What the peer says of a jail.

    Attributes:
        options: by our names.
        actions: name and options of each.
    """

    options: dict[str, Value] = field(default_factory=dict)
    actions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def parsed(commands: list[list[Any]]) -> tuple[dict[str, str], dict[str, PeerJail]]:
    """Return what the commands of `-d` say of the daemon and of each jail."""
    daemon: dict[str, str] = {}
    jails: dict[str, PeerJail] = {}
    for what, *rest in commands:
        if what == "add":
            jails[rest[0]] = PeerJail({"backend": rest[1]})
        elif what == "set" and len(rest) == 2:
            daemon[rest[0]] = str(rest[1])
        elif what == "set":
            _note(jails[rest[0]], rest[1], rest[2:])
        elif what == "multi-set" and rest[1] == "action":
            jails[rest[0]].actions.append((rest[2], dict(rest[3])))
        elif what == "multi-set":
            _note(jails[rest[0]], rest[1], rest[2])
    return daemon, jails


def _note(jail: PeerJail, what: str, values: list[Any]) -> None:
    """Note an option; the commands name the elements of a list one by one, or several."""
    name = _NAMES.get(what, what)
    known = jail.options.get(name, [])
    if name in ("logpath", "ignoreip") and isinstance(known, list):
        jail.options[name] = sorted([*known, " ".join(values)])
    elif name in _NOTHING and isinstance(_NOTHING[name], list) and isinstance(known, list):
        jail.options[name] = [*known, *values]
    elif what != "addaction":
        jail.options[name] = _trimmed(str(values[0]))


class Difference(NamedTuple):
    """A value that the peer and we have otherwise; empty where there is none.

    Attributes:
        option: its name; of a command also the family.
    """

    jail: str
    option: str
    theirs: Value
    ours: Value | None

    @property
    def keys(self) -> set[tuple[str, str]]:
        """What it may be known as."""
        return {(self.jail, self.option), ("*", self.option)}


@dataclass
class Comparison:
    """What came out for all jails of a tree.

    Attributes:
        jails: their names.
        actions: how many they have together.
        values: how many were compared.
    """

    jails: list[str] = field(default_factory=list)
    actions: int = 0
    values: int = 0
    differences: list[Difference] = field(default_factory=list)

    def note(self, jail: str, theirs: Mapping[str, Value], ours: Mapping[str, Value]) -> None:
        """Compare all that the peer says of a jail, or of one of its actions."""
        self.values += len(theirs)
        for option, value in theirs.items():
            if ours.get(option) != value:
                self.differences.append(Difference(jail, option, value, ours.get(option)))

    def unexplained(self, known: Set[tuple[str, str]]) -> list[Difference]:
        """Return the differences that are not `known` by jail, or "*" for any, and option."""
        return [one for one in self.differences if not one.keys & known]

    def unused(self, known: Set[tuple[str, str]]) -> Set[tuple[str, str]]:
        """Return what is `known` and did not occur."""
        return set(known).difference(*(one.keys for one in self.differences))


def compare(peer: Peer, tree: Path) -> Comparison:
    """Compare each jail of a tree, option by option; all of them must load."""
    _, theirs = parsed(peer.dump(tree))
    loaded = load(tree)
    assert loaded.settings and not loaded.broken, loaded.problems
    ours = {jail.name: jail for jail in loaded.settings.jails}
    assert list(ours) == list(theirs)
    texts = iter(_texts(peer, theirs))
    result = Comparison(list(theirs))
    for name, jail in theirs.items():
        assert [one for one, _ in jail.actions] == [one.name for one in ours[name].actions]
        result.actions += len(jail.actions)
        result.note(name, {**_NOTHING, **jail.options}, _options(loaded, ours[name]))
        for action in ours[name].actions:
            part = _effective(loaded, name, f"action {action.name}")
            result.note(name, next(texts), {**part, **_commands(action)})
    return result


def _options(loaded: Loaded, jail: JailSettings) -> dict[str, Value]:
    """Return what is in force of a jail of ours, in the shape of `PeerJail.options`."""
    patterns, ignored = jail.filter, jail.ignore
    texts = _effective(loaded, jail.name, "") | _effective(loaded, jail.name, "filter ")
    return texts | {
        "failregex": [pattern.text for pattern in patterns.failregex],
        "ignoreregex": [pattern.text for pattern in patterns.ignoreregex],
        "prefregex": patterns.prefregex.text if patterns.prefregex else "",
        "datepattern": "\n".join(pattern.text for pattern in patterns.datepattern),
        "maxlines": str(patterns.maxlines),
        "usedns": patterns.usedns,
        "maxretry": str(jail.maxretry),
        "journalmatch": shlex.split(str(texts.get("journalmatch", ""))),
        "ignoreip": sorted([*map(str, ignored.networks), *ignored.names, *ignored.texts]),
        "logpath": sorted(
            f"{path} {'tail' if log in jail.tails else 'head'}"
            for log in jail.logs
            for path in glob.glob(log)
        ),
    }


def _effective(loaded: Loaded, jail: str, part: str) -> dict[str, Value]:
    return {
        value.option: _trimmed(value.text)
        for value in loaded.effective
        if value.section == jail and value.part.startswith(part) and bool(part) == bool(value.part)
    }


def _commands(action: ActionSettings) -> dict[str, Value]:
    """Return the commands of an action of ours by name and family."""
    found: dict[str, Value] = {}
    for verb in _VERBS:
        command = getattr(action, verb)
        texts = (command.any, command.ip, command.ip6)
        for family, text in zip(_FAMILIES, texts, strict=True):
            found[f"action{verb} {family}"] = text
    return found


def _texts(peer: Peer, jails: dict[str, PeerJail]) -> list[dict[str, Value]]:
    """Return commands and options of all actions, of all jails in order, filled in by the peer.

    It puts in at once what we leave for run time, as the names of the host, so a text
    without meaning to it stands in for these.
    """
    marks = {name: f"{{{name}}}" for name in ("fq-hostname", "sh-hostname", "br", "sp")}
    actions = [options | marks for jail in jails.values() for _, options in jail.actions]
    answers = peer.ask([{"do": "texts", "actions": actions}])[0]["texts"]
    return [dict(_named(texts, marks)) for texts in answers]


def _named(
    texts: Mapping[str, Mapping[str, str]], marks: Mapping[str, str]
) -> Iterator[tuple[str, Value]]:
    commands = {f"action{verb}" for verb in _VERBS}
    for option in commands | texts.keys() - marks.keys():
        for family in _FAMILIES:
            text = texts.get(option, {}).get(family, "")
            for name, mark in marks.items():
                text = text.replace(mark, f"<{name}>")
            if option in commands:
                yield f"{option} {family}", text
            elif family == "any":
                yield option, _trimmed(text)


def _trimmed(text: str) -> str:
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def report(differences: list[Difference]) -> str:
    """Show differences, each on lines of its own."""
    lines = [
        f"[{one.jail}] {one.option}:\n  peer {one.theirs!r}\n  ours {one.ours!r}"
        for one in differences
    ]
    return f"{len(lines)} values differ\n" + "\n".join(lines[:40])
