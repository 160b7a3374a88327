# SPDX-License-Identifier: GPL-2.0-or-later
"""The timestamp of a line that is to be cut out of it; what a `datepattern` finds.

A log keeps to its format, but a text alone is ambiguous: "01/02/05" is a day in
January or in February. So the templates are kept in an order that is learned:

1. Templates that have had hits are tried first, and of those the last winner. One
   that fits the beginning of the line wins at once; of the others the leftmost
   does, if it is where that template was the last time.
2. Otherwise all are tried and the leftmost wins, that which is first in the order
   if several start at the same place. So a text in a message that resembles a date
   never displaces the timestamp before it.
3. The winner may move forward: at its first hit to the first place that has had
   none, later halfway to the front, otherwise by one place. It passes what has a
   smaller weight (hits, by the distance from the beginning of the line) or was not
   used for `_FORGOTTEN` seconds.

What is learned is one counter, place and time for each template. `find` changes
nothing; whoever knows that a line is one to learn from says so (`learn`).

Source: jail-conf.md sections 8.1, 8.4 and 8.5; section 16 item 21 for ISO8601.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fail2ban.detect import memory
from fail2ban.detect.cuts import common, keep_words
from fail2ban.detect.factors import Cut
from fail2ban.detect.templates import DEFAULTS, Pattern, Template, expand, form_of, means_iso
from fail2ban.records import Problem, Sourced

_FORGOTTEN = 300.0
#: Years that a clock may be wrong, or a log ahead: `%ExY` knows their decades.
_YEARS_AHEAD = 3
_NONE = "{NONE}"


class Stamp(NamedTuple):
    """A timestamp in a line.

    Attributes:
        start, end: `line[start:end]` is to be cut out of the line.
        time: seconds since the epoch; None where no date is expected.
        template: what found it, at `place`.
    """

    start: int
    end: int
    time: float | None
    template: Template | None = None
    place: int = 0


class _Learned(NamedTuple):
    """What was learned of a template; see `Template`."""

    number: int
    hits: int
    place: int
    used: float


class StampFinder:
    """Finds the timestamps of one section. Used on one thread at a time.

    Args:
        patterns: of `datepattern`, in order. One that cannot be used is reported and
            left out. None, or none left: the usual formats.
        section: for messages.
        zone: seconds east of Greenwich of what names no zone; None: local time.
        report: told what the user should know.
        today: seconds since the epoch; years of its decade are known, too. None: now.
    """

    def __init__(
        self,
        patterns: Sequence[Sourced],
        section: str,
        zone: int | None,
        report: Callable[[Problem], None],
        today: float | None = None,
    ) -> None:
        self._zone, self._section = zone, section
        self._last_year, self._until = _years(time.time() if today is None else today)
        given = (pattern for pattern in patterns if pattern.text.strip())
        kept = [pattern for pattern in given if self._is_usable(pattern, section, report)]
        texts = [p.text for p in kept if p.text.strip().upper() != _NONE]
        self._none = Template(Pattern("^"), 0) if len(texts) < len(kept) else None
        expanded = [pattern for text in texts for pattern in expand(text)]
        if not kept:
            expanded = list(DEFAULTS)
        # The same pattern twice would never have a hit.
        self._order = [Template(p, self._last_year) for p in dict.fromkeys(expanded)]
        self._numbers = {template: number for number, template in enumerate(self._order)}
        self._digest = _digest(template.pattern.text for template in self._order)
        self._last: Template | None = None

    @property
    def templates(self) -> tuple[Template, ...]:
        """All templates in the order that was learned."""
        return (*self._order, self._none) if self._none else tuple(self._order)

    @property
    def cut(self) -> Cut:
        """Where in a line a timestamp may be cut out."""
        return common((one.form.regex, one.form.cut) for one in self._order)

    @property
    def keep_words(self) -> bool:
        """Whether each word of a line without its timestamp is a whole word of the line."""
        return keep_words((one.form.regex, one.form.cut) for one in self._order)

    @property
    def expects(self) -> bool:
        """Whether lines are expected to have timestamps."""
        return bool(self._order)

    def find(self, line: str, now: float) -> Stamp | None:
        """Return the timestamp of a line; None where it has none.

        It may be interrupted anywhere, and learns nothing.

        Args:
            now: seconds since the epoch; places timestamps without a year.
        """
        if now >= self._until:
            self._renew(now)
        if not (winner := self._search(line)):
            return Stamp(0, 0, None, self._none) if self._none else None
        template, found = winner
        try:
            moment = template.moment(found, now, self._zone)
        except ValueError:
            # It only looks like one, as "Feb 30 12:00:00" does.
            return None
        start, end = found.span(template.form.cut)
        if start < 0:  # the group that was to be cut out took no part
            start, end = found.span()
        return Stamp(start, end, moment, template, found.start())

    def learn(self, stamp: Stamp, now: float) -> None:
        """Learn from a line in which `find` has found this."""
        if (template := stamp.template) is None:
            return
        if template is self._none:
            template.hits += 1
            return
        as_before = template is self._last and stamp.place == template.place
        template.place = stamp.place
        template.used = now
        template.hits += 1
        self._last = template
        if not as_before and template is not self._order[0]:
            self._order = self._moved(template, now)

    def memory(self) -> str:
        """Return what was learned as a text, see `Matcher`; empty for nothing."""
        if self._last is None:
            return ""
        order = [
            (self._numbers[template], template.hits, template.place, template.used)
            for template in self._order
        ]
        return memory.dumped((self._digest, self._numbers[self._last], order))

    def recall(self, text: str) -> None:
        """Know what such a text says; nothing if the templates are others now."""
        if not (learned := memory.read(self._section, text, self._parse)):
            return
        last, order = learned
        templates = {number: template for template, number in self._numbers.items()}
        self._order = [templates[number] for number, *_ in order]
        for number, hits, place, used in order:
            template = templates[number]
            template.hits, template.place, template.used = hits, place, used
        self._last = templates[last]

    def _parse(self, said: Any) -> tuple[int, list[_Learned]] | None:
        digest, last, order = said
        if digest != self._digest:
            return None
        learned = [
            _Learned(number, int(hits), int(place), memory.number(used))
            for number, hits, place, used in order
        ]
        numbers = [one.number for one in learned]
        if sorted(numbers) != list(range(len(self._numbers))) or last not in numbers:
            raise ValueError("not these templates")
        return last, learned

    def _search(self, line: str) -> tuple[Template, re.Match[str]] | None:
        last = self._last
        if last and (found := last.form.find(line)) and not found.start():
            return last, found  # nothing is further left
        best, place = None, len(line) + 1
        unused = False
        for template in self._in_turn(last):
            if not unused and not template.hits:
                # All that have had hits are behind us.
                unused = True
                if best and best[0] is self._last and place == best[0].place:
                    break
            found = template.form.find(line)
            if found and found.start() < place:
                best, place = (template, found), found.start()
                if not place:
                    break
        return best

    def _in_turn(self, last: Template | None) -> list[Template]:
        # No generator: an exception that a signal raises while one is closed is lost.
        if not last:
            return self._order
        return [last, *[template for template in self._order if template is not last]]

    def _moved(self, template: Template, now: float) -> list[Template]:
        order = self._order
        old = order.index(template)
        unused = [place for place in range(old) if not order[place].hits]
        for new in (unused[0] if unused else old // 2, old - 1):
            other = order[new]
            if other.weight < template.weight or now - other.used > _FORGOTTEN:
                rest = [t for t in order if t is not template]
                return [*rest[:new], template, *rest[new:]]
        return order

    def _renew(self, now: float) -> None:
        """Learn the years of a decade that has come near; compiled forms are kept meanwhile."""
        last_year, until = _years(now)
        for template in self._order:
            template.form = form_of(template.pattern.text, last_year)
        self._last_year, self._until = last_year, until

    def _is_usable(self, source: Sourced, section: str, report: Callable[[Problem], None]) -> bool:
        if source.text.strip().upper() == _NONE:
            return True
        if means_iso(source.text):
            report(
                Problem(
                    source.origin,
                    section,
                    "datepattern",
                    f"{source.text.strip()!r} is no keyword any more; it is read as the usual"
                    " formats of ISO 8601",
                    "warning",
                )
            )
        try:
            for pattern in expand(source.text):
                form_of(pattern.text, self._last_year)
        except ValueError as error:
            text = f"{source.text!r} is left out: {error}"
            report(Problem(source.origin, section, "datepattern", text))
            return False
        return True


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def _years(now: float) -> tuple[int, float]:
    """Return the last year that is known, and the moment when there are more."""
    known = datetime.fromtimestamp(now, UTC).year + _YEARS_AHEAD
    last_year = known // 10 * 10 + 9
    return last_year, datetime(last_year + 1 - _YEARS_AHEAD, 1, 1, tzinfo=UTC).timestamp()
