# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out many plain commands with few processes; what fails, fails for itself.

A batch that fails is cut in halves until the guilty are found, or taken up behind
the guilty where the program has stopped at it. A guilty one is run once more,
alone, as the user wrote it: whether it fails, and how, is decided there. Where one
after the other is guilty, what is wrong is something else, and the rest has to wait.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Protocol

from fail2ban.enforce.bulk import Batch
from fail2ban.enforce.halving import Patience, outcome
from fail2ban.enforce.plain import Line
from fail2ban.errors import CommandError

#: None: done.
Outcome = CommandError | None

#: Tells whether a process stands by for a command, so that a lone line is no slower so.
Ready = Callable[[str], bool]

#: Runs one of the commands as the user wrote it, by its number; raises CommandError.
Alone = Callable[[int], None]


class Send(Protocol):
    """Gives a program its input.

    Args:
        numbers: of the commands whose lines are in it.
        seconds: that it may take.
        divides: tells of a failure whether its lines are tried again in smaller parts,
            which tell what has become of each.

    Raises:
        CommandError: it failed.
    """

    def __call__(
        self,
        command: str,
        feed: str,
        numbers: Sequence[int],
        seconds: float,
        divides: Callable[[CommandError], bool],
        /,
    ) -> None: ...


def never_ready(command: str) -> bool:
    """Tell that no process stands by; a `Ready`."""
    return False


#: Lines for one process.
LARGEST = 100_000

#: Seconds that a line adds to the time that a batch may take: for the largest one less
#: than the runner may be at one thing, see `daemon.RUNNER_PATIENCE`.
LINE_SECONDS = 0.0005

#: Lines that are tried behind a guilty one; where they are done, more and more.
_CAREFUL, _GROWTH = 16, 8

#: The exit status of a shell that cannot run a program, or finds none.
_NOT_RUN = (126, 127)

_STOPPED = re.compile(r"Error in line ([0-9]{1,9})\b")


def carry_out(
    lines: Sequence[Line | None],
    alone: Alone,
    send: Send,
    timeout: float,
    ready: Ready = never_ready,
) -> list[Outcome]:
    """Carry out commands, one process for as many as possible.

    Those of one batch are carried out in their order, a batch after the other by
    their first lines, and behind them those that have no line. A lone one runs as it
    is written, unless a process stands by for its line. A batch that does not end in
    time, or not by itself, may have done anything: all of it counts as failed, and
    nothing is tried again here.

    Args:
        lines: one for each command; None: it runs as it is written.
        alone: see `Alone`; called on this thread, at most once for a command. What it
            raises besides CommandError ends it all.
        send: runs the batches.
        timeout: seconds that one command may take; a batch gets 0.5 ms more a line.
        ready: tells whether a process stands by.

    Returns:
        one outcome for each command, in their order.
    """
    groups: dict[Batch, list[int]] = {}
    written: list[int] = []
    for number, line in enumerate(lines):
        (written if line is None else groups.setdefault(line.batch, [])).append(number)
    outcomes: list[Outcome] = [None] * len(lines)
    for batch, numbers in groups.items():
        for at in range(0, len(numbers), LARGEST):
            part = numbers[at : at + LARGEST]
            texts = [line.text for number in part if (line := lines[number]) is not None]
            work = _Work(batch, texts, part, alone, send, timeout)
            for number, found in zip(part, work.do(ready(batch.command)), strict=True):
                outcomes[number] = found
    for number in written:
        outcomes[number] = outcome(alone, number)
    return outcomes


class _Work:
    """The lines of one batch.

    Args:
        numbers: of their commands.
    """

    def __init__(
        self,
        batch: Batch,
        texts: Sequence[str],
        numbers: Sequence[int],
        alone: Alone,
        send: Send,
        timeout: float,
    ) -> None:
        self._batch, self._texts, self._numbers = batch, texts, numbers
        self._alone, self._give, self._timeout = alone, send, timeout
        self._outcomes: list[Outcome] = [None] * len(texts)
        # The batch fails where its lines, each alone, do not: no use to go on with it.
        self._useless = False
        self._patience = Patience()

    def do(self, ready: bool) -> list[Outcome]:
        """Carry out all lines; return their outcomes.

        Args:
            ready: a process stands by.
        """
        count = len(self._texts)
        if count == 1 and ready:
            error = self._send(0, 1)
            if error is not None and not self._is_settled(error, 0, 1):
                self._each(0, 1)
        elif self._batch.atomic:
            self._halve(0, count)
        else:
            self._go_on()
        return self._outcomes

    # Nothing is done if a line fails ---------------------------------------------

    def _halve(self, begin: int, end: int, guilty: bool = False) -> bool:
        """Do a range of lines, at once or in halves; tell whether none was in the way.

        Args:
            guilty: it need not be tried at once: what failed with it is done without it.
        """
        if end - begin == 1 or self._is_over:
            return self._each(begin, end)
        if not guilty:
            error = self._send(begin, end)
            if error is None or self._is_settled(error, begin, end):
                return True
        middle = (begin + end) // 2
        innocent = self._halve(begin, middle)
        self._halve(middle, end, guilty=innocent)
        if not guilty and end - begin == 2 and not any(self._outcomes[begin:end]):
            self._useless = True
        return False

    # All before the line that fails is done --------------------------------------

    def _go_on(self) -> None:
        """Do all lines, time and again those behind the one where the program stopped."""
        begin, size, count = 0, len(self._texts), len(self._texts)
        while begin < count:
            end = min(begin + size, count)
            if end - begin == 1 or self._is_over:
                self._each(begin, end)
            elif error := self._send(begin, end):
                if not self._is_settled(error, begin, end):
                    end, size = self._pass(begin, end, error), _CAREFUL
            else:
                size *= _GROWTH
            begin = end

    def _pass(self, begin: int, end: int, error: CommandError) -> int:
        """Do the line of a range at which the program stopped; return the one behind it."""
        stop = self._stop(error, end - begin)
        if stop is None:
            # How far it came is not known, and not every command may be repeated.
            self._outcomes[begin:end] = [error] * (end - begin)
            return end
        if stop > 0:
            self._patience.note(None)
        self._useless = self._each(begin + stop, begin + stop + 1)
        return begin + stop + 1

    def _stop(self, error: CommandError, count: int) -> int | None:
        """Return at which of so many lines the program stopped, from 0."""
        found = (_STOPPED.search(line) for line in error.output)
        number = next((int(stopped[1]) for stopped in found if stopped), 0)
        line = (number - 1) // self._batch.end.count("\n")
        return line if 0 <= line < count else None

    # Either ----------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        """Whether no batch is tried any more."""
        return self._useless or self._patience.refusal is not None

    def _send(self, begin: int, end: int) -> CommandError | None:
        """Have a range of lines done by one process; return how that failed."""
        batch, count = self._batch, end - begin
        lines = batch.end.join(self._texts[begin:end]) + batch.end
        seconds = self._timeout + count * LINE_SECONDS
        feed, numbers = batch.before + lines + batch.after, self._numbers[begin:end]
        divides = functools.partial(self._divides, count)
        try:
            self._give(batch.command, feed, numbers, seconds, divides)
        except CommandError as error:
            return error
        self._patience.note(None)
        return None

    def _divides(self, count: int, error: CommandError) -> bool:
        """Tell whether so many lines are tried again, in parts or alone, after a failure."""
        if error.status in _NOT_RUN:
            return True
        stopped = self._batch.atomic or self._stop(error, count) is not None
        return stopped and not error.in_doubt

    def _is_settled(self, error: CommandError, begin: int, end: int) -> bool:
        """Deal with a failure that says nothing about the lines; tell whether it was one."""
        if error.status in _NOT_RUN:
            self._useless = True
            self._each(begin, end)
        elif error.in_doubt:
            self._outcomes[begin:end] = [error] * (end - begin)
        else:
            return False
        return True

    def _each(self, begin: int, end: int) -> bool:
        """Run the commands of a range as they are written; tell whether none failed."""
        for index in range(begin, end):
            if (found := self._patience.refusal) is None:
                found = outcome(self._alone, self._numbers[index])
                self._patience.note(found)
            self._outcomes[index] = found
        return not any(self._outcomes[begin:end])
