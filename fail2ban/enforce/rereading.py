# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a command hands text to a program that reads it as commands once more.

Quotes that keep a text together do not help there: another shell, or awk, reads
what they held. Programs are known by their names; what is taken for one of them
without being it only costs a text its unusual characters.

Source: the manuals of bash, dash, awk, sed, perl, python and OpenSSH.
"""

from __future__ import annotations

import enum
import functools
import re


class Reading(enum.Enum):
    """What becomes of a value; the name of its variable ends so."""

    PLAIN = ""
    COMMANDS = "_safe"
    ESCAPES = "_b"


_BEGIN = r"(?:^|[\s/;&|(){}!`=<>])"
_SHELL = r"(?:ba|da|a|k|z)?sh"
_PYTHON = r"python[\d.]*"
_LANGUAGE = rf"(?:{_PYTHON}|(?:perl|ruby|php|node|nodejs|lua)[\d.]*)"
#: Each may be followed by a word of its own.
_OPTIONS = r"(?:[-+]\S+\s+(?:[^-+\s]\S*\s+)?)*"

#: Those that read every argument so.
_READS_ALL = re.compile(
    rf"{_BEGIN}(?:"
    r"(?:eval|trap|let|declare|typeset|ssh|sed)\s"
    r"|(?:su|runuser)\s.*-c"
    rf"|(?:perl|ruby|php|node|nodejs|lua)[\d.]*\s+{_OPTIONS}-\w*[eEr]"
    rf"|(?:{_SHELL}|{_LANGUAGE})(?:\s+-\w*)*\s*<<<"
    # bash calculates the index of an array.
    r"|\w+\[[^\]\s]*$"
    # bash 5.2 expands what is no descriptor a second time when it complains of it.
    r")|[<>]&\s*\S*$",
    re.DOTALL,
)
#: Those that read one argument so, and take the next ones as they are.
_READS_ONE = re.compile(
    rf"{_BEGIN}(?:{_SHELL}\s+{_OPTIONS}-\w*[cs]|{_PYTHON}\s+{_OPTIONS}-\w*c|[gmn]?awk\s)"
)
#: Those that read a here-document so.
_READS_INPUT = re.compile(
    rf"(?:{_BEGIN}(?:(?:{_SHELL}|{_LANGUAGE})(?:\s+-\w*)*"
    rf"|ssh\s+{_OPTIONS}\S+(?:\s+{_SHELL}(?:\s+-\w*)*)?)"
    r"|(?:^|[;&|(]|sudo\s)\s*(?:su|at|batch)(?:\s[^<|;&]*)?)\s*<<"
)
_IS_NEXT = re.compile(rf"{_BEGIN}(?:[-+]\S*|[gmn]?awk)\s*$")
#: Those that get their text from elsewhere in the command: a variable, a pipe.
_READS_ANYTHING = re.compile(
    rf"{_BEGIN}eval\s|\|\s*(?:sudo\s+)?(?:/\S*/)?"
    rf"(?:(?:at|batch)\b|(?:{_SHELL}|{_LANGUAGE})(?:\s+-\w*)*\s*(?:$|[;&|)`\n]))"
)
#: What bash calculates of a parameter: `${name:offset}`, `${name[index]}`.
_OFFSET = re.compile(r"[!#]?\w+(?:\[[^\]]*|(?:\[.*\])?:(?![-+=?]).*)", re.DOTALL)
#: `[[ text -eq text ]]`, which bash calculates, too.
_COMPARED = r"\s+-(?:eq|ne|lt|le|gt|ge)\s+[\"']?"
_BEFORE_COMPARED = re.compile(rf"[\"']?{_COMPARED}")
_AFTER_COMPARED = re.compile(rf"{_COMPARED}$")
#: What makes a character of a backslash and the next one.
_READS_ESCAPES = re.compile(rf"{_BEGIN}printf\s+(?:--\s+)?\S*%b\S*\s")
_QUOTES = re.compile(r"[\"'\\]")


def reads_next(segment: str, whole: bool) -> bool:
    """Tell whether what stands behind a part of a command is read once more.

    Args:
        segment: the part, from the beginning of a simple command.
        whole: what follows is a whole word.
    """
    plain = _plain(segment)
    if _READS_ALL.search(plain):
        return True
    return bool(_READS_ONE.search(plain)) and not (whole and not _IS_NEXT.search(plain))


def reads_input(line: str) -> bool:
    """Tell whether the here-document that a line announces is read as commands."""
    return _READS_INPUT.search(_plain(line)) is not None


@functools.lru_cache(maxsize=64)
def reads_anything(command: str) -> bool:
    """Tell whether any text in the whole of a command may be read once more."""
    return _READS_ANYTHING.search(_plain(command)) is not None


def reads_escapes(segment: str) -> bool:
    """Tell whether backslashes in what follows are not taken as they are; see `reads_next`."""
    return _READS_ESCAPES.search(_plain(segment)) is not None


def is_offset(parameter: str) -> bool:
    """Tell whether bash calculates what follows this part of `${...}`."""
    return _OFFSET.fullmatch(parameter) is not None


def is_compared(before: str, after: str) -> bool:
    """Tell whether bash compares as numbers what stands between these parts of a command."""
    if "[[" not in before:
        return False
    return bool(_AFTER_COMPARED.search(before) or _BEFORE_COMPARED.match(after))


def _plain(text: str) -> str:
    """Return a text as a shell sees words: lines joined, names without quotes."""
    return _QUOTES.sub("", text.replace("\\\n", " "))
