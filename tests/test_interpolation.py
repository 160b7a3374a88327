# SPDX-License-Identifier: GPL-2.0-or-later
"""%(name)s: what it finds, where its mistakes are reported, and that it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.ini import CLASSIC, Value, read
from fail2ban.config.interpolation import (
    DEPTH,
    GROWTH,
    InterpolationError,
    Layer,
    Scope,
    references,
)
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
