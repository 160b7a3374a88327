# SPDX-License-Identifier: GPL-2.0-or-later
"""Show text that an attacker may have written without letting it do anything."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, what turns the direction of
# writing, and halves of surrogate pairs. A tab is harmless.
_DANGEROUS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Write dangerous characters as `\x1b` or `\n`, so that the text stays one line."""
    return _DANGEROUS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
