"""Carrying out undo: the last operation, or several in a row. What one undo writes is in ``undo.py``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from dxforge.errors import DxForgeError, StaleDecisionError, UndoError
from dxforge.store.tree import Entry
from dxforge.traffic.ground import Ground
from dxforge.traffic.journal import has_text
from dxforge.traffic.model import Change, InstallReport, Operation
from dxforge.traffic.record import Job, Record
from dxforge.traffic.review import Review
from dxforge.traffic.undo import operations, undo_job, undone_changes

_DECISIONS = frozenset({"accept", "reject", "resolve"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What one undo did; ``review`` is how things are after it, None where ``dx.toml`` cannot be read any more."""

    record: Record
    job: Job
    changes: list[Change]
    review: Review | None


class Undoer:
    """Takes operations of one project back. All calls but :meth:`newest` and :meth:`decision` need the project's lock.

    Args:
        ground: the project.
        now: the time for the log, ISO 8601.
    """

    def __init__(self, ground: Ground, now: Callable[[], str]) -> None:
        self._ground = ground
        self._now = now

    def newest(self) -> str:
        """The id of the newest operation, an undo too; empty where nothing has been done."""
        record = self._ground.journal().last()
        return "" if record is None else record.id

    def decision(self) -> Operation | None:
        """The decision that was made last and still holds: undo after undo goes back from one to the one before.

        None where an operation of another kind (such as an install) comes first, or ``dx.lock`` is another one by now.
        """
        record = self._holding()
        if record is None or record.command not in _DECISIONS:
            return None
        return operations([record])[0] if has_text(self._ground.root / "dx.lock", record.lock_after) else None

    def _holding(self) -> Record | None:
        """The newest operation that was not taken back."""
        journal = self._ground.journal()
        record = journal.last()
        while record is not None and record.undoes is not None:
            # After an undo, everything is as it was before the operation that it took back.
            record = journal.last(before=record.undoes)
        return record

    def back_to(self, operation: str | None) -> InstallReport:
        """Take back the last operation, or all from ``operation`` on; see ``TrafficManager.undo``."""
        report = InstallReport()
        left: Review | None = None
        for record in self._from(operation):
            done = self._undo(record)
            report = InstallReport(changes=[*report.changes, *done.changes], operation=done.record.id)
            left = done.review
        if left is not None:
            with contextlib.suppress(DxForgeError):
                report = dataclasses.replace(report, pending=left.shown(list(left.matters())))
        return dataclasses.replace(report, notes=self._ground.loaded(report.changes))

    def _from(self, operation: str | None) -> list[Record]:
        """The operations to take back, the newest first."""
        journal, where = self._ground.journal(), str(self._ground.root)
        newest = journal.last()
        if newest is None:
            raise UndoError("nothing has been done here yet", where=where, hint="See `dxforge log`")
        if operation is None:
            return [newest]
        first = operation.zfill(len(newest.id))
        records = journal.records()
        if first not in {record.id for record in records}:
            raise UndoError(f"there is no operation {operation}", where=where, hint="See `dxforge log` for the ids")
        return [record for record in reversed(records) if record.id >= first]

    def only(self, operation: str) -> Undone:
        """Take back ``operation`` if it is the decision that was made last and still holds.

        Raises:
            StaleDecisionError: it is not, any more.
            UndoError: later edits are in the way.
        """
        last = self._holding()
        if last is None or last.id != operation or last.command not in _DECISIONS:
            what = "it is not there any more" if last is None else f"it is no longer the last: that is {last.command}"
            where = f"operation {operation}"
            hint = "Nothing was undone; see `dxforge log`"
            raise StaleDecisionError(what, where=where, hint=hint, files=((where, what),))
        return self._undo(last)

    def _undo(self, record: Record) -> Undone:
        journal = self._ground.journal()
        job = undo_job(record, self._ground.root, self._content_of(record))
        undone = journal.run(job, now=self._now())
        review: Review | None = None
        with contextlib.suppress(DxForgeError):  # it is undone, whatever dx.toml says now
            workspace = self._ground.workspace(lock_text=job.lock_after)
            with self._ground.after_commit():
                self._ground.keep_archives(workspace, journal, job.lock_before)
            review = self._ground.review(workspace)
        return Undone(record=undone, job=job, changes=undone_changes(job), review=review)

    def _content_of(self, record: Record) -> Callable[[Entry], bytes | None]:
        def find(entry: Entry) -> bytes | None:
            from dxforge.store.snapshots import SnapshotStore

            store = SnapshotStore(self._ground.root, events=self._ground.events)
            if entry.oid in store:
                return store.content(entry.oid)
            workspace = self._ground.workspace()
            for text in (record.lock_after, record.lock_before):
                for package in self._ground.locks.loads(text).packages.values():
                    with contextlib.suppress(DxForgeError):
                        archive = workspace.shelf.package(package.pin)
                        for path, known in archive.tree.items():
                            if known.oid == entry.oid:
                                return next(iter(archive.read({path})))[1]
            return None

        return find
