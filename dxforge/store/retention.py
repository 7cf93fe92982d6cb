"""Which snapshots are no longer wanted. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dxforge.config.model import SnapshotLimits
from dxforge.store.model import Snapshot


def expired(snapshots: Sequence[Snapshot], limits: SnapshotLimits, now: dt.datetime) -> list[Snapshot]:
    """Those beyond ``limits.keep``, and those older than ``limits.keep_days``; never the newest.

    Args:
        snapshots: in any order.
        limits: what is wanted.
        now: with a time zone.
    """
    newest_first = sorted(snapshots, key=age_key, reverse=True)
    oldest = now - dt.timedelta(days=limits.keep_days)
    return [
        snapshot
        for number, snapshot in enumerate(newest_first)
        if number and (number >= limits.keep or taken_at(snapshot) < oldest)
    ]


def age_key(snapshot: Snapshot) -> tuple[dt.datetime, str]:
    """What snapshots are ordered by, the oldest first."""
    return taken_at(snapshot), snapshot.oid


def taken_at(snapshot: Snapshot) -> dt.datetime:
    """When a snapshot was taken; long ago where its time cannot be read."""
    try:
        time = dt.datetime.fromisoformat(snapshot.time)
    except ValueError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)
