# SPDX-License-Identifier: GPL-2.0-or-later
"""Each defect of 0.6.1 that we promise not to have is the subject of a test.

The numbers are those of fail2ban-conf-0.6.md, section 12.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

#: Number -> tests that fail if the defect comes back.
PROOF = {
    1: ["test_tracker.py::test_failures_expire_singly_not_as_a_sum"],
    2: [
        "e2e/test_program.py::"
        "test_defect_2_a_ban_ends_and_failures_are_forgotten_while_no_log_changes"
    ],
    3: [
        "test_classic.py::test_defect_3_command_line_wins_over_default_and_a_section_over_both",
        "test_classic.py::test_defect_3_command_line_wins_over_an_alias_in_default",
        "e2e/test_program.py::"
        "test_defect_3_the_command_line_beats_default_and_a_section_beats_both",
    ],
    4: ["e2e/test_logs.py::test_defect_4_a_rotation_shows_although_all_logs_begin_alike"],
    5: [
        "test_logfile.py::test_a_line_is_yielded_once_its_newline_arrives",
        "e2e/test_logs.py::test_defect_5_half_a_line_waits_for_its_end",
    ],
    6: [
        "test_filter.py::test_defect_6_names_in_a_line_are_not_blamed",
        "test_filter.py::test_promise_d5_a_user_name_never_changes_who_is_blamed",
        "test_failregex.py::"
        "test_without_a_group_the_address_nearest_to_the_end_of_the_match_counts",
        "test_failregex.py::"
        "test_patterns_without_an_address_group_get_one_warning_with_their_lines",
    ],
    7: ["test_firewall.py::test_ban_command_gets_bare_address_and_whole_seconds"],
    8: [
        "test_dates.py::test_defect_8_a_date_without_year_is_the_latest_at_most_a_day_ahead",
        "test_dates.py::test_defect_8_the_year_is_that_of_the_local_clock",
    ],
    9: ["test_dates.py::test_defect_9_tai64n_is_ten_seconds_ahead_and_knows_no_local_time"],
    10: [
        "test_runner.py::test_repairs_are_spaced_by_reinittime_and_nothing_is_given_up",
        "test_runner.py::test_maxreinits_allows_as_many_repairs_in_a_row_as_it_says",
    ],
    11: [
        "test_runner.py::test_maxreinits_allows_as_many_repairs_in_a_row_as_it_says",
        "e2e/test_commands.py::"
        "test_commands_that_cannot_start_end_the_daemon_after_maxreinits_attempts",
    ],
    12: [
        "test_shell.py::test_status_is_that_of_the_last_line",
        "test_shell.py::test_output_of_a_failing_command_is_logged_line_by_line",
    ],
    13: [
        "e2e/test_mail_e2e.py::"
        "test_defect_13_an_address_that_is_banned_already_makes_no_second_mail"
    ],
    14: ["test_runner.py::test_ban_after_reban_fills_all_tags"],
    15: [
        "test_pidlock.py::test_file_that_nobody_holds_means_nothing",
        "e2e/test_program.py::"
        "test_defect_15_a_pid_file_with_the_number_of_another_program_is_no_lock",
    ],
    16: [
        "e2e/test_program.py::test_defect_16_not_root_is_told_on_the_terminal_and_is_status_1",
        "e2e/test_program.py::test_defect_16_what_fails_before_detaching_is_told_on_the_terminal",
        "e2e/test_program.py::"
        "test_defect_16_what_fails_after_detaching_is_told_on_the_terminal_too",
    ],
    17: [
        "e2e/test_commands.py::"
        "test_defect_17_a_command_that_runs_at_the_end_is_let_finish_and_undone",
        "e2e/test_commands.py::"
        "test_defect_17_an_end_during_the_start_stops_what_was_started_and_starts_no_more",
    ],
    18: [
        "test_classic.py::test_defect_18_whole_socket_path_is_kept_and_facility_may_be_minus_1",
        "test_classic.py::test_empty_syslog_target_is_the_socket_of_the_machine",
        "test_messages.py::"
        "test_syslog_socket_with_dots_and_dashes_in_its_path_gets_facility_and_tag",
        "test_values.py::test_defect_18_facility_is_a_name_or_a_number_and_minus_1_is_user",
    ],
    19: [
        "test_classic.py::test_defect_19_mask_is_understood_and_the_usual_form_is_told",
        "test_classic.py::test_defect_19_mail_may_be_missing",
        "test_classic.py::test_defect_19_bad_text_on_the_command_line_is_a_problem_of_its_flag",
        "test_logfile.py::test_a_rotation_may_take_the_log_away_for_a_moment",
        "e2e/test_program.py::"
        "test_defect_19_a_command_line_that_makes_no_sense_is_status_2_and_says_why",
    ],
    20: [
        "test_values.py::test_defect_20_only_a_strict_dotted_quad_is_an_address",
        "test_filter.py::test_defect_20_what_only_looks_like_an_address_is_no_failure",
    ],
    21: [
        "test_filter.py::test_defect_21_an_unmatched_or_empty_host_group_is_no_failure",
        "test_logfile.py::test_bytes_that_are_not_utf8_do_not_stop_the_reader",
    ],
    22: [
        "test_shipped_commands.py::test_hostsdeny_says_no_empty_line_and_keeps_no_old_copy",
    ],
    23: ["e2e/test_program.py::test_defect_23_a_first_look_at_a_log_announces_no_rotation"],
    24: [
        "test_classic.py::test_defect_24_section_without_failregex_is_left_out",
        "test_filter.py::test_defect_24_a_pattern_that_fits_every_line_is_refused",
    ],
}


@functools.cache
def functions(file: str) -> frozenset[str]:
    """Return the names of the functions of a file below this folder."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_defect_has_its_place_in_the_table() -> None:
    assert list(PROOF) == list(range(1, 25))


@pytest.mark.parametrize("number", PROOF)
def test_each_defect_has_a_test_that_exists(number: int) -> None:
    assert PROOF[number]
    for test in PROOF[number]:
        file, _, name = test.partition("::")
        assert name.startswith("test_") and name in functions(file), test
