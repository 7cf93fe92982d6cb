"""Snapshots of a project: commits in a bare git repository of dxforge's own, ``.dx/snapshots.git``.

The user's own git repository is neither read nor written. What belongs into a snapshot: ``survey.py``; how it gets
there: ``taking.py``; how the store stays small and whole: ``upkeep.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import difflib
import functools
import os
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.config.model import SnapshotLimits
from dxforge.errors import SnapshotDamagedError, SnapshotNotFoundError
from dxforge.events import EventBus, Notice
from dxforge.files import prepare_state_dir, project_lock, write_error
from dxforge.store import upkeep
from dxforge.store.memory import MemoryFile, Remembered
from dxforge.store.model import GitObject, Picture, PruneReport, Snapshot, SnapshotDiff
from dxforge.store.objects import IS_OID
from dxforge.store.pack import PackWriter
from dxforge.store.repository import SNAPSHOTS, Repository, add_commit, closure
from dxforge.store.retention import expired, taken_at
from dxforge.store.survey import Survey, build_trees, look
from dxforge.store.taking import describe, hash_contents, picture, private_files, settled, vouched

if TYPE_CHECKING:
    from dxforge.store.tree import Entry

Check = Callable[[], None]
Snapshots = list[Snapshot]


def _nothing() -> None:
    """No reason to stop."""


class SnapshotStore:
    """A project's snapshots. Cheap to make: nothing is read or written before the first call.

    Safe to use from several threads and processes: whoever writes holds ``.dx/snapshots.lock``, reading needs no lock.
    A process that is killed leaves the store as it was before or after the call.

    Args:
        root: the project's folder.
        events: where progress and notices go.
        limits: ``[snapshots]`` of ``dx.toml``.
        wait_s: how long to wait for another writer, in seconds.
        now: the time, with a time zone.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        events: EventBus | None = None,
        limits: SnapshotLimits | None = None,
        wait_s: float = 60.0,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.root = Path(root).absolute()
        self.limits = limits or SnapshotLimits()
        self._events = events or EventBus()
        self._wait_s = wait_s
        self._now = now
        self._repository = Repository(self.folder)
        self._memory = MemoryFile(self.root / ".dx" / "snapshots.json")
        self._mine = threading.local()

    @property
    def folder(self) -> Path:
        """The bare repository; any git client can look into it."""
        return self.root / ".dx" / "snapshots.git"

    @contextlib.contextmanager
    def lock(self, check: Check = _nothing) -> Iterator[None]:
        """Keep everybody else from writing to the store. May be entered again by the same thread.

        Args:
            check: called while waiting; raises to give up.

        Raises:
            ProjectBusyError: somebody else writes for too long.
            WriteError: the file system refused, at any point inside.
        """
        if getattr(self._mine, "held", False):
            yield
            return
        state = prepare_state_dir(self.root)
        with project_lock(state, wait_s=self._wait_s, events=self._events, check=check, name="snapshots.lock"):
            self._mine.held = True
            try:
                self._repository.prepare()
                yield
            except OSError as error:
                raise write_error(error, error.filename or self.folder, "the snapshot cannot be kept") from error
            finally:
                self._mine.held = False

    # ---- taking

    def take(self, label: str = "", *, check: Check = _nothing) -> Snapshot | None:
        """Take a snapshot of the project.

        What ``.gitignore`` files ignore is not in it, nor ``.git``, ``.dx`` and ``__pycache__``; files that are too
        large, special or unreadable are left out and listed. While others write, each file is whole, and those that
        changed are listed.

        Args:
            label: one line for people.
            check: called all the time; raises to stop, with nothing taken.

        Returns:
            The snapshot; None where nothing has changed since the newest.

        Raises:
            ProjectBusyError: somebody else writes to the store for too long.
            WriteError: the disk is full, or otherwise refused; nothing was taken.
        """
        with self.lock(check):
            return self._take(label, check)[0]

    def take_and_look(
        self, label: str = "", *, check: Check = _nothing
    ) -> tuple[Snapshot | None, dict[str, Entry], Picture]:
        """:meth:`take`, and what it saw, as :meth:`look` would have it."""
        with self.lock(check):
            taken, survey = self._take(label, check)
            return taken, survey.files(), picture(survey)

    def _take(self, label: str, check: Check) -> tuple[Snapshot | None, Survey]:
        remembered = self._memory.load()
        mending = upkeep.is_lacking(self._repository, remembered.packs, check)
        aside = upkeep.salvage(self._repository, check) if mending else ""
        newest = self.latest()
        if mending:
            remembered = Remembered()
        memory = vouched(self._repository, remembered, newest)
        with PackWriter(self._repository.packs) as pack:
            survey, tree = settled(
                self._repository, memory, pack, root=self.root, limits=self.limits, events=self._events, check=check
            )
            same = newest is not None and tree == newest.tree and private_files(survey) == newest.permissions
            if newest is None or not same:
                snapshot = add_commit(describe(survey, tree, time=self._time_after(newest), label=label), pack)
            else:
                snapshot = newest
            pack.finish()  # empty where nothing is new; else something had been missing in the store
        self._repository.reopen()
        if snapshot is not newest:
            self._repository.refs.set(SNAPSHOTS + snapshot.oid, snapshot.oid)
            self._repository.point_at_newest()
        if mending:
            self._mend(aside, check)
        if survey.unread or memory is not remembered.folders or snapshot is not newest:
            self._memory.save(Remembered(snapshot.oid, self._repository.pack_sizes(), survey.memory()))
        return (None if snapshot is newest else self.find(snapshot.oid)), survey

    def _time_after(self, newest: Snapshot | None) -> str:
        """The time; a clock that was set back must not make this snapshot older than the last."""
        now = self._now()
        if newest is not None:
            now = max(now, taken_at(newest) + dt.timedelta(microseconds=1))
        return now.astimezone(dt.UTC).isoformat(timespec="microseconds")

    # ---- looking

    def list(self) -> Snapshots:
        """Every snapshot, newest first. Damaged ones are left out, with a notice; the next snapshot mends them."""
        return self._all()

    def latest(self) -> Snapshot | None:
        """The newest snapshot."""
        return next(iter(self._all()), None)

    def find(self, identity: str) -> Snapshot:
        """The snapshot whose id begins with ``identity``; "latest" is the newest.

        Raises:
            SnapshotNotFoundError: there is none, or more than one.
        """
        snapshots = self._all()
        wanted = identity.strip().lower()
        found = [item for item in snapshots if item.oid.startswith(wanted) and wanted]
        if wanted == "latest":
            found = snapshots[:1]
        if len(found) == 1:
            return found[0]
        shown = [item.id for item in found] or difflib.get_close_matches(wanted, [item.id for item in snapshots], n=1)
        if found:
            what, hint = f"{len(found)} snapshots begin with {identity}", "Give more of its id: " + ", ".join(shown[:5])
        elif shown:
            what, hint = f"there is no snapshot {identity}", f"Did you mean {shown[0]}"
        else:
            what, hint = f"there is no snapshot {identity}", "See `dxforge snapshots` for the ids"
        raise SnapshotNotFoundError(what, where=str(self.root), hint=hint)

    def _all(self) -> Snapshots:
        snapshots, errors = self._repository.snapshots()
        for error in errors:
            self._events.emit(Notice(text=f"a snapshot cannot be read: {error}"))
        return snapshots

    def picture(self, snapshot: Snapshot) -> Picture:
        """Everything in a snapshot.

        Raises:
            SnapshotDamagedError: a part of it cannot be read.
        """
        return self._repository.picture(snapshot)

    def content(self, oid: str) -> bytes:
        """A file's content by its id; raises as :meth:`picture` does."""
        return self._repository.blob(oid)

    def size(self, oid: str) -> int:
        """A file's size in bytes; raises as :meth:`picture` does."""
        return self._repository.size(oid)

    def versions(self, path: str) -> Iterator[bytes]:
        """Every content that a file has in the snapshots, each once; snapshots that cannot be read are passed over.

        Args:
            path: from the project's root.
        """
        seen: set[str] = set()
        for snapshot in self._all():
            with contextlib.suppress(SnapshotDamagedError):
                oid = self._repository.find(snapshot.tree, path)
                if oid is not None and oid not in seen:
                    seen.add(oid)
                    yield self._repository.blob(oid)

    def __contains__(self, oid: str) -> bool:
        """Whether the store has an object."""
        return self._repository.exists and oid in self._repository

    def look(self, check: Check = _nothing) -> tuple[dict[str, Entry], Picture]:
        """The project as a snapshot would have it now; writes nothing.

        Args:
            check: called all the time; raises to stop.

        Returns:
            Its files, and the whole picture.
        """
        try:
            memory = self._memory.load().folders
            survey = look(os.fsencode(self.root), memory, self.limits, check)
            hash_contents(survey, check)
            build_trees(survey, lambda _, __: None)
        except OSError as error:
            raise write_error(error, error.filename or self.root, "cannot be read") from error
        return survey.files(), picture(survey)

    def diff(self, old: Snapshot, new: Snapshot | None = None, *, check: Check = _nothing) -> SnapshotDiff:
        """What differs between two snapshots, or between one and the project as it is.

        Args:
            old: the one side.
            new: the other; None: the project on disk.
            check: called all the time; raises to stop.

        Raises:
            SnapshotDamagedError: a part of a snapshot cannot be read.
        """
        from dxforge.store.difference import difference

        disk: Mapping[str, Entry] = {}
        if new is None:
            disk, newer = self.look(check)
        else:
            newer = self.picture(new)
        return difference(self._repository, self.picture(old), newer, disk=disk, root=self.root)

    # ---- forgetting

    def prune(self, *, whole: bool = False, check: Check = _nothing) -> PruneReport:
        """Forget the snapshots that ``limits`` no longer keep, and what only they needed. The newest always stays.

        Args:
            whole: leave nothing in the store that no snapshot needs; otherwise what is not worth the work stays.
            check: called now and then; raises to stop, with nothing lost.

        Raises:
            SnapshotDamagedError: something that is needed cannot be read; no content was taken away.
            WriteError: the file system refused; no content was taken away.
        """
        if not self._repository.exists:
            return PruneReport()
        with self.lock(check):
            gone = expired(self._all(), self.limits, self._now())
            self._repository.point_at_newest()
            self._repository.refs.delete([SNAPSHOTS + snapshot.oid for snapshot in gone])
            freed = 0
            remembered = self._memory.load()
            if gone or whole or upkeep.has_many_packs(self._repository):
                freed = upkeep.collect(self._repository, whole=whole, check=check)
            self._memory.save(dataclasses.replace(remembered, packs=self._repository.pack_sizes()))
            return PruneReport(removed=tuple(gone), freed_bytes=freed)

    def _mend(self, aside: str, check: Check) -> None:
        lost = upkeep.mend_all(self._repository, check)
        text = "the store of snapshots was damaged and has been mended"
        if lost:
            text += f"; {lost} snapshots lack what could not be found again"
        self._events.emit(Notice(text=text + (f"; what was damaged is in {aside}" if aside else "")))

    # ---- for the sync

    def objects(self, *, known: Container[str] = frozenset()) -> Iterator[GitObject]:
        """Everything that the snapshots need and that is not ``known``, what is needed before what needs it.

        Args:
            known: ids of objects that the other side has.

        Raises:
            SnapshotDamagedError: a part of a snapshot cannot be read.
        """
        needed = closure([snapshot.oid for snapshot in self._all()], self._repository.read, _nothing)
        for oid, kind in needed.items():
            if oid not in known:
                read = functools.partial(self._content, oid, kind)
                yield GitObject(oid=oid, kind=kind, size=self._repository.size(oid), read=read)

    def _content(self, oid: str, kind: str) -> bytes:
        return self._repository.read(oid, kind)[1]

    def import_objects(
        self, objects: Iterable[tuple[str, str, bytes]], snapshots: Iterable[str], *, check: Check = _nothing
    ) -> Snapshots:
        """Take over snapshots from elsewhere; all of them, or none.

        Args:
            objects: id, kind (blob, tree, commit) and content of each object that the store may lack, in any order.
            snapshots: the full ids of the snapshots.
            check: called for each object; raises to stop, with nothing taken over.

        Returns:
            Those that are new here.

        Raises:
            SnapshotDamagedError: an object is not what its id says, or one is missing.
            WriteError: the disk is full, or otherwise refused.
        """
        from dxforge.store.exchange import receive

        with self.lock(check):
            wanted = [oid for oid in snapshots if IS_OID.fullmatch(oid)]
            had = {snapshot.oid for snapshot in self._all()}
            receive(self._repository, objects, wanted, check)
            for oid in wanted:
                self._repository.refs.set(SNAPSHOTS + oid, oid)
            self._repository.point_at_newest()
            return [snapshot for snapshot in self._all() if snapshot.oid in wanted and snapshot.oid not in had]
