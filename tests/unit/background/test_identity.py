"""Whether a process lives: told by pid, time of its creation and boot."""

from __future__ import annotations

import os
import subprocess
import sys

from dxforge.background.identity import Owner, boot_id, started, this_process


def test_this_process_is_found_by_its_identity() -> None:
    me = this_process()
    assert me.pid == os.getpid() and started(me.pid) == me.started != ""
    assert me.boot == boot_id() != ""


def test_two_workers_of_a_process_differ_by_their_token() -> None:
    one, two = this_process(), this_process()
    assert one.token != two.token and one.started == two.started


def test_a_process_that_ended_is_not_found_and_a_zombie_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert started(child.pid) is not None
    assert child.stdin is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert started(child.pid) is None
    child.stdin.close()
    child.wait()
    assert started(child.pid) is None


def test_the_journal_form_comes_back() -> None:
    me = this_process()
    assert Owner.loads(me.dumps()) == me


def test_anything_else_is_nobody() -> None:
    for text in ("", "{}", "null", "[]", '{"pid": "x"}', '{"pid": 1}', "\x00"):
        assert Owner.loads(text) is None
