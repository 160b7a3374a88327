# SPDX-License-Identifier: GPL-2.0-or-later
"""What a careful colleague would say about a configuration that can be used.

Everything here is a warning. A disabled section is only asked for options that
mean nothing; what it would do does not matter until it is enabled.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from fail2ban.config.common import about_daemon, about_jail
from fail2ban.config.ini import Ini, Section
from fail2ban.config.interpolation import references
from fail2ban.config.values import quoted
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    JailSettings,
    MailSettings,
    Origin,
    Problem,
    Settings,
)

_DEFAULT, _MAIL = "DEFAULT", "MAIL"


@dataclass(frozen=True)
class Vocabulary:
    """The options that mean something, by where they do.

    Attributes:
        daemon: in [DEFAULT] only.
        jail: in a jail's section, and in [DEFAULT] for all of them.
        mail: in [MAIL], and in [DEFAULT].
        helpers: names that files are known to define for their own %(...)s.
    """

    daemon: frozenset[str]
    jail: frozenset[str]
    mail: frozenset[str]
    helpers: frozenset[str]

    def of(self, section: str) -> frozenset[str]:
        """Return the options that mean something in a section."""
        if section == _DEFAULT:
            return self.daemon | self.jail | self.mail
        return self.mail if section == _MAIL else self.jail


def lint(ini: Ini, settings: Settings, vocabulary: Vocabulary) -> list[Problem]:
    """Return the warnings about a file and what it came to, in no order."""
    jails = [jail for jail in settings.jails if jail.enabled]
    warnings = [
        *_unknown_options(ini, vocabulary),
        *_mistaken_names(ini),
        *([] if jails else [_nothing_to_do(ini)]),
        *(problem for jail in jails for problem in _about_jail(ini, jail)),
        *(_about(ini, _DEFAULT, option, text) for option, text in about_daemon(settings)),
        *(_about_mail(ini, settings.mail) if settings.mail else ()),
    ]
    # A command of [DEFAULT] is met in every section.
    return list(dict.fromkeys(warnings))


# The file --------------------------------------------------------------------


def _unknown_options(ini: Ini, vocabulary: Vocabulary) -> Iterator[Problem]:
    used = vocabulary.helpers | _referred_to(ini)
    for section in ini.sections.values():
        known = vocabulary.of(section.name)
        for name, value in section.options.items():
            if name not in known | used:
                text = _why_no_effect(name, known, vocabulary)
                yield _warning(value.origin, section.name, name, text)


def _why_no_effect(name: str, known: frozenset[str], vocabulary: Vocabulary) -> str:
    if name in vocabulary.daemon:
        return f"{name!r} has no effect here; it belongs in [DEFAULT]"
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else "it has no effect"
    return f"unknown option {quoted(name)}, {hint}"


def _referred_to(ini: Ini) -> frozenset[str]:
    return frozenset(
        name
        for section in ini.sections.values()
        for value in section.options.values()
        for line, _ in value.lines
        for name in references(line)
    )


def _mistaken_names(ini: Ini) -> Iterator[Problem]:
    for section in ini.sections.values():
        special = section.name.strip().upper()
        if special in (_DEFAULT, _MAIL) and section.name != special:
            text = f"{quoted(section.name)} is a section like any other, did you mean {special!r}?"
            yield _warning(section.origin, section.name, "", text)


def _nothing_to_do(ini: Ini) -> Problem:
    text = "no log is watched; expected a section that can be used and says 'enabled = true'"
    return _warning(Origin(ini.file), "", "", text)


# The jails -------------------------------------------------------------------


def _about_jail(ini: Ini, jail: JailSettings) -> Iterator[Problem]:
    for action in jail.actions:
        option = "fwban" if action.ban else "fwbanmany"
        for text in _about_action(action, jail.bantime, option):
            yield _about(ini, jail.name, option, text)
    if jail.bantime == 0:
        text = "0 lifts every ban at once; expected a duration as 10m, or -1 for ever"
        yield _about(ini, jail.name, "bantime", text)
    for option, text in about_jail(jail, "fwcheck"):
        yield _about(ini, jail.name, option, text)


def _about_action(action: ActionSettings, bantime: float | None, option: str) -> Iterator[str]:
    bans, lifts = action.ban or action.banmany, action.unban or action.unbanmany
    if action.families != FAMILIES:
        yield "'iptables' bans IPv4 only; write '<iptables>' in every command to ban IPv6 too"
    if bans and not lifts and bantime is not None:
        yield f"{option} has no fwunban; expected one, or 'bantime = -1' for permanent bans"
    if action.ban and "<ip>" not in action.ban.any and "F2B_IP" not in action.ban.any:
        yield "the command does not say whom to ban; expected '<ip>' in it"


# The mail --------------------------------------------------------------------


def _about_mail(ini: Ini, mail: MailSettings) -> Iterator[Problem]:
    if mail.user and mail.password and not mail.tls and not _is_local(mail.host):
        text = f"it is sent readable for anyone on the way to {quoted(mail.host)}"
        yield _about(ini, _MAIL, "password", f"{text}; expected 'tls = starttls' or 'tls = ssl'")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().partition(".")[0] == "localhost"


def _about(ini: Ini, section: str, option: str, text: str) -> Problem:
    """Warn about an option where it is written: in its section, or in [DEFAULT]."""
    written = [ini.sections[name] for name in (section, _DEFAULT) if name in ini.sections]
    place = next((part for part in written if option in part.options), None)
    place = place or ini.sections.get(section) or Section(section, Origin(ini.file), {})
    return _warning(_origin(place, option), place.name, option, text)


def _origin(section: Section, option: str) -> Origin:
    return section.options[option].origin if option in section.options else section.origin


def _warning(origin: Origin, section: str, option: str, text: str) -> Problem:
    return Problem(origin, section, option, text, severity="warning")
