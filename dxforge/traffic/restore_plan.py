"""Deciding what a rollback does: what to create, update and delete, and what stands in the way. Writes nothing.

What neither the snapshot nor a snapshot of now would hold (ignored, left out, special) is outside its scope and never
touched; where such a thing stands in the way, nothing is done.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dxforge.errors import RollbackBlockedError, SnapshotError
from dxforge.files import read_entry, walk
from dxforge.store.model import FileChange, LeftOut, Picture, Snapshot
from dxforge.store.snapshots import SnapshotStore
from dxforge.store.tree import FILE, SYMLINK, Entry
from dxforge.traffic.journal import plain_ends
from dxforge.traffic.model import Action, Change, InstallReport, TrafficLight
from dxforge.traffic.record import Job, TreeWrite, Write
from dxforge.traffic.scope import PastRules, selection

LOCK = "dx.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Something outside of the rollback's scope that stands where it would write."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPlan:
    """Exactly what a rollback will do. ``files`` are sorted by path, ``dx.lock`` among them; () ``paths`` are all.

    ``make`` and ``drop`` are folders, with or without files. ``blocked`` says why it cannot be done, where it cannot;
    ``left_out`` what the snapshot does not have of the chosen paths, and what is therefore left alone.
    """

    snapshot: Snapshot
    paths: tuple[str, ...] = ()
    files: tuple[FileChange, ...] = ()
    make: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    """Folders that come back whole, in one step each."""
    blocked: tuple[Obstacle, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    lock_before: str | None = None
    lock_after: str | None = None

    @property
    def writes(self) -> bool:
        """Whether anything is to be done at all."""
        return bool(self.files or self.make or self.drop)

    @property
    def changes(self) -> list[Change]:
        """Every file that will be created, updated or deleted, with its mode where that matters."""
        return [_change(change, self.snapshot) for change in self.files]

    @property
    def added_folders(self) -> tuple[str, ...]:
        """The folders that will be there again, and empty."""
        return _leaves(self.make, [change.path for change in self.files if change.after is not None])

    @property
    def removed_folders(self) -> tuple[str, ...]:
        """The empty folders that will be gone."""
        return _leaves(self.drop, [change.path for change in self.files if change.after is None])

    def report(self) -> RollbackReport:
        """The plan as the user sees it before it is carried out."""
        notes = [f"in the way: {item.path} ({item.reason})" for item in self.blocked]
        return RollbackReport(
            changes=self.changes,
            added_folders=self.added_folders,
            removed_folders=self.removed_folders,
            notes=notes + self.notes(),
            ok=not self.blocked,
            dry_run=True,
            snapshot=self.snapshot,
        )

    def notes(self) -> list[str]:
        """What else the user should know."""
        return [f"left alone, for it is not in the snapshot: {item.path} ({item.reason})" for item in self.left_out]

    def job(self, store: SnapshotStore) -> Job:
        """What the journal carries out; contents come from ``store``.

        Raises:
            RollbackBlockedError: something is in the way.
        """
        if self.blocked:
            first, more = self.blocked[0], len(self.blocked) - 1
            raise RollbackBlockedError(
                f"{first.reason}, and no snapshot holds it" + (f" (and {more} more)" if more else ""),
                where=first.path,
                hint="Nothing was changed; move it away, then roll back again"
                + (" (--dry-run shows all that is in the way)" if more else ""),
                paths=tuple(item.path for item in self.blocked),
            )
        trees, files = self._grouped()

        def contents() -> Iterator[tuple[str, bytes]]:
            for change in self.files:
                if change.after is not None and change.path != LOCK:
                    yield change.path, store.content(change.after.oid)

        return Job(
            command="rollback",
            summary=f"to {self.snapshot.id}" + (f": {', '.join(self.paths)}" if self.paths else ""),
            writes=tuple(Write(path=change.path, before=change.before, after=change.after) for change in files),
            trees=tuple(TreeWrite(path=path, files=tree, created=True) for path, tree in sorted(trees.items())),
            lock_before=self.lock_before,
            lock_after=self.lock_after,
            contents=contents,
            folders=self.drop,
            make=self.make,
            drop=self.drop,
            permissions=self.snapshot.permissions,
        )

    def _grouped(self) -> tuple[dict[str, dict[str, Entry]], list[FileChange]]:
        """The files of the folders that come back whole, by folder, and all others."""
        trees: dict[str, dict[str, Entry]] = {}
        others = []
        for change in self.files:
            top = next((path for path in above(change.path) if path in self.whole), None)
            if top is not None and change.after is not None:
                trees.setdefault(top, {})[change.path[len(top) + 1 :]] = change.after
            elif change.path != LOCK:
                others.append(change)
        return trees, others


def above(path: str) -> Iterator[str]:
    """The folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _leaves(folders: Collection[str], files: Collection[str]) -> tuple[str, ...]:
    """Those of ``folders`` that are above none of the others, nor of ``files``; sorted."""
    inner = {folder for path in (*folders, *files) for folder in above(path)}
    return tuple(sorted(folder for folder in folders if folder not in inner))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RollbackReport(InstallReport):
    """What a rollback did (or would do): ``snapshot`` is what the project is as again, ``saved`` what it was before.

    ``saved`` is the newest snapshot; None in a dry run. ``added_folders`` and ``removed_folders`` are empty ones. A dry
    run's ``ok`` is False where something is in the way.
    """

    added_folders: tuple[str, ...] = ()
    removed_folders: tuple[str, ...] = ()
    snapshot: Snapshot | None = None
    saved: Snapshot | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``install --json``, plus the folders and both snapshots."""
        snapshots = (("snapshot", self.snapshot), ("saved", self.saved))
        folders = {"added_folders": [*self.added_folders], "removed_folders": [*self.removed_folders]}
        return (
            InstallReport.to_json(self)
            | folders
            | {
                name: None if item is None else {"id": item.id, "time": item.time, "label": item.label}
                for name, item in snapshots
            }
        )


def _change(change: FileChange, snapshot: Snapshot) -> Change:
    before, after = change.before, change.after
    reason = f"as in snapshot {snapshot.id}"
    if after is None:
        action, reason = Action.DELETE, f"not in snapshot {snapshot.id}"
    elif before is None:
        action = Action.CREATE
        reason += f", mode {after.mode:o}" if after.mode != FILE else ""
    else:
        action = Action.UPDATE
        reason += f", mode {before.mode:o} to {after.mode:o}" if before.mode != after.mode else ""
    return Change(path=change.path, light=TrafficLight.GREEN, reason=reason, action=action)


def plan_rollback(
    store: SnapshotStore,
    snapshot: Snapshot,
    paths: Collection[str],
    *,
    files: Mapping[str, Entry],
    picture: Picture,
    lock_text: str | None,
) -> RollbackPlan:
    """Decide what to create, update and delete; reads the disk only where something may be in the way.

    Args:
        store: has the snapshot.
        snapshot: what the project shall be again.
        paths: only these files, folders and globs, from the root (none: everything).
        files: the project's files as they are now.
        picture: the whole of it.
        lock_text: ``dx.lock`` as it is now.

    Raises:
        UsageError: one of ``paths`` is neither in the snapshot nor in the project.
        SnapshotDamagedError: a part of the snapshot cannot be read.
        SnapshotError: its ``dx.lock`` is not a text file.
    """
    return _Planner(store, snapshot, paths, files, picture).plan(lock_text)


class _Planner:
    """One rollback's plan in the making; lives for one call."""

    def __init__(
        self,
        store: SnapshotStore,
        snapshot: Snapshot,
        paths: Collection[str],
        files: Mapping[str, Entry],
        picture: Picture,
    ) -> None:
        self._store = store
        self._root = os.fspath(store.root)
        self._snapshot = snapshot
        self._now = files
        self._picture = picture
        self._then = store.picture(snapshot)
        self._rules = PastRules(self._then, store.content)
        known = {*self._then.files, *self._then.folders, *files, *picture.folders}
        self._paths = tuple(sorted(paths))
        self._selected = selection(self._paths, known, store.root)
        self._left_out = {item.path for item in snapshot.left_out}
        self._deleted: set[str] = set()
        self._drop: frozenset[str] = frozenset()
        self._blocked: dict[str, str] = {}
        self._standing_folders: dict[str, bool] = {}

    def plan(self, lock_text: str | None) -> RollbackPlan:
        then = self._then
        gone = [path for path in self._now if path not in then.files and path != LOCK and self._in_scope(path)]
        self._deleted = {path for path in gone if self._selected(path)}
        dropped = self._picture.folders - then.folders - {*then.hidden_folders}
        self._drop = frozenset(path for path in dropped if self._selected(path) and self._in_scope(path, folder=True))
        changes = [FileChange(path=path, before=self._now[path], after=None) for path in self._deleted]
        for path, side in then.files.items():
            if path != LOCK and self._selected(path):
                changes += self._restored(path, *side)
        make = frozenset(path for path in then.folders if self._selected(path) and not self._stands(path))
        lock = self._lock(lock_text)
        changes += lock[1]
        return RollbackPlan(
            snapshot=self._snapshot,
            paths=self._paths,
            files=tuple(sorted(changes, key=lambda change: change.path)),
            make=make,
            drop=self._drop,
            whole=self._whole(changes, make),
            blocked=tuple(Obstacle(path=path, reason=reason) for path, reason in sorted(self._blocked.items())),
            left_out=tuple(item for item in self._snapshot.left_out if self._selected(item.path.rstrip("/"))),
            lock_before=lock_text,
            lock_after=lock[0],
        )

    def _whole(self, changes: Collection[FileChange], make: frozenset[str]) -> frozenset[str]:
        """The topmost of the folders to be made of which every file comes back."""
        created = {change.path for change in changes if change.before is None}
        partly = {folder for path in self._then.files if path not in created for folder in above(path)}
        return frozenset(path for path in make if path not in partly and path.rpartition("/")[0] not in make)

    def _in_scope(self, path: str, *, folder: bool = False) -> bool:
        """Whether something that is here now would have been in the snapshot, had it been here then."""
        if any(item in self._left_out or f"{item}/" in self._left_out for item in (path, *above(path))):
            return False
        return not self._rules.ignores(path, folder=folder)

    def _restored(self, path: str, mode: int, oid: str) -> list[FileChange]:
        """The change that brings back one file, if it takes one."""
        before = self._now.get(path)
        if before is not None and (before.mode, before.oid) == (mode, oid):
            return []
        after = Entry(mode, oid, self._store.size(oid))
        if before is None:
            before = self._standing(path)
            if before == after:
                return []
        return [FileChange(path=path, before=before, after=after)]

    def _standing(self, path: str) -> Entry | None:
        """What is at a path where the project has no file that a snapshot would hold."""
        if not self._stands(path.rpartition("/")[0]):
            return None
        mode = _mode(f"{self._root}/{path}")
        if mode is None:
            return None
        target = self._store.root / path
        if stat.S_ISDIR(mode):
            self._check_inside(path, target)
            return None
        found = read_entry(target)
        if found is None:
            self._blocked[path] = "it is neither a file nor a folder"
            return None
        return found[0]

    def _stands(self, folder: str) -> bool:
        """Whether a folder is there and stays; a file or symlink in its place must be one that goes."""
        if not folder:
            return True
        if folder not in self._standing_folders:
            stands = self._stands(folder.rpartition("/")[0]) and folder not in self._deleted
            mode = _mode(f"{self._root}/{folder}") if stands else None
            if mode is not None and not stat.S_ISDIR(mode):
                self._blocked[folder] = "a file is where a folder must be"
            self._standing_folders[folder] = mode is not None and stat.S_ISDIR(mode)
        return self._standing_folders[folder]

    def _check_inside(self, path: str, folder: Path) -> None:
        """Everything in a folder that stands where a file must be has to go."""
        for name in walk(folder):
            if f"{path}/{name}" not in self._deleted:
                self._blocked[f"{path}/{name}"] = f"it is in a folder where the file {path} must be"
        for where, names, _ in os.walk(folder):
            names[:] = [name for name in names if name != "__pycache__"]
            inside = Path(where).relative_to(self._store.root).as_posix()
            if inside not in self._drop:
                self._blocked[inside] = f"it is a folder where the file {path} must be"

    def _lock(self, lock_text: str | None) -> tuple[str | None, list[FileChange]]:
        """The text of ``dx.lock`` as it will be, and its change."""
        side = self._then.files.get(LOCK)
        if not self._selected(LOCK) or (side is None and (LOCK not in self._now or not self._in_scope(LOCK))):
            return lock_text, []
        text = self._lock_then(*side) if side is not None else None
        if text is not None and lock_text is not None and plain_ends(text) == lock_text:
            return lock_text, []
        if text == lock_text:
            return lock_text, []
        after = None if side is None else Entry(FILE, side[1], self._store.size(side[1]))
        before = self._now.get(LOCK) or self._standing(LOCK)
        return text, [FileChange(path=LOCK, before=before, after=after)]

    def _lock_then(self, mode: int, oid: str) -> str:
        try:
            if mode == SYMLINK:
                raise ValueError("it is a symlink")
            return self._store.content(oid).decode("utf-8")
        except ValueError as error:
            raise SnapshotError(
                f"the dx.lock of snapshot {self._snapshot.id} is not a text file ({error})",
                where=LOCK,
                hint="Roll back the other paths by name",
            ) from error


def _mode(path: str) -> int | None:
    """The mode of what is at a path, None where there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
