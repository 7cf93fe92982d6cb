"""Which snapshots go."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from dxforge.config.model import SnapshotLimits
from dxforge.store.model import Snapshot
from dxforge.store.retention import expired, taken_at

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def snapshots(*ages_days: float) -> list[Snapshot]:
    return [
        Snapshot(oid=f"{number:040}", tree="", time=(NOW - dt.timedelta(days=age)).isoformat(), label=str(number))
        for number, age in enumerate(ages_days)
    ]


def gone(*ages_days: float, keep: int = 50, keep_days: int = 30) -> list[str]:
    limits = SnapshotLimits(keep=keep, keep_days=keep_days)
    return [snapshot.label for snapshot in expired(snapshots(*ages_days), limits, NOW)]


def test_by_count_and_by_age() -> None:
    assert gone() == []
    assert gone(1, 2, 3, keep=2) == ["2"]
    assert gone(1, 31, 29) == ["1"]
    assert gone(3, 1, 2, keep=1) == ["2", "0"]
    assert gone(99, 100) == ["1"]  # the newest stays, however old
    assert gone(-5, 1) == []


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(1, 10), st.integers(1, 60))
def test_what_is_left_is_wanted(ages: list[float], keep: int, keep_days: int) -> None:
    every = snapshots(*ages)
    lost = {snapshot.oid for snapshot in expired(every, SnapshotLimits(keep=keep, keep_days=keep_days), NOW)}
    left = [snapshot for snapshot in every if snapshot.oid not in lost]
    newest = max(map(taken_at, every))
    assert newest in map(taken_at, left)
    assert len(left) <= keep
    oldest = NOW - dt.timedelta(days=keep_days)
    assert all(taken_at(snapshot) >= oldest or taken_at(snapshot) == newest for snapshot in left)


def test_times_of_any_kind() -> None:
    def at(text: str) -> dt.datetime:
        return taken_at(Snapshot(oid="", tree="", time=text))

    assert at("2026-11-23T00:00:00+00:00") == NOW
    assert at("2026-11-23T00:00:00") == NOW
    assert at("nonsense").year == 1
