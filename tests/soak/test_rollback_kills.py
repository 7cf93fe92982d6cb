"""A killed snapshot, pruning or rollback leaves the project and the store whole; ``make soak`` runs all of this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.snapshot_crash import run_kills

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.mark.slow
def test_a_share_of_the_kills(tmp_path: Path, cache_dir: Path) -> None:
    tally = run_kills(tmp_path, every_step=31, random_kills=10, seed=1)
    assert tally.killed > 12
    assert tally.before > 0
    assert tally.after > 0


@pytest.mark.soak
def test_all_the_kills(tmp_path: Path, cache_dir: Path) -> None:
    tally = run_kills(tmp_path, every_step=1, random_kills=200, seed=2)
    print(f"\nkills: {tally}")
    assert tally.killed >= 500
