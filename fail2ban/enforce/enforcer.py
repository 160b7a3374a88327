# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans at one action, or told by one: the steps that the runner is made of.

What an action has made of a ban is noted in the ban's `Part`; only when all
actions of the section that keep somebody out are done is the ban reported.

Source: jail-conf.md sections 9.1 and 10.1, with the defect 15 of section 16
mended: a flush that fails is followed by single unbans.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence

from fail2ban.bursts import burst
from fail2ban.decide.bans import Bans, Entry, Part, State
from fail2ban.enforce.errands import Outcomes, Scope
from fail2ban.enforce.pauses import START_LONGEST, growing_pause
from fail2ban.enforce.reporter import Reporter
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import report
from fail2ban.enforce.site import Site, id_of, key_of, portions
from fail2ban.errors import CommandError
from fail2ban.notices import shown
from fail2ban.records import Ban, Ticket

log = logging.getLogger(__name__)

#: Seconds for lifting a section's bans one by one before its `stop` removes the rest.
LIFT_BUDGET = 60.0

#: Seconds before the second attempt to start an action for a ban.
START_FIRST = 1.0

#: Why a ban of an earlier run is not in force where no action bans it again.
NOT_RESTORED = "it is not banned again after a restart (norestored)"


#: Bans whose command failed, and how; one command may have failed for many.
Failed = list[tuple[Entry, CommandError]]


class Enforcer:
    """Carry out single steps; everything runs on the runner's thread.

    Args:
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        reporter: Reporter,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self._bans, self._scaffold, self._reporter = bans, scaffold, reporter
        self._clock, self._ticks = clock, ticks

    # Ban ----------------------------------------------------------------------

    def apply(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the ban command for bans of one family; return for whom it failed.

        They are to be settled then.
        """
        self._clean(site, entries)
        due = [e for e in entries if not self.claim(site, e) and not self.excused(site, e)]
        return self._ban(site, self._accepted(site, due))

    def _clean(self, site: Site, entries: Sequence[Entry]) -> None:
        """Have an action let go of what it may hold by earlier commands.

        Where an address is there already, a ban of it may change nothing, not even
        the moment at which the kernel lifts it, or be there twice and lifted once.
        """
        parts = ((entry, entry.parts.get(site.name)) for entry in entries)
        found = [(e, part) for e, part in parts if part and part.inherited and not e.lifting]
        if not found:
            return
        self.release(site, [entry for entry, _ in found])
        for _, part in found:
            part.inherited = False

    def _accepted(self, site: Site, entries: Sequence[Entry]) -> list[Entry]:
        """Return the bans that an action can carry out; any other is not tried again."""
        accepted = []
        reason, is_same = None, False
        for entry in entries:
            if not is_same:
                reason = site.firewall.cannot_ban(entry.ban)
                is_same = entry.ban.family is not None
            if reason is None:
                accepted.append(entry)
            else:
                self._refuse(site, entry, reason)
        return accepted

    def _ban(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the ban command, or for whom it has run before the one for that."""
        if not entries:
            return []
        try:
            self._open(site, entries[0].ban.family)
        except CommandError as error:
            return [(entry, error) for entry in entries]
        fresh: list[Entry] = []
        again: list[Entry] = []
        for entry in entries:
            part = entry.part(site.name)
            part.touched = True
            (again if part.done else fresh).append(entry)
        return [
            *self._run_ban(site, fresh, site.firewall.ban),
            *self._run_ban(site, again, site.firewall.reban),
        ]

    def _run_ban(
        self,
        site: Site,
        entries: Sequence[Entry],
        run: Callable[[Sequence[Ban], float], Outcomes],
    ) -> Failed:
        failed = []
        outcomes = run([entry.ban for entry in entries], self._clock())
        for entry, error in zip(entries, outcomes, strict=True):
            if error is None:
                part = entry.part(site.name)
                part.state, part.done, part.error, part.attempts = State.APPLIED, True, "", 0
            else:
                entry.part(site.name).inherited |= error.in_doubt
                failed.append((entry, error))
        return failed

    def check(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the check for a command for bans of one family; return for whom it failed."""
        try:
            site.firewall.check([entries[0].ban.family])
        except CommandError as error:
            return [(entry, error) for entry in entries]
        return []

    def confirm(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the check behind the command that has carried out bans of one family."""
        failed = self.check(site, entries)
        for entry, _ in failed:
            entry.part(site.name).inherited = True
        return failed

    def excused(self, site: Site, entry: Entry) -> bool:
        """Tell whether an action has nothing to do with a ban of an earlier run."""
        if not (entry.ban.restored and site.commands.norestored):
            return False
        part = entry.parts.get(site.name)
        return part is None or not part.done

    def fail(self, site: Site, entry: Entry, reason: str) -> None:
        """Note that an action does not keep the ban's id out; say so when that begins."""
        part = entry.part(site.name)
        part.state, part.error = State.FAILED, reason
        if entry.reached is not State.FAILED:
            self._reporter.failed(entry, reason)
        entry.state = State.FAILED

    def settle(self, jail: str, entries: Iterable[Entry]) -> None:
        """Conclude how far bans of a section have come; report those that are in force."""
        sites = self._scaffold.enforcing(jail)
        with burst():
            for entry in entries:
                counted = [site for site in sites if not self.excused(site, entry)]
                if sites and not counted:
                    self._note_excused(sites[0], entry)
                else:
                    self._conclude(entry, [entry.part(site.name).state for site in counted])

    def _conclude(self, entry: Entry, states: Sequence[State]) -> None:
        """Conclude from how far a ban has come at each action how far it has come at all."""
        old, new = entry.reached, _reached(states)
        entry.state = new
        if new is State.APPLIED and old is not State.APPLIED:
            self._reporter.in_force(entry)
        self._reporter.announce(entry)

    def _note_excused(self, site: Site, entry: Entry) -> None:
        """Note that no action keeps the id of an earlier ban out; say so once."""
        part = entry.part(site.name)
        part.state, part.error, entry.state = State.FAILED, NOT_RESTORED, State.FAILED
        if not site.excusing:
            site.excusing = True
            log.warning("%s: bans of the last run are not in force: %s", site, NOT_RESTORED)

    def _refuse(self, site: Site, entry: Entry, reason: str) -> None:
        """Note a ban that an action cannot carry out; say so once for each family."""
        if entry.ban.family in site.refused:
            log.info("%s: no ban of %s: %s", site, shown(entry.ban.id), reason)
            part = entry.part(site.name)
            part.state, part.error, entry.state = State.FAILED, reason, State.FAILED
            self._reporter.failed(entry, reason, quiet=True)
        else:
            site.refused.add(entry.ban.family)
            self.fail(site, entry, reason)

    def _open(self, site: Site, scope: Scope) -> None:
        """Start an action for a family if that is due; raises CommandError.

        While that fails, not every ban tries it anew.
        """
        if self._ticks() < site.closed_until.get(scope, 0.0):
            raise CommandError(f"{site} could not be started")
        try:
            self._scaffold.open(site, scope)
        except CommandError:
            failures = site.failed_starts[scope] = site.failed_starts.get(scope, 0) + 1
            pause = growing_pause(START_FIRST, failures, START_LONGEST)
            site.closed_until[scope] = self._ticks() + pause
            raise
        site.recovered |= site.failed_starts.pop(scope, 0) > 0

    def prolong(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the prolong command of bans that are in force; return for whom it failed."""
        failed = []
        outcomes = site.firewall.prolong([entry.ban for entry in entries], self._clock())
        for entry, error in zip(entries, outcomes, strict=True):
            if error is None:
                entry.part(site.name).attempts = 0
            else:
                failed.append((entry, error))
        return failed

    # Tell ---------------------------------------------------------------------

    def tell(self, jail: str, entries: Sequence[Entry]) -> None:
        """Run the actions of a section that only tell, once for each ban that was tried.

        They are the user's own commands; our own mail, which says that the id
        is banned, waits until that is reported.
        """
        for site in self._scaffold.of(jail) or ():
            if site.enforces or not site.up:
                continue
            due = [entry for entry in entries if self._is_due(site, entry)]
            for some in portions(due, site.gathers_bans):
                bans = [entry.ban for entry in some]
                self._scaffold.aside(functools.partial(self.tell_at, site, bans, site.firewall.ban))

    def _is_due(self, site: Site, entry: Entry) -> bool:
        """Tell whether an action is to be told of a ban now; if not later, it is noted."""
        if entry.untold is None or site.name not in entry.untold:
            return False
        if site.commands.mail and not (entry.announced and entry.reached is State.APPLIED):
            return False
        entry.untold -= {site.name}
        return not (entry.ban.restored and site.commands.norestored)

    def tell_at(
        self, site: Site, bans: Sequence[Ban], run: Callable[[Sequence[Ban], float], Outcomes]
    ) -> None:
        """Run one command of an action that only tells: an error changes nothing."""
        for family in dict.fromkeys(ban.family for ban in bans):
            some = [ban for ban in bans if ban.family == family]
            try:
                self._open(site, family)
                outcomes = run(some, self._clock())
            except CommandError as error:
                outcomes = [error] * len(some)
            for ban, outcome in zip(some, outcomes, strict=True):
                if outcome is None:
                    self._scaffold.tell(site, ban)
            self._note_told(site, outcomes)

    def _note_told(self, site: Site, outcomes: Outcomes) -> None:
        for error in dict.fromkeys(outcomes):
            if error is not None:
                report(error, logging.INFO if site.complaining else logging.ERROR, f"[{site}] ")
            elif site.complaining:
                log.info("[%s] works again", site)
            site.complaining = error is not None

    # Unban --------------------------------------------------------------------

    def release(self, site: Site, entries: Iterable[Entry]) -> None:
        """Run the unban command where the action may hold the id; errors are expected."""
        if site.up:
            bans = [entry.ban for entry in entries if _held(site, entry)]
            self.let_go(site, bans, logging.DEBUG)

    def let_go(self, site: Site, bans: Sequence[Ban], level: int = logging.ERROR) -> None:
        """Run the unban command, also for what is no ban of ours; an error is only logged."""
        for error in dict.fromkeys(site.firewall.unban(bans, self._clock())):
            if error is not None:
                report(error, level, f"[{site}] ")

    def lift(self, site: Site, entries: Sequence[Entry]) -> Failed:
        """Run the unban command of bans that are in force; return for whom it failed."""
        outcomes = site.firewall.unban([entry.ban for entry in entries], self._clock())
        failed = []
        for entry, error in zip(entries, outcomes, strict=True):
            if error is None:
                self.gone(site, entry)
            else:
                failed.append((entry, error))
        return failed

    def gone(self, site: Site, entry: Entry) -> None:
        """Note that an action has let go of a ban."""
        entry.parts.pop(site.name, None)
        holder = self._bans.get(entry.ban.jail, entry.ban.id)
        if holder is not None and (part := holder.parts.get(site.name)) is not None:
            part.inherited = False

    def finish(self, entry: Entry) -> None:
        """Forget a ban that is over once no action holds it any more; say so."""
        if entry.lifting and not entry.parts:
            self.forget(entry)

    def finish_all(self, entries: Iterable[Entry]) -> None:
        """Do the same with many."""
        with burst():
            for entry in entries:
                self.finish(entry)

    def forget(self, entry: Entry, repeal: bool = False) -> None:
        """Forget a ban; say so, if it was ever reported.

        Args:
            repeal: the reason is that its section ends.
        """
        self._reporter.ended(entry, repeal)
        self._bans.remove(entry)

    def forget_all(self, entries: Iterable[Entry], repeal: bool = False) -> None:
        """Do the same with many."""
        with burst():
            for entry in entries:
                self.forget(entry, repeal)

    def empty(self, site: Site, entries: Sequence[Entry]) -> list[Entry]:
        """Lift many bans at one action, all at once where it can.

        Returns:
            those that are to be lifted one by one.
        """
        held = [entry for entry in entries if _held(site, entry)]
        done: set[Scope] = set()
        for scope in {entry.ban.family: None for entry in held} if site.up else ():
            if scope not in done and site.flushes(scope):
                done |= self._flush(site, scope)
        return [entry for entry in held if entry.ban.family not in done]

    def _flush(self, site: Site, scope: Scope) -> set[Scope]:
        """Lift all bans of a scope; return the scopes that are empty now."""
        try:
            site.firewall.flush([scope])
        except CommandError as error:
            report(error, what=f"[{site}] flush: ")
            return set()
        alike = site.firewall.alike
        return {s for s in site.scopes if alike(site.commands.flush, scope, s)} | {scope}

    def clear(self, site: Site) -> None:
        """Lift all bans at one action before it is taken down; errors are expected.

        Where lifting them one by one takes too long, its `stop` has to do.
        """
        self.take_over(site)
        if not site.commands.flush:
            self.disown(site)
        site.left.clear()
        enough = self._ticks() + LIFT_BUDGET
        for some in portions(self.empty(site, self._bans.of(site.jail)), site.gathers_unbans):
            if site.firewall.can_stop and self._ticks() > enough:
                break
            self.release(site, some)

    # An earlier run -----------------------------------------------------------

    def claim(self, site: Site, entry: Entry) -> bool:
        """Take over a ban that an earlier run has carried out here; tell whether it had."""
        if not site.left or (key := key_of(entry.ban.id)) not in site.left:
            return False
        site.left.discard(key)
        part = entry.part(site.name)
        part.touched = part.done = True
        part.state, part.error, part.attempts = State.APPLIED, "", 0
        return True

    def take_over(self, site: Site) -> None:
        """Note with each ban what an earlier run has made, or may have made, of it here."""
        for entry in self._bans.of(site.jail) if site.left or site.littered else ():
            if not self.claim(site, entry) and site.littered:
                entry.part(site.name).inherited = True
        site.littered = False

    def disown(self, site: Site) -> None:
        """Lift what an earlier run has banned here and nobody wants any more."""
        keys, site.left, now = sorted(site.left), set(), self._clock()
        if keys:
            log.info("%s: %d ban(s) of the last run are lifted", site, len(keys))
        bans = [Ban(now, now, Ticket(site.jail, id_of(key), 0, now)) for key in keys]
        self.let_go(site, bans, logging.DEBUG)


def _reached(states: Sequence[State]) -> State:
    if all(state is State.APPLIED for state in states):
        return State.APPLIED
    return State.FAILED if State.FAILED in states else State.WANTED


def is_failed(part: Part) -> bool:
    """Tell whether it was said already that a ban is not in force."""
    return part.state is State.FAILED


def is_retried(part: Part) -> bool:
    """Tell whether a command that prolongs or lifts has failed before."""
    return part.attempts > 0


def report_failed(site: Site, failed: Failed, is_known: Callable[[Part], bool]) -> None:
    """Log what failed, once for each command; what is known of all of its bans, softly."""
    levels: dict[CommandError, int] = {}
    for entry, error in failed:
        level = logging.INFO if is_known(entry.part(site.name)) else logging.ERROR
        levels[error] = max(level, levels.get(error, level))
    for error, level in levels.items():
        report(error, level)


def _held(site: Site, entry: Entry) -> bool:
    part = entry.parts.get(site.name)
    return part is not None and part.holds
