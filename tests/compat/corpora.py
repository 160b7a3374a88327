# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of the shared corpora, in the order in which they are replayed.

Source: corpora/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.needs import SHARED

FOLDER = SHARED / "corpora"


class Feed(NamedTuple):
    """What a filter is given.

    Attributes:
        name: says where the line is from.
        time: seconds since the epoch, where the source knows it; else the line is
            searched for it.
    """

    name: str
    text: str
    time: float | None


@dataclass
class Subject:
    """One filter object, and what it is given in order.

    Attributes:
        config_dir: as the corpus names the tree that the filter is in.
        filter, options: as in `filter[option=value]`.
    """

    config_dir: str
    filter: str
    options: Mapping[str, str] = field(default_factory=dict)
    feeds: list[Feed] = field(default_factory=list)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.filter}[{options}]" if options else self.filter


def cases() -> list[dict[str, Any]]:
    """Return the records of fail2ban.jsonl."""
    return list(_records("fail2ban"))


def instances(records: Iterable[dict[str, Any]], now: float) -> list[Subject]:
    """Return the filter objects of these records with their own lines."""
    found: dict[tuple[str, str], Subject] = {}
    for record in records:
        subject = found.setdefault(
            (record["config_dir"], record["instance"]),
            Subject(record["config_dir"], record["filter"], record["filter_options"]),
        )
        known = now if record["feed"] == "journal" else None
        subject.feeds.append(Feed(record["id"], record["lines"][-1], known))
    return list(found.values())


def every_line(at: float | None) -> list[Feed]:
    """Return each line of each corpus once, in order, as if it happened `at`."""
    first: dict[str, str] = {}
    for name, text in _lines():
        first.setdefault(text, name)
    return [Feed(name, text, at) for text, name in first.items()]


def _lines() -> Iterator[tuple[str, str]]:
    for record in _records("fail2ban"):
        yield f"{record['file']}:{record['lineno']}", record["lines"][-1]
    for name in ("sshguard", "crowdsec"):
        for number, record in enumerate(_records(name), 1):
            yield f"{name}:{number}", record.get("bannered") or record["line"]
    for number, record in enumerate(_records("crowdsec_scenarios"), 1):
        for line, text in enumerate(record["lines"], 1):
            yield f"scenario {number}:{line}", text


def _records(name: str) -> Iterator[dict[str, Any]]:
    with (FOLDER / f"{name}.jsonl").open(encoding="ascii") as file:
        yield from map(json.loads, file)
