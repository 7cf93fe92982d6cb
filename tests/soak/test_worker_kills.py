"""SIGKILL at random moments: no task is lost, none runs twice at the same time, each ends with a reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.queue_process import kill_at_random

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by SIGKILL, watches by flock")


@pytest.mark.soak
def test_two_hundred_kills(tmp_path: Path) -> None:
    tally = kill_at_random(tmp_path, kills=200, seed=2)
    print(f"\nworker kills: {tally}")
    assert tally["saved"] > 200 and tally["done"] > 200


@pytest.mark.slow
def test_a_share_of_the_kills(tmp_path: Path) -> None:
    tally = kill_at_random(tmp_path, kills=15, seed=1)
    assert tally["done"] > 0
