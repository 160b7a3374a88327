# SPDX-License-Identifier: GPL-2.0-or-later
"""The levels of our own messages that `logging` does not have.

Source: jail-conf.md section 11.
"""

from __future__ import annotations

import logging

#: Worth knowing although nothing is wrong: a ban, an unban.
NOTICE = 25

#: Name -> number.
LEVELS = {
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "NOTICE": NOTICE,
    "INFO": logging.INFO,
    "MSG": 18,
    "DEBUG": logging.DEBUG,
    "TRACEDEBUG": 7,
    "HEAVYDEBUG": 5,
}

for _name, _level in LEVELS.items():
    logging.addLevelName(_level, _name)
