"""Rollback: the project, or some paths of it, as a snapshot has them; decided first, then done by the journal."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from dxforge.errors import ChangedMeanwhileError, DxForgeError
from dxforge.store.model import Picture, Snapshot
from dxforge.store.snapshots import SnapshotStore
from dxforge.store.tree import Entry
from dxforge.traffic.model import Change
from dxforge.traffic.record import Record
from dxforge.traffic.restore_plan import RollbackPlan, RollbackReport, plan_rollback

if TYPE_CHECKING:
    from dxforge.traffic.ground import Ground
    from dxforge.traffic.journal import Journal


class Restorer:
    """Rolls one project back.

    Args:
        ground: the project.
        store: its snapshots.
    """

    def __init__(self, ground: Ground, store: SnapshotStore) -> None:
        self._ground = ground
        self._store = store

    def plan(self, identity: str, paths: Collection[str], check: Callable[[], None]) -> RollbackPlan:
        """Decide; see ``restore_plan.plan_rollback``."""
        snapshot = self._store.find(identity)
        files, picture = self._store.look(check)
        return self._plan(snapshot, paths, files, picture)

    def _plan(
        self, snapshot: Snapshot, paths: Collection[str], files: Mapping[str, Entry], picture: Picture
    ) -> RollbackPlan:
        lock_text = self._ground.lock_text()
        return plan_rollback(self._store, snapshot, paths, files=files, picture=picture, lock_text=lock_text)

    def run(
        self, wanted: str | RollbackPlan, paths: Collection[str], check: Callable[[], None], *, now: str
    ) -> RollbackReport:
        """Take a snapshot and roll back; needs the project's lock.

        Args:
            wanted: the snapshot's id, or the plan to carry out.
            paths: only these.
            check: called between steps; raises to stop.
            now: the time for the log, ISO 8601.
        """
        # Nobody may forget a snapshot while its contents are being read.
        with self._store.lock(check):
            given = wanted if isinstance(wanted, RollbackPlan) else None
            paths = paths if given is None else given.paths
            snapshot = self._store.find(wanted.snapshot.oid if isinstance(wanted, RollbackPlan) else wanted)
            label = f"before the rollback to {snapshot.id}"
            _, files, picture = self._store.take_and_look(label, check=check)
            plan = self._plan(self._store.find(snapshot.oid), paths, files, picture)
            if given is not None and _essence(given) != _essence(plan):
                raise ChangedMeanwhileError(
                    "it changed after the plan was made", where=str(self._ground.root), hint="Run the command again"
                )
            job = plan.job(self._store)
            check()
            journal = self._ground.journal()
            record = journal.run(job, now=now) if plan.writes else None
        return self._after(plan, record, journal)

    def _after(self, plan: RollbackPlan, record: Record | None, journal: Journal) -> RollbackReport:
        pending: list[Change] = []
        with contextlib.suppress(DxForgeError):
            workspace = self._ground.workspace(lock_text=plan.lock_after)
            with self._ground.after_commit():
                self._ground.keep_archives(workspace, journal, plan.lock_before)
            review = self._ground.review(workspace)
            pending = review.shown(list(review.matters()))
        changes = plan.changes
        return RollbackReport(
            changes=changes,
            added_folders=plan.added_folders,
            removed_folders=plan.removed_folders,
            pending=pending,
            notes=[*plan.notes(), *self._ground.loaded(changes)],
            operation=record.id if record is not None else None,
            snapshot=plan.snapshot,
            saved=self._store.latest(),
        )


def _essence(plan: RollbackPlan) -> RollbackPlan:
    """A plan but for the snapshot's id, which grows when another begins like it."""
    return dataclasses.replace(plan, snapshot=dataclasses.replace(plan.snapshot, id=""))
