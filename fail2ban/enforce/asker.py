# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the commands that say whom to ignore, with the same tags as those that ban.

Source: jail-conf.md sections 5.6 and 9.3.
"""

from __future__ import annotations

from fail2ban.enforce.escape import fill, script
from fail2ban.enforce.shell import Shell
from fail2ban.enforce.tags import Facts, Lore
from fail2ban.errors import CommandError
from fail2ban.records import Ban, Command, Failure, Ticket


class ShellAsker:
    """See `decide.ignorecommand.Asker`; any thread.

    Args:
        lore: whom the tags ask.
    """

    def __init__(self, shell: Shell, lore: Lore | None = None) -> None:
        self._shell, self._lore = shell, lore or Lore()

    def run(self, command: Command, failure: Failure, timeout: float) -> int:
        """Run a command; return its exit status.

        Raises:
            CommandError: it could not be started, was killed, or took too long.
        """
        facts = self._facts(failure)
        filled = script(command.of(facts.family), facts.lookup)
        try:
            self._shell(filled.text, {}, timeout, *filled.arguments)
        except CommandError as error:
            if error.status is None:
                raise
            return error.status
        return 0

    def key(self, text: str, failure: Failure) -> str:
        """Return a text with its tags replaced."""
        return fill(text, self._facts(failure).lookup)

    def _facts(self, failure: Failure) -> Facts:
        """Return what the tags say: as if the failure led to a ban."""
        ticket = Ticket(
            failure.jail,
            failure.ip,
            failures=1,
            time=failure.time,
            lines=failure.lines,
            fid=failure.fid,
            groups=failure.groups,
        )
        ban = Ban(failure.time, None, ticket)
        return Facts(failure.jail, ban.family, failure.time, ban, lore=self._lore)
