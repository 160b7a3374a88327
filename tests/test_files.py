# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files a name stands for, in which order, and what they include."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.files import DEEPEST, LARGEST, files_of
from fail2ban.config.options import Findings
from fail2ban.errors import ConfigError
from fail2ban.records import Problem


def write(base: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return base


def order(base: Path, name: str = "jail") -> list[str]:
    return [str(Path(one.file).relative_to(base)) for one in files_of(base, name, Findings())]


def warnings(base: Path, name: str = "jail") -> list[Problem]:
    findings = Findings()
    files_of(base, name, findings)
    return findings.problems()


def including(**lists: str) -> str:
    return "[INCLUDES]\n" + "".join(f"{key} = {value}\n" for key, value in lists.items())


def test_files_of_a_name_are_read_conf_first_then_local_each_with_its_folder(
    tmp_path: Path,
) -> None:
    names = ["jail.d/b.local", "jail.d/a.conf", "jail.local", "jail.conf", "jail.d/B.conf"]
    others = ["jail.d/a.txt", "jail.d/.c.conf", "jail.conf.bak", "jails.conf"]
    write(tmp_path, dict.fromkeys(names + others, ""))
    expected = ["jail.conf", "jail.d/B.conf", "jail.d/a.conf", "jail.local", "jail.d/b.local"]
    assert order(tmp_path) == expected


def test_folder_rule_holds_for_filters_and_a_local_alone_is_enough(tmp_path: Path) -> None:
    write(tmp_path, {"filter.d/x.d/1.conf": "", "filter.d/y.local": ""})
    assert order(tmp_path, "filter.d/x") == ["filter.d/x.d/1.conf"]
    assert order(tmp_path, "filter.d/y") == ["filter.d/y.local"]
    assert order(tmp_path, "filter.d/z") == []


def test_includes_stand_around_the_file_and_are_relative_to_it(tmp_path: Path) -> None:
    files = {
        "filter.d/f.conf": including(before="a.conf\n  sub/b.conf", after=f"{tmp_path}/z.conf"),
        "filter.d/a.conf": including(after="c.conf"),
        "filter.d/c.conf": "",
        "filter.d/sub/b.conf": including(before="../c.conf"),
        "z.conf": "",
    }
    write(tmp_path, files)
    expected = ["a", "c", "c", "sub/b", "f"]
    assert order(tmp_path, "filter.d/f") == [f"filter.d/{one}.conf" for one in expected] + [
        "z.conf"
    ]


def test_local_of_an_included_file_follows_it_and_what_it_includes(tmp_path: Path) -> None:
    files = {
        "f.conf": including(before="a.conf"),
        "a.conf": including(after="b.conf"),
        "a.local": "",
        "b.conf": "",
        "b.local": "",
    }
    write(tmp_path, files)
    assert order(tmp_path, "f") == ["a.conf", "b.conf", "b.local", "a.local", "f.conf"]


def test_local_that_is_listed_already_is_not_read_again(tmp_path: Path) -> None:
    files = {"f.conf": including(before="a.conf"), "a.conf": including(after="a.local")}
    write(tmp_path, files | {"a.local": ""})
    assert order(tmp_path, "f") == ["a.conf", "a.local", "f.conf"]


def test_missing_include_is_worth_a_warning_unless_it_is_a_local(tmp_path: Path) -> None:
    text = including(before="comon.conf\n  own.local\n  common.local")
    write(tmp_path, {"filter.d/f.conf": text, "filter.d/common.conf": ""})
    [problem] = warnings(tmp_path, "filter.d/f")
    assert (problem.severity, problem.section) == ("warning", "INCLUDES")
    assert problem.origin.line == 2
    assert "'comon.conf'" in problem.text and "did you mean 'common.conf'?" in problem.text


def test_include_can_use_the_options_of_its_own_file_only(tmp_path: Path) -> None:
    text = including(before="%(dir)s/a.conf") + "[DEFAULT]\ndir = sub\n"
    write(tmp_path, {"f.conf": text, "sub/a.conf": "", "f.local": including(before="%(dir)s/a")})
    with pytest.raises(ConfigError) as error:
        order(tmp_path, "f")
    [problem] = error.value.problems
    assert str(problem.origin) == f"{tmp_path}/f.local:2"
    (tmp_path / "f.local").unlink()
    assert order(tmp_path, "f") == ["sub/a.conf", "f.conf"]


@pytest.mark.parametrize("other", ["f.conf", "../x/f.conf", "link.conf"])
def test_file_that_includes_itself_is_read_once_with_a_warning(tmp_path: Path, other: str) -> None:
    base = write(tmp_path / "x", {"f.conf": including(before=other)})
    (base / "link.conf").symlink_to("f.conf")
    assert order(base, "f") == ["f.conf"]
    assert "not read once more" in warnings(base, "f")[0].text


def test_circle_of_two_files_ends(tmp_path: Path) -> None:
    files = {"f.conf": including(after="a.conf"), "a.conf": including(before="f.conf")}
    write(tmp_path, files)
    assert order(tmp_path, "f") == ["f.conf", "a.conf"]


def test_circle_through_a_link_to_the_folder_ends(tmp_path: Path) -> None:
    write(tmp_path, {"f.conf": including(before="loop/f.conf")})
    (tmp_path / "loop").symlink_to(".")
    assert order(tmp_path, "f") == ["f.conf"]


def test_includes_that_multiply_are_stopped(tmp_path: Path) -> None:
    files = {
        f"f{at}.conf": including(before=f"f{at + 1}.conf\n  f{at + 1}.conf") for at in range(30)
    }
    write(tmp_path, files | {"f30.conf": ""})
    with pytest.raises(ConfigError, match="more than 1000 files"):
        order(tmp_path, "f0")


def test_includes_that_go_very_deep_are_stopped(tmp_path: Path) -> None:
    write(tmp_path, {f"f{at}.conf": including(before=f"f{at + 1}.conf") for at in range(500)})
    with pytest.raises(ConfigError, match=f"at most {DEEPEST} levels"):
        order(tmp_path, "f0")


def test_file_that_is_not_utf_8_is_read_as_latin_1_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "f.conf").write_bytes(b"[A]\nx = 1\ny = caf\xe9\n")
    [one] = files_of(tmp_path, "f", Findings())
    assert one.sections["A"].options["y"].text == "café"
    [problem] = warnings(tmp_path, "f")
    assert (problem.severity, problem.origin.line) == ("warning", 3)


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "f.conf").write_bytes(b"\xef\xbb\xbf[A]\nx = caf\xc3\xa9\n")
    [one] = files_of(tmp_path, "f", Findings())
    assert one.sections["A"].options["x"].text == "café"


def test_duplicates_are_warned_of_once_however_often_the_file_is_read(tmp_path: Path) -> None:
    files = {"f.conf": including(before="a.conf", after="a.conf"), "a.conf": "[A]\nx = 1\nx = 2\n"}
    [problem] = warnings(write(tmp_path, files), "f")
    assert problem.severity == "warning" and problem.option == "x"


@pytest.mark.parametrize("name", ["folder", "n" * 5000, "circle"])
def test_what_is_no_file_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.conf").mkdir()
    (tmp_path / "circle.conf").symlink_to("circle.conf")
    with pytest.raises(ConfigError, match="cannot read it"):
        order(tmp_path, name)


def test_pipe_keeps_nobody_waiting_and_an_endless_file_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.conf")
    (tmp_path / "zero.conf").symlink_to("/dev/zero")
    (tmp_path / "null.conf").symlink_to("/dev/null")
    assert order(tmp_path, "pipe") == ["pipe.conf"]
    assert order(tmp_path, "null") == ["null.conf"]
    with pytest.raises(ConfigError, match=f"at most {LARGEST >> 20} MiB"):
        order(tmp_path, "zero")


def test_dangling_link_counts_as_no_file(tmp_path: Path) -> None:
    (tmp_path / "f.conf").symlink_to("nowhere")
    assert order(tmp_path, "f") == []


# Properties ------------------------------------------------------------------

NAMES = ["f.conf", "f.local", "a.conf", "a.local", "b.conf", "f.d/c.conf"]
ENTRIES = st.lists(st.sampled_from([*NAMES, "../f.conf", "none.conf", "%(x)s", "."]), max_size=2)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.tuples(ENTRIES, ENTRIES)),
)
def test_any_includes_end_with_files_or_with_a_problem_that_has_a_place(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[list[str], list[str]]]
) -> None:
    base = tmp_path_factory.mktemp("tree")
    texts = {
        name: including(before="\n  ".join(before), after="\n  ".join(after))
        for name, (before, after) in files.items()
    }
    write(base, texts)
    try:
        found = files_of(base, "f", Findings())
    except ConfigError as error:
        assert all(problem.origin.file.startswith(str(base)) for problem in error.problems)
    else:
        assert len(found) >= sum(name.startswith("f.") for name in files)


def test_way_up_from_a_folder_behind_a_link_is_the_way_of_the_kernel(tmp_path: Path) -> None:
    write(
        tmp_path, {"far/tree/filter.d/f.conf": including(before="../../x.conf"), "far/x.conf": ""}
    )
    (tmp_path / "near").mkdir()
    (tmp_path / "near/filter.d").symlink_to(tmp_path / "far/tree/filter.d")
    found = files_of(tmp_path / "near", "filter.d/f", Findings())
    assert [os.path.realpath(one.file) for one in found] == [
        f"{tmp_path}/far/x.conf",
        f"{tmp_path}/far/tree/filter.d/f.conf",
    ]
