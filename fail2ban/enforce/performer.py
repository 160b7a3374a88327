# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the commands of one action, and tells of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fail2ban.enforce.escape import script
from fail2ban.enforce.shell import Shell
from fail2ban.enforce.tags import Facts
from fail2ban.errors import CommandError
from fail2ban.events import Events
from fail2ban.records import Id


@dataclass(frozen=True)
class Told:
    """What is told of a command.

    Attributes:
        ids: whom it is about; none: nobody.
        divides: tells of a failure whether it is tried again for smaller parts of them.
    """

    verb: str
    ids: Sequence[Id] = ()
    divides: Callable[[CommandError], bool] = lambda error: False


@dataclass(frozen=True)
class Performer:
    """Runs commands; all on the runner's thread, or aside.

    Attributes:
        jail, action: whose commands they are.
        timeout: seconds that one may take.
        shell: runs them.
        events: is told of each.
        ticks: seconds that only go forward.
        dry: the shell only shows them.
    """

    jail: str
    action: str
    timeout: float
    shell: Shell
    events: Events
    ticks: Callable[[], float]
    dry: bool

    def run(
        self,
        told: Told,
        text: str,
        facts: Facts,
        variables: Mapping[str, str],
        feed: str | None = None,
    ) -> None:
        """Fill in the tags of a command and run it; an empty one does nothing.

        Raises:
            CommandError: it failed, or took too long.
        """
        if text.strip():
            command = script(text, facts.lookup)
            with self.telling(told):
                self.shell(command.text, variables, self.timeout, *command.arguments, feed=feed)

    @contextmanager
    def telling(self, told: Told) -> Iterator[None]:
        """Tell of the command that runs meanwhile, and how it ended."""
        began = self.ticks()
        try:
            yield
        except CommandError as error:
            self._tell(told, began, error)
            raise
        self._tell(told, began)

    def _tell(self, told: Told, began: float, error: CommandError | None = None) -> None:
        divided = error is not None and told.divides(error)
        more: dict[str, object] = {"divided": True} if divided else {}
        self.events.tell_of(
            "command",
            self.jail,
            told.ids,
            action=self.action,
            verb=told.verb,
            seconds=self.ticks() - began,
            error="" if error is None else str(error),
            status=0 if error is None else error.status,
            dryrun=self.dry,
            **more,
        )
