# SPDX-License-Identifier: GPL-2.0-or-later
"""<tag>: what it finds, what stays, and that it ends."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config import tags
from fail2ban.config.ini import TREE, Value, read
from fail2ban.config.interpolation import GROWTH, InterpolationError, Layer, Place
from fail2ban.config.tags import DEPTH, Tags
from fail2ban.records import Origin


def filled(text: str, option: str = "x", stays: list[str] | None = None) -> Value:
    section = read(f"[A]\n{text}\n", "f.conf", TREE).sections["A"]
    layer = Layer("A", section.options)
    kept = [] if stays is None else stays

    def refer(name: str, _: Place) -> Place | None:
        return layer.place(name) if name in layer.options else None

    made = Tags(refer, lambda place: place.value, lambda name, _: kept.append(name))
    return made.fill(layer.place(option))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a <y> b\ny = 1", "a 1 b"),
        ("x = <y>\ny = <z>\nz = 1", "1"),
        ("x = <y-<z>>\nz = a\ny-a = 1", "1"),
        ("x = <y-<z>/b>\nz = a\ny-a/b = 1", "1"),
        ("x = <<y>>\ny = z\nz = 1", "1"),
        ("x = <<y>> <<z>>\ny = nothing\nz =", "<nothing> <>"),
        ("x = <HOST> <y>\ny = <F-ID>\\S</F-ID>", "<HOST> <F-ID>\\S</F-ID>"),
        ("x = <y\ny = 1", "<y"),
        ("x = y>\ny = 1", "y>"),
        ("x = <<y>\ny = 1", "<1"),
        ("x = <y>>\ny = 1", "1>"),
        ("x = < y > <y >\ny = 1", "< y > <y >"),
        ("x = (?<=a)<y>(?<!b)\ny = 1", "(?<=a)1(?<!b)"),
        ("x = cmd < <y> 2>&1\ny = 1", "cmd < 1 2>&1"),
        ("x = <> <<>>\ny = 1", "<> <<>>"),
        ("x = <a<y>>\ny = b c\nab c = 1", "<ab c>"),
        ("x = <y><y>\ny =", ""),
    ],
)
def test_innermost_tag_is_replaced_and_what_is_no_tag_stays(text: str, expected: str) -> None:
    assert filled(text).text == expected


@given(st.text("<>yz- \n", max_size=30), st.text("<>yz- ", max_size=6))
def test_a_line_without_nested_tags_is_filled_as_one_that_may_have_some(
    text: str, known: str
) -> None:
    """There is a short way for it."""

    def fill() -> tuple[str, list[str]]:
        stays: list[str] = []
        options = {
            name: Value(tuple((line, 1) for line in said.split("\n")), Origin("f.conf", 1))
            for name, said in {"x": text, "y": known, "yz": "1", "z-": "", "y-1": "2"}.items()
        }
        layer = Layer("A", options)

        def refer(name: str, _: Place) -> Place | None:
            return layer.place(name) if name in options else None

        made = Tags(refer, lambda place: place.value, lambda name, _: stays.append(name))
        try:
            return made.fill(layer.place("x")).text, stays
        except InterpolationError as error:
            return str(error), stays

    by_the_short_way = fill()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tags, "_NESTED", re.compile(""))
        assert fill() == by_the_short_way


def test_every_physical_line_keeps_its_number() -> None:
    value = filled("x = a\n  <y>\n  b\ny = 1\n  2")
    assert value.lines == (("a", 2), ("1", 3), ("2", 3), ("b", 4))


def test_tags_that_stay_are_told() -> None:
    stays: list[str] = []
    filled("x = <HOST> <y> < no> <z-<q>>\ny = <ip>\nq = 1", stays=stays)
    assert stays == ["HOST", "ip", "z-1"]


@pytest.mark.parametrize("text", ["x = a<x>", "x = <y>\ny = <x>", "x = <y>\ny = 1\n  <y>"])
def test_circle_is_reported_where_it_is_written(text: str) -> None:
    with pytest.raises(InterpolationError, match="leads back to itself") as error:
        filled(text)
    assert error.value.problem.origin.line >= 2


def chain(length: int) -> str:
    links = [f"x{at} = <x{at + 1}>" for at in range(length)]
    return "\n".join([*links, f"x{length} = end"])


def test_long_chain_is_followed_and_a_very_long_one_does_not_exhaust_the_stack() -> None:
    assert filled(chain(DEPTH), "x0").text == "end"
    with pytest.raises(InterpolationError, match="leads too deep"):
        filled(chain(20_000), "x0")


def test_text_that_multiplies_is_stopped() -> None:
    bomb = "\n".join(f"x{at} = " + f"<x{at + 1}>" * 20 for at in range(9))
    with pytest.raises(InterpolationError, match="too long"):
        filled(f"{bomb}\nx9 = boom", "x0")


def test_text_that_multiplies_over_lines_is_stopped() -> None:
    half = "y" * (GROWTH // 2 + 1)
    with pytest.raises(InterpolationError, match="too long"):
        filled(f"x = <y>\n  <y>\ny = {half}")
    assert len(filled(f"x = <y>\ny = {half}").text) == len(half)


def test_empty_text_that_multiplies_is_filled_at_once() -> None:
    bomb = "\n".join(f"x{at} = " + f"<x{at + 1}>" * 200 for at in range(10))
    assert filled(f"{bomb}\nx10 =", "x0").text == ""


@pytest.mark.parametrize(
    "text", ["<" * 200_000, "<a" * 100_000, "<" * 100_000 + "a" + ">" * 100_000]
)
def test_line_full_of_brackets_takes_no_time(text: str) -> None:
    start = time.monotonic()
    assert filled(f"x = {text}").text == text
    assert time.monotonic() - start < 10


TEXT = st.lists(
    st.sampled_from(["<a>", "<b>", "<c>", "<", ">", "a", "b", " ", "\n  ."]), max_size=6
)


@given(st.fixed_dictionaries({name: TEXT.map("".join) for name in "abc"}))
def test_filling_always_ends_with_text_or_with_a_line(options: dict[str, str]) -> None:
    text = "\n".join(f"{name} = .{value}" for name, value in options.items())
    for name in "abc":
        try:
            filled(text, name)
        except InterpolationError as error:
            assert error.problem.origin.line >= 2
            assert error.problem.option in options


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))
def test_text_without_known_tags_stays_as_it_is(text: str) -> None:
    layer = Layer("A", {"x": Value(((text, 1),), Origin("f", 1))})
    tags = Tags(lambda name, place: None, lambda place: place.value, lambda name, spot: None)
    assert tags.fill(layer.place("x")).text == text
