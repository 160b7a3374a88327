# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run came to, laid out for people and for scripts that know the layout.

Source: jail-conf.md section 14; the forms of lists and of `-D` as Debian's
fail2ban-regex 1.0.2 prints them.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fail2ban.cli.regex_arguments import Arguments
from fail2ban.cli.regex_patterns import Rules
from fail2ban.cli.regex_run import Kind, Tally
from fail2ban.detect.regextags import compile_tagged
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.detect.tagpatterns import Pattern
from fail2ban.detect.templates import Template
from fail2ban.records import FilterSettings
from fail2ban.text import printable

#: Characters of a text in the head, and lines of a text that it shows.
_SHORT, _FEW = 53, 5
#: Lines of one kind from which on none is printed.
MANY = 20
_WIDTH = 16  # of a label


@dataclass(frozen=True)
class Source:
    """What the head says about the log.

    Attributes:
        label, text: of the first line.
        lines: those of a text that has several.
        encoding: empty: the report does not tell.
        journal: what is read of the journal; empty: the report does not tell.
    """

    label: str
    text: str
    lines: tuple[str, ...] = ()
    encoding: str = ""
    journal: str = ""


def head(arguments: Arguments, rules: Rules, filter: TaggedFilter, source: Source) -> Iterator[str]:
    """Yield what is read and how."""
    dates, size = _dates(rules, filter), str(rules.filter.maxlines)
    yield from ("", "Running tests", "=============", "")
    if arguments.datepattern:
        yield from _use("datepattern", dates)
    if arguments.maxlines:
        yield from _use("maxlines", size)
    shown = [entry for entry in rules.head if not entry[0].startswith("ignoreregex")]
    for label, text in shown:
        yield from _use(label, text if "line" not in label else shortened(text))
    if arguments.verbose > 1 and rules.real:
        yield f"Real  filter options : {printable(str(dict(rules.real)))}"
    if "maxlines" in rules.says and not arguments.maxlines:
        yield from _use("maxlines", size)
    if "datepattern" in rules.says and not arguments.datepattern:
        yield from _use("datepattern", dates)
    if arguments.ignoreregex is not None:
        yield from _use("ignoreregex line", shortened(arguments.ignoreregex))
    yield from _source(source)
    yield ""


def _use(label: str, text: str) -> Iterator[str]:
    first, *others = text.split("\n")
    yield f"Use {label:>{_WIDTH}} : {printable(first)}".rstrip(" ") + ("" if first else " ")
    yield from map(printable, others)


def _dates(rules: Rules, filter: TaggedFilter) -> str:
    templates = filter.stamps.templates
    name = templates[0].name if len(templates) == 1 else "Default Detectors"
    return "\n".join(line.text for line in rules.filter.datepattern) + f" : {name}"


def _source(source: Source) -> Iterator[str]:
    match source.label:
        case "systemd journal":
            yield "Use         systemd journal"
        case "multi line":  # scripts know this label one column further left
            yield f"Use      multi line : {source.text}"
        case label:
            yield from _use(label, source.text)
    if source.lines:
        for number, line in enumerate(source.lines[:_FEW], start=1):
            yield f"|  {number}: {printable(shortened(line))}"
        if len(source.lines) > _FEW:
            yield "| ..."
        yield "`-"
    if source.encoding:
        yield from _use("encoding", source.encoding)
    if source.journal:
        yield f"Use    journal match : {printable(source.journal)}"


def shortened(text: str) -> str:
    """Return a text as the head shows it."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


# Results ---------------------------------------------------------------------------


def results(
    arguments: Arguments, rules: Rules, filter: TaggedFilter, tally: Tally
) -> Iterator[str]:
    """Yield what was counted."""
    verbose = arguments.verbose > 0
    yield from ("", "Results", "=======", "")
    if prefix := _prefix(rules.filter):
        yield f"Prefregex: {tally.prefixes} total"
        yield f"|  {printable(prefix)}"
        yield from (f"|      {text}" for text in tally.prefix_list)
        yield from ("`-", "")
    patterns = filter.patterns.failregex
    yield from _hits("Failregex", patterns, tally.hits, verbose, tally.hit_lists)
    yield ""
    yield from _hits("Ignoreregex", filter.patterns.ignoreregex, tally.ignoring, verbose)
    yield ""
    yield from _templates(filter.stamps.templates, verbose, arguments.verbose_date)
    yield ""
    kept = tally.kept
    counts = ", ".join(f"{kept[kind].count} {kind}" for kind in ("ignored", "matched", "missed"))
    yield f"Lines: {tally.total} lines, {counts}"
    yield f"[processed in {tally.seconds:.2f} sec]"
    if tally.given_up:
        yield f"[lines given up, since the patterns took too long: {tally.given_up}]"
    yield ""
    yield from _lines(arguments, filter, tally)


def _prefix(settings: FilterSettings) -> str:
    """Return prefregex as it is looked for; empty if there is none."""
    if not settings.prefregex:
        return ""
    regex = compile_tagged(
        settings.prefregex,
        settings.section,
        "prefregex",
        lambda problem: None,
        settings.usedns,
        settings.maxlines > 1,
    )
    return regex.pattern if regex else ""


def _hits(
    title: str,
    patterns: Sequence[Pattern],
    hits: Sequence[int],
    verbose: bool,
    lists: Sequence[Iterable[str]] = (),
) -> Iterator[str]:
    yield f"{title}: {sum(hits)} total"
    shown = [number for number, count in enumerate(hits) if count or verbose]
    if shown:
        yield "|-  #) [# of hits] regular expression"
        for number in shown:
            text = printable(patterns[number].source.text)
            yield f"|  {number + 1:2}) [{hits[number]}] {text}"
            yield from (f"|      {whom}" for whom in (lists[number] if lists else ()))
        yield "`-"


def _templates(templates: Iterable[Template], verbose: bool, details: bool) -> Iterator[str]:
    yield "Date template hits:"
    shown = [one for one in templates if one.hits or verbose]
    if shown:
        yield "|- [# of hits] date format"
        for one in shown:
            yield f"|  [{one.hits}] {printable(one.name)}"
            if details:
                weight, of_hit = one.weight, one.pattern.weight
                yield (
                    f"|      # weight: {weight:.3f} ({of_hit:.3f}),"
                    f" pattern: {printable(one.pattern.text)}"
                )
                yield f"|      # regex:   {printable(one.form.regex)}"
        yield "`-"


# Lines -----------------------------------------------------------------------------


def limits(arguments: Arguments) -> dict[Kind, int | None]:
    """Return how many lines of each kind need to be kept, see `Kept`."""
    found: dict[Kind, int | None] = {"matched": 0, "ignored": MANY, "missed": MANY}
    for kind in found:
        if kind in arguments.print_no or arguments.out or arguments.explain is not None:
            found[kind] = 0
        elif kind in arguments.print_all:
            found[kind] = None
        elif found[kind]:
            found[kind] = arguments.maxlines or MANY
    return found


def _lines(arguments: Arguments, filter: TaggedFilter, tally: Tally) -> Iterator[str]:
    for kind, title in _TITLES.items():
        kept = tally.kept[kind]
        if not kept.count or kind in arguments.print_no:
            continue
        if kind == "matched" and kind not in arguments.print_all:
            continue
        if kept.too_many:
            yield (
                f"{title} line(s): too many to print.  Use --print-all-{kind}"
                f" to print all {kept.count} lines"
            )
            continue
        patterns = filter.patterns
        of_kind = patterns.ignoreregex if kind == "ignored" else patterns.failregex
        if arguments.debuggex and not of_kind:
            continue
        yield f"|- {title} line(s):"
        for line in kept:
            yield from _debuggex(line, of_kind) if arguments.debuggex else [f"|  {line}".rstrip()]
        yield "`-"


_TITLES: dict[Kind, str] = {"matched": "Matched", "ignored": "Ignored", "missed": "Missed"}


def _debuggex(line: str, patterns: Iterable[Pattern]) -> Iterator[str]:
    for pattern in patterns:
        query = urllib.parse.urlencode(
            {"re": pattern.regex.pattern, "str": line, "flavor": "python"}
        )
        text = printable(pattern.source.text)
        yield f"|  {line} | {text} |  https://www.debuggex.com/?{query}"
