# SPDX-License-Identifier: GPL-2.0-or-later
"""The running daemon: its threads, the signals it obeys, and the reload."""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from fail2ban import __version__, collector
from fail2ban.config.loaded import Loaded
from fail2ban.control.commands import Commands
from fail2ban.control.doors import doors
from fail2ban.control.host import NoJail
from fail2ban.control.server import ControlServer
from fail2ban.detect import budget
from fail2ban.enforce import shell
from fail2ban.enforce.firewall import host_families
from fail2ban.enforce.site import Modes
from fail2ban.enforce.standby import Standby
from fail2ban.errors import ConfigError
from fail2ban.lifeline import Lifeline
from fail2ban.messages import Messages
from fail2ban.plan import CONFIGURATION, Plan, fixed, make_plan, objections
from fail2ban.records import Ban, JailSettings, MailSettings, Problem
from fail2ban.sd import Supervisor
from fail2ban.steering import Steering, Wheel
from fail2ban.works import Links, Works, actions, store_settings

if TYPE_CHECKING:
    from fail2ban.health.http import MetricsServer
    from fail2ban.mailthread import MailThread

log = logging.getLogger(__name__)

#: Reads the configuration again, with the flags of the command line.
Load = Callable[[], Loaded]

#: Seconds that the runner may be at one thing, besides those of the slowest command.
RUNNER_PATIENCE = 60.0
#: Seconds that a thread may have the interpreter while another one wants it.
SWITCH = 0.0005
#: Seconds that the store gets at the end: a disk may hang, and we end all the same.
STORE_PATIENCE = 20.0


class Wish(enum.Enum):
    """What wakes the main thread."""

    END = "end"
    FAILED = "end because something failed"
    RELOAD = "reload"
    REOPEN = "reopen the log targets"
    PULSE = "give a sign of life"
    STARTED = "the first attempt to set up the firewall is over"


_SIGNALS: dict[int, Wish] = {
    signal.SIGTERM: Wish.END,
    signal.SIGINT: Wish.END,
    signal.SIGHUP: Wish.RELOAD,
    signal.SIGUSR1: Wish.REOPEN,
}


class Daemon:
    """Start the threads, wait for signals, stop the threads.

    Args:
        ready: called once, after the first attempt to set up the firewall.
    """

    def __init__(
        self,
        plan: Plan,
        load: Load,
        messages: Messages,
        ready: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        assert plan.settings is not None
        self._settings, self._plan, self._load = plan.settings, plan, load
        self._messages, self._ready = messages, ready
        # What other threads ask for, and a pipe that wakes the main thread: a signal
        # that lands on another thread would not wake it from the queue.
        self._wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()
        self._ending = False
        self._wakeups, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._status = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._writer: threading.Thread | None = None
        self._mail: MailThread | None = None
        self._lifeline = Lifeline(
            supervisor,
            lambda seconds, action: self._works.timer.after(seconds, action),
            functools.partial(self._tell, Wish.PULSE),
            time.monotonic,
        )
        self._standby = Standby()
        self._works = self._make_works()
        self._steering = self._make_steering()
        found = doors(
            self._settings, Commands(self._steering).execute, supervisor.by_path(self._settings)
        )
        self._control = ControlServer(found, self._works.events) if found else None
        self._metrics = self._make_metrics(self._settings.health.port)

    def _make_works(self) -> Works:
        pulse = self._lifeline.watch(
            "the runner", lambda answer: self._works.runner.do(answer), self._patience
        )
        standby, dryrun = self._standby, self._settings.firewall.dryrun
        links = Links(
            settings=lambda: self._settings,
            guard=self._guard,
            ring=self._ring,
            shell=pulse.around(shell.dry_run if dryrun else standby.run),
            applied=self._notify,
            give_up=self._give_up,
            act=self._reconfigure,
            ready=standby.has,
        )
        return Works(self._settings, self._plan.jails, links)

    def _make_metrics(self, port: int) -> MetricsServer | None:
        if not port:
            return None
        from fail2ban.health.http import opened  # needs much memory, and few have it

        return opened(port, self._works.monitor.health)

    def _patience(self) -> float:
        """Return how long the runner may be at one thing, in seconds."""
        jails = self._works.jails.all().values()
        timeouts = [one.timeout for jail in jails for one in jail.actions]
        return RUNNER_PATIENCE + max([RUNNER_PATIENCE, *timeouts])

    def _make_steering(self) -> Steering:
        works = self._works
        wheel = Wheel(
            jails=works.jails,
            bans=works.runner.bans,
            main=works.desk,
            messages=self._messages,
            settings=lambda: self._settings,
            lift_all=works.runner.lift_all,
            act=self._reconfigure,
            reload=self._reload,
            stop=functools.partial(self._tell, Wish.END),
            fail=functools.partial(self._tell, Wish.FAILED),
            clock=time.time,
            settled=works.runner.wait,
            let_go=works.runner.let_go,
            forget=works.pardon,
            store=works.store.configure,
            recorded=works.recorded,
            health=works.monitor.health,
        )
        return Steering(wheel)

    # The main thread ----------------------------------------------------------

    def run(self, unclean: bool) -> int:
        """Serve until a signal or a death ends us; return the exit status."""
        self._catch_signals()
        threading.stack_size(self._settings.stack_size * 1024)
        # A line of a quiet section is not to wait long for a busy one's.
        sys.setswitchinterval(SWITCH)
        collector.calm()
        _report(self._plan.problems)
        log.info("Fail2Ban v%s is running", __version__)
        if self._settings.firewall.dryrun:
            log.warning("dry run: commands are shown, not executed")
        try:
            self._start(unclean)
            self._wait()
        finally:
            self._end()
        log.info("Exiting...")
        return self._status

    def _catch_signals(self) -> None:
        budget.install()
        # A handler may take no lock, and runs some time later. So let Python write
        # the number of each signal to the pipe; only if that is full, the end must
        # not be lost.
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self._ending |= _SIGNALS[number] is Wish.END

    @collector.paused()
    def _start(self, unclean: bool) -> None:
        """Start in the order of dependence; the bans of the last run come back first."""
        works, stop, never = self._works, self._stop, threading.Event()
        left = works.open()
        works.jails.prepare(self._plan)
        self._writer = self._thread("store", functools.partial(works.store.run, never), daemon=True)
        self._thread("teller", works.teller.run, daemon=True)
        self._thread("timer", functools.partial(works.timer.run, stop))
        self._thread("runner", functools.partial(works.runner.run, unclean, left))
        self._thread("starter", self._tell_started)
        self._thread("mail actions", functools.partial(works.post.run, stop), daemon=True)
        self._set_mail(self._settings.mail)
        works.jails.start()
        works.monitor.begin(works.timer)
        self._open_control()
        if self._metrics is not None:
            self._thread("metrics", functools.partial(self._metrics.run, stop))

    def _open_control(self) -> None:
        """Listen to clients; without them the daemon does all the rest."""
        if self._control is not None:
            try:
                self._control.open()
            except OSError as error:
                path, reason = self._settings.socket, error.strerror or error
                log.error("no client can talk to us, %s: %s", path, reason)
            else:
                self._thread("control", functools.partial(self._control.run, self._stop))

    def _wait(self) -> None:
        """Do what is asked for until it is to end; match the lines of all readers.

        Of many equal requests that have come meanwhile one is enough.
        """
        duties: dict[Wish, Callable[[], object]] = {
            Wish.STARTED: self._started,
            Wish.PULSE: self._lifeline.step,
            Wish.REOPEN: self._messages.reopen,
            Wish.RELOAD: self._reread,
        }
        while not (asked := self._next_wishes()) & {Wish.END, Wish.FAILED}:
            self._works.main.serve()
            self._works.desk.serve()
            for wish, duty in duties.items():
                if wish in asked:
                    duty()
        if Wish.FAILED in asked:
            self._status = 1

    def _started(self) -> None:
        self._ready()
        collector.settle()
        self._lifeline.started(f"Guarding {len(self._works.jails.names())} sections")

    def _next_wishes(self) -> set[Wish]:
        written = os.read(self._wakeups, 65536)
        wishes = {_SIGNALS[number] for number in written if number in _SIGNALS}
        while not self._wishes.empty():
            wishes.add(self._wishes.get())
        return wishes | {Wish.END} if self._ending else wishes

    def _end(self) -> None:
        """Stop in the order of the way of a line, so that nobody waits for a dead one."""
        self._lifeline.stopping()
        works = self._works
        works.desk.close()
        works.jails.close()
        works.main.close()
        works.services.journal.close()
        works.services.resolver.close()
        works.services.court.hosts.close()
        self._stop.set()
        works.timer.wake()
        for server in self._servers():
            server.wake()
        self._standby.close()
        works.runner.finish(keep=works.keeps_faith())
        for thread in self._threads:
            thread.join()
        for server in self._servers():
            server.close()
        works.teller.finish()
        works.post.finish()
        self._set_mail(None)
        self._end_store()

    def _servers(self) -> list[ControlServer | MetricsServer]:
        return [server for server in (self._control, self._metrics) if server is not None]

    def _end_store(self) -> None:
        """Have everything written; nobody has anything to save any more."""
        self._works.store.finish()
        if self._writer is None:
            return self._works.store.close()
        self._writer.join(STORE_PATIENCE)
        if self._writer.is_alive():
            log.error("the database does not take what happened last: that is forgotten")

    # Threads ------------------------------------------------------------------

    def _thread(
        self, name: str, body: Callable[[], None], daemon: bool = False
    ) -> threading.Thread:
        """Start a thread; for the end of a daemon's, nobody waits in earnest."""
        thread = threading.Thread(target=self._guard, args=(name, body), name=name, daemon=daemon)
        thread.start()
        if not daemon:
            self._threads.append(thread)
        return thread

    def _guard(self, name: str, body: Callable[[], None]) -> None:
        """Run one thread; its death stops the daemon.

        A reader that died quietly would leave a service unprotected. An exit
        is noticed, and the init system starts us again.
        """
        try:
            body()
        except BaseException:
            self._works.runner.started.set()
            self._tell(Wish.FAILED)
            log.critical("%s died, stopping", name, exc_info=True)

    def _tell_started(self) -> None:
        self._works.runner.started.wait()
        self._tell(Wish.STARTED)

    def _tell(self, wish: Wish) -> None:
        """Ask the main thread for something; any thread."""
        self._wishes.put(wish)
        self._ring()

    def _ring(self) -> None:
        """Wake the main thread; any thread."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes, too
            os.write(self._wake, b"\0")  # no signal has this number

    def _give_up(self, reason: str) -> None:
        log.error("Exiting: %s", reason)
        self._tell(Wish.FAILED)

    def _notify(self, ban: Ban) -> None:
        """Tell about a ban; on the runner's thread."""
        if (mail := self._mail) is not None:
            mail.mailer.notify(ban)

    def _set_mail(self, settings: MailSettings | None) -> None:
        old, self._mail = self._mail, None
        if settings is not None:
            from fail2ban.mailthread import MailThread  # needs much memory, and few have it

            self._mail = MailThread(settings, self._guard)
        if old is not None:
            old.end()

    # Reload -------------------------------------------------------------------

    def _reread(self) -> None:
        """Do what SIGHUP asks for."""
        with contextlib.suppress(ConfigError):  # it is in the log
            self._steering.reload()

    def _reload(self, jail: str, restart: bool, unban: bool) -> list[Problem]:
        """Read the configuration again, see `Host`; the log says what is wrong with it."""
        done = False
        try:
            with self._lifeline.reload():
                problems = self._read_again(jail, restart, unban)
            done = True
        finally:
            self._works.monitor.counters.reloaded(done)
        return problems

    def _read_again(self, jail: str, restart: bool, unban: bool) -> list[Problem]:
        log.info("Reading the configuration again")
        plan = make_plan(self._load())
        _report(plan.problems)
        if wrong := objections(plan, self._plan, jail):
            text = "The configuration cannot be used: the old settings stay"
            log.error("%s", text)
            raise ConfigError([*wrong, Problem(CONFIGURATION, "", "", text)])
        if jail and jail not in plan.disabled | {one.name for one in plan.jails}:
            raise NoJail(jail)
        if unban:
            there = self._works.jails.names()
            self._steering.unban([one for one in there if jail in ("", one)], None)
        if not jail:
            self._adopt(plan)
        self._works.jails.change(plan, jail, restart)
        log.info("The configuration is in use")
        collector.settle()
        return list(plan.problems)

    def _adopt(self, plan: Plan) -> None:
        """Take over what concerns more than one section."""
        assert plan.settings is not None
        old, new = self._settings, plan.settings
        self._settings, self._plan = new, plan
        for option in fixed(old, new):
            log.warning("%s has changed; that takes effect at the next start", option)
        if new.log != old.log:
            self._messages.configure(new.log)
        if new.mail != old.mail:
            self._set_mail(new.mail)
        self._works.store.configure(store_settings(new, plan.jails))

    def _reconfigure(self, jails: Mapping[str, JailSettings], anew: Collection[str] = ()) -> None:
        families = host_families(self._settings.ipv6)
        firewall = self._settings.firewall
        modes = Modes.of(jails.values(), firewall.dryrun)
        self._works.runner.reconfigure(firewall, actions(jails.values()), families, anew, modes)


def _report(problems: Iterable[Problem]) -> None:
    """Log what is to be said about the configuration."""
    for problem in problems:
        level = logging.ERROR if problem.severity == "error" else logging.WARNING
        log.log(level, "%s", problem)
