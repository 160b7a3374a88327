# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that would run for a ban, written down instead of run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fail2ban.enforce.asker import ShellAsker
from fail2ban.enforce.firewall import Firewall, host_families
from fail2ban.records import ActionSettings, Ban, Failure, IgnoreSettings, MailActionSettings
from fail2ban.text import printable


class Recorder:
    """A `Shell` that runs nothing.

    Attributes:
        lines: of all commands so far, with the values that they get apart.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(
        self,
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        if command.strip():
            self.lines += map(printable, command.strip("\n").split("\n"))
            for number, argument in enumerate(arguments[1:], start=1):
                self.lines.append(f"  with ${number} = '{printable(argument)}'")
            for line in (feed or "").splitlines():
                self.lines.append(f"  with input: {printable(line)}")


def of_action(
    jail: str, action: ActionSettings, ban: Ban, now: float, every: bool
) -> Iterator[str]:
    """Yield what an action would do for a ban.

    Args:
        now: when it would, seconds since the epoch.
        every: what it would do later, too.
    """
    if action.mail:
        yield from _mail(action.mail)
        return
    recorder = Recorder()
    firewall = Firewall(jail, action, recorder, host_families(), clock=lambda: now)
    if reason := firewall.cannot_ban(ban):
        yield f"nothing would run: {reason}"
        return
    scopes = [ban.family] if action.on_demand else None
    begin = "before the first ban" if action.on_demand else "when the jail starts"
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"start, {begin}:", lambda: firewall.start(scopes)),
        ("ban:", lambda: firewall.ban([ban], now)),
    ]
    if every:
        steps += [
            ("check, now and then:", lambda: firewall.check(scopes)),
            ("unban:", lambda: firewall.unban([ban], now)),
            ("stop, when the jail stops:", lambda: firewall.stop(scopes)),
        ]
    for title, step in steps:
        recorder.lines.clear()
        step()
        if recorder.lines or title == "ban:":
            yield title
            yield from (f"  {line}" for line in recorder.lines or ["(no command)"])


def of_ignoring(ignore: IgnoreSettings, failure: Failure) -> Iterator[str]:
    """Yield the command that would be asked whether to ignore a failure."""
    recorder = Recorder()
    ShellAsker(recorder).run(ignore.command, failure, ignore.timeout)
    yield from recorder.lines


def _mail(mail: MailActionSettings) -> Iterator[str]:
    yield f"a mail to {', '.join(mail.to)} through {mail.host}"
