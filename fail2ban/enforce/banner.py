# SPDX-License-Identifier: GPL-2.0-or-later
"""The beginning of bans: each action locks out, the first one first.

What fails is tried again, with growing pauses, for as long as the ban lasts.

Source: fail2ban-conf-0.6.md section 7; jail-conf.md sections 9.1 and 9.5.
"""

from __future__ import annotations

import functools
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from fail2ban.bursts import burst
from fail2ban.decide.bans import Bans, Entry, Part, State
from fail2ban.enforce.builder import NOT_SET_UP, Builder, Plans, is_applied
from fail2ban.enforce.enforcer import Enforcer, Failed, is_failed, is_retried, report_failed
from fail2ban.enforce.lifter import Lifter
from fail2ban.enforce.pauses import RETRY_FIRST, RETRY_LONGEST, RETRY_MOST, growing_pause
from fail2ban.enforce.repair import Repairer
from fail2ban.enforce.reporter import Reporter
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Site, by_jail, by_scope, portions
from fail2ban.notices import shown

log = logging.getLogger(__name__)


class Banner:
    """Carry out bans; all on the runner's thread.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        reporter: Reporter,
        builder: Builder,
        repairer: Repairer,
        lifter: Lifter,
        plans: Plans,
        clock: Callable[[], float],
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._builder, self._repairer, self._lifter = builder, repairer, lifter
        self._reporter, self._plans, self._clock = reporter, plans, clock

    # Ban ----------------------------------------------------------------------

    def ban(self, entries: Sequence[Entry], check: bool = True) -> None:
        """Carry out bans; one that is over or done already needs nothing.

        Args:
            check: see `ban_at`.
        """
        for jail, some in by_jail(entries).items():
            self._ban_of(jail, [entry for entry in some if self._is_wanted(entry)], check)

    def _is_wanted(self, entry: Entry) -> bool:
        return not entry.lifting and self._bans.holds(entry)

    def _ban_of(self, jail: str, entries: Sequence[Entry], check: bool) -> None:
        """Carry out bans of a section, each at the first action first.

        They go together up to the first action where each takes a command of its
        own; from there on one after the other, and what others want comes between.
        """
        if self._scaffold.of(jail) is None:
            for entry in entries:
                self._bans.remove(entry)
            return
        sites = self._scaffold.enforcing(jail)
        fast = list(itertools.takewhile(lambda site: site.gathers_bans, sites))
        for site in fast:
            self.ban_at(site, entries, check)
        if slow := sites[len(fast) :]:
            self._go_on(jail, slow, deque(entries), check)
        else:
            self._conclude(jail, entries)

    def _go_on(self, jail: str, slow: Sequence[Site], left: deque[Entry], check: bool) -> None:
        """Carry out the next ban at the rest of its actions."""
        if left and self._is_wanted(entry := left.popleft()):
            standing = self._scaffold.enforcing(jail)
            for site in slow:
                if site in standing:
                    self.ban_at(site, [entry], check)
            self._conclude(jail, [entry])
        if left:
            later = functools.partial(self._go_on, jail, slow, left, check)
            self._plans.soon(lambda: self._plans.stopping() or later())

    def ban_at(self, site: Site, entries: Iterable[Entry], check: bool = True) -> None:
        """Carry out bans at one action.

        Args:
            check: see first whether what the action has set up is still there.
        """
        for some in by_scope(entries).values():
            # A repair for some may have carried out the others, too.
            self._ban_some(site, [e for e in some if not is_applied(site, e)], check)
        if site.recovered:
            # Others have waited for what could not be started until now.
            site.recovered = False
            self._plans.soon(functools.partial(self._builder.ban_again, site))

    def _ban_some(self, site: Site, entries: Sequence[Entry], check: bool) -> None:
        """Carry out bans of one family at one action."""
        if not site.up:
            for entry in entries:
                self._enforcer.fail(site, entry, NOT_SET_UP)
        elif entries:
            self._see_to(site, self._try(site, entries, check))

    def _try(self, site: Site, entries: Sequence[Entry], check: bool) -> Failed:
        """Run the check and the command for bans of one family; return for whom one failed.

        A check takes longer than most bans. So it comes behind a lone one, if its
        command cannot set up what the check would have missed.
        """
        enforcer, family = self._enforcer, entries[0].ban.family
        if not (check and family in site.scopes and site.checkable):
            return enforcer.apply(site, entries)
        if len(entries) == 1 and site.firewall.only_adds(family):
            return enforcer.apply(site, entries) or enforcer.confirm(site, entries)
        return enforcer.check(site, entries) or enforcer.apply(site, entries)

    def _see_to(self, site: Site, failed: Failed) -> None:
        """Repair, or try again later."""
        if failed:
            report_failed(site, failed, is_failed)
            if not self._repairer.after_failure(site, [entry for entry, _ in failed]):
                self._builder.give_way(site, failed)

    def _conclude(self, jail: str, entries: Sequence[Entry]) -> None:
        """Note that bans were tried at all actions, and have them told of."""
        for entry in entries:
            if entry.untold is None:
                self.tell_anew(entry)
        self._enforcer.settle(jail, entries)
        self._enforcer.tell(jail, entries)

    def tell_anew(self, entry: Entry) -> None:
        """Have a ban told of by all actions that only tell, as if it had never been."""
        sites = self._scaffold.of(entry.ban.jail) or ()
        entry.untold = frozenset([site.name for site in sites if not site.enforces])

    def tell(self, entries: Sequence[Entry]) -> None:
        """Report bans that are in force: they would outlive us by now."""
        with burst():
            for entry in entries:
                self._reporter.announce(entry)
        for jail, some in by_jail(entries).items():
            self._enforcer.tell(jail, some)

    def renew(self, entries: Iterable[Entry]) -> None:
        """Carry out bans once more: their ids still get through.

        If the check finds the firewall gone, all bans come back. If it passes,
        one may be missing all the same; it is lifted first, since not every ban
        command may be repeated.
        """
        for entry in entries:
            if entry.state is State.APPLIED and not self._scaffold.is_dry(entry.ban.jail):
                self._renew(entry)

    def _renew(self, entry: Entry) -> None:
        for site in self._scaffold.enforcing(entry.ban.jail):
            if not self._enforcer.excused(site, entry) and self._repairer.check(site):
                self._enforcer.release(site, [entry])
                entry.part(site.name).reset()
                entry.state = State.WANTED
        self.ban([entry])

    # Prolong ------------------------------------------------------------------

    def prolong(self, entries: Iterable[Entry]) -> None:
        """Tell the actions that bans last longer now."""
        for entry in entries:
            if self._is_wanted(entry):
                self._reporter.prolonged(entry)
                for site in self._scaffold.of(entry.ban.jail) or ():
                    self._prolong(site, entry)

    def _prolong(self, site: Site, entry: Entry) -> None:
        if site.enforces:
            self._prolong_at(site, [entry])
        elif site.up and self._has_prolong(site, entry) and not _is_untold(site, entry):
            prolong = site.firewall.prolong
            self._scaffold.aside(
                functools.partial(self._enforcer.tell_at, site, [entry.ban], prolong)
            )

    def _prolong_at(self, site: Site, entries: Iterable[Entry]) -> None:
        """Prolong bans that are in force; any other gets its new end when it is."""
        for some in by_scope(entries).values():
            due = [e for e in some if is_applied(site, e) and self._has_prolong(site, e)]
            failed = self._enforcer.prolong(site, due)
            report_failed(site, failed, is_retried)
            left = [entry for entry, _ in failed]
            if left and not self._repairer.after_failure(site, left):
                self.retry(site, left)

    def _has_prolong(self, site: Site, entry: Entry) -> bool:
        if not self._is_wanted(entry):
            return False
        if entry.ban.restored and site.commands.norestored and not site.enforces:
            return False
        return bool(site.commands.prolong.of(entry.ban.family).strip())

    # Again --------------------------------------------------------------------

    def retry(self, site: Site, entries: Iterable[Entry]) -> None:
        """Try again after a pause what failed at an action; one attempt is due at a time."""
        due: dict[float, list[Entry]] = {}
        for entry in entries:
            part = entry.part(site.name)
            if part.retrying:
                continue
            part.retrying = True
            part.attempts += 1
            pause = growing_pause(RETRY_FIRST, part.attempts, RETRY_LONGEST)
            log.info("%s: next try for %s in %g s", site, shown(entry.ban.id), pause)
            due.setdefault(pause, []).append(entry)
        for pause, together in due.items():
            gathers = site.gathers_bans and site.gathers_unbans
            for some in portions(together, gathers, RETRY_MOST):
                tried = [(entry, entry.part(site.name)) for entry in some]
                self._plans.later(pause, functools.partial(self._try_again, site, tried))

    def _try_again(self, site: Site, tried: Sequence[tuple[Entry, Part]]) -> None:
        """Do what is left to do for bans at an action."""
        for _, part in tried:
            part.retrying = False
        # In the meantime an id may have got another ban, which is not to be lifted.
        due = [e for e, part in tried if e.parts.get(site.name) is part and self._bans.holds(e)]
        if not due or site not in self._scaffold.enforcing(site.jail):
            return
        # Who stood behind too many that failed is before them the next time.
        random.Random(tried[0][1].attempts).shuffle(due)
        over = [entry for entry in due if entry.lifting]
        done = [e for e in due if not e.lifting and is_applied(site, e)]
        left = [e for e in due if not e.lifting and not is_applied(site, e)]
        self._lifter.lift_at(site, over)
        self._enforcer.finish_all(over)
        self._prolong_at(site, [entry for entry in done if entry.part(site.name).attempts])
        self.ban_at(site, left)
        self._enforcer.settle(site.jail, left)
        self._enforcer.tell(site.jail, left)


def _is_untold(site: Site, entry: Entry) -> bool:
    return entry.untold is not None and site.name in entry.untold
