# SPDX-License-Identifier: GPL-2.0-or-later
"""The languages of `nft -f`, `ipset restore` and `iptables-restore`.

A call of one of these programs is written as a line of what it, or its sibling,
reads from standard input. What is not known here to mean the same is not written.

Source: nft(8), ipset(8), iptables(8), iptables-restore(8), and how nft 1.0.6,
ipset 7.17 and iptables 1.8.9 were found to behave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """A process that carries out many lines.

    Attributes:
        command: of plain words; reads the lines from its standard input.
        before, after: what the input begins and ends with.
        end: of each line.
        atomic: if a line fails, nothing has been done; else all before it has.
    """

    command: str
    before: str = ""
    after: str = ""
    end: str = "\n"
    atomic: bool = True


#: What to write, with tags, and to whom.
Written = tuple[Batch, str]

_PROGRAM = re.compile(r"(?:/[\w./+-]*)?(?:(nft)|(ipset)|(ip6?tables(?:-nft|-legacy)?))")

# Options that change only what is shown.
_NFT_OPTION = re.compile(
    r"-[aensSuyNpTt]+|--(?:handle|echo|numeric|stateless|service|guid|terse|reversedns"
    r"|numeric-(?:priority|protocol|time))"
)
_NFT_STATEMENT = re.compile(
    r"(?:(?:add|create|delete|destroy)\s+element|(?:add|insert|delete|replace)\s+rule)\s+\S.*"
)
# A comment, a variable, an end of a statement, a line that goes on. The number of a rule
# is counted in the kernel's list, to which the lines before have not been added yet.
_NFT_OTHER = re.compile(r"[#$;\\']|\bindex\b")

_IPSET_EXIST = frozenset({"-exist", "--exist", "-!"})
_IPSET_VERBS = {"add": "add", "-A": "add", "--add": "add", "del": "del", "-D": "del"}
_IPSET_VERBS["--del"] = "del"

_IPTABLES_VERBS = {"--append": "-A", "--insert": "-I", "--delete": "-D"}
_IPTABLES_VERBS |= {verb: verb for verb in _IPTABLES_VERBS.values()}
#: Options of a rule; others of one letter are not for a line, or have other options in them.
_IPTABLES_LETTER = re.compile(r"-[sdpjgiofm]")
#: Options that are not for a line, or let the program end; each may be abbreviated.
_IPTABLES_GLOBAL = (
    *("table", "wait", "wait-interval", "modprobe", "ipv4", "ipv6", "help", "version"),
    *("verbose", "numeric", "exact", "line-numbers"),
)
_TABLE = re.compile(r"[a-z]+")
_SECONDS = re.compile(r"[0-9]{1,6}")

#: The commands of all batches.
_FOR_MANY = re.compile(rf"{_PROGRAM.pattern}(?:-restore --noflush -w.*|(?: \S+)* (?:-f -|restore))")

_BARE = re.compile(r"[\w.:/@,+=%!<>-]+", re.ASCII)


def is_for_many(command: str) -> bool:
    """Tell whether a command is that of a batch: it does nothing but what it is fed."""
    return _FOR_MANY.fullmatch(command) is not None


def line(words: Sequence[str]) -> Written | None:
    """Write a call as a line for many; None: it is none that is known to have one.

    Args:
        words: the program and its arguments, with tags: see `words.split`.
    """
    program = words[0]
    found = _PROGRAM.fullmatch(program)
    if found is None:
        return None
    write: Callable[[str, Sequence[str]], Written | None]
    write = _nft if found[1] else _ipset if found[2] else _iptables
    return write(program, words[1:])


def _nft(program: str, words: Sequence[str]) -> Written | None:
    options = 0
    while options < len(words) and _NFT_OPTION.fullmatch(words[options]):
        options += 1
    # nft itself only joins its arguments; one that looks like an option may be one.
    text = " ".join(words[options:])
    if any(word.startswith("-") for word in words[options:]) or _NFT_OTHER.search(text):
        return None
    statements = [line.strip() for line in text.splitlines() if line.strip()]
    if not statements or not all(map(_is_statement, statements)):
        return None
    command = " ".join([program, *words[:options], "-f", "-"])
    return Batch(command), "\n".join(statements)


def _is_statement(text: str) -> bool:
    """Tell whether a line of nft's language is whole, and changes elements or rules."""
    return (
        _NFT_STATEMENT.fullmatch(text) is not None
        and text.count("{") == text.count("}")
        and text.count('"') % 2 == 0
    )


def _ipset(program: str, words: Sequence[str]) -> Written | None:
    rest = [word for word in words if word not in _IPSET_EXIST]
    verb = _IPSET_VERBS.get(rest[0]) if len(rest) > 2 else None
    texts = [_quoted(word) for word in rest[1:]]
    if verb is None or None in texts or any(word.startswith("-") for word in rest[1:]):
        return None
    exist = " -exist" if len(rest) < len(words) else ""
    # Within a line, -exist would hold for those behind it too. Without COMMIT, what
    # is before an error has sometimes been done and sometimes not.
    batch = Batch(f"{program}{exist} restore", end="\nCOMMIT\n", atomic=False)
    return batch, " ".join([verb, *filter(None, texts)])


def _iptables(program: str, words: Sequence[str]) -> Written | None:
    table, wait, at = "filter", "-w", 0
    while at < len(words) and words[at] not in _IPTABLES_VERBS:
        option, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        if option in ("-w", "--wait"):
            if _SECONDS.fullmatch(value):
                wait, at = f"-w {value}", at + 1
        elif option in ("-t", "--table") and _TABLE.fullmatch(value):
            table, at = value, at + 1
        else:
            return None
        at += 1
    rest = words[at + 1 :]
    texts = [_quoted(word) for word in rest]
    if not rest or None in texts or not all(map(_is_for_a_rule, rest)):
        return None
    # A command that does not wait for the lock fails where another holds it; for many at
    # once that would be a pity.
    batch = Batch(f"{program}-restore --noflush {wait}", f"*{table}\n", "COMMIT\n")
    return batch, " ".join([_IPTABLES_VERBS[words[at]], *filter(None, texts)])


def _is_for_a_rule(word: str) -> bool:
    """Tell whether a word behind the chain has nothing to say to the program as a whole."""
    if word.startswith("--"):
        name = word[2:].partition("=")[0]
        return not any(option.startswith(name) for option in _IPTABLES_GLOBAL)
    return not word.startswith("-") or _IPTABLES_LETTER.fullmatch(word) is not None


def _quoted(word: str) -> str | None:
    """Quote a word for ipset and iptables; None: that is not known to be possible."""
    if _BARE.fullmatch(word):
        return word
    if not word or not word.isprintable() or '"' in word or "\\" in word:
        return None
    return f'"{word}"'
