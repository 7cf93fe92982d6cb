"""Taking a half-done operation back, file by file. May itself be killed at any point and run again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dxforge.errors import ApplyError, ChangedMeanwhileError, DxForgeError
from dxforge.files import displace, exact_tree, move_new, read_entry, remove_if_empty, safe_join
from dxforge.store.tree import Entry
from dxforge.traffic.record import Record, TreeWrite, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """One operation on its way back. ``prune`` removes the folders above these paths that have become empty."""

    record: Record
    root: Path
    prune: Callable[[Iterable[str]], None]
    _problems: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Put back what was performed; returns a line for each file that could not be."""
        record = self.record
        trees, writes = list(enumerate(record.trees))[::-1], list(enumerate(record.writes))[::-1]
        for number, tree in trees:
            if tree.created:
                self._attempt(tree.path, self._unplace_tree, record.tree_slot(number), tree)
        for number, write in writes:
            if write.after is not None:
                self._attempt(write.path, self._unwrite, record.slot(number), write)
        self.prune(write.path for write in record.writes if write.before is None)
        for path in sorted(record.make & record.made, reverse=True):
            remove_if_empty(self.root / path)
        for number, tree in trees:
            if not tree.created:
                self._attempt(tree.path, self._put_back, record.tree_slot(number), tree.path)
        for number, write in writes:
            if write.after is None:
                self._attempt(write.path, self._put_back, record.slot(number), write.path)
        for path in sorted(record.drop):
            self._attempt(path, self._make, path)
        return self._problems

    def _attempt(self, path: str, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except (OSError, DxForgeError) as error:
            self._problems.append(f"{path} could not be put back ({error})")

    def _target(self, path: str) -> Path:
        # Only for what was performed: the rest may lie behind a symlink that made the operation fail.
        return safe_join(self.root, path)

    def _make(self, path: str) -> None:
        self._target(path).mkdir(parents=True, exist_ok=True)

    def _put_back(self, slot: Path, path: str) -> None:
        if os.path.lexists(slot):
            target = self._target(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            move_new(slot, target)

    def _unwrite(self, slot: Path, write: Write) -> None:
        if write.before is None:
            if not os.path.lexists(slot):
                self._take_back(self._target(write.path), slot, write.after)
            return
        halfway = slot.with_name(slot.name + ".old")  # only where the kernel cannot exchange
        if os.path.lexists(halfway):
            target = self._target(write.path)
            os.replace(halfway, target) if not os.path.lexists(target) else os.replace(halfway, slot)
        saved = read_entry(slot)
        if saved is None or saved[0] != write.before:
            return  # not written yet
        target = self._target(write.path)
        current = read_entry(target)
        if current is None and not os.path.lexists(target):
            raise ApplyError("it was deleted meanwhile")
        if current is None or current[0] != write.after:
            if current is not None and current[0] == write.before:
                return
            raise ApplyError("it was changed meanwhile")
        displace(target, slot, current[0], replace=True)

    def _take_back(self, target: Path, slot: Path, wrote: Entry | None) -> None:
        """Take away a file that we made; one that was changed since stays where it is."""
        current = read_entry(target)
        if wrote is not None and current is not None and current[0] == wrote:
            with contextlib.suppress(ChangedMeanwhileError):
                displace(target, slot, wrote, replace=False)

    def _unplace_tree(self, slot: Path, tree: TreeWrite) -> None:
        if os.path.lexists(slot):
            return
        target = self._target(tree.path)
        if not target.is_dir():
            return
        if exact_tree(target, tree.files):
            move_new(target, slot)
            if exact_tree(slot, tree.files):
                return
            move_new(slot, target)
        taken = slot.with_name(f"{slot.name}.taken")
        taken.mkdir(exist_ok=True)
        for number, (path, entry) in enumerate(tree.files.items()):
            self._take_back(self._target(f"{tree.path}/{path}"), taken / str(number), entry)
        self.prune(f"{tree.path}/{path}" for path in tree.files)
