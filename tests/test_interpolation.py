# SPDX-License-Identifier: GPL-2.0-or-later
"""%(name)s: what it finds, where its mistakes are reported, and that it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.ini import CLASSIC, TREE, Value, read
from fail2ban.config.interpolation import (
    DEPTH,
    GROWTH,
    InterpolationError,
    Layer,
    Scope,
    references,
)
from fail2ban.config.merged import merge
from fail2ban.records import Origin, Problem


def scope(text: str, section: str = "A") -> Scope:
    sections = read(text, "f.conf", CLASSIC).sections
    names = [name for name in (section, "DEFAULT") if name in sections]
    return Scope([Layer(name, sections[name].options) for name in names])


def expanded(seen: Scope, option: str) -> Value:
    place = seen.find(option)
    assert place is not None
    return seen.expand(place)


def mistake(text: str, option: str = "x") -> Problem:
    with pytest.raises(InterpolationError) as error:
        expanded(scope(text), option)
    return error.value.problem


def test_name_is_looked_up_in_the_section_then_in_default() -> None:
    seen = scope("[DEFAULT]\np = far\nq = default\n[A]\np = near\nx = %(p)s %(q)s\n")
    assert expanded(seen, "x").text == "near default"


def test_value_of_default_sees_the_options_of_the_section_that_uses_it() -> None:
    text = "[DEFAULT]\nx = port %(p)s\np = any\n[A]\np = ssh\n[B]\n"
    assert expanded(scope(text), "x").text == "port ssh"
    assert expanded(scope(text, "B"), "x").text == "port any"


def test_names_are_lower_cased_and_found_through_each_other() -> None:
    assert expanded(scope("[A]\nx = <%(Y)s>\ny = (%(z)s)\nz = 1\n"), "x").text == "<(1)>"


def test_two_percent_signs_are_one_and_are_not_read_again() -> None:
    seen = scope("[A]\nx = %%b %%(y)s %%%(y)s\ny = 100%%\n")
    assert expanded(seen, "x").text == "%b %(y)s %100%"


def test_every_physical_line_keeps_its_number() -> None:
    seen = scope("[A]\nx = a %(y)s\n\n  %(z)s\n  c\ny = b\nz = 1\n  2\n")
    assert expanded(seen, "x").lines == (("a b", 2), ("1", 4), ("2", 4), ("c", 5))


def test_literal_layer_is_not_expanded_wherever_it_is_met() -> None:
    given_text = Layer("", {"y": Value((("100% %(x)s", 0),), Origin("command line"))}, literal=True)
    seen = Scope(
        [given_text, Layer("A", read("[A]\nx = <%(y)s>", "f", CLASSIC).sections["A"].options)]
    )
    assert expanded(seen, "x").text == "<100% %(x)s>"
    assert expanded(seen, "y").text == "100% %(x)s"


def test_of_several_names_the_nearest_layer_wins_then_the_first_name() -> None:
    seen = scope("[DEFAULT]\na = 1\nb = 2\n[A]\nb = 3\n")
    near, far = seen.find("a", "b"), scope("[DEFAULT]\na = 1\nb = 2\n").find("a", "b")
    assert near is not None and (near.section, near.option) == ("A", "b")
    assert far is not None and (far.section, far.option) == ("DEFAULT", "a")
    assert seen.find("c") is None


def test_unknown_name_is_reported_with_its_line_and_a_suggestion() -> None:
    problem = mistake("[A]\nx = 1\n  -p %(prot)s\nport = 2\n")
    assert (problem.origin.line, problem.section, problem.option) == (3, "A", "x")
    assert "'%(prot)s'" in problem.text and "did you mean '%(port)s'?" in problem.text


def test_unknown_name_that_resembles_nothing_is_told_how_to_go_on() -> None:
    assert "define 'zzz', or write %% for a percent sign" in mistake("[A]\nx = %(zzz)s\n").text


@pytest.mark.parametrize("text", ["50% off", "%", "%s", "%(y)", "%(y)d", "%()s", "%%%"])
def test_lone_percent_sign_is_reported_with_what_follows_it(text: str) -> None:
    problem = mistake(f"[A]\nx = {text}\ny = 1\n")
    assert "write %% for a percent sign" in problem.text
    assert problem.text.startswith("'%")


def test_lone_percent_sign_in_a_password_does_not_show_the_password() -> None:
    problem = mistake("[A]\npassword = abc%secret\n", "password")
    assert "secret" not in problem.text and problem.text.startswith("'%' ")


def test_mistake_is_reported_where_it_is_written_not_where_it_is_used() -> None:
    problem = mistake("[DEFAULT]\nhelper = ok\n  100%\n[A]\nx = %(y)s\ny = %(helper)s\n")
    assert (problem.origin.line, problem.section, problem.option) == (3, "DEFAULT", "helper")


@pytest.mark.parametrize("text", ["x = %(x)s", "x = %(y)s\ny = %(x)s", "x = %(y)s\ny = %(y)s"])
def test_circle_is_reported(text: str) -> None:
    assert "leads back to itself" in mistake(f"[A]\n{text}\n").text


def chain(length: int) -> str:
    links = [f"x{at} = %(x{at + 1})s" for at in range(length)]
    return "\n".join(["[A]", *links, f"x{length} = end"])


def test_ten_references_in_a_row_are_followed_and_eleven_are_not() -> None:
    assert expanded(scope(chain(DEPTH)), "x0").text == "end"
    assert "leads too deep" in mistake(chain(DEPTH + 1), "x0").text


def test_depth_is_the_same_whatever_was_expanded_before() -> None:
    seen = scope(chain(DEPTH + 1))
    assert expanded(seen, "x1").text == "end"
    with pytest.raises(InterpolationError, match="leads too deep"):
        expanded(seen, "x0")


def test_very_long_chain_does_not_exhaust_the_stack() -> None:
    assert "leads too deep" in mistake(chain(20_000), "x0").text


def test_text_that_multiplies_is_stopped() -> None:
    bomb = [f"x{at} = " + f"%(x{at + 1})s" * 20 for at in range(9)]
    text = "\n".join(["[A]", *bomb, "x9 = boom"])
    assert "too long" in mistake(text, "x0").text


def test_text_that_multiplies_over_lines_is_stopped() -> None:
    half = "y" * (GROWTH // 2 + 1)
    assert "too long" in mistake(f"[A]\nx = %(y)s\n  %(y)s\ny = {half}\n").text
    assert len(expanded(scope(f"[A]\nx = %(y)s\ny = {half}\n"), "x").text) == len(half)


def test_line_full_of_unfinished_references_is_searched_only_once() -> None:
    # Searched from each to the end, it would take minutes.
    assert references("%(y" * 100_000) == set()
    assert references("%(a" * 2 + "%(b)s") == {"b"}


def test_empty_text_that_multiplies_is_expanded_at_once() -> None:
    bomb = [f"x{at} = " + f"%(x{at + 1})s" * 200 for at in range(10)]
    assert expanded(scope("\n".join(["[A]", *bomb, "x10 ="])), "x0").text == ""


def test_references_of_a_text_are_its_names_in_lower_case() -> None:
    assert references("%(A)s %%(b)s %(c-d)s %(e)d %") == {"a", "c-d"}


# The forms of a tree ---------------------------------------------------------


def layered(*files: str, section: str = "A", filter: Layer | None = None) -> Scope:
    """Return what a section sees of files that override each other."""
    sections = merge("jail", Origin("f"), [read(text, "f.conf", TREE) for text in files]).sections
    layers = [sections[name] for name in (section, "DEFAULT") if name in sections]
    return Scope(layers, sections, filter)


def options(**texts: str) -> dict[str, Value]:
    return {name: Value(((text, 1),), Origin("o", 1)) for name, text in texts.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%(b/p)s", "of b"),
        ("%(B/P)s", "of b"),
        ("%(b/q)s", "default"),
        ("%(default/p)s", "far"),
        ("%(DEFAULT/p)s", "far"),
        ("%(b/own)s", "near"),
    ],
)
def test_reference_with_a_section_is_looked_up_there(text: str, expected: str) -> None:
    far = "[DEFAULT]\np = far\nq = default\n"
    seen = layered(f"{far}[A]\np = near\nx = {text}\n[b]\np = of b\nown = %(p)s\n")
    assert expanded(seen, "x").text == expected


def test_section_of_the_very_name_stands_before_one_that_differs_in_case() -> None:
    seen = layered("[A]\nx = %(b/p)s %(B/p)s\n[B]\np = 1\n[b]\np = 2\n")
    assert expanded(seen, "x").text == "2 1"


@pytest.mark.parametrize("name", ["nowhere/p", "b/nothing", "known/nothing", "default/nothing"])
def test_reference_to_no_section_or_option_is_an_error(name: str) -> None:
    with pytest.raises(InterpolationError, match="names no option"):
        expanded(layered(f"[A]\nx = %({name})s\n[b]\n"), "x")


def test_known_goes_back_through_every_file_that_writes_the_option() -> None:
    files = ["[A]\nx = 0\n", *(f"[A]\nx = %(known/x)s {age}\n" for age in range(1, 20))]
    numbers = " ".join(str(age) for age in range(20))
    assert expanded(layered(*files), "x").text == numbers


def test_known_leads_from_the_section_to_default_and_through_its_past() -> None:
    files = ["[DEFAULT]\nx = 1\n", "[DEFAULT]\nx = %(known/x)s 2\n", "[A]\nx = %(known/x)s 3\n"]
    assert expanded(layered(*files), "x").text == "1 2 3"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["[A]\ny = 1\n", "[A]\ny = 2\n", "[A]\ny = 3\n"], "2"),
        (["[DEFAULT]\ny = far\n", "[A]\ny = 1\n"], "far"),
        (["[DEFAULT]\ny = 1\n", "[DEFAULT]\ny = 2\n"], "2"),
        (["[A]\ny = 1\n"], "1"),
    ],
)
def test_known_of_another_option_is_what_its_newest_value_overrides(
    files: list[str], expected: str
) -> None:
    assert expanded(layered(*files, "[A]\nx = %(known/y)s\n"), "x").text == expected


def test_known_of_the_oldest_value_is_an_error_not_a_circle() -> None:
    with pytest.raises(InterpolationError, match="names no option"):
        expanded(layered("[A]\nx = %(known/x)s\n"), "x")


def test_file_that_is_read_twice_may_say_known_twice() -> None:
    ini = read("[A]\nx = %(known/x)s.\n", "f.conf", TREE)
    base = read("[A]\nx = 0\n", "f.conf", TREE)
    sections = merge("jail", Origin("f"), [base, ini, ini]).sections
    assert expanded(Scope([sections["A"]], sections), "x").text == "0.."


def test_filter_of_a_jail_is_known_before_older_values() -> None:
    known = Layer("filter", options(x="50% of filter"), literal=True)
    seen = layered("[A]\nx = 1\ny = %(known/z)s\nz = z\n", "[A]\nx = %(known/x)s\n", filter=known)
    assert expanded(seen, "x").text == "50% of filter"
    assert expanded(seen, "y").text == "z"


def test_arguments_are_not_known_but_to_themselves() -> None:
    given_text = Layer("jail", options(x="argument"), literal=True, given=True)
    sections = merge("f", Origin("f"), [read("[A]\nx = 1\ny = %(known/x)s\n", "f", TREE)]).sections
    assert expanded(Scope([given_text, sections["A"]], sections), "y").text == "1"


def test_text_from_another_section_knows_the_past_of_that_section() -> None:
    files = ["[b]\np = 1\n", "[b]\np = %(known/p)s 2\n[A]\np = 9\nx = %(b/p)s\n"]
    assert expanded(layered(*files), "x").text == "1 2"


TEXT = st.lists(st.sampled_from(["%(a)s", "%(b)s", "%(c)s", "%(d)s", "%% ", "% ", "t", "\n  "]),
                max_size=6).map("".join)  # fmt: skip


@given(st.fixed_dictionaries({name: TEXT for name in "abc"}))
def test_interpolation_always_ends_with_text_or_with_a_line(options: dict[str, str]) -> None:
    text = "\n".join(["[A]", *(f"{name} = .{value}" for name, value in options.items())])
    seen = scope(text)
    for name in "abc":
        try:
            value = expanded(seen, name)
        except InterpolationError as error:
            assert error.problem.origin.line >= 2
            assert error.problem.option in options
        else:
            assert set(value.text) <= set(".t% \n")


@given(st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])))
def test_escaped_text_expands_to_itself(text: str) -> None:
    value = Value(((text.replace("%", "%%"), 1),), Origin("f.conf", 1))
    assert expanded(Scope([Layer("A", {"x": value})]), "x").text == text


FORM = st.sampled_from(
    ["%(a)s", "%(known/a)s", "%(known/b)s", "%(A/a)s", "%(b/a)s", "%(default/b)s", "%(b/c)s", "t"]
)
FORMS = st.lists(FORM, max_size=3).map(" ".join)
SECTION = st.dictionaries(st.sampled_from("abc"), FORMS)
FILES = st.lists(st.dictionaries(st.sampled_from(["A", "b", "DEFAULT"]), SECTION), max_size=4)


@given(FILES)
def test_forms_of_a_tree_always_end_with_text_or_with_a_line(
    files: list[dict[str, dict[str, str]]],
) -> None:
    texts = [
        "".join(
            f"[{name}]\n" + "".join(f"{key} = {text}\n" for key, text in section.items())
            for name, section in file.items()
        )
        for file in files
    ]
    seen = layered(*texts)
    for name in "abc":
        place = seen.find(name)
        try:
            value = seen.expand(place) if place else None
        except InterpolationError as error:
            assert error.problem.origin.line >= 1
        else:
            assert value is None or set(value.text) <= set("t ")
