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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from daemon import DaemonContext

from fail2ban import __version__, notices
from fail2ban.config.classic import MAIL
from fail2ban.config.loaded import Loaded
from fail2ban.control.commands import Commands
from fail2ban.control.server import ControlServer
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.timer import Timer
from fail2ban.detect import budget
from fail2ban.detect.journal import Journal
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.names import Resolver
from fail2ban.enforce import shell
from fail2ban.enforce.aside import Teller
from fail2ban.enforce.asker import ShellAsker
from fail2ban.enforce.firewall import host_families
from fail2ban.enforce.mail import Mailer
from fail2ban.enforce.mailaction import MailAction
from fail2ban.enforce.runner import Runner
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.tags import Counts, Lore
from fail2ban.jail import Guard, Jails, Services
from fail2ban.messages import Messages
from fail2ban.pidlock import PidLock
from fail2ban.plan import Plan, make_plan
from fail2ban.records import (
    ActionSettings,
    Ban,
    JailSettings,
    MailSettings,
    Origin,
    Problem,
    Settings,
)
from fail2ban.steering import Steering, Wheel

log = logging.getLogger(__name__)

#: Reads the configuration again, with the flags of the command line.
Load = Callable[[], Loaded]

#: Seconds that the mail thread gets to notice the end.
MAIL_PATIENCE = 1.0


class Event(enum.Enum):
    """What wakes the main thread."""

    END = "end"
    FAILED = "end because something failed"
    RELOAD = "reload"
    REOPEN = "reopen the log targets"
    STARTED = "the first attempt to set up the firewall is over"


_SIGNALS: dict[int, Event] = {
    signal.SIGTERM: Event.END,
    signal.SIGINT: Event.END,
    signal.SIGHUP: Event.RELOAD,
    signal.SIGUSR1: Event.REOPEN,
}


def serve(
    plan: Plan,
    load: Load,
    ready: Callable[[], None] = lambda: None,
    preserve: Iterable[int] = (),
) -> int:
    """Take the PID lock and run until told to end; return the exit status.

    Detaches from the terminal if the settings say so.

    Args:
        plan: not hopeless.
        load: for SIGHUP.
        ready: called once, when the daemon serves.
        preserve: file descriptors that detaching leaves open.

    Raises:
        LockError: another instance runs.
    """
    settings = plan.settings
    assert settings is not None
    # A reload that is asked for before there is anything to reload means nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    lock = PidLock(settings.pidlock)
    background = settings.background
    context = DaemonContext(
        detach_process=background,
        working_directory="/" if background else _folder(),
        umask=0o077,
        files_preserve=list(preserve),
        pidfile=lock,
        signal_map={},
        stdin=None if background else sys.stdin,
        stdout=None if background else sys.stdout,
        stderr=None if background else sys.stderr,
    )
    with context:
        messages = Messages(settings.log, console=not background)
        try:
            return Daemon(plan, load, messages, ready).run(lock.unclean)
        finally:
            messages.close()


def _folder() -> str:
    """Return where we are; somebody may have deleted it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


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
    ) -> None:
        assert plan.settings is not None
        self._settings, self._plan, self._load = plan.settings, plan, load
        self._messages, self._ready = messages, ready
        # What other threads ask for, and a pipe that wakes the main thread: a signal
        # that lands on another thread would not wake it from the queue.
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._ending = False
        self._wakeups, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._status = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._timer = Timer(time.time, time.monotonic)
        self._lore = Lore(counts=self._counts)
        self._post, self._teller = MailAction(self._lore), Teller()
        self._runner = self._make_runner()
        # Readers have their lines matched, clients have sections changed: in the middle
        # of a change, while it waits for a reader, only lines are matched.
        self._main, self._desk = MainThread(self._ring), MainThread(self._ring)
        self._services = self._make_services()
        self._jails = Jails(self._services, self._reconfigure)
        self._steering = self._make_steering()
        self._control = self._make_control()
        self._mail: _MailThread | None = None

    def _make_control(self) -> ControlServer | None:
        """Return who takes commands from clients, if the settings name a socket."""
        if not self._settings.socket:
            return None
        return ControlServer(self._settings.socket, Commands(self._steering).execute)

    def _make_steering(self) -> Steering:
        wheel = Wheel(
            jails=self._jails,
            bans=self._runner.bans,
            main=self._desk,
            messages=self._messages,
            settings=lambda: self._settings,
            lift_all=self._runner.lift_all,
            act=self._reconfigure,
            reload=self._reload,
            stop=functools.partial(self._tell, Event.END),
            fail=functools.partial(self._tell, Event.FAILED),
            clock=time.time,
        )
        return Steering(wheel)

    def _make_runner(self) -> Runner:
        settings = self._settings
        return Runner(
            settings=settings.firewall,
            scaffold=Scaffold(
                settings.firewall,
                _actions(self._plan.jails),
                self._shell(),
                host_families(settings.ipv6),
                self._lore,
                self._post,
                self._teller,
            ),
            timer=self._timer,
            clock=time.time,
            ticks=time.monotonic,
            notices=notices.of(settings.modern),
            applied=self._notify,
            give_up=self._give_up,
        )

    def _make_services(self) -> Services:
        court = Court(
            bans=self._runner.bans,
            own=OwnAddresses(time.monotonic),
            hosts=Hosts(),
            history=Memory(),
            notices=notices.of(self._settings.modern),
            # To ask whom to ignore changes nothing: a dry run asks, too.
            asker=ShellAsker(shell.run, self._lore),
        )
        return Services(court, Resolver(), Journal(self._guard), self._main, self._guard)

    def _shell(self) -> shell.Shell:
        return shell.dry_run if self._settings.firewall.dryrun else shell.run

    def _counts(self, jail: str) -> Counts:
        """Return what the tags <jail.…> say; on the runner's thread."""
        judge = self._jails.judge(jail)
        if judge is None:
            return Counts()
        banned = len(self._runner.bans.of(jail))
        return Counts(banned, judge.banned_total, judge.found, judge.found_total)

    # The main thread ----------------------------------------------------------

    def run(self, unclean: bool) -> int:
        """Serve until a signal or a death ends us; return the exit status."""
        self._catch_signals()
        threading.stack_size(self._settings.stack_size * 1024)
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
        self._ending |= _SIGNALS[number] is Event.END

    def _start(self, unclean: bool) -> None:
        self._thread("teller", self._teller.run, daemon=True)
        self._thread("timer", functools.partial(self._timer.run, self._stop))
        self._thread("runner", functools.partial(self._runner.run, unclean))
        self._thread("starter", self._tell_started)
        self._thread("mail actions", functools.partial(self._post.run, self._stop), daemon=True)
        self._set_mail(self._settings.mail)
        self._jails.start(self._plan)
        self._open_control()

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
        actions: dict[Event, Callable[[], object]] = {
            Event.STARTED: self._ready,
            Event.REOPEN: self._messages.reopen,
            Event.RELOAD: self._steering.reload,
        }
        while not (asked := self._next_events()) & {Event.END, Event.FAILED}:
            self._main.serve()
            self._desk.serve()
            for event, action in actions.items():
                if event in asked:
                    action()
        if Event.FAILED in asked:
            self._status = 1

    def _next_events(self) -> set[Event]:
        written = os.read(self._wakeups, 65536)
        events = {_SIGNALS[number] for number in written if number in _SIGNALS}
        while not self._events.empty():
            events.add(self._events.get())
        return events | {Event.END} if self._ending else events

    def _end(self) -> None:
        """Stop in the order of the way of a line, so that nobody waits for a dead one."""
        self._desk.close()
        self._jails.close()
        self._main.close()
        self._services.journal.close()
        self._services.resolver.close()
        self._services.court.hosts.close()
        self._stop.set()
        self._timer.wake()
        if self._control is not None:
            self._control.wake()
        self._runner.finish()
        for thread in self._threads:
            thread.join()
        if self._control is not None:
            self._control.close()
        self._teller.finish()
        self._post.finish()
        self._set_mail(None)

    # Threads ------------------------------------------------------------------

    def _thread(self, name: str, body: Callable[[], None], daemon: bool = False) -> None:
        """Start a thread; for the end of a daemon's, nobody waits."""
        thread = threading.Thread(target=self._guard, args=(name, body), name=name, daemon=daemon)
        thread.start()
        if not daemon:
            self._threads.append(thread)

    def _guard(self, name: str, body: Callable[[], None]) -> None:
        """Run one thread; its death stops the daemon.

        A reader that died quietly would leave a service unprotected. An exit
        is noticed, and the init system starts us again.
        """
        try:
            body()
        except BaseException:
            self._runner.started.set()
            self._tell(Event.FAILED)
            log.critical("%s died, stopping", name, exc_info=True)

    def _tell_started(self) -> None:
        self._runner.started.wait()
        self._tell(Event.STARTED)

    def _tell(self, event: Event) -> None:
        """Ask the main thread for something; any thread."""
        self._events.put(event)
        self._ring()

    def _ring(self) -> None:
        """Wake the main thread; any thread."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes, too
            os.write(self._wake, b"\0")  # no signal has this number

    def _give_up(self, reason: str) -> None:
        log.error("Exiting: %s", reason)
        self._tell(Event.FAILED)

    def _notify(self, ban: Ban) -> None:
        """Tell about a ban; on the runner's thread."""
        if (mail := self._mail) is not None:
            mail.mailer.notify(ban)

    def _set_mail(self, settings: MailSettings | None) -> None:
        old, self._mail = self._mail, None
        if settings is not None:
            self._mail = _MailThread(settings, self._guard)
        if old is not None:
            old.end()

    # Reload -------------------------------------------------------------------

    def _reload(self) -> list[Problem]:
        """Read the configuration again; what cannot be used changes nothing.

        Returns:
            what is to be said about it.
        """
        log.info("Reading the configuration again")
        plan = make_plan(self._load())
        _report(plan.problems)
        if plan.settings is None:
            log.error("The configuration cannot be used: the old settings stay")
            return list(plan.problems)
        if plan.empty:
            # An empty or cut file is an accident. Who wants no protection disables
            # the sections, or ends the daemon.
            text = "The configuration has no section: the old settings stay"
            log.error("%s", text)
            return [*plan.problems, Problem(Origin("configuration"), "", "", text)]
        old, new = self._settings, plan.settings
        if MAIL in plan.broken:
            log.error("[%s] is broken now: its old settings stay", MAIL)
            new = replace(new, mail=old.mail)
        self._settings = new
        _warn_of_restart(old, new)
        if new.log != old.log:
            self._messages.configure(new.log)
        if new.mail != old.mail:
            self._set_mail(new.mail)
        self._jails.change(plan)
        log.info("The configuration is in use")
        return list(plan.problems)

    def _reconfigure(self, jails: Mapping[str, JailSettings]) -> None:
        families = host_families(self._settings.ipv6)
        self._runner.reconfigure(self._settings.firewall, _actions(jails.values()), families)


class _MailThread:
    """A mailer and its thread, which may outlive the settings it was made for."""

    def __init__(self, settings: MailSettings, guard: Guard) -> None:
        self.mailer = Mailer(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=guard,
            args=("mail", lambda: self.mailer.run(self._stop)),
            name="mail",
            daemon=True,  # a server that never answers must not keep us from ending
        )
        self._thread.start()

    def end(self) -> None:
        """Try once more to send what is left, for a few seconds."""
        self._stop.set()
        self.mailer.wake()
        self.mailer.finish()
        self._thread.join(MAIL_PATIENCE)


def _actions(jails: Iterable[JailSettings]) -> dict[str, tuple[ActionSettings, ...]]:
    return {jail.name: jail.actions for jail in jails}


def _report(problems: Iterable[Problem]) -> None:
    """Log what is to be said about the configuration."""
    for problem in problems:
        level = logging.ERROR if problem.severity == "error" else logging.WARNING
        log.log(level, "%s", problem)


def _warn_of_restart(old: Settings, new: Settings) -> None:
    fixed = {
        "background": old.background != new.background,
        "pidlock": old.pidlock != new.pidlock,
        "locale": old.locale != new.locale,
        "debug": old.firewall.dryrun != new.firewall.dryrun,
        "stacksize": old.stack_size != new.stack_size,
        "socket": old.socket != new.socket,
        "the language": old.modern != new.modern,
    }
    for option in (option for option, differs in fixed.items() if differs):
        log.warning("%s has changed; that takes effect at the next start", option)
