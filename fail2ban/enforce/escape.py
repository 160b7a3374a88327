# SPDX-License-Identifier: GPL-2.0-or-later
"""Put values into a shell command so that none of them can do anything.

A value of harmless characters, as every address and number is, stands in the
command's text. Any other reaches it as a positional parameter, which the first
line keeps in a variable; where the tag was there is that variable, quoted as
the place asks for. So `"<matches>"`, `'<matches>'` and `<matches>` all are
exactly the text, one word, in the shell that runs the command.

Source: jail-conf.md section 9.3, with the defect 14 of section 16 mended.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fail2ban.enforce.quoting import TAG, Place, Reader
from fail2ban.enforce.rereading import Reading

#: Returns the value of a tag by its name, or None if there is no such tag.
Lookup = Callable[[str], str | None]

#: Bytes of one value. Linux allows 128 KiB an argument, and commands add to it.
VALUE_LIMIT = 32 * 1024

#: The shell's name for itself in its own messages.
SHELL_NAME = "sh"

_HARMLESS = re.compile(r"[A-Za-z0-9_.:/@,+-]{0,1000}")
_NUMERAL = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
#: Where a number may be expected, in the shell's or in bash's way.
_CALCULATES = re.compile(r"\(\(|\$\[|\$\{[!#]?\w+[\[:]|\[\[")
#: Tags that mean part of the command's own text.
_LAYOUT = ("br", "sp")
_HARMFUL = re.compile(r"[^A-Za-z0-9_.:/@,+ -]")


@dataclass(frozen=True)
class Script:
    """A command for `sh -c`, ready to run.

    Attributes:
        text: the command.
        arguments: its positional parameters, from `$0` on; none if it needs none.
    """

    text: str
    arguments: tuple[str, ...] = ()


def fill(template: str, lookup: Lookup) -> str:
    """Replace each <tag> that has a value, in a text that no program obeys.

    A tag without a value stays as it is: `<` also redirects input.
    """

    def value(tag: re.Match[str]) -> str:
        found = lookup(tag[1])
        return tag[0] if found is None else found

    return TAG.sub(value, template)


def is_harmless(text: str) -> bool:
    """Tell whether no program takes anything in a text for more than a word."""
    return _HARMLESS.fullmatch(text) is not None


def script(template: str, lookup: Lookup) -> Script:
    """Replace each <tag> that has a value, in a shell command."""
    # A newline is to be read as one: it ends a comment and a command.
    template = fill(template, lambda name: lookup(name) if name in _LAYOUT else None)
    values = _Values({name: lookup(name) for name in dict.fromkeys(TAG.findall(template))})
    if values.are_harmless and not _CALCULATES.search(template):
        return Script(fill(template, values.known.get))
    text = Reader(template, values.substitute).read()
    if not values.arguments:
        return Script(text)
    return Script(values.assignments() + text, (SHELL_NAME, *values.arguments))


class _Values:
    """The values that one command asks for.

    Attributes:
        known: by tag; None: it has no value.
        arguments: those that cannot stand in the text.
    """

    def __init__(self, known: Mapping[str, str | None]) -> None:
        self.known = known
        self.arguments: list[str] = []
        self._names: dict[str, str] = {}

    @property
    def are_harmless(self) -> bool:
        return all(value is None or is_harmless(value) for value in self.known.values())

    def substitute(self, name: str, place: Place, reading: Reading) -> str | None:
        value = self.known.get(name)
        if value is not None and place is Place.NUMBER:
            # A name would be followed: to a variable that holds foreign text.
            return value if _NUMERAL.fullmatch(value) else "0"
        if value is None or is_harmless(value):
            return value
        variable = self._variable(name, value, reading)
        if place is Place.BARE:
            return f'"{variable}"'
        return f"""'"{variable}"'""" if place is Place.SINGLE else variable

    def assignments(self) -> str:
        """Return the first line: it keeps the parameters, which the command may use itself."""
        kept = [f"{name}=${{{n}}}" for n, name in enumerate(self._names.values(), start=1)]
        return " ".join(kept) + "; set --\n"

    def _variable(self, name: str, value: str, reading: Reading) -> str:
        """Return the variable of a value; a program that does not take it as it is gets another."""
        key = f"{name}!{reading.value}"
        if key not in self._names:
            self._names[key] = "f2bV_" + re.sub(r"\W", "_", name) + reading.value
            text = carried(value)
            if reading is Reading.COMMANDS:
                text = _HARMFUL.sub("_", text)
            elif reading is Reading.ESCAPES:
                text = text.replace("\\", "\\\\")
            self.arguments.append(text)
        return f"${{{self._names[key]}}}"


def carried(text: str) -> str:
    """Return what of a text an argument or the environment can carry: its end, without NUL."""
    encoding = sys.getfilesystemencoding()
    data = text.replace("\0", "\\x00").encode(encoding, "replace")
    return data[-VALUE_LIMIT:].decode(encoding, "ignore")
