# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of a section: listed, shown, changed and removed.

Source: jail-conf.md sections 9.1 and 12.3; the shapes of the answers were seen on the
wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fail2ban.config import arithmetic
from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host, Refused
from fail2ban.control.jailvalues import seconds
from fail2ban.records import ActionSettings, Command, JailSettings

_COMMANDS = frozenset("start stop check ban unban reban prolong flush repair reload".split())
_TIMEOUT = "timeout"
_NAMES = ("actname", "name")


def names(host: Host, jail: str, said: Sequence[str]) -> list[str]:
    """Return the names of the actions of a section."""
    return [action.name for action in host.jail(jail).actions]


def properties(host: Host, jail: str, said: Sequence[str]) -> list[str]:
    """Return the names of what can be asked of an action."""
    action = _action(host.jail(jail), words.only(said))
    commands = () if action.mail else (f"action{verb}" for verb in _COMMANDS)
    return sorted((*commands, *_NAMES, _TIMEOUT))


def methods(host: Host, jail: str, said: Sequence[str]) -> object:
    """Refuse to list what can be called: nothing can."""
    _action(host.jail(jail), words.only(said))
    raise Refused("an action has no methods; expected actionproperties")


def show(host: Host, jail: str, said: Sequence[str]) -> object:
    """Return one property of an action."""
    if len(said) != 2:
        raise words.incomplete()
    action = _action(host.jail(jail), said[0])
    return _property(action, jail, said[1])


def change(host: Host, jail: str, said: Sequence[str]) -> object:
    """Give one property of an action another value; return it."""
    if len(said) != 3:
        raise words.incomplete()
    name, option, value = said

    def changed(settings: JailSettings) -> JailSettings:
        new = _changed(_action(settings, name), option, value)
        return _with(settings, name, (new,))

    return _property(_action(host.change(jail, changed), name), jail, option)


def remove(host: Host, jail: str, said: Sequence[str]) -> None:
    """Take an action from a section."""
    name = words.only(said)

    def changed(settings: JailSettings) -> JailSettings:
        _action(settings, name)
        return _with(settings, name, ())

    host.change(jail, changed)


def add(host: Host, jail: str, said: Sequence[str]) -> object:
    """Refuse to add an action by hand."""
    host.jail(jail)
    raise Refused(
        "an action cannot be added by hand; expected it in the jail's action option, and a reload"
    )


def _action(settings: JailSettings, name: str) -> ActionSettings:
    found = [action for action in settings.actions if action.name == name]
    if not found:
        raise Refused(f"Invalid Action name: {name}")
    return found[0]


def _with(settings: JailSettings, name: str, instead: tuple[ActionSettings, ...]) -> JailSettings:
    """Return a section with other actions in the place of one."""
    place = [action.name for action in settings.actions].index(name)
    actions = settings.actions[:place] + instead + settings.actions[place + 1 :]
    return replace(settings, actions=actions)


def _property(action: ActionSettings, jail: str, option: str) -> object:
    if option == _TIMEOUT:
        return seconds(action.timeout)
    if option in _NAMES:
        return jail if option == "name" else action.name
    command: Command = getattr(action, _verb(action, option))
    return command.any or command.ip or command.ip6


def _changed(action: ActionSettings, option: str, value: str) -> ActionSettings:
    if option == _TIMEOUT:
        return replace(action, timeout=words.parsed(arithmetic.positive_duration, value))
    if option in _NAMES:
        raise Refused(f"{option} cannot be changed")
    parts: dict[str, Command] = {_verb(action, option): Command.same(value)}
    return replace(action, **parts)  # type: ignore[arg-type]


def _verb(action: ActionSettings, option: str) -> str:
    """Return the attribute that a property stands for."""
    verb = option.removeprefix("action")
    if action.mail or option == verb or verb not in _COMMANDS:
        expected = "expected one that actionproperties lists"
        raise Refused(f"{action.name} has no property {quoted(option)}; {expected}")
    return verb
