# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that tell how the daemon is; they change nothing."""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host
from fail2ban.health import report
from fail2ban.health.exposition import text
from fail2ban.health.families import families


def health(host: Host, said: Sequence[str]) -> report.Document:
    """Return everything that is known, see `health.report`."""
    _no_words(said)
    return report.document(host.health())


def alarms(host: Host, said: Sequence[str]) -> list[report.Document]:
    """Return the alarms that are on, the oldest first."""
    _no_words(said)
    return report.alarms(host.health().alarms)


def metrics(host: Host, said: Sequence[str]) -> str:
    """Return the text that Prometheus reads."""
    _no_words(said)
    return text(families(host.health()))


def named_alarms(host: Host, said: Sequence[str]) -> report.Document:
    """Return the alarms with a name, for programs."""
    return {"alarms": alarms(host, said)}


def named_metrics(host: Host, said: Sequence[str]) -> report.Document:
    """Return the metrics with a name, for programs."""
    return {"text": metrics(host, said)}


def _no_words(said: Sequence[str]) -> None:
    if said:
        raise words.unknown(f"Invalid command ({quoted(said[0])} is a word too many)")


#: What may be asked for, and the same with named parts; see `control.schema`.
COMMANDS = {"health": health, "alarms": alarms, "metrics": metrics}
QUERIES = {"health": health, "alarms": named_alarms, "metrics": named_metrics}
SHAPES = {
    "health": report.SHAPE,
    "alarms": {"alarms": report.ALARMS},
    "metrics": {"text": str},
}
