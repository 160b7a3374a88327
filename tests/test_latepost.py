# SPDX-License-Identifier: GPL-2.0-or-later
"""What only mails need is loaded when there is a mail, and nothing is lost by that."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from fail2ban.enforce.latepost import LatePost
from fail2ban.enforce.tags import Lore
from fail2ban.records import MailActionSettings

MAIL = MailActionSettings()
PATIENCE = 5.0


class Action:
    """Writes down what it is told."""

    def __init__(self, lore: Lore) -> None:
        self.lore, self.said = lore, list[str]()
        self.running = threading.Event()

    def started(self, settings: MailActionSettings, jail: str) -> None:
        self.said.append(f"started {jail}")

    def stopped(self, settings: MailActionSettings, jail: str) -> None:
        self.said.append(f"stopped {jail}")

    def banned(self, settings: MailActionSettings, ban: object) -> None:
        self.said.append(f"banned {ban}")

    def run(self, stop: threading.Event) -> None:
        self.running.set()
        stop.wait(PATIENCE)

    def finish(self) -> None:
        self.said.append("finish")


class Post(LatePost):
    """With an eye on what was made."""

    def __init__(self) -> None:
        self.made: list[Action] = []
        super().__init__(Lore(), self._note)

    def _note(self, lore: Lore) -> Action:
        self.made.append(Action(lore))
        return self.made[-1]

    def thread(self, stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self.run, args=(stop,), daemon=True)
        thread.start()
        return thread


def test_all_mails_go_to_one_action_in_their_order():
    post = Post()
    post.started(MAIL, "sshd")
    post.banned(MAIL, "192.0.2.7")  # type: ignore[arg-type]
    post.stopped(MAIL, "sshd")
    post.finish()
    (action,) = post.made
    assert action.said == ["started sshd", "banned 192.0.2.7", "stopped sshd", "finish"]


def test_the_thread_sends_from_the_first_mail_on():
    post, stop = Post(), threading.Event()
    thread = post.thread(stop)
    post.started(MAIL, "sshd")
    assert post.made[0].running.wait(PATIENCE)
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_without_a_mail_nothing_is_made_and_the_thread_ends():
    post, stop = Post(), threading.Event()
    thread = post.thread(stop)
    stop.set()
    post.finish()
    thread.join(PATIENCE)
    assert not thread.is_alive() and not post.made


@pytest.mark.parametrize("program", ["server", "main"])
def test_a_daemon_without_mail_and_metrics_does_not_load_what_they_need(program):
    code = (
        f"import sys, fail2ban.cli.{program}, fail2ban.process\n"
        "print(*{'ssl', 'smtplib', 'email.message', 'http.server', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.split() == []


def test_the_real_action_is_made_at_the_first_mail():
    post = LatePost(Lore())
    post.started(MailActionSettings(host="127.0.0.1:9"), "sshd")
    assert type(post._action()).__name__ == "MailAction"
