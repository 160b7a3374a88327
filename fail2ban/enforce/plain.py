# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognise commands that are one plain call of nft, ipset, iptables or ip6tables.

Such a command means the same as a line of what these programs read in bulk, so
that many bans need one process. Whatever means something to a shell, or is not
known to mean the same in bulk, is not plain and runs as the user wrote it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import NamedTuple

from fail2ban.enforce import bulk, words
from fail2ban.enforce.bulk import Batch
from fail2ban.enforce.escape import Lookup
from fail2ban.enforce.quoting import TAG

# One word to these programs, no option, and not nothing.
_VALUE = re.compile(r"[A-Za-z0-9_.:/@+][A-Za-z0-9_.:/@,+-]{0,255}")

#: Characters: ipset reads 1,023 at a time.
LONGEST = 1000


class Line(NamedTuple):
    """One ban's part of a batch.

    Attributes:
        batch: lines of equal batches may be carried out together.
        text: in the batch's language, without its end.
    """

    batch: Batch
    text: str


@dataclass(frozen=True)
class Plain:
    """A command, its tags still open, that can be a line of a batch.

    Attributes:
        batch: what carries out its lines.
        pattern: the line, "%(NAME)s" for each tag.
        tags: their names, each once.
    """

    batch: Batch
    pattern: str
    tags: tuple[str, ...]

    def line(self, lookup: Lookup) -> Line | None:
        """Return the line for one ban.

        None: a value is missing or could mean more than a word, so that this one is to
        run as the user wrote it.
        """
        values = {}
        for name in self.tags:
            value = lookup(name)
            if value is None or _VALUE.fullmatch(value) is None:
                return None
            values[name] = value
        text = self.pattern % values
        return Line(self.batch, text) if len(text) <= LONGEST else None


@functools.lru_cache(maxsize=1024)
def plain(template: str) -> Plain | None:
    """Return what a command is, if it is plain.

    Args:
        template: the command; what the configuration can say has been put in, and the
            tags of a ban are left.
    """
    split = words.split(template)
    written = bulk.line(split) if split else None
    if written is None:
        return None
    batch, text = written
    pattern = TAG.sub(r"%(\1)s", text.replace("%", "%%"))
    return Plain(batch, pattern, tuple(dict.fromkeys(TAG.findall(text))))
