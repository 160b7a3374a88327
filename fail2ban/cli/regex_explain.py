# SPDX-License-Identifier: GPL-2.0-or-later
"""Say step by step what a jail makes of a line, up to the commands that would run.

Every step is taken by what the daemon itself uses for it; only the shell that gets
the commands writes them down instead of running them.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from fail2ban.cli.regex_arguments import Arguments
from fail2ban.cli.regex_commands import of_action, of_ignoring
from fail2ban.cli.regex_run import resolve
from fail2ban.config import tree_jail
from fail2ban.config.options import Findings
from fail2ban.config.tree_options import COMMAND_LINE, Options
from fail2ban.config.trees import Tree
from fail2ban.config.values import quoted
from fail2ban.decide.hosts import Hosts, look_up
from fail2ban.decide.ignore import IgnoreList, OwnAddresses
from fail2ban.detect.match import Line, Match
from fail2ban.detect.stamps import Stamp, StampFinder
from fail2ban.detect.tagged import Examination, Hit, TaggedFilter
from fail2ban.errors import ConfigError
from fail2ban.records import Ban, Failure, Id, JailSettings, Problem, Ticket
from fail2ban.text import printable

#: Columns before what a step says.
_INDENT = 13


def run(arguments: Arguments, warn: Callable[[Iterable[Problem]], None]) -> bool:
    """Print what a jail makes of a line; return whether it is a failure.

    Several lines may be given: those before the last are only remembered.

    Raises:
        ConfigError: there is no such jail, or it cannot run.
    """
    findings = Findings()
    settings, enabled = _jail(Path(arguments.config), arguments.regex, findings)
    filter = TaggedFilter(settings.filter, doubting=False)
    warn([*findings.problems(), *filter.problems])
    *before, last = (arguments.explain or "").rstrip("\n").split("\n")
    walk = Walk(settings, filter, arguments.verbose > 0)
    for text in before:
        walk.remember(text)
    print(_step("Jail", f"{settings.name}, {settings.origin}"))
    if not enabled:
        print(_more("it is not enabled: what follows would happen if it were"))
    for line in walk.steps(last):
        print(line)
    return walk.failed


def _jail(base: Path, name: str, findings: Findings) -> tuple[JailSettings, bool]:
    """Return a jail, and whether it is enabled.

    Raises:
        ConfigError: there is none of that name, or it cannot run.
    """
    tree = Tree(base, findings)
    names = tree.jail_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected a section of {base}/jail.conf"
        raise ConfigError(
            [Problem(COMMAND_LINE, "", "JAIL", f"there is no jail {quoted(name)}; {hint}")]
        )
    fetch = tree.section("jail", name)
    enabled = Options(fetch, name, fetch.origin, Findings()).truth("enabled", False)
    built = tree_jail.build(tree, fetch, {}, findings)
    if built.settings is None:
        raise ConfigError(findings.problems())
    return built.settings, enabled


def _step(title: str, text: str) -> str:
    return f"{title:<{_INDENT}}{text}".rstrip()


def _more(text: str) -> str:
    return " " * _INDENT + text


class Walk:
    """One line on its way through one jail; on the main thread.

    Attributes:
        failed: the line was a failure.
    """

    def __init__(
        self,
        settings: JailSettings,
        filter: TaggedFilter,
        every_command: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.failed = False
        self._settings, self._filter, self._clock = settings, filter, clock
        self._every_command = every_command
        self._cut: Stamp | None = None

    def remember(self, text: str) -> None:
        """Take in a line that comes before."""
        self._filter.examine(self._line(text), self._clock(), every=False)

    def steps(self, text: str) -> Iterator[str]:
        """Yield what is to be said.

        Raises:
            OutOfTime: the patterns take too long for this line.
        """
        line, now = self._line(text), self._clock()
        yield _step("Line", printable(text))
        found = self._filter.examine(line, now)
        yield from self._date(text, line, found)
        yield from self._prefix(found)
        yield from self._patterns(found)
        if not found.hits:
            yield _step("Result", "nothing: the line is innocent")
            return
        yield from self._verdict(found.hits[0], now)

    def _line(self, text: str) -> Line:
        """Make the line that the patterns get to see.

        The journal has the time of an entry apart; whoever shows it puts it before.
        """
        self._cut = None
        if self._settings.journal is None:
            return Line(text)
        now = self._clock()
        stamp = StampFinder((), self._settings.name, None, lambda problem: None).find(text, now)
        if stamp is None or stamp.time is None or stamp.start > 1:
            return Line(text, now)
        self._cut = stamp
        return Line(text[stamp.end :].lstrip(), stamp.time, text[: stamp.end] + " ")

    # Date and patterns -----------------------------------------------------------

    def _date(self, text: str, line: Line, found: Examination) -> Iterator[str]:
        stamp = found.stamp
        if line.time is not None:
            yield _step("Date", "that of the entry: this jail reads the journal")
            if self._cut:
                yield _more(f"here {_quoted(text[self._cut.start : self._cut.end])}")
        elif stamp is None:
            yield _step("Date", "none is found: a new line counts as written just now")
        elif stamp.time is None:
            yield _step("Date", "none is expected, as datepattern says")
        else:
            yield _step("Date", f"{_moment(stamp.time)}")
            templates = self._filter.stamps.templates
            name = next((one.name for one in templates if one.hits), "")
            cut = _quoted(text[stamp.start : stamp.end])
            yield _more(f"from {cut}, which is {printable(name)}")

    def _prefix(self, found: Examination) -> Iterator[str]:
        source, sight = self._settings.filter.prefregex, found.sight
        if source is None:
            yield _step("Prefix", "the filter has no prefregex")
        elif sight.prefix:
            yield _step("Prefix", f"matches, {source.origin}")
            yield from map(_more, _captured(sight.prefix.groupdict()))
        elif sight.ignored is not None:
            yield _step("Prefix", "not tried: an ignoreregex matches")
        else:
            yield _step("Prefix", f"does not match, {source.origin}")
            yield _more(printable(source.text))
            yield _more(f"in {_quoted(sight.text)}")

    def _patterns(self, found: Examination) -> Iterator[str]:
        sight, patterns = found.sight, self._filter.patterns
        if sight.reached:
            matching = {one.number: one.match for one in sight.found}
            yield _step("Failregex", f"tried in {_quoted(sight.text)}")
            for number, pattern in enumerate(patterns.failregex):
                answer = "yes" if number in matching else "no"
                text = printable(pattern.source.text)
                yield _more(f"{number + 1:2}) {answer:<4} {text}")
                if number in matching:
                    yield _more(f"         {pattern.source.origin}")
                    for captured in _captured(matching[number].groupdict()):
                        yield _more(f"         {captured}")
        else:
            yield _step("Failregex", "not tried")
        if sight.ignored is None:
            said = "none matches" if patterns.ignoreregex else "the filter has none"
            yield _step("Ignoreregex", said if sight.found else "not needed")
        else:
            source = patterns.ignoreregex[sight.ignored].source
            yield _step("Ignoreregex", f"{sight.ignored + 1}) yes {printable(source.text)}")
            yield _more(f"{source.origin}: so the line does not count")

    # Whom it blames --------------------------------------------------------------

    def _verdict(self, hit: Hit, now: float) -> Iterator[str]:
        yield _step("Decides", f"failregex {hit.number + 1}, the first that matches")
        match hit.verdict:
            case "nofail":
                yield _step("Result", "no failure, as <F-NOFAIL> or <F-MLFGAINED> says;")
                yield _more("what it tells is kept for other lines of the same connection")
            case "pending":
                yield _step("Result", "a failure of somebody unknown: it counts as soon as")
                yield _more("another line of the same connection tells the address")
            case "nobody":
                yield _step("Result", "nothing: what it names is no address")
        if hit.verdict != "failure" or hit.match is None:
            return
        for ip in self._addresses(hit.match):
            self.failed = True
            yield from self._consequences(hit.match, ip, now)
        if not self.failed:
            yield _step("Result", "nothing: nobody can be blamed for it")

    def _addresses(self, match: Match) -> tuple[Id, ...]:
        return resolve(look_up, str(match.host)) if match.is_name else (match.host,)

    def _consequences(self, match: Match, ip: Id, now: float) -> Iterator[str]:
        id = ip if match.fid is None else match.fid
        name = f", an address of {printable(str(match.host))}" if match.is_name else ""
        yield _step("Address", f"{printable(str(ip))}{name}")
        if id != ip:
            yield _more(f"counted and banned under {printable(str(id))}")
        if reason := self._reason(ip, id):
            yield _step("Ignored", f"yes, by {reason}: it is not counted")
            return
        yield _step("Ignored", "no")
        settings = self._settings
        moment = now if match.time is None else match.time
        if settings.ignore.command:
            failure = Failure(settings.name, ip, moment, match.lines, match.fid, match.groups)
            yield _more("unless this says so by exit status 0; it is not run here:")
            yield from (_more(f"  {line}") for line in of_ignoring(settings.ignore, failure))
        yield from self._count(moment)
        ticket = Ticket(
            settings.name, ip, settings.maxretry, moment, match.lines, match.fid, match.groups
        )
        end = None if settings.bantime is None else now + settings.bantime
        yield from self._actions(Ban(now, end, ticket), now)

    def _reason(self, ip: Id, id: Id) -> str | None:
        hosts, settings = Hosts(), self._settings
        own = OwnAddresses(time.monotonic)
        ignored = IgnoreList(settings.name, settings.ignore, own, hosts, time.monotonic)
        ignored.wait()
        try:
            return ignored.reason(id) or ignored.reason(ip)
        finally:
            hosts.close()

    def _count(self, moment: float) -> Iterator[str]:
        settings = self._settings
        yield _step("Count", f"one failure at {_moment(moment)};")
        yield _more(f"{settings.maxretry} within {settings.findtime:g} seconds lead to a ban")
        seconds = settings.bantime
        length = "for ever" if seconds is None else f"for {seconds:g} seconds"
        grows = "; longer for whoever was banned before" if settings.growth else ""
        yield _step("Ban", f"{length}{grows}")
        if not settings.actions:
            yield _more("the jail has no action: nothing would run")

    def _actions(self, ban: Ban, now: float) -> Iterator[str]:
        for action in self._settings.actions:
            only = "" if action.enforces else ", which keeps nobody out, but tells of it"
            yield _step("Action", f"{action.name}{only}")
            yield from map(_more, of_action(ban.jail, action, ban, now, self._every_command))


def _moment(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(moment))


def _captured(groups: Mapping[str, str | None]) -> Iterator[str]:
    """Yield what groups captured, as far as they did."""
    for name, text in groups.items():
        if text is not None:
            yield f"{name} = {_quoted(text)}"


def _quoted(text: str) -> str:
    return f"'{printable(text.removesuffix(chr(10)))}'"
