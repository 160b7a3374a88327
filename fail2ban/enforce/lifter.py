# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of bans: each action lets go of them, the last one first.

What cannot be lifted is tried again until it can: somebody is locked out.

Source: fail2ban-conf-0.6.md section 7; jail-conf.md sections 9.1 and 9.5.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from fail2ban.decide.bans import Bans, Entry
from fail2ban.enforce.builder import Plans
from fail2ban.enforce.enforcer import Enforcer, is_retried, report_failed
from fail2ban.enforce.repair import Repairer
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Site, by_jail, by_scope
from fail2ban.notices import shown

log = logging.getLogger(__name__)

#: Failed attempts to lift a ban after which we say that it is still in force.
LIFT_ATTEMPTS = 5


class Lifter:
    """Lift bans; all on the runner's thread."""

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        repairer: Repairer,
        plans: Plans,
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._repairer, self._plans = repairer, plans

    def lift(self, entries: Iterable[Entry]) -> None:
        """Carry out the end of bans."""
        for jail, some in by_jail(entries).items():
            # Taking down may have lifted some.
            known = [entry for entry in some if self._bans.get(jail, entry.ban.id) is not None]
            for site in reversed(self._scaffold.enforcing(jail)):
                self.lift_at(site, known)
            self._enforcer.finish_all(known)

    def lift_all(self, jail: str, ended: list[Entry]) -> None:
        """Carry out the end of many bans, and of those that are being lifted anyway."""
        entries = self._bans.of(jail)
        over = list(dict.fromkeys([*ended, *(entry for entry in entries if entry.lifting)]))
        for site in reversed(self._scaffold.enforcing(jail)):
            # A flush would lift a ban, too, that was decided later and a repair carried out.
            others = any(_is_touched(site, entry) and not entry.lifting for entry in entries)
            left = set(over if others else self._enforcer.empty(site, over))
            for entry in over:
                if entry not in left:
                    self._enforcer.gone(site, entry)
            self.lift_at(site, [entry for entry in over if entry in left])
        self._enforcer.finish_all(over)

    def lift_at(self, site: Site, entries: Iterable[Entry]) -> None:
        """Have one action let go of bans."""
        for some in by_scope(entries).values():
            self._lift_some(site, some)

    def _lift_some(self, site: Site, entries: Iterable[Entry]) -> None:
        """Have one action let go of bans of one family."""
        applied, doubtful = [], []
        for entry in entries:
            part = entry.parts.get(site.name)
            if part is None:
                continue
            if self._is_next_ban_done(site, entry):
                del entry.parts[site.name]
                entry.announced = False  # an "Unban" now would seem to be about the next
            elif not site.up or part.error or not part.touched:
                # Not in force; only a command that failed half-way may have left something.
                doubtful.append(entry)
            else:
                applied.append(entry)
        self._enforcer.release(site, doubtful)
        for entry in doubtful:
            self._enforcer.gone(site, entry)
        if applied:
            self._lift_applied(site, applied)

    def _is_next_ban_done(self, site: Site, entry: Entry) -> bool:
        """Tell whether a repair has carried out the id's next ban already."""
        holder = self._bans.get(entry.ban.jail, entry.ban.id)
        if holder is None or holder is entry:
            return holder is None
        return _is_touched(site, holder)

    def _lift_applied(self, site: Site, entries: Sequence[Entry]) -> None:
        """Have one action let go of bans of one family that are in force."""
        repairs = self._repairer.lifting_repairs(site)
        failed = self._enforcer.check(site, entries) if repairs else []
        failed = failed or self._enforcer.lift(site, entries)
        if not failed:
            return
        report_failed(site, failed, is_retried)
        left = [entry for entry, _ in failed]
        if not (repairs and self._repairer.after_failure(site, left)):
            self._lift_later(site, left)

    def _lift_later(self, site: Site, entries: Iterable[Entry]) -> None:
        # What does not count any more is lifted at the end of its id's next ban.
        left = [entry for entry in entries if self._bans.holds(entry)]
        for entry in left:
            part = entry.part(site.name)
            if part.attempts + 1 == LIFT_ATTEMPTS and not part.retrying:
                text = "%s: the ban of %s is over, but it is still locked out; trying on"
                log.error(text, site, shown(entry.ban.id))
        self._plans.retry(site, left)


def _is_touched(site: Site, entry: Entry) -> bool:
    part = entry.parts.get(site.name)
    return part is not None and part.touched
