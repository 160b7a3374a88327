# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign text in a command: it arrives to the letter, and never does anything."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fail2ban.enforce import escape
from fail2ban.enforce.escape import VALUE_LIMIT, Script, carried, script

SHELLS = [shell for shell in ("/bin/sh", "/bin/dash", "/bin/bash") if shutil.which(shell)]

#: Runs if any place of a command is read by a shell as it should not be.
HOSTILE = "a'b\"c$(touch hacked)`touch hacked`;touch hacked\n|touch hacked&\\ *~ {a,b} ${x} #<y>\n"


def filled(template: str, **values: str) -> Script:
    return script(template, values.get)


def run(
    command: Script, folder: Path | None = None, shell: str = "/bin/sh", check: bool = True
) -> str:
    words = [shell, "-c", command.text, *command.arguments]
    done = subprocess.run(words, capture_output=True, cwd=folder, stdin=subprocess.DEVNULL)
    if check:
        assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape")


# What stands in the text ---------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["192.0.2.1", "2001:db8::/32", "-1", "ip6tables", "mail.example.org.", "", "a_b-c"]
)
def test_harmless_value_stands_in_the_text(value: str) -> None:
    assert filled("ban <x> '<x>'", x=value) == Script(f"ban {value} '{value}'")


@pytest.mark.parametrize("value", ["a b", "a;b", "a=b", "~", "ü", "a\n", "*", "'"])
def test_any_other_value_is_an_argument(value: str) -> None:
    command = filled("ban <x>", x=value)
    assert command.text == 'f2bV_x=${1}; set --\nban "${f2bV_x}"'
    assert command.arguments == ("sh", value)


def test_command_without_values_stays_to_the_letter() -> None:
    for text in ("sort <file", "cat <<'E'\n$x\nE\n", "echo <unknown> `a` \"'\" $((1+1)) # it's"):
        assert filled(text, x="a") == Script(text)


def test_tags_without_a_value_stay() -> None:
    assert filled("<IP> <ip> <<a>> <-b> <", ip="a b").text.endswith(
        '\n<IP> "${f2bV_ip}" <<a>> <-b> <'
    )


def test_value_is_not_filled_again() -> None:
    assert run(filled("printf %s '<a>'", a="<b> <a>", b="B")) == "<b> <a>"
    assert filled("<a>", a="x", x="y").text == "x"


def test_names_of_tags_become_names_of_variables() -> None:
    command = filled("echo <F-USER> <jail.name>", **{"F-USER": "a b", "jail.name": "c d"})
    assert command.text.startswith("f2bV_F_USER=${1} f2bV_jail_name=${2}; set --\n")
    assert run(command) == "a b c d\n"


def test_more_than_nine_values_arrive() -> None:
    values = {f"F-{letter}": f"{letter} {letter}" for letter in "ABCDEFGHIJKL"}
    template = "printf '%s,' " + " ".join(f"<{name}>" for name in values)
    assert run(filled(template, **values)) == "".join(f"{text}," for text in values.values())


def test_positional_parameters_of_the_command_are_its_own() -> None:
    assert run(filled('echo "$# $@"; set -- 1; echo "$1"; : <x>', x="a b")) == "0 \n1\n"


def test_br_is_a_line_of_the_command() -> None:
    assert run(filled("echo a<br>echo b '<x>'", br="\n", x="'")) == "a\nb '\n"


# Every place a tag can stand in -----------------------------------------------------

#: Each prints the value of <x> between bars; `E` and `F` end here-documents.
PLACES = {
    "bare": "printf '|%s|' <x>",
    "bare, joined": "printf '|%s|' ''<x>''",
    "double": "printf '|%s|' \"<x>\"",
    "single": "printf '|%s|' '<x>'",
    "assigned": 'v=<x>; printf "|%s|" "$v"',
    "assigned in single quotes": "v='<x>'\nprintf '|%s|' \"$v\"",
    "double after an escaped quote": 'printf \'%s\' "|" && : "\\"" && printf \'%s|\' "<x>"',
    "single after an escaped quote": "printf '%.0s' \\'a; printf '|%s|' '<x>'",
    "command substitution": "printf '|%s' \"$(printf '%s|' \"<x>\")\"",
    "bare command substitution": "v=$(printf '%s|' '<x>'); printf '|%s' \"$v\"",
    "backticks": "v=`printf '%s|' \"<x>\"`; printf '|%s' \"$v\"",
    "backticks in double quotes": 'printf "|%s" "`printf "%s|" "<x>"`"',
    "nested": "printf '|%s' \"$(printf %s \"$(printf '%s|' '<x>')\")\"",
    "group": "(printf '|%s|' <x>)",
    "braces": "{ printf '|%s|' '<x>'; }",
    "default of a parameter": 'printf "|%s|" "${unset-<x>}"',
    "bare default of a parameter": "printf '|%s|' ${unset-'<x>'}",
    "case word": "case '<x>' in '') ;; *) printf '|%s|' <x>;; esac",
    "after a comment": ": # don't \"mind <x>\nprintf '|%s|' '<x>'",
    "after no comment": ": a#'b'; printf '|%s|' '<x>'",
    "here-document": "printf '|'; cat <<E\n<x>|\nE",
    "quoted here-document": "printf '|'; cat <<'E'\n<x>|\nE",
    "indented here-document": "printf '|'; cat <<-\\E\n\t<x>|\n\tE\n",
    "two here-documents": "cat <<E >/dev/null; printf '|'; cat <<\"F\"\n$(:)'\nE\n<x>|\nF\n: '<x>'",
    "after a here-document": "cat <<'E' >/dev/null\nit's $( ` \"\nE\nprintf '|%s|' \"<x>\"",
    "here-document of a substitution": "printf '|%s' \"$(cat <<E\n<x>|\nE\n)\"",
    "pipeline": "printf '|%s|' '<x>' | cat",
    "arithmetic before": "printf '%s' \"|\" $(( (1 + 2) * 0 )) | tr -d 0; printf '%s|' '<x>'",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_arrives_to_the_letter_in_every_place(
    place: str, shell: str, tmp_path: Path
) -> None:
    said = run(filled(PLACES[place], x=HOSTILE), tmp_path, shell)
    assert said.removesuffix("\n") == f"|{HOSTILE}|"  # a here-document ends its line
    assert list(tmp_path.iterdir()) == []


anything = st.text(st.characters(exclude_categories=()))
nasty = st.lists(
    st.sampled_from(
        [
            "'",
            '"',
            "`",
            "$(",
            ")",
            "$",
            "\\",
            "\n",
            "\t",
            ";",
            "#",
            "E",
            "\nE\n",
            "}",
            "<x>",
            "a",
            " ",
        ]
        + ["*", "\0", "\ud800", "\udc80", "ü", "touch hacked", "&", "|", "<<E", "\r"]
    )
).map("".join)


def as_carried(value: str) -> str:
    """What of a value can be an argument at all."""
    return value.replace("\0", "\\x00").encode("utf-8", "replace").decode()


@settings(max_examples=60)
@given(st.one_of(anything, nasty))
@example(HOSTILE)
@example("")
@example("\nE\n")
def test_any_text_arrives_to_the_letter_in_every_place(value: str) -> None:
    whole = "\nprintf '\\n--\\n'\n".join(f"{{ {text}\n}}" for text in PLACES.values())
    said = run(filled(whole, x=value))
    empty = as_carried(value) == ""
    for place, got in zip(PLACES, said.split("\n--\n"), strict=True):
        expected = "" if empty and place == "case word" else f"|{as_carried(value)}|"
        if empty and place == "bare":
            expected = "||"
        assert got.removesuffix("\n") == expected.removesuffix("\n"), place


PIECES = ["<x>", "'", '"', "`", "$(", ")", "${y-", "}", "$((", "))", "\\", "\n", "#", ";", " ", "a"]
PIECES += ["<<E", "<<'E'", "\nE\n", "echo ", "|", "(", "case a in a) ", "esac", "&&", "<", "eval "]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("eval 'echo <x>'")
@example("eval <x>")
@example("echo $((<x>))")
def test_whatever_the_command_looks_like_foreign_text_is_no_part_of_it(template: str) -> None:
    command = filled(template, x=HOSTILE)
    assert "touch" not in command.text
    assert HOSTILE.strip("\n")[-5:] not in command.text


# Where text would be read once more ---------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "template",
    [
        'sh -c "echo <x>"',
        "sh -c 'echo <x>'",
        "/bin/sh -ec 'echo <x>'",
        'eval "echo <x>"',
        "eval echo <x>",
        "true && eval 'echo <x>'",
        'eval "$(printf %s "echo <x>")"',
        "v=1; { eval 'echo <x>'; }",
    ],
)
def test_text_that_a_second_shell_reads_loses_what_could_do_harm(
    template: str, shell: str, tmp_path: Path
) -> None:
    said = run(filled(template, x=HOSTILE), tmp_path, shell)
    assert said.startswith("a_b_c__touch hacked__touch hacked__touch hacked__touch hacked")
    assert list(tmp_path.iterdir()) == []


def test_text_before_or_after_a_second_shell_is_whole() -> None:
    template = "printf %s '<x>' | sh -c cat; printf %s '<x>'"
    assert run(filled(template, x=HOSTILE)) == HOSTILE * 2


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "template", ["echo $((<x> + 1))", 'echo "$((<x>+1))"', "v=abc; echo $(( (<x>) + 1 ))"]
)
def test_no_text_is_calculated_with(template: str, shell: str, tmp_path: Path) -> None:
    """bash runs what stands in the brackets of an index."""
    assert run(filled(template, x="y[$(touch hacked)]"), tmp_path, shell) == "1\n"
    assert run(filled(template, x="41"), tmp_path, shell) == "42\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("/bin/bash" not in SHELLS, reason="only bash does this")
@pytest.mark.parametrize(
    "template",
    [
        "v=abc; echo ${v:<x>}",
        "v=abc; echo ${v: 1+<x>}",
        'v=abc; echo "${v:0:<x>}"',
        "((<x>)); echo",
        "echo ${v[<x>]}",
        "echo ${v[1+<x>]}",
        "echo $[<x>]",
        "v[<x>]=1",
        "let v=<x>",
        "declare -i v=<x>",
        "[[ '<x>' -eq 1 ]]",
        "[[ 1 -eq <x> ]]",
        "echo >& <x>",
        "echo 2>&1<x>",
    ],
)
def test_no_text_is_calculated_with_where_only_bash_calculates(
    template: str, tmp_path: Path
) -> None:
    for text in ("y[$(touch hacked)]", "$(touch hacked)"):
        run(filled(template, x=text), tmp_path, "/bin/bash", check=False)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.skipif("/bin/bash" not in SHELLS, reason="only bash does this")
def test_no_name_leads_a_calculation_to_foreign_text(tmp_path: Path) -> None:
    command = filled("v='<y>'; echo $((<x>))", x="f2bV_y", y="a[$(touch hacked)]")
    assert run(command, tmp_path, "/bin/bash") == "0\n"
    assert filled("echo $((<x>))", x="F2B_MATCHES").text == "echo $((0))"
    assert list(tmp_path.iterdir()) == []


#: Each hands text on to a program that reads it as commands.
READ_AGAIN = [
    'true\neval "echo <x>"',
    'true;eval "echo <x>"',
    'true&&sh -c "echo <x>"',
    'v=$(eval "echo <x>")',
    'v=`eval "echo <x>"`',
    '(eval "echo <x>")',
    "true<br>eval 'echo <x>'",
    '\\eval "echo <x>"',
    "\"sh\" -c 'echo <x>'",
    'sh -o errexit -c "echo <x>"',
    'sh \\\n -c \\\n"echo <x>"',
    'c="echo <x>"\neval "$c"',
    'trap "echo <x>" EXIT',
    'echo "echo <x>" | sh',
    'printf "%s\\n" "echo <x>" | /bin/sh -s; true',
    "sh <<E\necho <x>\nE",
    "sh -s <<'E'\necho <x>\nE",
    "cat <<E >/dev/null; sh <<'F'\nE\necho <x>\nF",
    "cat <<E | sh\necho <x>\nE",
    "awk 'BEGIN { print \"<x>\" }'",
    'awk "BEGIN { print \\"<x>\\" }"',
    "echo a | sed 's/a/<x>/'",
    "perl -e 'print \"<x>\"'",
    "python3 -c 'print(\"<x>\")'",
    "# sh<br><x>",
]
PAYLOADS = [
    "$(touch hacked)",
    "`touch hacked`",
    ";touch hacked;",
    "';touch hacked;'",
    '";touch hacked;"',
    "\ntouch hacked\n",
    '"; system("touch hacked"); "',
    '");import os; os.system("touch hacked");("',
    "touch hacked/e;s/a/",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("template", READ_AGAIN)
def test_nothing_that_is_read_again_does_anything(
    template: str, shell: str, tmp_path: Path
) -> None:
    for payload in PAYLOADS:
        command = filled(template, x=payload, br="\n")
        run(command, tmp_path, shell, check=False)
        assert list(tmp_path.iterdir()) == [], payload


@pytest.mark.parametrize(
    "template",
    [
        "python3 /opt/tell.py '<x>'",
        'bash /opt/tell.sh "<x>"',
        'sh -c \'echo "$1"\' _ "<x>"',
        "python3 -c 'import sys; print(sys.argv[1])' \"<x>\"",
        "awk '{ print }' <x>",
        "cat <<E | sed s/a/b/\n<x>\nE",
        "printf %s '<x>' | ssh relay sendmail",
        "mail -s 'shut at home' root <<E\n<x>\nE",
        "logger -t fail2ban-sh '<x>'",
        "/opt/eval-ban '<x>'",
    ],
)
def test_text_that_nothing_reads_again_is_whole(template: str) -> None:
    assert filled(template, x=HOSTILE).arguments == ("sh", HOSTILE)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "template", ["printf %b '|<x>|'", 'printf %b "|<x>|" | cat', "printf '%b' \"|<x>|\""]
)
def test_backslashes_of_foreign_text_mean_nothing_to_printf(template: str, shell: str) -> None:
    r"""Or `\\n` in a name would begin another header of a mail, and `\\c` end its text."""
    text = r"a\nBcc: b\c \\ \033[0m" + HOSTILE
    assert run(filled(template, x=text), None, shell) == f"|{text}|"


# Limits ---------------------------------------------------------------------------


def test_of_a_long_text_the_end_is_kept() -> None:
    text = "東" * VALUE_LIMIT + "end"
    kept = carried(text)
    assert text.endswith(kept)
    assert VALUE_LIMIT - 3 < len(kept.encode()) <= VALUE_LIMIT


def test_many_long_texts_still_can_be_run() -> None:
    values: Mapping[str, str] = {f"F-{letter}": f"{letter} " * 60_000 for letter in "ABCDEFGHIJ"}
    template = " ".join(f": <{name}>;" for name in values) + "echo done"
    assert run(filled(template, **values)) == "done\n"


def test_long_text_without_a_harmful_character_can_be_run_too() -> None:
    for template in ("echo '<x>' | wc -c", "eval 'echo <x>' | wc -c"):
        assert int(run(filled(template, x="a" * 200_000))) == VALUE_LIMIT + 1


def test_text_suits_a_locale_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso8859-1")
    assert carried("東 ü") == "? ü"


# Texts that no shell reads -------------------------------------------------------------


@given(
    st.text(alphabet="<>abcip br"),
    st.dictionaries(st.sampled_from(["a", "b", "ip", "c"]), st.text("<>abcip ")),
)
def test_fill_is_a_single_pass_from_left_to_right(template: str, values: dict[str, str]) -> None:
    expected, rest = "", template
    known = {f"<{name}>": value for name, value in values.items()}
    while rest:
        tag = next((tag for tag in known if rest.startswith(tag)), None)
        expected += known[tag] if tag else rest[0]
        rest = rest[len(tag or rest[0]) :]
    assert escape.fill(template, values.get) == expected
