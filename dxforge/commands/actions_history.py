"""What the commands about snapshots do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dxforge.commands.result import Result
from dxforge.commands.session import Desk

if TYPE_CHECKING:
    from dxforge.forge import DxForge
    from dxforge.store.model import FileChange, Picture, Snapshot, SnapshotDiff
    from dxforge.store.snapshots import SnapshotStore
    from dxforge.traffic.restore_plan import RollbackReport

_SHOWN_TEXTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryActions(Desk):
    """What has to do with snapshots; a method per action."""

    def snapshot(self, *, label: str) -> Result:
        from dxforge.commands.snapshots import SnapshotResult
        from dxforge.runners import take_snapshot
        from dxforge.working import in_thread

        async def work(forge: DxForge) -> Result:
            taken = await in_thread(lambda check: take_snapshot(forge.root, label, events=forge.events, check=check))
            return SnapshotResult(snapshot=taken, newest=_store(forge).latest())

        return self._work(work)

    def snapshots(self, *, limit: int | None) -> Result:
        from dxforge.commands.snapshots import SnapshotsResult

        return SnapshotsResult(snapshots=tuple(_store(self._look()).list()[:limit]))

    def snapshots_diff(self, *, old: str, new: str | None, paths: Sequence[str]) -> Result:
        from dxforge.commands.snapshots import SnapshotDiffResult
        from dxforge.traffic.scope import selection
        from dxforge.working import in_thread

        async def work(forge: DxForge) -> Result:
            store = _store(forge)
            first, second = store.find(old), None if new is None else store.find(new)
            wanted = self._paths(forge, store, first, paths)
            whole = await in_thread(lambda check: store.diff(first, second, check=check))
            known = _known(store.picture(first), None if second is None else store.picture(second), whole)
            diff = _only(whole, selection(wanted, known, forge.root))
            changes = _changes(diff)
            texts: dict[str, str] = {}
            if self.call.options.verbose or self.session.detailed:
                texts = await in_thread(lambda _: {c.path: diff.text(c.path) for c in changes[:_SHOWN_TEXTS]})
            return SnapshotDiffResult(old=first, new=second, diff=diff, texts=texts)

        return self._work(work)

    def rollback(self, *, identity: str, paths: Sequence[str], dry_run: bool) -> Result:
        from dxforge.commands.snapshots import RollbackResult

        async def work(forge: DxForge) -> RollbackReport:
            store = _store(forge)
            wanted = self._paths(forge, store, store.find(identity), paths)
            if dry_run:
                return (await forge.traffic_manager.plan_rollback(store, identity, wanted)).report()
            return await forge.traffic_manager.rollback(store, identity, wanted)

        return RollbackResult(report=self._work(work))

    def _paths(self, forge: DxForge, store: SnapshotStore, snapshot: Snapshot, paths: Sequence[str]) -> list[str]:
        """Paths as typed (from the current folder, or from the root), from the root."""
        from dxforge.commands.targets import from_root

        if not paths:
            return []
        picture = store.picture(snapshot)
        found = []
        for path in paths:
            readings = from_root(path, root=forge.root, cwd=self.session.cwd)
            known = (
                reading
                for reading in readings
                if reading in picture.files or reading in picture.folders or os.path.lexists(forge.root / reading)
            )
            found.append(next(known, readings[0] if readings else path))
        return [] if "." in found else found


def _store(forge: DxForge) -> SnapshotStore:
    from dxforge.config.load import load_config
    from dxforge.store.snapshots import SnapshotStore

    return SnapshotStore(forge.root, events=forge.events, limits=load_config(forge.root).snapshots)


def _changes(diff: SnapshotDiff) -> tuple[FileChange, ...]:
    return (*diff.added, *diff.changed, *diff.removed)


def _known(old: Picture, new: Picture | None, diff: SnapshotDiff) -> set[str]:
    """The paths of all files and folders of both sides; ``new`` None: the project as it is."""
    from dxforge.traffic.restore_plan import above

    known = {*old.files, *old.folders, *diff.added_folders, *(change.path for change in _changes(diff))}
    if new is not None:
        return known | {*new.files, *new.folders}
    return known | {folder for change in diff.added for folder in above(change.path)}


def _only(diff: SnapshotDiff, named: Callable[[str], bool]) -> SnapshotDiff:
    return replace(
        diff,
        added=tuple(change for change in diff.added if named(change.path)),
        removed=tuple(change for change in diff.removed if named(change.path)),
        changed=tuple(change for change in diff.changed if named(change.path)),
        added_folders=tuple(filter(named, diff.added_folders)),
        removed_folders=tuple(filter(named, diff.removed_folders)),
    )
