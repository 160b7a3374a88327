# SPDX-License-Identifier: GPL-2.0-or-later
"""Split a command that has only one meaning, to a shell, into its words.

Only what every shell reads alike is split; the rest is left to the shell. A tag
stays where it is: what it stands for must be harmless, see `escape.is_harmless`.

Source: POSIX.1-2017, Shell Command Language, sections 2.2 and 2.6.
"""

from __future__ import annotations

import re

from fail2ban.enforce.quoting import TAG

#: Characters; what is longer is no usual command.
_LONGEST = 8 * 1024

# One character at a time, so that a text that fits nearly is refused at once. A brace or
# a `!` in a word of others could be expanded by some shells; by itself it is a word.
_TAG = TAG.pattern.replace("(", "(?:", 1)
_QUOTED = rf"""\\[{{}}()!;]|'(?:[\t\n -&(-;=-~]|{_TAG})*'|"(?:[\t\n #%-;=-\[\]-_a-~]|{_TAG})*\""""
_WORD = rf"""(?:-!|(?:[A-Za-z0-9_.:/@,+=%-]|{_TAG}|{_QUOTED})+|[{{}}!])"""
_BLANK = r"(?:[ \t]|(?<=[ \t])\\\n)+"
_COMMAND = re.compile(rf"[ \t\n]*([A-Za-z0-9_./+-]+)((?:{_BLANK}{_WORD})*)[ \t\n]*")
_WORDS = re.compile(_WORD)
_MARKS = re.compile(r"""\\(.)|'([^']*)'|"([^"]*)\"""")


def split(command: str) -> list[str] | None:
    """Return the words of a command, the program first; None: only a shell can tell.

    Args:
        command: with its tags. A `<` of a word of the result always begins a tag.
    """
    if len(command) > _LONGEST or not (found := _COMMAND.fullmatch(command)):
        return None
    return [found[1], *map(_unquoted, _WORDS.findall(found[2]))]


def _unquoted(word: str) -> str:
    return _MARKS.sub(lambda mark: "".join(part or "" for part in mark.groups()), word)
