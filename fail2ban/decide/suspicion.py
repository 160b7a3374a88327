# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of one id that fails, in as few bytes as can be.

There may be a hundred thousand of them, most with one failure. So it is one flat tuple,
of each failure its time and what was written: `(time, text, time, text, ...)`, by time.
A failure that counts as several is there as often, its text once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import chain
from typing import Any

from fail2ban.ledger import Suspect

#: What was written: the lines of one failure; None: not kept.
Text = str | tuple[str, ...] | None
#: Times in seconds since the epoch at even places, texts at odd ones.
Suspicion = tuple[Any, ...]


def text_of(lines: tuple[str, ...], most: int, length: int) -> Text:
    """Return the newest of some lines, cut to so many characters."""
    if len(lines) == 1 and most:
        return lines[0][:length]
    return tuple(line[:length] for line in lines[-most:]) if most else None


def more(
    old: Suspicion, time: float, begin: float, text: Text, most: int, attempts: int = 1
) -> Suspicion:
    """Add a failure and forget those before `begin`.

    Args:
        most: lines that are kept, the newest.
        attempts: how often it counts.
    """
    if attempts == 1 and (not old or (old[0] >= begin and old[-2] <= time)):
        if (found := _appended(old, time, text, most)) is not None:
            return found
    times, texts = list(old[::2]), list(old[1::2])
    where = bisect_right(times, time)
    times[where:where] = [time] * attempts
    texts[where:where] = [text] + [None] * (attempts - 1)
    gone = bisect_left(times, begin)
    return _flat(times[gone:], _newest(texts[gone:], most))


def written(suspicion: Suspicion, most: int) -> tuple[str, ...]:
    """Return the newest lines that are kept, oldest first."""
    lines = tuple(chain.from_iterable(map(_lines, suspicion[1::2])))
    return lines[-most:] if most else ()


def stored(suspicion: Suspicion) -> Suspect:
    """Return what outlives the process."""
    told = zip(suspicion[::2], suspicion[1::2], strict=True)
    lines = tuple((time, _lines(text)) for time, text in told if text is not None)
    return Suspect(suspicion[::2], lines)


def read(suspect: Suspect, begin: float, now: float) -> Suspicion:
    """Undo `stored`, but for what was before `begin`; nothing was after `now`."""
    told = defaultdict[float, deque[Text]](deque)
    for time, lines in suspect.lines:
        told[min(time, now)].append(_packed(lines))
    times = sorted(min(time, now) for time in suspect.times if time >= begin)
    return _flat(times, [told[time].popleft() if told[time] else None for time in times])


def _appended(old: Suspicion, time: float, text: Text, most: int) -> Suspicion | None:
    """Add a failure after all others, as nearly always; None: that is not so simple."""
    if text is not None:
        if type(text) is not str or tuple in map(type, old):
            return None
        if len(old) >= 2 * most:
            texts = old[1::2]
            gone = texts.count(None)
            if len(texts) - gone >= most:
                if texts[:gone].count(None) < gone or not most:
                    return None  # it is not the oldest that have no text
                old = old[: 2 * gone + 1] + (None,) + old[2 * gone + 2 :]
    return old + (time, text)


def _lines(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text or ()


def _flat(times: Sequence[float], texts: Sequence[Text]) -> Suspicion:
    return tuple(chain.from_iterable(zip(times, texts, strict=True)))


def _newest(texts: list[Text], most: int) -> list[Text]:
    """Keep so many lines of the last texts."""
    room, kept = most, list[Text]()
    for text in reversed(texts):
        some = _lines(text)[-room:] if room else ()
        room -= len(some)
        kept.append(_packed(some))
    return kept[::-1]


def _packed(lines: tuple[str, ...]) -> Text:
    return lines[0] if len(lines) == 1 else lines or None
