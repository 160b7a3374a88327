# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of a jail of the tree.

Source: jail-conf.md sections 5.2, 9.1, 9.6, 9.7 and 15.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fail2ban.config import arithmetic, batch
from fail2ban.config.brackets import BracketError, Element, elements
from fail2ban.config.definition import TAG_FAMILIES, Definition, TagFamily
from fail2ban.config.ini import Value
from fail2ban.config.interpolation import Place
from fail2ban.config.loaded import Effective
from fail2ban.config.options import Findings, Option
from fail2ban.config.tree_options import Options
from fail2ban.config.trees import Fetch, Tree
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import (
    FAMILIES,
    NO_COMMAND,
    ActionSettings,
    Command,
    Family,
    MailActionSettings,
    Problem,
)

_WORDS: dict[str, Family] = {
    **{"inet4": "ip", "ipv4": "ip", "ip4": "ip", "inet": "ip", "4": "ip"},
    **{"inet6": "ip6", "ipv6": "ip6", "ip6": "ip6", "6": "ip6"},
}
# The program itself, in whatever folder, where a command can begin.
_IPTABLES = re.compile(r"(?:^|[\s;|&({/])iptables(?=\s)", re.MULTILINE)
_BOTH_FAMILIES = re.compile(r"ip6tables|<family>")
#: Programs that keep somebody out for good, even where nothing is said of lifting.
FIREWALL = re.compile(r"\b(?:ip6?tables|nft|ipset|pfctl|ufw|firewall-cmd|route)\s")
_PYTHON = ".py"
#: The file that our own action which tells by mail stands for, and its options.
MAIL = "smtp.py"
OF_MAIL = frozenset("name actname host user password sendername sender dest matches ssl".split())


TIMEOUT = Option("timeout", arithmetic.positive_duration, ActionSettings().timeout)


@dataclass
class Actions:
    """The actions of a jail.

    Attributes:
        settings: those that can be used, in order.
        effective: every value in force of them.
        refused: those that cannot be used by any program but the first of this name.
    """

    settings: list[ActionSettings]
    effective: list[Effective]
    refused: list[Problem]


_Matches = Literal["", "matches", "ipmatches", "ipjailmatches"]


class Reader:
    """Reads the actions of one jail.

    Args:
        fetch: the jail's section, which sees its filter.
        jail: its options.
    """

    def __init__(self, tree: Tree, fetch: Fetch, jail: Options, findings: Findings) -> None:
        self._tree, self._fetch, self._jail = tree, fetch, jail
        self._findings = findings
        self._names: set[str] = set()
        self._read = Actions([], [], [])

    def actions(self) -> Actions:
        """Return the actions.

        Raises:
            ConfigError: one of them is missing or broken.
        """
        value = self._jail.value("action")
        try:
            found = elements(value.text) if value else []
        except BracketError as error:
            raise self._jail.refuse("action", str(error), error.line) from None
        for one in found:
            for remark in one.remarks:
                self._jail.report("action", remark, line=one.line, severity="warning")
            self._add(one)
        return self._read

    def _add(self, found: Element) -> None:
        options = {"name": self._jail.section, **found.options}
        name = self._unique(options.get("actname") or self._actname(found.name, options), found)
        options["actname"] = name
        if found.name == MAIL:
            self._read.settings.append(self._mail_action(name, found))
        elif found.name.endswith(_PYTHON):
            self._refuse(found)
        else:
            self._read.settings.append(self._shell_action(name, found, options))

    def _actname(self, file: str, options: Mapping[str, str]) -> str:
        """Return the usual name of an action, which tells who it is for."""
        jail, name = self._jail.section, options["name"]
        if name == jail:
            return file
        return file + (name.removeprefix(jail) if name.startswith(jail) else f"-{name}")

    def _unique(self, name: str, found: Element) -> str:
        number, unique = 2, name
        while unique in self._names:
            number, unique = number + 1, f"{name}-{number}"
        if unique != name:
            text = f"there is an action {quoted(name)} already; expected 'actname=' to name it"
            follows = f"this one is called {unique!r}"
            self._jail.report("action", text, follows, line=found.line, severity="warning")
        self._names.add(unique)
        return unique

    def _refuse(self, found: Element) -> None:
        text = (
            f"{quoted(found.name)} is a part of another program, in Python, which cannot run "
            "here; expected an action of commands from a .conf file"
        )
        self._read.refused.append(self._jail.problem("action", text, found.line))

    def _shell_action(self, name: str, found: Element, given: Mapping[str, str]) -> ActionSettings:
        place = self._place(found)
        definition = self._tree.action(found.name, given, self._fetch, place=place)
        section, part = self._jail.section, f"action {name}"
        options = Options(definition, section, definition.origin, self._findings, part)
        for option in definition.options():
            options.value(option)
        commands = self._checked(_commands(definition), definition, options)
        settings = replace(
            commands,
            name=name,
            on_demand=options.truth("actionstart_on_demand", bool(definition.families)),
            repair_on_unban=options.truth("actionrepair_on_unban", False),
            norestored=options.truth("norestored", False),
            families=self._families(definition, options, commands),
            timeout=options.get(TIMEOUT),
            enforces=enforces(commands),
        )
        self._read.effective += options.effective.values()
        self._read.effective += _variants(definition, options)
        return settings

    def _checked(
        self, commands: ActionSettings, definition: Definition, options: Options
    ) -> ActionSettings:
        """Take out what is for many but speaks of one ban.

        Raises:
            ConfigError: nothing can stand in for it.
        """
        if _is_wrong("actionbanmany", bool(commands.ban), definition, options):
            commands = replace(commands, banmany=NO_COMMAND)
        if _is_wrong("actionunbanmany", bool(commands.unban), definition, options):
            commands = replace(commands, unbanmany=NO_COMMAND)
        return commands

    def _place(self, found: Element) -> Place | None:
        """Return where an action is written, which may be another option than `action`."""
        place, value = self._fetch.place("action"), self._jail.value("action")
        if place is None or value is None:
            return None
        at = value.place(value.lines[found.line][1])
        return replace(place, value=Value(((found.name, at.line),), at))

    def _families(
        self, definition: Definition, options: Options, commands: ActionSettings
    ) -> tuple[Family, ...]:
        """Tell whom a command can ban: `iptables` alone knows only IPv4."""
        listed = definition.get("families")
        words = re.findall(r"\w+", listed.text.lower()) if listed else []
        if named := {_WORDS[word] for word in words if word in _WORDS}:
            return tuple(one for one in FAMILIES if one in named)
        option = "actionban" if commands.ban else "actionbanmany"
        ban = commands.ban or commands.banmany
        only_ipv4 = _IPTABLES.search(ban.any) and not _BOTH_FAMILIES.search(ban.any)
        if definition.families or not only_ipv4:
            return FAMILIES
        text = "'iptables' bans IPv4 only; expected an action that knows 'ip6tables', too"
        options.report(option, text, "IPv6 is not banned", severity="warning")
        return FAMILIES[:1]

    def _mail_action(self, name: str, found: Element) -> ActionSettings:
        """Return our own action in the place of the one that tells by mail."""
        given = found.options
        for option in sorted(given.keys() - OF_MAIL):
            close = difflib.get_close_matches(option, sorted(OF_MAIL), n=1)
            hint = f"did you mean {close[0]!r}?" if close else "it has no effect"
            text = f"{MAIL} has no option {quoted(option)}; {hint}"
            self._jail.report("action", text, line=found.line, severity="warning")
        self._record(name, found)
        try:
            return mail_action(name, given)
        except ValueError as error:
            self._jail.report("action", str(error), "using none", line=found.line)
            return mail_action(name, {**given, "matches": ""})

    def _record(self, name: str, found: Element) -> None:
        place = self._jail.problem("action", "", found.line)
        part = f"action {name}"
        self._read.effective += [
            Effective(self._jail.section, part, option, text, place.origin)
            for option, text in found.options.items()
        ]


def mail_action(name: str, given: Mapping[str, str]) -> ActionSettings:
    """Return our own action that tells by mail.

    Args:
        given: its options, see `OF_MAIL`.

    Raises:
        ValueError: `matches` is none of those there are.
    """
    usual = MailActionSettings()
    mail = MailActionSettings(
        host=given.get("host") or usual.host,
        user=given.get("user", usual.user),
        password=given.get("password", usual.password),
        sender_name=given.get("sendername") or usual.sender_name,
        sender=given.get("sender") or usual.sender,
        to=tuple(re.findall(r"[^\s,]+", given.get("dest", ""))) or usual.to,
        matches=_matches(given.get("matches", "")),
        tls=given.get("ssl", "").lower() in ("1", "on", "true", "yes"),
    )
    # A mail about a ban of an earlier run would tell nothing new.
    return ActionSettings(name=name, norestored=True, mail=mail, enforces=False)


def _matches(text: str) -> _Matches:
    match text.lower():
        case "" | "none":
            return ""
        case "matches" | "ipmatches" | "ipjailmatches" as kind:
            return kind
    expected = "expected matches, ipmatches or ipjailmatches"
    raise ValueError(f"matches={quoted(text)} is unknown; {expected}")


def _commands(definition: Definition) -> ActionSettings:
    return ActionSettings(
        start=_command(definition, "actionstart"),
        stop=_command(definition, "actionstop"),
        check=_command(definition, "actioncheck"),
        ban=_command(definition, "actionban"),
        unban=_command(definition, "actionunban"),
        reban=_command(definition, "actionreban"),
        prolong=_command(definition, "actionprolong"),
        banmany=_command(definition, "actionbanmany"),
        unbanmany=_command(definition, "actionunbanmany"),
        flush=_command(definition, "actionflush"),
        repair=_command(definition, "actionrepair"),
        reload=_command(definition, "actionreload"),
    )


def enforces(action: ActionSettings) -> bool:
    """Tell whether an action keeps somebody out; what nobody can lift mostly tells."""
    texts = (text for ban in (action.ban, action.banmany) for text in (ban.any, ban.ip, ban.ip6))
    lifts = action.unban or action.unbanmany or action.flush
    return bool(lifts or FIREWALL.search("\n".join(texts)))


def _is_wrong(name: str, replaceable: bool, definition: Definition, options: Options) -> bool:
    """Report what a command for many cannot say.

    Args:
        replaceable: another command can stand in for it.

    Raises:
        ConfigError: none can.
    """
    values = (definition.get(name), *(definition.family(name, one) for one in TAG_FAMILIES))
    for value in filter(None, values):
        if wrong := batch.check(text for text, _ in value.lines):
            line, text = wrong
            problem = replace(options.problem(name, text), origin=value.place(value.lines[line][1]))
            if not replaceable:
                raise ConfigError([problem])
            options.note(problem, "they are carried out one by one")
            return True
    return False


def _command(definition: Definition, option: str) -> Command:
    """Return a command by family; where nothing depends on it, all three are equal."""

    def text(family: TagFamily) -> str:
        value = definition.family(option, family)
        return value.text if value else ""

    value = definition.get(option)
    return Command(value.text if value else "", text("inet4"), text("inet6"))


def _variants(definition: Definition, options: Options) -> Iterator[Effective]:
    """Return the values that are others for a family, each under its own name."""
    for family in definition.families:
        for name, usual in options.effective.items():
            value = definition.family(name, family)
            if value and value.text != usual.text:
                yield replace(usual, option=f"{name}?family={family}", text=value.text)
