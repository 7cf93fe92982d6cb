"""Threads that can be left."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from dxforge.remote.threads import begin, finish


def nothing() -> None:
    pass


def test_results_and_errors_are_the_waiters() -> None:
    assert finish(begin(lambda: 7), nothing) == 7

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        finish(begin(fail), nothing)


def test_waiting_can_be_given_up() -> None:
    class EnoughError(Exception):
        pass

    stay = threading.Event()

    def check() -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        finish(begin(stay.wait), check)
    stay.set()


def test_a_process_does_not_wait_for_what_it_has_left() -> None:
    script = (
        "import time; from dxforge.remote import threads; threads._EXIT_S = 0.1; threads.begin(lambda: time.sleep(60))"
    )
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
    assert time.monotonic() - began_s < 30


def test_a_process_lets_what_is_nearly_done_end() -> None:
    script = "import time; from dxforge.remote.threads import begin; begin(lambda: [time.sleep(0.2), print('done')])"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=30, capture_output=True, text=True)
    assert done.stdout == "done\n"
