"""Carrying out a plan so that a crash between any two steps loses nothing.

An operation lives in ``.dx/journal/<id>/`` until it is committed, then in ``.dx/operations/<id>/`` for ``undo``:

    record.json     what is to be done; written once, when everything is staged and synced
    files/<n>       write n's *slot*: the new content before the write, the old one after it
    trees/<n>       the same for a whole folder that appears or disappears in one rename

The commit point is the rename of ``dx.lock``, or, where an operation leaves ``dx.lock`` as it is, the rename of the
folder from ``journal`` to ``operations``. Before it, recovery puts every slot back; after it, it only moves the folder.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dxforge.errors import ApplyError, ChangedMeanwhileError, WriteError
from dxforge.events import EventBus, Notice
from dxforge.files import (
    atomic_write,
    displace,
    drop_bytecode,
    exact_tree,
    move_new,
    place,
    read_only,
    remove_if_empty,
    safe_join,
    sync_folder,
    sync_folders,
    write_error,
)
from dxforge.traffic.lock import archives_in
from dxforge.traffic.record import Job, Record, TreeWrite, decode, moved
from dxforge.traffic.rollback import RollBack
from dxforge.traffic.staging import stage

_KEPT_OPERATIONS = 100
_PROGRESS_EVERY = 200


@dataclass
class Journal:
    """Owner of ``.dx/journal`` and ``.dx/operations``. All calls need the project's lock."""

    root: Path
    state: Path
    events: EventBus
    packages_dir: str
    checkpoint: Callable[[str], None] = field(default=lambda _: None)
    """Called between any two steps; the crash tests kill the process here."""

    staged_ns: int = 0
    """When everything of the last operation had been staged."""

    @property
    def lock_file(self) -> Path:
        """``dx.lock``."""
        return self.root / "dx.lock"

    # ---- doing

    def run(self, job: Job, *, now: str) -> Record:
        """Carry out ``job``; when it fails at any point, the project is as it was.

        Args:
            job: what to write.
            now: the time for the log, ISO 8601.

        Raises:
            ChangedMeanwhileError: a file is not as the job expects it.
            WriteError: the file system refused.
        """
        try:
            return self._run(job, now)
        except OSError as error:
            raise write_error(error, error.filename or self.state, "cannot be written") from error

    def _run(self, job: Job, now: str) -> Record:
        identity = self._next_id()
        folder = self.state / "journal" / identity
        record = Record(
            id=identity,
            time=now,
            command=job.command,
            summary=job.summary,
            folder=folder,
            writes=job.writes,
            trees=job.trees,
            lock_before=job.lock_before,
            lock_after=job.lock_after,
            undoes=job.undoes,
            made=self._missing_folders(job),
            folders=job.folders,
            make=job.make,
            drop=job.drop,
            own=tuple(number for number, write in enumerate(job.writes) if write.content is not None),
        )
        self._refuse_read_only(record)
        try:
            self.staged_ns = stage(record, job, events=self.events, checkpoint=self.checkpoint)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            self._perform(record)
            self._commit(record)
            return self._settle(record)
        except BaseException as error:
            if self._committed(record):
                if isinstance(error, OSError):
                    return record  # done; the next command files it
                raise
            problems = self._roll_back(record)
            if problems:
                raise ApplyError(
                    f"{error}; and on the way back {problems[0]}",
                    where=str(folder),
                    hint="What was there is kept in that folder; the next command tries again to put it back",
                ) from error
            self._forget(folder)
            raise

    def _refuse_read_only(self, record: Record) -> None:
        """Whoever made a file read-only does not want it written; the kernel's renames would not care."""
        targets = [self.root / write.path for write in record.writes if write.before is not None]
        targets += [self.root / tree.path / path for tree in record.trees if not tree.created for path in tree.files]
        if record.lock_before != record.lock_after:
            targets.append(self.lock_file)
        for target in targets:
            if read_only(target):
                raise WriteError(
                    "the file is read-only, so it cannot be written",
                    where=str(target),
                    hint=f"Nothing was changed; make it writable (chmod u+w {target.name}) and run the command again",
                )

    def _perform(self, record: Record) -> None:
        writes = list(enumerate(record.writes))
        for number, write in writes:  # deletions first: they make room for folders and files of the same name
            if write.after is None and write.before is not None:
                self._guarded(
                    write.path, displace, self._target(write.path), record.slot(number), write.before, replace=False
                )
                self.checkpoint(f"deleted {number}")
        for number, tree in enumerate(record.trees):
            if not tree.created:
                self._guarded(tree.path, self._displace_tree, record.tree_slot(number), tree)
                self.checkpoint(f"removed tree {number}")
        gone = [write.path for _, write in writes if write.after is None]
        self._prune([*gone, *(tree.path for tree in record.trees if not tree.created)], record.folders)
        self._change_folders(record)
        for number, write in writes:
            if write.after is None:
                continue
            target = self._target(write.path)
            if write.before is None:
                self._guarded(write.path, self._place, record.slot(number), target)
            else:
                self._guarded(write.path, displace, target, record.slot(number), write.before, replace=True)
            self.checkpoint(f"wrote {number}")
        for number, tree in enumerate(record.trees):
            if tree.created:
                self._guarded(tree.path, self._place, record.tree_slot(number), self._target(tree.path))
                self.checkpoint(f"created tree {number}")
        drop_bytecode(self.root / write.path for _, write in writes)

    def _change_folders(self, record: Record) -> None:
        if not (record.drop or record.make):
            return
        for path in sorted(record.drop, reverse=True):
            remove_if_empty(self.root / path)
        self.checkpoint("dropped folders")
        for path in sorted(record.make - record.in_new_trees()):
            self._guarded(path, functools.partial(self._target(path).mkdir, parents=True, exist_ok=True))
        self.checkpoint("made folders")

    def _displace_tree(self, slot: Path, tree: TreeWrite) -> None:
        target = self._target(tree.path)
        move_new(target, slot)
        if not exact_tree(slot, tree.files):
            move_new(slot, target)
            raise ChangedMeanwhileError(
                "a file in it changed while dxforge was about to remove it",
                where=tree.path,
                hint="Run the command again",
            )

    def _place(self, slot: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        place(slot, target)

    def _guarded(self, path: str, function: Callable[..., None], *args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            reason = (error.strerror or str(error)).lower()
            raise ChangedMeanwhileError(
                f"what is there changed while dxforge was about to write it ({reason})",
                where=path,
                hint="Run the command again",
            ) from error
        except OSError as error:
            raise write_error(error, path, "cannot be written") from error

    def _commit(self, record: Record) -> None:
        self._sync_parents(record)
        self.checkpoint("commit")
        if record.lock_after != record.lock_before:
            if not has_text(self.lock_file, record.lock_before):
                raise WriteError("dx.lock changed meanwhile", where=str(self.lock_file), hint="Run the command again")
            if record.lock_after is None:
                self.lock_file.unlink()
                sync_folder(self.root)
            else:
                atomic_write(self.lock_file, record.lock_after.encode(), temporary=record.folder / "dx.lock")
        self.checkpoint("committed")

    def _sync_parents(self, record: Record) -> None:
        # Not by `_target`: what was a folder may be a symlink by now, as it should.
        paths = [*(write.path for write in record.writes), *(tree.path for tree in record.trees)]
        sync_folders({(self.root / path).parent for path in (*paths, *record.make, *record.drop)})

    def _settle(self, record: Record) -> Record:
        done = self.state / "operations" / record.id
        done.parent.mkdir(exist_ok=True)
        os.rename(record.folder, done)
        with contextlib.suppress(OSError):
            sync_folder(done.parent)
        self.checkpoint("settled")
        self._forget_old()
        return moved(record, done)

    def _committed(self, record: Record) -> bool:
        if record.lock_after == record.lock_before:
            return not record.folder.exists()
        return has_text(self.lock_file, record.lock_after)

    # ---- going back

    def recover(self) -> None:
        """Finish or take back what a killed process left behind. Files that the user changed since are not touched."""
        try:
            for identity in sorted(_names(self.state / "journal")):
                self._recover(self.state / "journal" / identity)
        except OSError as error:
            raise write_error(error, error.filename or self.state, "cannot be recovered") from error

    def _recover(self, left: Path) -> None:
        if not os.path.lexists(left / "record.json"):
            shutil.rmtree(left, ignore_errors=True)  # nothing outside this folder was touched
            return
        try:
            record = decode(left)
        except ValueError as error:
            self._keep(left, [f"the record of an interrupted operation cannot be read ({error})"])
            return
        if record.lock_after != record.lock_before and self._committed(record):
            drop_bytecode(self.root / write.path for write in record.writes)
            self._settle(record)
            return
        problems = self._roll_back(record)
        if problems:
            self._keep(left, problems)
        else:
            self._forget(left)
        self.events.emit(Notice(text=f"an interrupted {record.command} was taken back"))

    def _keep(self, left: Path, problems: list[str]) -> None:
        """Put aside what could not be taken back wholly: it may hold the only copy of something."""
        kept = self.state / "interrupted" / left.name
        kept.parent.mkdir(exist_ok=True)
        os.rename(left, kept)
        for problem in problems:
            self.events.emit(Notice(text=f"{problem}; what dxforge had saved is in {kept}"))

    def _roll_back(self, record: Record) -> list[str]:
        """Undo what was performed; returns a line for each file that could not be put back."""
        prune = functools.partial(self._prune, only=record.made)
        problems = RollBack(record=record, root=self.root, prune=prune).run()
        drop_bytecode(self.root / write.path for write in record.writes)
        return problems

    def _forget(self, folder: Path) -> None:
        # The record first: without it the rest is rubbish, whenever we are killed.
        with contextlib.suppress(OSError):
            (folder / "record.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)

    # ---- what was done

    def records(self) -> list[Record]:
        """Committed operations, oldest first; unreadable ones are left out."""
        folder = self.state / "operations"
        found = []
        for identity in sorted(_names(folder)):
            with contextlib.suppress(OSError, ValueError):
                found.append(decode(folder / identity))
        return found

    def last(self, before: str | None = None) -> Record | None:
        """The newest committed operation (``before``: of those older than the one with this id)."""
        folder = self.state / "operations"
        names = (name for name in _names(folder) if before is None or name < before)
        for identity in sorted(names, reverse=True):
            with contextlib.suppress(OSError, ValueError):
                return decode(folder / identity)
        return None

    def archives(self) -> set[str]:
        """The sha256 of every archive that a kept operation's lock names: undo may want it."""
        found: set[str] = set()
        folder = self.state / "operations"
        for identity in _names(folder):
            with contextlib.suppress(OSError):
                found |= archives_in((folder / identity / "record.json").read_text("utf-8", "replace"))
        return found

    def _next_id(self) -> str:
        taken = [
            *_names(self.state / "operations"),
            *_names(self.state / "journal"),
            *_names(self.state / "interrupted"),
        ]
        return f"{max((int(name) for name in taken if name.isdigit()), default=0) + 1:06}"

    def _forget_old(self) -> None:
        folder = self.state / "operations"
        names = sorted(_names(folder))
        for name in names[: max(0, len(names) - _KEPT_OPERATIONS)]:
            shutil.rmtree(folder / name, ignore_errors=True)

    def _target(self, path: str) -> Path:
        return safe_join(self.root, path)

    def _missing_folders(self, job: Job) -> frozenset[str]:
        """The folders that the job's new files need and that are not there."""
        missing: set[str] = set()
        created = [write.path for write in job.writes if write.before is None]
        made = [f"{folder}/" for folder in job.make]
        for path in (*created, *(tree.path for tree in job.trees if tree.created), *made):
            folder = path.rpartition("/")[0]
            # A file or symlink there is on its way out: the folder comes in its place.
            while folder and folder not in missing and not _is_folder(self.root / folder):
                missing.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(missing)

    def _prune(self, paths: Iterable[str], only: frozenset[str] | None) -> None:
        """Remove the folders above ``paths`` that are empty but for compiled leftovers.

        Args:
            paths: what is gone, from the root.
            only: the folders that may go; None: any below the packages' folder.
        """
        below = f"{self.packages_dir}/"
        for path in sorted(set(paths), reverse=True):
            folder = path.rpartition("/")[0]
            while folder and (folder.startswith(below) if only is None else folder in only):
                if not remove_if_empty(self.root / folder):
                    break
                folder = folder.rpartition("/")[0]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read_text(path: Path) -> str | None:
    """The file's text, None where there is no file."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def plain_ends(text: str) -> str:
    """``text`` as `read_text` would bring it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def has_text(path: Path, text: str | None) -> bool:
    """Whether the file at ``path`` has this text, whatever its line ends (None: whether there is no file)."""
    try:
        return read_text(path) == (None if text is None else plain_ends(text))
    except UnicodeDecodeError:
        return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
