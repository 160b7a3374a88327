# SPDX-License-Identifier: GPL-2.0-or-later
"""`reload`, in all the forms a client sends it.

The daemon reads the configuration itself, all of it, and takes it over as a whole or
not at all. The commands that some clients send along, made of what they have read,
are not needed.

Source: jail-conf.md sections 12.3 and 12.6; the shapes of the commands, and what is
said of a section that does not run, were seen of a client and its server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host, NoJail, Refused

_ALL = "--all"
_FLAGS = frozenset({_ALL, "--restart", "--unban", "--if-exists"})


@dataclass(frozen=True)
class _Asked:
    """What a reload was asked to do.

    Attributes:
        jail: empty: all.
    """

    jail: str
    flags: frozenset[str]


def reload(host: Host, said: Sequence[object]) -> str:
    """Read the configuration again; return "OK".

    Args:
        said: flags and the name of a section; or "--all" or a name, a list of flags
            and a list of commands.

    Raises:
        NoJail: the section does not run, and `--if-exists` was not given; or the
            configuration has none of this name.
        ConfigError: the configuration cannot be used; nothing has changed.
    """
    asked = _asked(said)
    if asked.jail and "--if-exists" not in asked.flags and asked.jail not in host.jails():
        raise NoJail(asked.jail)
    host.reload(asked.jail, "--restart" in asked.flags, "--unban" in asked.flags)
    return "OK"


def _asked(said: Sequence[object]) -> _Asked:
    texts = [words.plain(word) for word in said if not isinstance(word, list | tuple)]
    lists = [word for word in said if isinstance(word, list | tuple)]
    texts += [words.plain(word) for word in (lists[0] if lists else ())]
    flags = [text for text in texts if text.startswith("--")]
    if wrong := [flag for flag in flags if flag not in _FLAGS]:
        expected = f"expected {', '.join(sorted(_FLAGS))}"
        raise Refused(f"{quoted(wrong[0])} is unknown; {expected}")
    jails = [text for text in texts if not text.startswith("--")]
    if len(jails) > 1 or (jails and _ALL in flags):
        raise Refused("expected --all or the name of one jail")
    return _Asked(jails[0] if jails else "", frozenset(flags))
