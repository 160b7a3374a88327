# SPDX-License-Identifier: GPL-2.0-or-later
"""The INI reader: what a line is, and where it stood."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.ini import CLASSIC, TREE, Dialect, Ini, read


def classic(text: str) -> Ini:
    return read(text, "f.conf", CLASSIC)


def texts(ini: Ini) -> dict[str, dict[str, str]]:
    return {
        name: {option: value.text for option, value in section.options.items()}
        for name, section in ini.sections.items()
    }


def value_of(line: str) -> str:
    """Return the value of the only option, `x`, that `line` writes in [A]."""
    ini = classic(f"[A]\n{line}\n")
    assert ini.problems == []
    return ini.sections["A"].options["x"].text


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("x=1", "1"),
        ("x:1", "1"),
        ("x = a:b=c", "a:b=c"),
        ("x : a=b", "a=b"),
        ("X\t=\t 1 ", "1"),
        ("x =", ""),
        ('x = ""', ""),
        ('x = "a"', '"a"'),
        ("x = a ; note", "a"),
        ("x = a;b", "a;b"),
        ("x = a;b ; kept, since only the first one counts", "a;b ; kept, since only the first "
         "one counts"),
        ("x = ; nothing but a note", ""),
        ("x = a # no note", "a # no note"),
    ],
)  # fmt: skip
def test_option_line_is_split_as_version_0_6_did(line: str, value: str) -> None:
    assert value_of(line) == value


def test_option_names_are_lower_cased_and_section_names_are_not() -> None:
    assert texts(classic("[My Site]\nBanTime = 1\n")) == {"My Site": {"bantime": "1"}}


@pytest.mark.parametrize("comment", ["# x = 2", "; x = 2", "rem x = 2", "REM\tx = 2", "rem"])
def test_comment_in_column_0_is_skipped_even_inside_a_value(comment: str) -> None:
    assert texts(classic(f"[A]\nx = 1\n{comment}\n\n \t\n  more\n")) == {"A": {"x": "1\nmore"}}


def test_a_name_that_only_begins_with_rem_is_an_option() -> None:
    assert texts(classic("[A]\nremote = 1\nremark: 2\n")) == {"A": {"remote": "1", "remark": "2"}}


def test_indented_lines_continue_the_value_comments_and_semicolons_included() -> None:
    ini = classic("[A]\nx = a\n  # not a comment\n\tb ; c\n  [B]\n  y = 2\n")
    value = ini.sections["A"].options["x"]
    assert value.lines == (("a", 2), ("# not a comment", 3), ("b ; c", 4), ("[B]", 5), ("y = 2", 6))
    assert list(ini.sections) == ["A"]


def test_value_that_starts_on_the_next_line_keeps_the_line_of_its_name_as_origin() -> None:
    value = classic("[A]\nx =\n\n  a\n").sections["A"].options["x"]
    assert value.lines == (("a", 4),)
    assert str(value.origin) == "f.conf:2"
    assert str(value.place(4)) == "f.conf:4"


def test_repeated_sections_merge_and_the_last_value_wins() -> None:
    ini = classic("[A]\nx = 1\ny = 1\n[B]\n[A]\nx = 2\n")
    assert texts(ini) == {"A": {"x": "2", "y": "1"}, "B": {}}
    assert ini.sections["A"].origin.line == 1
    assert ini.sections["A"].options["x"].origin.line == 6
    assert ini.problems == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_and_a_byte_order_mark_are_understood(end: str) -> None:
    ini = classic(end.join(["\ufeff[A]", "x = 1", "  2", "y = 3"]))
    assert texts(ini) == {"A": {"x": "1\n2", "y": "3"}}
    assert ini.sections["A"].options["y"].origin.line == 4


@pytest.mark.parametrize("line", ["nonsense", "[A", "[]", "= 1", "  x = 1"])
def test_line_that_fits_nothing_is_reported_where_it_stands(line: str) -> None:
    [problem] = classic(f"[A]\n{line}\n[B]\nx = 1\n").problems
    assert (str(problem.origin), problem.section) == ("f.conf:2", "A")
    assert repr(line.strip()) in problem.text


def test_what_continues_a_bad_line_is_not_reported_again() -> None:
    ini = classic("[A]\nfailregex\n  one\n  two\nx = 1\n")
    assert [problem.origin.line for problem in ini.problems] == [2]
    assert texts(ini) == {"A": {"x": "1"}}


def test_bad_line_ends_the_option_above_it() -> None:
    assert texts(classic("[A]\nx = 1\nnonsense\n  2\n")) == {"A": {"x": "1"}}


def test_options_above_the_first_section_are_one_problem_of_the_file() -> None:
    ini = classic("# note\nx = 1\ny = 2\n[A]\nz = 3\n")
    assert texts(ini) == {"A": {"z": "3"}}
    [problem] = ini.problems
    assert (problem.origin.line, problem.section) == (2, "")


def test_line_with_a_nul_byte_is_reported_and_not_used() -> None:
    ini = classic("[A]\nx = a\n  b\0c\ny = \0\n# \0\n")
    assert texts(ini) == {"A": {"x": "a"}}
    assert [problem.origin.line for problem in ini.problems] == [3, 4]
    assert all("NUL" in problem.text for problem in ini.problems)


def test_long_line_is_quoted_shortened() -> None:
    [problem] = classic("[A]\n" + "z" * 5000).problems
    assert len(str(problem)) < 300


def test_dialect_is_a_frozen_table_of_rules() -> None:
    with pytest.raises(FrozenInstanceError):
        CLASSIC.strict = True  # type: ignore[misc]


def test_rules_of_the_tree_come_from_its_table() -> None:
    text = "[A]\n  x = a ;note\n    b ; note\n\n    # note\n    c\n  y = 2\n\nz =\n d\n\n"
    ini = read(text, "f.conf", TREE)
    assert texts(ini) == {"A": {"x": "a\nb\n\nc", "y": "2", "z": "d"}}
    assert ini.problems == []


def tree(line: str) -> Ini:
    return read(f"[A]\n{line}\n", "f.conf", TREE)


def tree_value(line: str) -> str:
    ini = tree(line)
    assert ini.problems == []
    return ini.sections["A"].options["x"].text


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("x = a ; note", "a"),
        ("x = a;b", "a;b"),
        ("x = a;b ; note ; more", "a;b"),
        ("x =;b", ";b"),
        ("x = ;note", ""),
        ("x = a\n  b ;note\n   # note\n  ; note\n  c", "a\nb\nc"),
        ("x = a # no note", "a # no note"),
        ("x = a\nrem this is a note\n  b", "a\nb"),
        ("x = a\nREM\n  b", "a\nb"),
        ("x = a\n  rem no note", "a\nrem no note"),
        ('x = ""', '""'),
        ("X : a=b", "a=b"),
        ("x =\n  a", "a"),
        ("x =\n\n  a\n\n  b\n\n", "\na\n\nb"),
        ("  x = a\n    b\n  y = 1", "a\nb"),
        ("x = a\n  [B]", "a\n[B]"),
    ],
)
def test_line_of_a_tree_is_split_as_python_does(line: str, value: str) -> None:
    assert tree_value(line) == value


def test_option_of_a_tree_may_be_called_rem() -> None:
    assert texts(tree("rem = 1\nrem : 2\nremote = 3"))["A"] == {"rem": "2", "remote": "3"}


@pytest.mark.parametrize("line", ["x", "x ; = 1", "[B"])
def test_line_of_a_tree_that_fits_nothing_is_an_error_of_its_section(line: str) -> None:
    [problem] = tree(f"{line}\ny = 1").problems
    assert (problem.severity, problem.section, problem.origin.line) == ("error", "A", 2)


def test_strict_dialect_warns_of_duplicates_and_the_last_value_wins() -> None:
    text = "[A]\nx = 1\nx = 2\n[A]\n"
    problems = read(text, "f.conf", TREE).problems
    assert [problem.severity for problem in problems] == ["warning", "warning"]
    assert texts(read(text, "f.conf", TREE)) == {"A": {"x": "2"}}
    assert [(p.origin.line, p.section, p.option) for p in problems] == [(3, "A", "x"), (4, "A", "")]
    assert "line 2" in problems[0].text and "line 1" in problems[1].text
    assert read(text, "f.conf", replace(TREE, strict=False)).problems == []


# Properties ------------------------------------------------------------------

LINE = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=20)
WHOLE_LINE = LINE.map(str.strip).filter(bool)
FIRST_LINE = WHOLE_LINE.filter(lambda text: ";" not in text and text != '""')
VALUE = st.builds(lambda first, rest: [first, *rest], FIRST_LINE, st.lists(WHOLE_LINE, max_size=3))
NAME = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: name != "rem")
SECTION_NAME = LINE.filter(lambda name: name and "]" not in name)
FILE = st.dictionaries(SECTION_NAME, st.dictionaries(NAME, VALUE, max_size=4), max_size=4)


def written(sections: dict[str, dict[str, list[str]]]) -> str:
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        for option, value in options.items():
            lines.append(f"{option} = {value[0]}")
            lines += [f"  {line}" for line in value[1:]]
    return "\n".join(lines)


@given(FILE)
def test_file_in_canonical_form_reads_back_the_same(
    sections: dict[str, dict[str, list[str]]],
) -> None:
    ini = classic(written(sections))
    assert ini.problems == []
    assert texts(ini) == {
        name: {option: "\n".join(value) for option, value in options.items()}
        for name, options in sections.items()
    }


@given(FILE)
def test_every_line_of_a_value_is_found_at_its_number(
    sections: dict[str, dict[str, list[str]]],
) -> None:
    text = written(sections)
    physical = text.split("\n")
    for section in classic(text).sections.values():
        for value in section.options.values():
            assert all(physical[number - 1].endswith(line) for line, number in value.lines)


@given(st.text() | st.text('[]a=: \n#;rem\0\r"', max_size=80), st.sampled_from([CLASSIC, TREE]))
def test_any_text_can_be_read_and_every_problem_has_its_line(text: str, dialect: Dialect) -> None:
    ini = read(text, "f.conf", dialect)
    assert "" not in ini.sections
    assert all(p.origin.file == "f.conf" and p.origin.line >= 1 for p in ini.problems)
    assert all(value.lines for s in ini.sections.values() for value in s.options.values())
