# SPDX-License-Identifier: GPL-2.0-or-later
"""A filter or an action, with the arguments that a jail gives it.

Where an option is looked for, the nearest first: arguments, [Init], options of the
jail that actions may use, [Definition], [DEFAULT]. An option of a family, written
in a section as `[Init?family=inet6]`, stands before those of every family.

Source: jail-conf.md sections 3, 4 and 9.1.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fail2ban.config import values
from fail2ban.config.fetch import Fetch, Lazy, fact_layer
from fail2ban.config.ini import Value
from fail2ban.config.interpolation import Layer, Place, Scope
from fail2ban.config.merged import Merged
from fail2ban.config.options import DEFAULT, Findings
from fail2ban.config.tags import Spot, Tags
from fail2ban.config.values import quoted
from fail2ban.records import Origin, Problem

DEFINITION, INIT = "Definition", "Init"

TagFamily = Literal["inet4", "inet6"]
TAG_FAMILIES: tuple[TagFamily, TagFamily] = ("inet4", "inet6")

#: What a jail can say instead of its filter.
OF_FILTER = frozenset(
    {"failregex", "ignoreregex", "prefregex", "datepattern", "maxlines", "journalmatch"}
)
#: What an action can see of its jail.
_BOOLEANS = frozenset(
    {"enabled", "skip_if_nologs", "systemd_if_nologs", "ignoreself", "bantime.increment"}
)
_OF_JAIL = _BOOLEANS | OF_FILTER | frozenset(
    {"filter", "action", "backend", "logpath", "logencoding", "logtimezone", "maxretry"}
    | {"findtime", "maxmatches", "usedns", "ignoreip", "ignorecommand", "ignorecache"}
    | {"bantime.factor", "bantime.formula", "bantime.multipliers", "bantime.maxtime"}
    | {"bantime.rndtime", "bantime.overalljails"}
)  # fmt: skip

# Tags that something else fills later. Where an option has the name of one, the
# option is meant, but for those of `_ALWAYS_LATER`.
_ALWAYS_LATER = frozenset({"bantime"})
_LATER = _ALWAYS_LATER | frozenset(
    "ip fid family ip-rev ip-host failures time bancount restored matches ipmatches"
    " ipjailmatches ipfailures ipjailfailures raw-ticket br sp fq-hostname sh-hostname"
    " banstart seconds unbantime".split()
)
# Tags of a pattern are no option that happens to have the name in lower case.
_TAG = re.compile(r"<([^ <>]+)>")
_OF_PATTERN = frozenset({"HOST", "ADDR", "DNS", "IP4", "IP6", "SUBNET", "CIDR", "SKIPLINES"})


@dataclass(frozen=True)
class Use:
    """How a jail uses a filter or an action.

    Attributes:
        kind: "filter" or "action".
        jail: the jail; what an action can see of it knows the filter already.
        arguments: name, as written -> text.
        place: where the arguments are written.
        presets: what stands in for an option that [Definition] lacks.
        facts: see `Fetch`.
    """

    kind: Literal["filter", "action"]
    jail: Fetch
    arguments: Mapping[str, str]
    place: Place | None
    presets: Mapping[str, str]
    facts: Mapping[str, str]


class Definition:
    """The options of a filter or an action, as one jail uses it.

    Attributes:
        origin: the file that it comes first from.
        families: families that the name of an option speaks of; () = none.
    """

    def __init__(self, merged: Merged, use: Use, findings: Findings) -> None:
        self.origin = merged.origin
        self._merged, self._use, self._findings = merged, use, findings
        self._arguments = _argument_layer(use, merged.origin)
        self._layers = self._all_layers()
        facts = fact_layer(DEFINITION, use.facts)
        self._percent = Scope([facts, *self._layers], merged.sections)
        self._stores: dict[str, Scope] = {}
        self._views = {one: self._view(one) for one in (None, *TAG_FAMILIES)}
        self._tags = {one: self._filler(view) for one, view in self._views.items()}
        self.families = self._named_families()

    def get(self, option: str) -> Value | None:
        """Return an option with every tag replaced that can be; None if there is none.

        What the jail says instead of its filter keeps its tags.

        Raises:
            ConfigError: it cannot be made; the filter or action is of no use.
        """
        if self._use.kind == "filter" and option in OF_FILTER:
            passed = option in self._arguments.options
            if not passed and (said := self._use.jail.place(option)):
                self._warn_of_tags(said)
                return self._use.jail.knowing(self.known()).get(option)
        return self._filled(option, None)

    def family(self, option: str, family: TagFamily) -> Value | None:
        """Return what `get` does, made of the options of one family where it has any."""
        return self._filled(option, family if family in self.families else None)

    def options(self) -> list[str]:
        """Return the names of the options of the files, and of the arguments."""
        layers = [self._arguments, self._merged.layer(INIT), self._merged.layer(DEFINITION)]
        names = [name.lower() for layer in reversed(layers) for name in layer.options]
        return list(dict.fromkeys(name for name in names if "?" not in name))

    def known(self) -> Layer:
        """Return what `%(known/x)s` of a jail sees of its filter."""
        return Layer(self._merged.name, Lazy(frozenset(self.options()), self._known), literal=True)

    def _known(self, option: str) -> Value:
        value = self._filled(option, None)
        assert value is not None
        return value

    def _filled(self, option: str, family: TagFamily | None) -> Value | None:
        place = self._views[family].find(option)
        return self._tags[family].fill(place) if place else None

    # Where things are looked for ------------------------------------------

    def _all_layers(self) -> list[Layer]:
        definition = self._merged.layer(DEFINITION)
        init = replace(self._merged.layer(INIT), parameters=True)
        preset = {name: text for name, text in self._use.presets.items()
                  if name not in definition.options}  # fmt: skip
        layers = [self._arguments, _built_in(preset), init]
        if self._use.kind == "action":
            layers.append(_jail_layer(self._use.jail))
        return [*layers, definition, self._merged.layer(DEFAULT)]

    def _named_families(self) -> tuple[TagFamily, ...]:
        names = [name for layer in self._layers for name in layer.options if "?" in name]
        return tuple(
            one for one in TAG_FAMILIES if any(name.endswith(f"?family={one}") for name in names)
        )

    def _view(self, family: TagFamily | None) -> Scope:
        """Return what tags can see for a family."""
        layers = self._layers
        if family:
            own = [_of_family(layer, family) for layer in layers]
            # What was passed for all families stands before what files have for one.
            layers = [own[0], layers[0], *own[1:-1], *layers[1:-1], own[-1], layers[-1]]
        return Scope(layers, self._merged.sections)

    def _filler(self, view: Scope) -> Tags:
        return Tags(functools.partial(self._refer, view), self._expand, self._stays)

    def _refer(self, view: Scope, name: str, place: Place) -> Place | None:
        if name in _ALWAYS_LATER and self._use.kind == "action":
            return None
        if name in _OF_PATTERN or name.startswith(("F-", "/")):
            return view.find(name)
        return view.refer(name, place)

    def _expand(self, place: Place) -> Value:
        """Replace the percent forms of an option, which sees its own section first."""
        main = place.section in (DEFINITION, DEFAULT)
        if place.literal or main or place.section not in self._merged.sections:
            return self._percent.expand(place)
        if place.section not in self._stores:
            self._stores[place.section] = self._store(place.section)
        return self._stores[place.section].expand(place)

    def _store(self, section: str) -> Scope:
        """Return what the values of a section other than [Definition] see."""
        facts = fact_layer(section, self._use.facts)
        passed, rest = self._layers[:2], self._layers[2:]
        own = [self._merged.sections[section], self._merged.layer(DEFAULT)]
        layers = [*passed, *own, *rest] if section != INIT else self._layers
        return Scope([facts, *layers], self._merged.sections)

    # What is told ----------------------------------------------------------

    def _stays(self, name: str, spot: Spot) -> None:
        """Warn of a tag that means nothing here, but is an option of the jail."""
        if name not in _LATER and (found := self._use.jail.place(name)):
            text = (
                f"{quoted(f'<{name}>')} stays as it is, since the option {name!r} of "
                f"{found.value.origin} is not seen here; pass it as [{name}=...]"
            )
            self._warn(spot.place.problem(text, spot.number))

    def _warn_of_tags(self, said: Place) -> None:
        """Warn of a tag in a text of the jail that only the filter would replace."""
        names = frozenset(self.options())
        for line, number in said.value.lines:
            for tag in _TAG.findall(line):
                if tag in names:
                    text = f"{quoted(f'<{tag}>')} stays as it is; only filters replace their tags"
                    self._warn(said.problem(text, number))

    def _warn(self, problem: Problem) -> None:
        self._findings.add(replace(problem, severity="warning"))


def _argument_layer(use: Use, fallback: Origin) -> Layer:
    """Return the arguments, by their names and by these in lower case."""
    origin = use.place.value.origin if use.place else fallback
    section, label = (use.place.section, use.place.option) if use.place else ("", use.kind)
    made = {name: _text(text, origin) for name, text in use.arguments.items()}
    options = {name.lower(): value for name, value in made.items()} | made
    labels = dict.fromkeys(options, label)
    return Layer(section, options, literal=True, labels=labels, given=True)


def _built_in(options: Mapping[str, str]) -> Layer:
    made = {name: _text(text, Origin("built-in")) for name, text in options.items()}
    return Layer("", made, literal=True, given=True)


def _jail_layer(jail: Fetch) -> Layer:
    """Return what an action sees of its jail."""
    names = frozenset(name for name in _OF_JAIL if jail.place(name))

    def make(name: str) -> Value:
        value = jail.get(name)
        assert value is not None
        return _told(value) if name in _BOOLEANS else value

    return Layer(jail.name, Lazy(names, make), literal=True, given=True)


def _told(value: Value) -> Value:
    """Return a truth as actions get it told."""
    try:
        return _text(str(values.boolean(value.text.strip())), value.origin)
    except ValueError:
        return value


def _text(text: str, origin: Origin) -> Value:
    return Value(tuple((line, origin.line) for line in text.split("\n")), origin)


def _of_family(layer: Layer, family: TagFamily) -> Layer:
    """Return the options of a layer that are for one family, by their plain names."""
    suffix = f"?family={family}"
    full = {name.removesuffix(suffix): name for name in layer.options if name.endswith(suffix)}
    return replace(
        layer,
        options={name: layer.options[whole] for name, whole in full.items()},
        older={name: layer.older.get(whole, ()) for name, whole in full.items()},
        labels={name: layer.labels.get(whole, whole) for name, whole in full.items()},
    )
