# SPDX-License-Identifier: GPL-2.0-or-later
"""The patterns of a section: shown as they were expanded, added and removed.

Source: jail-conf.md sections 7, 8.5 and 12.3; the shapes of the answers were seen on
the wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from fail2ban.control import words
from fail2ban.control.jailvalues import Change, Setting
from fail2ban.detect import templates
from fail2ban.detect.regextags import compile_tagged
from fail2ban.records import FilterSettings, JailSettings, Problem, Sourced

Kind = Literal["failregex", "ignoreregex"]

# Detectors that have a name, but no format.
_KEYWORDS = frozenset({"EPOCH", "LEPOCH", "TAI64N"})
_DEFAULT = "Default Detectors"


def _listed(kind: Kind) -> Callable[[JailSettings], list[str]]:
    def show(settings: JailSettings) -> list[str]:
        return [_expanded(settings.filter, kind, one) for one in _of(settings.filter, kind)]

    return show


def _of(filter: FilterSettings, kind: Kind) -> tuple[Sourced, ...]:
    return filter.failregex if kind == "failregex" else filter.ignoreregex


def _with(settings: JailSettings, kind: Kind, patterns: tuple[Sourced, ...]) -> JailSettings:
    if kind == "failregex":
        return replace(settings, filter=replace(settings.filter, failregex=patterns))
    return replace(settings, filter=replace(settings.filter, ignoreregex=patterns))


def _expanded(filter: FilterSettings, option: str, pattern: Sourced) -> str:
    """Return a pattern as `re` gets it; what cannot be compiled as it is written."""
    if not filter.tagged:
        return pattern.text
    regex = compile_tagged(
        pattern, filter.section, option, _ignore, filter.usedns, filter.maxlines > 1
    )
    return regex.pattern if regex else pattern.text


def _ignore(problem: Problem) -> None:
    """Tell nobody: it was told when the pattern was read."""


def _add(kind: Kind) -> Change:
    def change(settings: JailSettings, said: Sequence[str]) -> JailSettings:
        pattern = words.sourced(words.only(said))
        return _with(settings, kind, (*_of(settings.filter, kind), pattern))

    return change


def _remove(kind: Kind) -> Change:
    def change(settings: JailSettings, said: Sequence[str]) -> JailSettings:
        patterns = _of(settings.filter, kind)
        place = words.number(words.only(said), len(patterns))
        return _with(settings, kind, patterns[:place] + patterns[place + 1 :])

    return change


def _prefregex(settings: JailSettings) -> str:
    pattern = settings.filter.prefregex
    return _expanded(settings.filter, "prefregex", pattern) if pattern else ""


def _set_prefregex(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    text = words.only(said)
    pattern = words.sourced(text) if text.strip() else None
    return replace(settings, filter=replace(settings.filter, prefregex=pattern))


def _datepattern(settings: JailSettings) -> tuple[str | None, str]:
    """Return the format, if there is one, and a name for people."""
    texts = [one.text for one in settings.filter.datepattern]
    if not texts:
        return None, _DEFAULT
    shown = [_named(text) for text in texts]
    if len(shown) == 1:
        return shown[0]
    return "\n".join(texts), "\n".join(name for _, name in shown)


def _named(text: str) -> tuple[str | None, str]:
    if len(templates.expand(text)) > 1:
        return None, _DEFAULT if text.upper() in ("{DEFAULT}", templates.LINE_BEGIN) else text
    if text.upper() in _KEYWORDS:
        return None, text.capitalize()
    try:
        return text, templates.form_of(text, time.localtime().tm_year).name
    except ValueError:
        return text, text


def _set_datepattern(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    lines = words.only(said).splitlines()
    patterns = tuple(words.sourced(line.strip()) for line in lines if line.strip())
    return replace(settings, filter=replace(settings.filter, datepattern=patterns))


SETTINGS: dict[str, Setting] = {
    "prefregex": Setting(_prefregex, _set_prefregex),
    "datepattern": Setting(_datepattern, _set_datepattern),
}
#: Option -> what is shown of it.
SHOW: dict[str, Callable[[JailSettings], object]] = {
    "failregex": _listed("failregex"),
    "ignoreregex": _listed("ignoreregex"),
}
#: Verb -> the change, and what is shown then.
VERBS: dict[str, Setting] = {
    f"{verb}{kind}": Setting(_listed(kind), make(kind))
    for kind in ("failregex", "ignoreregex")
    for verb, make in (("add", _add), ("del", _remove))
}
