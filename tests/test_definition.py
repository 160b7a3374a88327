# SPDX-License-Identifier: GPL-2.0-or-later
"""What a filter or an action says, as one jail uses it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fail2ban.config.definition import Definition
from fail2ban.config.interpolation import InterpolationError
from fail2ban.config.options import Findings
from fail2ban.config.trees import Tree
from fail2ban.errors import ConfigError

JAIL = "[j]\nmaxretry = 4\n"


class Files:
    """A tree with one jail, `j`, one filter, `f`, and one action, `a`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.findings = Findings()
        self.write("jail.conf", JAIL)

    def write(self, name: str, text: str) -> Files:
        path = self.base / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return self

    def filter(
        self, arguments: Mapping[str, str] | None = None, backend: str = "auto"
    ) -> Definition:
        tree = Tree(self.base, self.findings)
        return tree.filter("f", arguments or {}, tree.section("jail", "j"), backend=backend)

    def action(self, arguments: Mapping[str, str] | None = None) -> Definition:
        tree = Tree(self.base, self.findings)
        jail = tree.section("jail", "j")
        return tree.action("a", arguments or {}, jail, place=jail.place("action"))

    def warnings(self) -> list[str]:
        return [str(problem) for problem in self.findings.problems()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def text_of(definition: Definition, option: str = "x") -> str:
    value = definition.get(option)
    assert value is not None
    return value.text


def of_families(definition: Definition, option: str = "x") -> tuple[str, str]:
    four, six = definition.family(option, "inet4"), definition.family(option, "inet6")
    assert four is not None and six is not None
    return four.text, six.text


# Precedence ------------------------------------------------------------------

ALL = "[DEFAULT]\np = default\n[Definition]\np = definition\nx = <p> %(p)s\n[Init]\np = init\n"


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (ALL, {"p": "argument"}, "argument"),
        (ALL, {}, "init"),
        (ALL.replace("p = init", ""), {}, "definition"),
        (ALL.replace("p = init", "").replace("p = definition", ""), {}, "default"),
    ],
)
def test_argument_stands_before_init_definition_and_default(
    files: Files, text: str, arguments: dict[str, str], expected: str
) -> None:
    definition = files.write("filter.d/f.conf", text).filter(arguments)
    assert text_of(definition) == f"{expected} {expected}"


def test_action_sees_the_options_of_its_jail_between_init_and_definition(files: Files) -> None:
    files.write("action.d/a.conf", ALL.replace("p", "maxretry"))
    assert text_of(files.action()) == "init init"
    files.write("action.d/a.conf", ALL.replace("p = init", "").replace("p", "maxretry"))
    assert text_of(files.action()) == "4 4"


def test_action_sees_only_standard_options_of_its_jail_and_truths_in_one_form(
    files: Files,
) -> None:
    files.write("jail.conf", JAIL + "enabled = yes\nport = 22\nlogpath = /a\n  /b\n")
    files.write("action.d/a.conf", "[Definition]\nx = <enabled> <port> <findtime> <logpath>\n")
    assert text_of(files.action()) == "True <port> <findtime> /a\n/b"
    [warning] = files.warnings()
    assert "a.conf:2: [Definition] x: '<port>' stays" in warning and "jail.conf:4" in warning


def test_filter_does_not_see_its_jail_and_a_tag_that_hopes_so_is_warned_of(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <maxretry> <HOST> <ip>\n")
    assert text_of(files.filter()) == "<maxretry> <HOST> <ip>"
    [warning] = files.warnings()
    assert "'<maxretry>' stays" in warning


def test_names_of_jail_and_action_are_options_of_an_action(files: Files) -> None:
    files.write("action.d/a.conf", "[Definition]\nx = <name> <actname>\n[Init]\nname = default\n")
    assert text_of(files.action()) == "j a"
    assert text_of(files.action({"name": "n", "actname": "m"})) == "n m"


@pytest.mark.parametrize(
    ("backend", "written", "expected"),
    [
        ("systemd", "[DEFAULT]\nlogtype = d\n", "journal"),
        ("systemd[journalfiles=x]", "[Init]\nlogtype = i\n", "journal"),
        ("polling", "[DEFAULT]\nlogtype = d\n", "file"),
        ("systemd", "[Definition]\nlogtype = short\n", "short"),
    ],
)
def test_logtype_is_that_of_the_backend_unless_the_definition_has_one(
    files: Files, backend: str, written: str, expected: str
) -> None:
    files.write("filter.d/f.conf", f"{written}[Definition]\nx = <logtype>\n")
    assert text_of(files.filter(backend=backend)) == expected
    assert text_of(files.filter({"logtype": "mine"}, backend)) == "mine"


# What the jail says itself ---------------------------------------------------


def test_pattern_of_the_jail_replaces_that_of_the_filter_and_knows_it(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nfailregex = a <m> %%\nm = 1\nmaxlines = 2\n")
    files.write("jail.conf", "[j]\nfailregex = %(known/failregex)s\n  b\nmaxlines =\n")
    definition = files.filter()
    value = definition.get("failregex")
    assert value is not None
    assert value.lines == (("a 1 %", 2), ("b", 3))
    assert text_of(definition, "maxlines") == ""


def test_argument_stands_before_what_the_jail_says(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nmaxlines = 1\n")
    files.write("jail.conf", "[DEFAULT]\nmaxlines = 2\n[j]\n")
    assert text_of(files.filter(), "maxlines") == "2"
    assert text_of(files.filter({"maxlines": "3"}), "maxlines") == "3"


def test_tag_in_a_pattern_of_the_jail_stays_with_a_warning(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nfailregex = a\nmode = 1\n")
    files.write("jail.conf", "[j]\nfailregex = <HOST> <mode>\n")
    assert text_of(files.filter(), "failregex") == "<HOST> <mode>"
    [warning] = files.warnings()
    assert "jail.conf:2: [j] failregex: '<mode>' stays" in warning


def test_filter_itself_uses_its_own_values_not_those_of_the_jail(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <maxlines>\nmaxlines = 1\n")
    files.write("jail.conf", "[j]\nmaxlines = 9\n")
    assert text_of(files.filter()) == "1"


# Tags ------------------------------------------------------------------------


def test_tags_find_names_in_any_case_but_patterns_keep_theirs(files: Files) -> None:
    text = "[Definition]\nx = <Opt> <OPT> <Mine> <HOST> <F-USER> %(Opt)s\nOpt = 1\nhost = 2\n"
    files.write("filter.d/f.conf", text)
    assert text_of(files.filter({"Mine": "3"})) == "1 1 3 <HOST> <F-USER> 1"


def test_argument_is_found_by_its_very_name_first(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <Opt> <opt> <OPT>\nopt = 0\n")
    assert text_of(files.filter({"Opt": "1", "opt": "2"})) == "1 2 2"
    assert text_of(files.filter({"Opt": "1"})) == "1 1 1"


def test_store_is_reached_by_tag_and_by_percent_form(files: Files) -> None:
    text = "[DEFAULT]\nd = D\n[Definition]\nt = st\nx = <<t>ore/p> %(store/p)s <store/d>\n"
    files.write("filter.d/f.conf", f"{text}h = H\n[store]\np = <h>%(d)s\n")
    assert text_of(files.filter()) == "HD HD D"


def test_text_that_a_tag_fetches_sees_its_own_section_first(files: Files) -> None:
    text = "[Definition]\nx = <store/p>\nq = outer\nr = R\n[store]\np = %(q)s %(r)s\nq = inner\n"
    files.write("filter.d/f.conf", text)
    assert text_of(files.filter()) == "inner R"


def test_text_that_a_tag_fetches_sees_arguments_and_logtype_before_its_section(
    files: Files,
) -> None:
    text = "[DEFAULT]\nlogtype = d\n[Definition]\nx = <s/p>\n[s]\np = %(q)s %(logtype)s\nq = q\n"
    files.write("filter.d/f.conf", text)
    assert text_of(files.filter({"q": "A"})) == "A file"


def test_text_from_a_store_knows_the_past_of_that_store(files: Files) -> None:
    text = "[DEFAULT]\np = D\n[Definition]\nx = <s/p>\np = wrong\n[s]\np = %(known/p)s+\n"
    files.write("filter.d/f.conf", text)
    assert text_of(files.filter()) == "D+"


def test_tag_of_no_section_stays(files: Files) -> None:
    text = "[Definition]\nx = <nowhere/p> <store/q> <default/p>\n[store]\np=1\n"
    files.write("filter.d/f.conf", text)
    assert text_of(files.filter()) == "<nowhere/p> <store/q> <default/p>"


def test_known_of_an_argument_is_what_the_files_say(files: Files) -> None:
    text = "[Definition]\nx = <chain> <c> <known/chain>\nc = C\n[Init]\nchain = INPUT\n"
    files.write("action.d/a.conf", text)
    arguments = {"chain": "<known/chain>+", "c": "<known/c>"}
    assert text_of(files.action(arguments)) == "INPUT+ C INPUT"


def test_known_chains_go_through_files_and_sections(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <p>\np = 1\n[Init]\np = <known/p> 2\n")
    files.write("filter.d/f.local", "[Init]\np = <known/p> 3\n")
    assert text_of(files.filter({"p": "<known/p> 4"})) == "1 2 3 4"


def test_bantime_of_an_action_is_left_for_the_ban(files: Files) -> None:
    text = "[Definition]\nx = <bantime> <timeout> <matches> <failures>\n[Init]\nbantime = 600\n"
    files.write("action.d/a.conf", f"{text}timeout = 5\nfailures = f\n")
    assert text_of(files.action()) == "<bantime> 5 <matches> f"


def test_percent_sign_of_an_argument_is_a_character(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <p> %(p)s\n")
    assert text_of(files.filter({"p": "50% %(q)s"})) == "50% %(q)s 50% %(q)s"


def test_value_names_the_lines_where_it_is_written(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx =\n  a <p>\n  b\np = 1\n  2\n")
    value = files.filter().get("x")
    assert value is not None
    assert value.lines == (("a 1", 3), ("2", 3), ("b", 4))
    assert str(value.origin).endswith("filter.d/f.conf:2")


# Families --------------------------------------------------------------------

FAMILIES = """[Definition]
x = <tool> <type> <<kind>/rule>
kind = k4
[k4]
rule = four
[k6]
rule = six
[Init]
tool = iptables <lock>
lock = -w
type = port
[Init?family=inet6]
tool = ip6tables <lock>
type = port6
[Definition?family=inet6]
kind = k6
"""


def test_options_of_a_family_stand_before_those_of_all(files: Files) -> None:
    definition = files.write("action.d/a.conf", FAMILIES).action()
    assert of_families(definition) == ("iptables -w port four", "ip6tables -w port6 six")
    assert text_of(definition) == "iptables -w port four"
    assert definition.families == ("inet6",)


def test_argument_stands_before_options_of_a_family_unless_it_is_passed_for_one(
    files: Files,
) -> None:
    files.write("action.d/a.conf", FAMILIES)
    assert of_families(files.action({"type": "A"}))[1] == "ip6tables -w A six"
    both = {"type": "A", "type?family=inet6": "<known/type>6"}
    assert of_families(files.action(both)) == ("iptables -w A four", "ip6tables -w A6 six")


def test_known_of_an_argument_is_that_of_the_family(files: Files) -> None:
    files.write("action.d/a.conf", FAMILIES)
    arguments = {"type": "<known/type>+"}
    expected = ("iptables -w port+ four", "ip6tables -w port6+ six")
    assert of_families(files.action(arguments)) == expected


def test_option_that_only_one_family_has_stays_a_tag_for_the_other(files: Files) -> None:
    files.write("action.d/a.conf", "[Definition]\nx = <y>\n[Init?family=inet6]\ny = 1\n")
    assert of_families(files.action()) == ("<y>", "1")


def test_later_file_overrides_the_option_of_a_family(files: Files) -> None:
    files.write("action.d/a.conf", FAMILIES)
    files.write("action.d/a.local", "[Init?family=inet6]\ntype = <known/type>x\n")
    assert of_families(files.action())[1] == "ip6tables -w port6x six"


def test_definition_without_families_names_none_and_is_the_same_for_all(files: Files) -> None:
    definition = files.write("action.d/a.conf", "[Definition]\nx = <ip>\n").action()
    assert definition.families == ()
    assert of_families(definition) == ("<ip>", "<ip>")
    assert definition.family("nothing", "inet6") is None


def test_options_are_those_of_the_files_and_the_arguments(files: Files) -> None:
    definition = files.write("action.d/a.conf", FAMILIES).action({"Mine": "1"})
    expected = ["x", "kind", "tool", "lock", "type", "name", "actname", "mine"]
    assert definition.options() == expected
    assert definition.get("nothing") is None
    assert str(definition.origin).endswith("action.d/a.conf")


# Mistakes --------------------------------------------------------------------


def test_mistake_is_met_only_by_who_uses_it(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = 1\ny = %(nothing)s\nz = <y>\n")
    definition = files.filter()
    assert text_of(definition) == "1"
    for option in "yz":
        with pytest.raises(InterpolationError) as error:
            definition.get(option)
        assert str(error.value).startswith(f"{files.base}/filter.d/f.conf:3: [Definition] y: ")


def test_circle_of_tags_through_known_and_percent_forms_is_reported(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = <y>\ny = %(z)s\nz = <x>\n")
    with pytest.raises(InterpolationError, match="leads back to itself"):
        files.filter().get("x")


def test_line_that_fits_nothing_breaks_the_filter(files: Files) -> None:
    files.write("filter.d/f.conf", "[Definition]\nx = 1\nnonsense\n")
    with pytest.raises(ConfigError, match=r"f\.conf:3: \[Definition\] 'nonsense' fits nothing"):
        files.filter()


# Properties ------------------------------------------------------------------

PIECE = st.sampled_from(
    ["<a>", "<b>", "<known/a>", "<s/a>", "<Init/a>", "<default/b>", "<<c>>", "%(a)s", "%(s/b)s"]
    + ["%(known/b)s", "<HOST>", "<maxlines>", "a", "s/", "<", ">", " "]
)
TEXT = st.lists(PIECE, max_size=4).map(lambda pieces: "." + "".join(pieces))
SECTION = st.dictionaries(st.sampled_from(["a", "b", "c", "maxlines"]), TEXT)
HEADERS = ["Definition", "Init", "Init?family=inet6", "DEFAULT", "s"]
FILE = st.dictionaries(st.sampled_from(HEADERS), SECTION)


def written(sections: dict[str, dict[str, str]]) -> str:
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {text}\n" for key, text in options.items())
        for name, options in sections.items()
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILE, FILE, SECTION, st.dictionaries(st.sampled_from("abC"), TEXT))
def test_any_definition_ends_with_text_or_with_a_place(
    files: Files,
    first: dict[str, dict[str, str]],
    second: dict[str, dict[str, str]],
    jail: dict[str, str],
    arguments: dict[str, str],
) -> None:
    for kind in ("filter.d/f", "action.d/a"):
        files.write(f"{kind}.conf", written(first)).write(f"{kind}.local", written(second))
    files.write("jail.conf", written({"j": jail}))
    for definition in (files.filter(arguments), files.action(arguments)):
        for option in definition.options():
            for ask in (definition.get, partial(definition.family, family="inet6")):
                try:
                    value = ask(option)
                except ConfigError as error:
                    assert all(str(files.base) in str(problem) for problem in error.problems)
                else:
                    assert value is None or value.lines


def test_section_that_a_value_names_is_its_own(files: Files) -> None:
    text = "[Definition]\nx = %(__name__)s <i> <store/p>\n[store]\np = %(__name__)s\n"
    files.write("filter.d/f.conf", f"{text}[Init]\ni = %(__name__)s\n")
    assert text_of(files.filter()) == "Definition Init store"
