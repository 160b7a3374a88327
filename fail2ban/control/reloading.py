# SPDX-License-Identifier: GPL-2.0-or-later
"""`reload`, in all the forms a client sends it.

The daemon reads the configuration itself, and all of it: a section of which nothing has
changed goes on undisturbed, and one that was changed keeps its bans, `--restart` or not. The commands that some clients send along, made of what
they have read, are not needed.

Source: jail-conf.md sections 12.3 and 12.6; the shapes of the commands were seen on
the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host, NoJail, Refused
from fail2ban.records import Problem

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
        NoJail: the section does not run then, and `--if-exists` was not given.
        Refused: not all of it can be used; what can be is in force.
        ConfigError: it cannot be read; nothing has changed.
    """
    asked = _asked(said)
    before = [asked.jail] if asked.jail else host.jails()
    if "--unban" in asked.flags:
        host.unban([name for name in before if name in host.jails()], None)
    problems = host.reload()
    _check_errors(problems, asked.jail)
    if asked.jail and "--if-exists" not in asked.flags and asked.jail not in host.jails():
        raise NoJail(asked.jail)
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


def _check_errors(problems: Iterable[Problem], jail: str) -> None:
    """Tell what cannot be used, of one section if it was only asked for that."""
    errors = [one for one in problems if one.severity == "error"]
    told = [str(one) for one in errors if jail in ("", one.section)]
    if told:
        raise Refused("\n".join(told))
