# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration directory: its sections, and what it costs when one is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fail2ban
from fail2ban.config.interpolation import InterpolationError
from fail2ban.config.options import Findings
from fail2ban.config.trees import Fetch, Tree
from fail2ban.errors import ConfigError


def tree(base: Path, **files: str) -> Tree:
    """Write files, whose names have `_` for `.` and `__` for `/`, and open the tree."""
    for name, text in files.items():
        path = base / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Tree(base, Findings())


def text_of(fetch: Fetch, option: str) -> str:
    value = fetch.get(option)
    assert value is not None
    return value.text


def test_jails_are_the_sections_of_all_files_but_default_and_includes(tmp_path: Path) -> None:
    seen = tree(
        tmp_path,
        jail_conf="[INCLUDES]\nbefore = p.conf\n[DEFAULT]\na = 1\n[b]\n[a]\n",
        p_conf="[DEFAULT]\nx = 1\n[p]\n",
        jail_local="[b]\n[c]\n",
    )
    assert seen.jail_names() == ["p", "b", "a", "c"]


def test_option_is_fetched_with_what_the_section_and_default_say(tmp_path: Path) -> None:
    seen = tree(
        tmp_path,
        jail_conf="[DEFAULT]\nlog = /var/%(name)s\nname = any\n[a]\nname = %(__name__)s\nx = %(log)s\n",
        jail_local="[a]\ny = %(x)s %(known/name)s\n",
    )
    jail = seen.section("jail", "a")
    assert (jail.name, str(jail.origin)) == ("a", f"{tmp_path}/jail.conf:4")
    assert text_of(jail, "x") == "/var/a"
    assert text_of(jail, "y") == "/var/a any"
    assert text_of(jail, "log") == "/var/a"
    assert jail.get("nothing") is None and jail.place("nothing") is None
    assert jail.options() == ["name", "x", "y"]


def test_version_and_directory_can_be_said(tmp_path: Path) -> None:
    seen = tree(tmp_path, jail_conf="[a]\nx = %(fail2ban_version)s %(fail2ban_confpath)s\n")
    jail = seen.section("jail", "a")
    assert text_of(jail, "x") == f"{fail2ban.__version__} {tmp_path}"
    assert jail.get("fail2ban_version") is None


def test_place_is_where_the_newest_value_is_written(tmp_path: Path) -> None:
    seen = tree(tmp_path, jail_conf="[a]\nx = 1\n", jail_local="[a]\n\nx = %(nothing)s\n")
    place = seen.section("jail", "a").place("x")
    assert place is not None
    assert str(place.problem("text")) == f"{tmp_path}/jail.local:3: [a] x: text"


def test_default_knows_its_own_past(tmp_path: Path) -> None:
    seen = tree(
        tmp_path, jail_conf="[DEFAULT]\nx = 1\n", jail_local="[DEFAULT]\nx = %(known/x)s 2\n"
    )
    assert text_of(seen.section("jail", "DEFAULT"), "x") == "1 2"


def test_daemon_without_definition_is_read_from_default(tmp_path: Path) -> None:
    seen = tree(tmp_path, fail2ban_conf="[DEFAULT]\nloglevel = DEBUG\n")
    daemon = seen.section("fail2ban", "Definition")
    assert text_of(daemon, "loglevel") == "DEBUG"
    assert str(daemon.origin) == f"{tmp_path}/fail2ban.conf"


def test_reference_to_nothing_breaks_only_who_asks(tmp_path: Path) -> None:
    seen = tree(tmp_path, jail_conf="[a]\nx = %(nothing)s\n[b]\nx = 1\n")
    with pytest.raises(InterpolationError) as error:
        seen.section("jail", "a").get("x")
    assert str(error.value).startswith(f"{tmp_path}/jail.conf:2: [a] x: ")
    assert text_of(seen.section("jail", "b"), "x") == "1"


def test_line_that_fits_nothing_breaks_only_its_section(tmp_path: Path) -> None:
    seen = tree(tmp_path, jail_conf="[a]\nx = 1\nnonsense\n[b]\nx = 1\n")
    assert seen.jail_names() == ["a", "b"]
    assert text_of(seen.section("jail", "b"), "x") == "1"
    with pytest.raises(ConfigError, match=r"jail\.conf:3: \[a\] 'nonsense'"):
        seen.section("jail", "a")


@pytest.mark.parametrize("text", ["[DEFAULT]\nnonsense\n[a]\n", "x = 1\n[a]\n"])
def test_line_of_default_that_fits_nothing_breaks_everything(tmp_path: Path, text: str) -> None:
    seen = tree(tmp_path, jail_conf=text)
    with pytest.raises(ConfigError):
        seen.jail_names()
    with pytest.raises(ConfigError):
        seen.section("jail", "a")


def test_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"jail\.conf: there is no file 'jail\.conf'"):
        tree(tmp_path).jail_names()


def test_missing_filter_is_an_error_of_the_jail_that_names_what_is_meant(tmp_path: Path) -> None:
    seen = tree(tmp_path, jail_conf="[a]\nfilter = ssdh\n", filter_d__sshd_conf="[Definition]\n")
    jail = seen.section("jail", "a")
    with pytest.raises(ConfigError) as error:
        seen.filter("ssdh", {}, jail, place=jail.place("filter"))
    assert str(error.value).startswith(f"{tmp_path}/jail.conf:2: [a] filter: there is no file")
    assert "did you mean 'sshd'?" in str(error.value)


def test_mistake_in_an_argument_is_reported_where_the_jail_writes_it(tmp_path: Path) -> None:
    action_file = "[Definition]\nactionban = <p>\n"
    seen = tree(tmp_path, jail_conf="[a]\naction = x\n", action_d__x_conf=action_file)
    jail = seen.section("jail", "a")
    action = seen.action("x", {"p": "<p>"}, jail, place=jail.place("action"))
    with pytest.raises(ConfigError, match=r"jail\.conf:2: \[a\] action: '<p>' leads back"):
        action.get("actionban")


def test_section_knows_its_filter_first(tmp_path: Path) -> None:
    seen = tree(
        tmp_path,
        jail_conf="[a]\nx = %(known/failregex)s|%(known/dflt)s\n[DEFAULT]\ndflt = 1\n",
        filter_d__f_conf="[DEFAULT]\ndflt=2\n[Definition]\nfailregex = a<m>\n[Init]\nm = b\n",
    )
    jail = seen.section("jail", "a")
    assert text_of(jail.knowing(seen.filter("f", {}, jail).known()), "x") == "ab|1"


# Properties ------------------------------------------------------------------

LINES = ["[DEFAULT]", "[a]", "[b?x=y]", "[INCLUDES]", "before = jail.conf", "x = %(x)s", "rem x"]
MORE = ["x = %(known/x)s 1", "y: <x>", "  more", "\tz = %(a/x)s", "", "; note", "odd", "\0"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(LINES + MORE)).map("\n".join) | st.text(), st.text())
def test_any_text_gives_sections_or_problems_with_a_place(
    tmp_path: Path, text: str, other: str
) -> None:
    (tmp_path / "jail.conf").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "jail.local").write_bytes(other.encode("utf-8", "surrogatepass"))
    seen = Tree(tmp_path, Findings())
    try:
        for name in seen.jail_names():
            jail = seen.section("jail", name)
            for option in jail.options():
                assert jail.get(option) is not None
    except ConfigError as error:
        assert error.problems
        assert all(problem.origin.file.startswith(str(tmp_path)) for problem in error.problems)
