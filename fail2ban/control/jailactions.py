# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of a section: listed, shown, changed and removed.

Source: jail-conf.md sections 9.1 and 12.3; the shapes of the answers were seen on the
wire.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from fail2ban.config import arithmetic, batch, tree_action
from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host, Refused
from fail2ban.control.jailvalues import seconds
from fail2ban.records import ActionSettings, Command, JailSettings

_COMMANDS = frozenset(
    "start stop check ban unban reban prolong banmany unbanmany flush repair reload".split()
)
_MANY = frozenset({"actionbanmany", "actionunbanmany"})
_METHODS = frozenset({"ban", "unban"})
_ITSELF = "the daemon does that when it is due"
_AT_START = "expected reload --restart {jail}"
#: Methods elsewhere, and what to do instead: what a firewall holds is to be known.
_REFUSED = {
    "start": _AT_START,
    "stop": _AT_START,
    "flush": "expected set {jail} unbanip, or unban --all",
    **dict.fromkeys(("reload", "reban", "prolong", "consistencyCheck"), _ITSELF),
}
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


def methods(host: Host, jail: str, said: Sequence[str]) -> list[str]:
    """Return the names of what can be called."""
    action = _action(host.jail(jail), words.only(said))
    return [] if action.mail else sorted(_METHODS)


def show(host: Host, jail: str, said: Sequence[str]) -> object:
    """Return one property of an action."""
    if len(said) != 2:
        raise words.incomplete()
    action = _action(host.jail(jail), said[0])
    return _property(action, jail, said[1])


def change(host: Host, jail: str, said: Sequence[str]) -> object:
    """Give one property of an action another value, and return it; or call a method."""
    if len(said) not in (2, 3):
        raise words.incomplete()
    name, option, value = (*said, "")[:3]
    if option in _METHODS | _REFUSED.keys():
        _call(host, jail, name, option, value)
        return None
    if len(said) == 2:
        raise words.incomplete()

    def changed(settings: JailSettings) -> JailSettings:
        # The configuration would have put these in, too.
        text = value.replace("<name>", jail).replace("<actname>", name)
        new = _changed(_action(settings, name), option, text)
        return _with(settings, name, (new,))

    return _property(_action(host.change(jail, changed), name), jail, option)


def remove(host: Host, jail: str, said: Sequence[str]) -> None:
    """Take an action from a section."""
    name = words.only(said)

    def changed(settings: JailSettings) -> JailSettings:
        _action(settings, name)
        return _with(settings, name, ())

    host.change(jail, changed)


def add(host: Host, jail: str, said: Sequence[str]) -> str:
    """Add an action behind the others; return its name.

    It does nothing until its commands are set; or it tells by mail.
    """
    name = words.some(said)[0]
    action = _of_file(name, said[1:]) if said[1:] else ActionSettings(name, enforces=False)

    def changed(settings: JailSettings) -> JailSettings:
        if any(one.name == name for one in settings.actions):
            raise Refused(f"Action {name} already exists")
        return replace(settings, actions=(*settings.actions, action))

    host.change(jail, changed)
    return name


def _of_file(name: str, said: Sequence[str]) -> ActionSettings:
    """Return the action that a file in Python stands for, given its options as JSON."""
    if len(said) != 2:
        raise words.incomplete()
    file, text = said
    if os.path.basename(file) != tree_action.MAIL:
        raise Refused(
            f"{quoted(file)} is a part of another program, in Python, which cannot run here; "
            f"expected {tree_action.MAIL}, or an action of commands"
        )
    given = {option: str(value) for option, value in _object(text).items() if value is not None}
    if wrong := sorted(given.keys() - tree_action.OF_MAIL):
        expected = f"expected {', '.join(sorted(tree_action.OF_MAIL))}"
        raise Refused(f"{tree_action.MAIL} has no option {quoted(wrong[0])}; {expected}")
    return words.parsed(lambda _: tree_action.mail_action(name, given), "")


def _call(host: Host, jail: str, name: str, method: str, text: str) -> None:
    """Have a command of an action run for one id."""
    action = _action(host.jail(jail), name)
    if action.mail or method in _REFUSED:
        instead = _REFUSED.get(method, "its mails say what is so").format(jail=jail)
        raise Refused(f"{method} of {name} cannot be called by hand; {instead}")
    info = _object(text or "{}").get("aInfo")
    ip = info.get("ip") if isinstance(info, dict) else None
    if not isinstance(ip, str):
        raise Refused(f'{quoted(text)} names nobody; expected {{"aInfo": {{"ip": ADDRESS}}}}')
    host.enforce(jail, name, words.identity(ip), method == "ban")


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{quoted(text)} is no object of JSON")
    return found


def _action(settings: JailSettings, name: str) -> ActionSettings:
    found = [action for action in settings.actions if action.name == name]
    if not found:
        raise Refused(f"'Invalid Action name: {name}'")
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
    if option in _MANY and (wrong := batch.check(value.split("\n"))):
        raise Refused(f"{option}: {wrong[1]}")
    parts: dict[str, Command] = {_verb(action, option): Command.same(value)}
    changed: ActionSettings = replace(action, **parts)  # type: ignore[arg-type]
    return replace(changed, enforces=action.enforces or tree_action.enforces(changed))


def _verb(action: ActionSettings, option: str) -> str:
    """Return the attribute that a property stands for."""
    verb = option.removeprefix("action")
    if action.mail or option == verb or verb not in _COMMANDS:
        expected = "expected one that actionproperties lists"
        raise Refused(f"{action.name} has no property {quoted(option)}; {expected}")
    return verb
