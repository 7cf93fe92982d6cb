"""A killed operation is taken back or finished; ``make soak`` runs the whole of this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.crash import run_crashes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_share_of_the_kills(tmp_path: Path, cache_dir: Path) -> None:
    tally = run_crashes(tmp_path, every_step=3, random_kills=20, seed=1)
    assert tally.killed > 30
    assert tally.before > 0
    assert tally.after > 0


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_all_the_kills(tmp_path: Path, cache_dir: Path) -> None:
    tally = run_crashes(tmp_path, every_step=1, random_kills=500, seed=2)
    print(f"\ncrashes: {tally}")
    assert tally.killed >= 300
